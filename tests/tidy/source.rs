//! Rust source as the rules of this test see it: without comments, without the contents of strings, and without unit tests.

/// The code of `text` before its unit tests. Comments are left out, and literals are left empty, so that a `//` or a brace
/// inside a string means nothing. Line breaks stay, so that lines can be counted.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment(rest).or_else(|| literal(rest, code.chars().next_back()));
        match length {
            Some(length) => {
                let (skipped, after) = rest.split_at(length.min(rest.len()));
                if !skipped.starts_with('/') {
                    code.push_str("\"\"");
                }
                code.extend(skipped.chars().filter(|&c| c == '\n'));
                rest = after;
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    match code.find("\nmod tests {") {
        Some(end) => code[..=end].to_owned(),
        None => code,
    }
}

/// The length of the comment that `text` begins with. Its line break is not part of it.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        Some(text.find('\n').unwrap_or(text.len()))
    } else if text.starts_with("/*") {
        Some(text.find("*/").map_or(text.len(), |end| end + 2))
    } else {
        None
    }
}

/// The length of the string or the character that `text` begins with. A lifetime is neither.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let raw = text.strip_prefix('b').unwrap_or(text);
    if raw.starts_with("r\"") || raw.starts_with("r#") {
        let hashes = raw[1..].chars().take_while(|&c| c == '#').count();
        let opens = raw[1 + hashes..].starts_with('"') && !before.is_some_and(is_name);
        let closing = format!("\"{}", "#".repeat(hashes));
        let start = text.len() - raw.len() + hashes + 2;
        return opens
            .then(|| text[start..].find(&closing).map_or(text.len(), |end| start + end + closing.len()));
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    if text.starts_with('\'') {
        let mut chars = text.chars().skip(1);
        let escaped = chars.next() == Some('\\');
        return (escaped || chars.next() == Some('\'')).then(|| quoted(text, '\''));
    }
    None
}

/// The length of a literal between quotes, in which a backslash takes the next character along.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return index + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

#[test]
fn comments_strings_and_unit_tests_are_no_code() {
    let text = "use crate::a; // crate::b\nlet url = \"redis://x\"; use_it(crate::c);\nlet q = '\"'; let r = r#\"crate::d \" \"#;\n\
                fn f<'a>(x: &'a str) {} /* crate::e */\n#[cfg(test)]\nmod tests {\n use crate::g;\n}\n";
    let code = code(text);
    for (name, is_code) in [("a", true), ("b", false), ("c", true), ("d", false), ("e", false), ("g", false)]
    {
        assert_eq!(code.contains(&format!("crate::{name}")), is_code, "{name} in {code}");
    }
    assert!(code.contains("fn f<'a>(x: &'a str) {}"), "{code}");
    assert_eq!(code.lines().count(), 5, "{code}");
}
