//! Glob patterns of `KEYS`, `SCAN … MATCH` and `CONFIG GET`: `*`, `?`, `[a-c]`, `[^a]`, `\x`.

/// Whether `text` matches `pattern`. It takes at most pattern × text steps, because a mismatch only goes back to the
/// last star and never to an earlier one.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern_rest, mut text_rest) = (pattern, text);
    let mut last_star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern_rest {
            last_star = Some((rest, text_rest));
            pattern_rest = rest;
            continue;
        }
        let step = match text_rest {
            [] if pattern_rest.is_empty() => return true,
            [] => return false,
            [byte, rest @ ..] => match_one(pattern_rest, *byte).map(|pattern| (pattern, rest)),
        };
        if let Some((pattern, text)) = step {
            (pattern_rest, text_rest) = (pattern, text);
            continue;
        }
        // The last star matches one more byte, and the pattern behind it is tried again.
        match last_star {
            Some((pattern, [_, rest @ ..])) => {
                last_star = Some((pattern, rest));
                (pattern_rest, text_rest) = (pattern, rest);
            }
            _ => return false,
        }
    }
}

/// Matches one byte with the head of `pattern`. Returns the rest of the pattern if it matches.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', class @ ..] => match_class(class, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// Matches `byte` with the class behind a `[`. A class without `]` ends with the pattern.
fn match_class(class: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
            [low, b'-', high, after @ ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                found |= *literal == byte;
                after
            }
        };
    }
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_of_the_manual() {
        for (pattern, text, expected) in [
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h*llo", "hllo", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h\\[ae", "h[ae", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*", "", true),
            ("", "a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("[abc", "c", true),
            ("[", "x", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn stars_do_not_multiply() {
        let pattern = b"a*".repeat(200);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &b"a".repeat(2000)));
    }

    proptest! {
        #[test]
        fn anything_terminates(pattern: Vec<u8>, text: Vec<u8>) {
            matches(&pattern, &text);
            prop_assert!(matches(b"*", &text));
        }
    }
}
