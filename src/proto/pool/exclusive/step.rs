//! [`Step`]: what a command does to the session that it is sent in.

/// What a command does to the connection of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It watches keys.
    Watch,
    /// It ends the watch.
    Unwatch,
    /// It begins a transaction.
    Multi,
    /// It runs the transaction, and ends the watch.
    Exec,
    /// It drops the transaction, and ends the watch.
    Discard,
    /// It changes the connection in a way that no other connection can take over.
    ChangesState,
    /// None of these.
    Plain,
}

impl Step {
    /// The steps of encoded commands, in order. The bytes are those of commands that this crate has encoded.
    pub(super) fn of_all(mut bytes: &[u8]) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((words, rest)) = words(bytes) {
            steps.push(Step::of(words));
            bytes = rest;
        }
        steps
    }

    fn of([name, argument]: [&[u8]; 2]) -> Step {
        let is = |word: &[u8], known: &[&str]| {
            known.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
        };
        let known = [
            (&["WATCH"][..], Step::Watch),
            (&["UNWATCH"], Step::Unwatch),
            (&["MULTI"], Step::Multi),
            (&["EXEC"], Step::Exec),
            (&["DISCARD"], Step::Discard),
            (&["SELECT", "AUTH", "HELLO", "READONLY", "READWRITE"], Step::ChangesState),
        ];
        match known.into_iter().find(|(names, _)| is(name, names)) {
            Some((_, step)) => step,
            None if is(name, &["CLIENT"]) && is(argument, CLIENT_STATE) => Step::ChangesState,
            None if is(name, &["SCRIPT"]) && is(argument, &["DEBUG"]) => Step::ChangesState,
            None => Step::Plain,
        }
    }
}

/// The first two words of the next command, and the bytes behind it.
fn words(bytes: &[u8]) -> Option<([&[u8]; 2], &[u8])> {
    let (count, mut rest) = number(bytes, b'*')?;
    let mut words = [&b""[..]; 2];
    for index in 0..count {
        let (length, behind) = number(rest, b'$')?;
        let (word, behind) = behind.split_at_checked(length)?;
        if let Some(place) = words.get_mut(index) {
            *place = word;
        }
        rest = behind.get(2..)?;
    }
    Some((words, rest))
}

/// The number behind this mark, and the bytes behind its line.
fn number(bytes: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let rest = bytes.strip_prefix(&[mark])?;
    let (digits, rest) = rest.split_at_checked(memchr::memchr(b'\r', rest)?)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest.get(2..)?))
}

const CLIENT_STATE: &[&str] =
    &["SETNAME", "SETINFO", "MAINT_NOTIFICATIONS", "TRACKING", "CACHING", "NO-EVICT", "NO-TOUCH"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::resp::Encoder;

    #[test]
    fn each_command_of_a_batch_has_its_step() {
        let mut bytes = Vec::new();
        for text in [
            "watch a b",
            "GET MULTI",
            "Multi",
            "SET a 1",
            "EXEC",
            "CLIENT tracking ON",
            "CLIENT ID",
            "SELECT 1",
            "DISCARD",
            "UNWATCH",
        ] {
            let words: Vec<_> = text.split(' ').collect();
            let mut encoder = Encoder::command(&mut bytes, words.len());
            words.iter().for_each(|word| encoder.bytes(word.as_bytes()));
        }
        use Step::*;
        let expected =
            [Watch, Plain, Multi, Plain, Exec, ChangesState, Plain, ChangesState, Discard, Unwatch];
        assert_eq!(Step::of_all(&bytes), expected);
        assert!(Step::of_all(b"").is_empty() && Step::of_all(b"*1\r\n$9\r\nshort").is_empty());
    }
}
