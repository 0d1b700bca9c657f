//! Why a text is not a valid command template.

/// Why a text is not a valid command template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The text is empty.
    #[error("the command is empty; allowed: a command and its arguments, e.g. GET {{key}}")]
    Empty,
    /// A quote is opened and not closed.
    #[error("a {0} quote is not closed")]
    OpenQuote(char),
    /// The text ends with a backslash.
    #[error("the last backslash has nothing after it")]
    OpenEscape,
    /// The command's name is not plain text.
    #[error("the command's name must be plain text, without {{key}} or other placeholders")]
    Name,
    /// An unknown placeholder.
    #[error(
        "{given} is not a placeholder{} Placeholders are {PLACEHOLDERS} (\\{{ is a plain brace)",
        perhaps(.meant)
    )]
    Placeholder {
        /// The placeholder as given.
        given: String,
        /// The closest known placeholder.
        meant: Option<&'static str>,
    },
    /// The command cannot run on a shared connection.
    #[error("{0}")]
    Refused(String),
}

fn perhaps(meant: &Option<&str>) -> String {
    meant.map_or_else(|| ".".to_owned(), |meant| format!("; did you mean {meant}?"))
}

const PLACEHOLDERS: &str = "{key}, {key:2} to {key:16}, {value}, {n}, and {random:MIN-MAX}";
