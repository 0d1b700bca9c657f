//! JSON on many lines, for humans. Lists and objects of plain values stay on one line.

/// Adds line breaks and spaces to a JSON document.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut open_lists, mut in_text, mut is_escaped) = (0usize, Vec::new(), false, false);
    for (index, character) in json.char_indices() {
        if in_text {
            out.push(character);
            in_text = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            continue;
        }
        match character {
            '"' => {
                in_text = true;
                out.push(character);
            }
            '{' | '[' => {
                let is_broken = holds_lists(json.get(index + 1..).unwrap_or_default());
                open_lists.push(is_broken);
                depth += usize::from(is_broken);
                out.push(character);
                if is_broken {
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if open_lists.pop().unwrap_or_default() {
                    depth = depth.saturating_sub(1);
                    new_line(&mut out, depth);
                }
                out.push(character);
            }
            ',' => {
                out.push(character);
                match open_lists.last() {
                    Some(true) => new_line(&mut out, depth),
                    _ => out.push(' '),
                }
            }
            ':' => out.push_str(": "),
            _ => out.push(character),
        }
    }
    out
}

/// Whether the list or object with this `content` contains another list or object.
fn holds_lists(content: &str) -> bool {
    let (mut in_text, mut is_escaped) = (false, false);
    for character in content.chars() {
        match character {
            _ if in_text => {
                in_text = is_escaped || character != '"';
                is_escaped = !is_escaped && character == '\\';
            }
            '"' => in_text = true,
            '{' | '[' => return true,
            '}' | ']' => return false,
            _ => {}
        }
    }
    false
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_plain_values_stay_on_one_line() {
        let json = r#"{"a":1,"n":[{"id":7,"name":"a, \"b\" [c]"},{"id":8,"x":null}],"e":[],"o":{"p":-1}}"#;
        let expected = "{\n  \"a\": 1,\n  \"n\": [\n    {\"id\": 7, \"name\": \"a, \\\"b\\\" [c]\"},\n    \
                        {\"id\": 8, \"x\": null}\n  ],\n  \"e\": [],\n  \"o\": {\"p\": -1}\n}";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty(r#"{"a":1}"#), r#"{"a": 1}"#);
        assert_eq!(pretty(r#"["\\",[1]]"#), "[\n  \"\\\\\",\n  [1]\n]");
    }
}
