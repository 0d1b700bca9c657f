//! JSON on many lines, for people: what holds nothing but plain values stays on one.

/// The same document with line breaks and blanks.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut open_lists, mut in_text, mut is_escaped) = (0usize, Vec::new(), false, false);
    for (place, sign) in json.char_indices() {
        if in_text {
            out.push(sign);
            in_text = is_escaped || sign != '"';
            is_escaped = !is_escaped && sign == '\\';
            continue;
        }
        match sign {
            '"' => {
                in_text = true;
                out.push(sign);
            }
            '{' | '[' => {
                let is_broken = holds_lists(json.get(place + 1..).unwrap_or_default());
                open_lists.push(is_broken);
                depth += usize::from(is_broken);
                out.push(sign);
                if is_broken {
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if open_lists.pop().unwrap_or_default() {
                    depth = depth.saturating_sub(1);
                    new_line(&mut out, depth);
                }
                out.push(sign);
            }
            ',' => {
                out.push(sign);
                match open_lists.last() {
                    Some(true) => new_line(&mut out, depth),
                    _ => out.push(' '),
                }
            }
            ':' => out.push_str(": "),
            _ => out.push(sign),
        }
    }
    out
}

/// Whether a list or an object begins before the one ends whose content this is.
fn holds_lists(content: &str) -> bool {
    let (mut in_text, mut is_escaped) = (false, false);
    for sign in content.chars() {
        match sign {
            _ if in_text => {
                in_text = is_escaped || sign != '"';
                is_escaped = !is_escaped && sign == '\\';
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
    fn what_holds_plain_values_stays_on_one_line() {
        let json = r#"{"a":1,"n":[{"id":7,"name":"a, \"b\" [c]"},{"id":8,"x":null}],"e":[],"o":{"p":-1}}"#;
        let expected = "{\n  \"a\": 1,\n  \"n\": [\n    {\"id\": 7, \"name\": \"a, \\\"b\\\" [c]\"},\n    \
                        {\"id\": 8, \"x\": null}\n  ],\n  \"e\": [],\n  \"o\": {\"p\": -1}\n}";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty(r#"{"a":1}"#), r#"{"a": 1}"#);
        assert_eq!(pretty(r#"["\\",[1]]"#), "[\n  \"\\\\\",\n  [1]\n]");
    }
}
