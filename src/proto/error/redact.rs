//! Removes the quoted arguments of commands from the error texts of servers.
//!
//! Servers repeat arguments: `ERR unknown command 'GTE', with args beginning with: 'session:7' 's3cret'`, or the `AUTH`
//! within a `HELLO` that they do not know. Error texts end up in logs, and the data of users must not.

/// An error text for one log line: redacted, short, and without control characters.
pub(crate) fn log_text(reply: &[u8]) -> String {
    redacted(reply, LOG_TEXT_MAX).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The first `most` bytes of the text, without its quotations. Quoted names of commands stay.
pub(crate) fn redacted(reply: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(reply.get(..most).unwrap_or(reply));
    let text = text.find(ARGUMENTS).and_then(|end| text.get(..end)).unwrap_or(&text);
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, quote, quoted)) = next_quote(rest) {
        output.push_str(before);
        let (inside, after) = match closing(quoted, quote) {
            Some(end) => (quoted.get(..end).unwrap_or_default(), quoted.get(end + 1..).unwrap_or_default()),
            // The text was cut off within the quotation.
            None => (quoted, ""),
        };
        output.push(quote);
        output.push_str(if is_command(before, inside, after) { inside } else { WITHHELD });
        output.push(quote);
        rest = after;
    }
    output.push_str(rest);
    output
}

/// The text before the next opening quote, the quote, and the text behind it. An apostrophe within a word is no quote.
fn next_quote(text: &str) -> Option<(&str, char, &str)> {
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        if QUOTES.contains(&c) && !previous.is_alphanumeric() {
            return Some((text.get(..at)?, c, text.get(at + 1..)?));
        }
        previous = c;
    }
    None
}

/// The end of a quotation: the first quote of the same kind that no letter or digit follows.
fn closing(quoted: &str, quote: char) -> Option<usize> {
    let ends_here = |at: usize| {
        let next = quoted.get(at + 1..).and_then(|rest| rest.chars().next());
        next.is_none_or(|next| !next.is_alphanumeric())
    };
    quoted.char_indices().find(|(at, c)| *c == quote && ends_here(*at)).map(|(at, _)| at)
}

/// Whether the words around a quotation say that it is the name of a command. The caller knows that name anyway.
fn is_command(before: &str, inside: &str, after: &str) -> bool {
    let is_name = inside.len() <= NAME_MAX
        && inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"|_-.".contains(&byte));
    let is_announced =
        before.ends_with("unknown command ") || after.starts_with(" command") || inside == OPT_IN;
    is_name && is_announced
}

const ARGUMENTS: &str = ", with args beginning with:";
/// The subcommand with which connections opt in to notifications.
const OPT_IN: &str = "MAINT_NOTIFICATIONS";
const QUOTES: [char; 3] = ['\'', '`', '"'];
const WITHHELD: &str = "…";
/// Longer than the name of any command.
const NAME_MAX: usize = 32;
/// The longest error text in a log line, in bytes.
const LOG_TEXT_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_arguments_are_removed() {
        for (reply, expected) in [
            (
                "ERR unknown command 'GTE', with args beginning with: 'k' 's3cret' ",
                "ERR unknown command 'GTE'",
            ),
            (
                "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, ",
                "ERR unknown command `HELLO`",
            ),
            ("ERR unknown command 's3 cret', with args beginning with: ", "ERR unknown command '…'"),
            (
                "ERR unknown subcommand 's3cret'. Try OBJECT HELP.",
                "ERR unknown subcommand '…'. Try OBJECT HELP.",
            ),
            (
                "ERR wrong number of arguments for 'config|set' command",
                "ERR wrong number of arguments for 'config|set' command",
            ),
            (
                "NOGROUP No such key 'k:1' or consumer group 'g' in XREADGROUP",
                "NOGROUP No such key '…' or consumer group '…' in XREADGROUP",
            ),
            (
                "ERR Error in ACL SETUSER modifier '>s3'cret': Syntax error",
                "ERR Error in ACL SETUSER modifier '…': Syntax error",
            ),
            ("ERR cut off 's3cre", "ERR cut off '…'"),
            (
                "READONLY You can't write against a read only replica.",
                "READONLY You can't write against a read only replica.",
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                "WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("ERR unknown subcommand 'MAINT_NOTIFICATIONS'", "ERR unknown subcommand 'MAINT_NOTIFICATIONS'"),
            ("MOVED 3999 127.0.0.1:6381", "MOVED 3999 127.0.0.1:6381"),
            ("", ""),
        ] {
            assert_eq!(redacted(reply.as_bytes(), 4096), expected);
        }
    }

    #[test]
    fn quotations_are_removed_wherever_the_text_is_cut() {
        let reply = "ERR one 's3cret' two \"s3cret\" three `s3cret s3cret` with é and 's3cret'";
        for most in 0..=reply.len() {
            assert!(!redacted(reply.as_bytes(), most).contains("s3c"), "{most}");
        }
        redacted(&[0xff, b'\'', 0xc3, b'\'', b'\''], 4);
    }
}
