//! [`NotServed`]: the errors with which a node of a cluster says that it has not executed a command.
//!
//! The texts are those of Redis 3 to 8 and Valkey 7 to 9: `MOVED 3999 127.0.0.1:6381`, `ASK 3999 127.0.0.1:6381`, `TRYAGAIN …`.

use super::slot::Slot;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::ServerState;
use crate::proto::resp::Frame;

/// Why a node has not executed a command, and where it sends the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotServed {
    /// Another node owns the slot.
    Moved { slot: Slot, to: NamedNode },
    /// The key is at another node already, which takes this one command for it. The owner of the slot stays the same.
    Ask { to: NamedNode },
    /// The node cannot execute it now.
    Later(ServerState),
    /// The node is a replica now.
    Demoted,
}

/// A node as another node names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedNode {
    At(Endpoint),
    /// The host is that of the node that names it. A node does so if it does not know how its clients reach it.
    SameHost(u16),
    /// The node knows no address for it. It must not be dialed.
    Unknown,
}

impl NotServed {
    /// What this reply says, if it is the reply to a command that was not executed. A reply that carries on a `MOVED` or an `ASK`
    /// in any other form is the caller's.
    #[inline]
    pub(super) fn of(reply: &Frame) -> Option<NotServed> {
        match reply {
            Frame::Error(text) => NotServed::read(text),
            Frame::Attributed { frame, .. } => NotServed::of(frame),
            _ => None,
        }
    }

    fn read(text: &[u8]) -> Option<NotServed> {
        match ServerState::of(text) {
            Some(ServerState::ReadOnly) => return Some(NotServed::Demoted),
            Some(
                state @ (ServerState::Loading
                | ServerState::MasterDown
                | ServerState::Busy
                | ServerState::TryAgain
                | ServerState::ClusterDown),
            ) => return Some(NotServed::Later(state)),
            _ => {}
        }
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.split(' ');
        let code = words.next()?;
        if code != "MOVED" && code != "ASK" {
            return None;
        }
        let slot = Slot::new(words.next()?.parse().ok()?)?;
        let to = NamedNode::read(words.next()?)?;
        Some(if code == "MOVED" { NotServed::Moved { slot, to } } else { NotServed::Ask { to } })
    }
}

impl NamedNode {
    /// Reads `host:port`. The host may be a name, an address of either version without brackets, `?`, or missing.
    fn read(text: &str) -> Option<NamedNode> {
        let (host, port) = text.rsplit_once(':')?;
        NamedNode::of(host, port.parse().ok()?)
    }

    /// The node with this host and port; `None` if no node can have them.
    pub(super) fn of(host: &str, port: u16) -> Option<NamedNode> {
        match host {
            "" => Some(NamedNode::SameHost(port)),
            "?" => Some(NamedNode::Unknown),
            host => Endpoint::new(host, port).ok().map(NamedNode::At),
        }
    }

    /// The endpoint, if it is known. `by` is the node that names it.
    pub(super) fn endpoint(self, by: &Endpoint) -> Option<Endpoint> {
        match self {
            NamedNode::At(endpoint) => Some(endpoint),
            NamedNode::SameHost(port) => Endpoint::new(by.host(), port).ok(),
            NamedNode::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<NotServed> {
        NotServed::of(&Frame::Error(text.to_owned().into()))
    }

    fn at(text: &str) -> NamedNode {
        NamedNode::At(text.parse().unwrap())
    }

    #[test]
    fn redirects_name_a_slot_and_a_node() {
        let slot = Slot::new(3999).unwrap();
        let moved = |to| Some(NotServed::Moved { slot, to });
        assert_eq!(of("MOVED 3999 127.0.0.1:6381"), moved(at("127.0.0.1:6381")));
        assert_eq!(of("MOVED 3999 node-1.example:6381"), moved(at("node-1.example:6381")));
        assert_eq!(of("MOVED 3999 2001:db8::1:6381"), moved(at("[2001:db8::1]:6381")));
        assert_eq!(of("MOVED 3999 :6381"), moved(NamedNode::SameHost(6381)));
        assert_eq!(of("MOVED 3999 ?:6381"), moved(NamedNode::Unknown));
        assert_eq!(of("ASK 3999 127.0.0.1:6381"), Some(NotServed::Ask { to: at("127.0.0.1:6381") }));
    }

    #[test]
    fn states_that_pass_are_not_served() {
        assert_eq!(of("TRYAGAIN Multiple keys request"), Some(NotServed::Later(ServerState::TryAgain)));
        assert_eq!(of("CLUSTERDOWN Hash slot not served"), Some(NotServed::Later(ServerState::ClusterDown)));
        assert_eq!(of("READONLY You can't write"), Some(NotServed::Demoted));
    }

    #[test]
    fn all_other_replies_are_the_callers() {
        for text in [
            "ERR MOVED 3999 127.0.0.1:6381",
            "MOVED",
            "MOVED x 127.0.0.1:6381",
            "MOVED 16384 127.0.0.1:6381",
            "MOVED 3999",
            "MOVED 3999 127.0.0.1",
            "MOVED 3999 127.0.0.1:0",
            "MOVED 3999 127.0.0.1:99999",
            "ASK -1 a:1",
            "ASKING",
            "BUSYGROUP Consumer Group name already exists",
            "NOSCRIPT No matching script",
            "",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(NotServed::of(&Frame::Bulk("MOVED 3999 127.0.0.1:6381".into())), None);
    }
}
