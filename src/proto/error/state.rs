//! [`ServerState`]: the state of a server, as the code of its error names it.

/// Why a server refuses a command, as the first words of its error say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerState {
    Loading,
    ReadOnly,
    MasterDown,
    Busy,
    TryAgain,
    ClusterDown,
    /// The server has as many clients as it allows.
    Full,
    NoAuth,
    WrongPass,
    NoPerm,
}

impl ServerState {
    /// The state that this error names, if the code is known.
    pub(crate) fn of(reply: &[u8]) -> Option<ServerState> {
        let is = |(_, start): &&(ServerState, &str)| {
            // A code is a whole word: BUSYGROUP is not BUSY.
            let rest = reply.strip_prefix(start.as_bytes());
            rest.is_some_and(|rest| rest.first().is_none_or(|next| !next.is_ascii_alphanumeric()))
        };
        STATES.iter().find(is).map(|(state, _)| *state)
    }

    /// The code that the error begins with.
    pub(crate) fn code(self) -> &'static str {
        let start = STATES.iter().find(|(state, _)| *state == self).map_or("ERR", |(_, start)| start);
        start.split(' ').next().unwrap_or(start)
    }

    /// Whether the state usually ends without a person.
    pub(crate) fn is_passing(self) -> bool {
        !matches!(self, ServerState::NoAuth | ServerState::WrongPass | ServerState::NoPerm)
    }

    /// The state in words.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            ServerState::Loading => "it is loading its data",
            ServerState::ReadOnly => "it is a replica",
            ServerState::MasterDown => "it is a replica that has lost its master",
            ServerState::Busy => "it is busy with a script",
            ServerState::TryAgain => "it is moving this data",
            ServerState::ClusterDown => "its cluster is down",
            ServerState::Full => "it has as many clients as its `maxclients` allows",
            ServerState::NoAuth => "it requires a login",
            ServerState::WrongPass => "it does not know this user with this password",
            ServerState::NoPerm => "its access list forbids it",
        }
    }
}

const STATES: [(ServerState, &str); 10] = [
    (ServerState::Loading, "LOADING"),
    (ServerState::ReadOnly, "READONLY"),
    (ServerState::MasterDown, "MASTERDOWN"),
    (ServerState::Busy, "BUSY"),
    (ServerState::TryAgain, "TRYAGAIN"),
    (ServerState::ClusterDown, "CLUSTERDOWN"),
    (ServerState::Full, "ERR max number of clients"),
    (ServerState::NoAuth, "NOAUTH"),
    (ServerState::WrongPass, "WRONGPASS"),
    (ServerState::NoPerm, "NOPERM"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_recognized_by_their_first_words() {
        for (reply, state, code) in [
            ("LOADING Redis is loading the dataset in memory", ServerState::Loading, "LOADING"),
            ("READONLY You can't write against a read only replica.", ServerState::ReadOnly, "READONLY"),
            ("MASTERDOWN Link with MASTER is down and", ServerState::MasterDown, "MASTERDOWN"),
            ("BUSY Redis is busy running a script.", ServerState::Busy, "BUSY"),
            ("TRYAGAIN Multiple keys request during rehashing", ServerState::TryAgain, "TRYAGAIN"),
            ("CLUSTERDOWN The cluster is down", ServerState::ClusterDown, "CLUSTERDOWN"),
            ("ERR max number of clients reached", ServerState::Full, "ERR"),
            ("NOAUTH Authentication required.", ServerState::NoAuth, "NOAUTH"),
            ("WRONGPASS invalid username-password pair", ServerState::WrongPass, "WRONGPASS"),
            ("NOPERM this user has no permissions", ServerState::NoPerm, "NOPERM"),
        ] {
            assert_eq!(ServerState::of(reply.as_bytes()), Some(state), "{reply}");
            assert_eq!(state.code(), code);
            assert!(!state.meaning().is_empty());
        }
        for other in
            ["BUSYGROUP Consumer Group name already exists", "ERR max", "readonly", "", "WRONGTYPE x"]
        {
            assert_eq!(ServerState::of(other.as_bytes()), None, "{other}");
        }
    }
}
