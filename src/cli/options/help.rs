//! Help texts whose braces clap would replace.

/// A text of clap without its word joiners, see [`JOINER`].
pub(crate) fn without_joiners(text: &str) -> String {
    text.replace(JOINER, "")
}

/// U+2060 WORD JOINER, which has no width. It keeps clap from replacing `{n}` in a help text by a line break.
const JOINER: char = '\u{2060}';
