//! Breaks text between words.

/// `text` in lines of at most `width` columns. The caller has written `indent` columns before the first line; all other
/// lines begin with as many spaces. A word that is longer than a line stays whole.
pub(crate) fn wrap(text: &str, indent: usize, width: usize) -> String {
    let (mut out, mut column) = (String::new(), indent);
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if column + length > width && column > indent {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_are_indented() {
        assert_eq!(wrap("a bc def", 0, 80), "a bc def");
        assert_eq!(wrap("a bc def", 2, 6), "a bc\n  def");
        assert_eq!(wrap("a  bc", 0, 5), "a  bc", "spaces are kept");
        assert_eq!(wrap("abcdefgh i", 1, 4), "abcdefgh\n i", "a long word stays whole");
        let text = wrap(&"word µs × ".repeat(40), 14, 80);
        let width = |(line, text): (usize, &str)| text.chars().count() + if line == 0 { 14 } else { 0 };
        assert!(
            text.lines().count() > 3 && text.lines().enumerate().map(width).all(|width| width <= 80),
            "{text}"
        );
    }
}
