//! What is shown of a server's error text: its own words, and none of what it quotes of a command.
//!
//! Servers repeat arguments: `ERR unknown command 'GTE', with args beginning with: 'session:7' 's3cret'`, or the `AUTH`
//! within a `HELLO` that they do not know. Error texts end up in logs, where the users' data must not.

/// The text, at most `most` bytes of it, with all that it quotes withheld but the names of commands.
pub(crate) fn shown(reply: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(reply.get(..most).unwrap_or(reply));
    let text = text.find(ARGUMENTS).and_then(|end| text.get(..end)).unwrap_or(&text);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, quote, quoted)) = next_quote(rest) {
        shown.push_str(before);
        let (inside, after) = match closing(quoted, quote) {
            Some(end) => (quoted.get(..end).unwrap_or_default(), quoted.get(end + 1..).unwrap_or_default()),
            // It was cut off within the quotation.
            None => (quoted, ""),
        };
        shown.push(quote);
        shown.push_str(if is_command(before, inside, after) { inside } else { WITHHELD });
        shown.push(quote);
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// What stands before the next opening quote, the quote, and what follows it. An apostrophe within a word is none.
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

/// Where a quotation ends: at the last quote of its kind that no letter follows before another quotation could begin.
fn closing(quoted: &str, quote: char) -> Option<usize> {
    let ends_here = |at: usize| {
        let next = quoted.get(at + 1..).and_then(|rest| rest.chars().next());
        next.is_none_or(|next| !next.is_alphanumeric())
    };
    quoted.char_indices().find(|(at, c)| *c == quote && ends_here(*at)).map(|(at, _)| at)
}

/// Whether what is quoted is the name of a command, as the words around it say: the caller knows it anyway.
fn is_command(before: &str, inside: &str, after: &str) -> bool {
    let is_name = inside.len() <= NAME_MAX
        && inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"|_-.".contains(&byte));
    let is_told = before.ends_with("unknown command ") || after.starts_with(" command") || inside == OWN;
    is_name && is_told
}

const ARGUMENTS: &str = ", with args beginning with:";
/// What connections ask for of their own accord.
const OWN: &str = "MAINT_NOTIFICATIONS";
const QUOTES: [char; 3] = ['\'', '`', '"'];
const WITHHELD: &str = "…";
/// More than any command's name has.
const NAME_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_quote_of_commands_is_withheld() {
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
            assert_eq!(shown(reply.as_bytes(), 4096), expected);
        }
    }

    #[test]
    fn no_text_shows_what_it_quotes_wherever_it_is_cut() {
        let reply = "ERR one 's3cret' two \"s3cret\" three `s3cret s3cret` with é and 's3cret'";
        for most in 0..=reply.len() {
            assert!(!shown(reply.as_bytes(), most).contains("s3c"), "{most}");
        }
        shown(&[0xff, b'\'', 0xc3, b'\'', b'\''], 4);
    }
}
