//! What the server knows of one listener, and what it asks of the sockets in front of it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::fault::Fault;
use super::notification::{Event, Kind};
use super::opt_in::{Answer, EndpointType};
use crate::rehearsal::session::SessionId;

/// One listener, a "node" in the words of the protocol: the index of its address among those that
/// were given to `Server::new`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Closed, once the output is written.
    AfterOutput,
    /// Closed at once (FIN); output is dropped.
    AtOnce,
    /// Reset at once (RST); output is dropped.
    Reset,
    /// The direction to the client is shut down once the output is written; the connection goes on
    /// reading, and is closed when the client closes.
    HalfClose,
}

/// The close that a MOVING has planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Departure {
    /// Which MOVING it was.
    pub(crate) move_id: u64,
    pub(crate) policy: ClosePolicy,
    /// The last connection that it concerns; `None`: all that there are by then.
    pub(crate) last: Option<SessionId>,
}

/// What a listener does with those who connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// Serves them.
    #[default]
    Serve,
    /// Accepts them, and never reads or writes.
    Stall,
    /// Accepts them, and closes at once.
    Drop,
}

/// How a node's connections end when it has moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClosePolicy {
    /// Whether they end at all.
    pub(crate) closes: bool,
    /// How long after the grace.
    pub(crate) delay_us: u64,
    /// Instead: after this part of the grace.
    pub(crate) early: Option<f64>,
    pub(crate) ending: Ending,
    /// Nobody listens any more afterwards.
    pub(crate) refuses_after: bool,
    /// Another copy of the push goes out right before the end.
    pub(crate) leaves_unread: bool,
}

impl ClosePolicy {
    pub(crate) const SYNTAX: &str =
        "[fin|rst|half|never] [delay ms] [early part-of-grace] [refuse] [unread] [default]";

    /// As real servers do: 0.7 s after the grace.
    pub(crate) const DEFAULT: Self = Self {
        closes: true,
        delay_us: 700_000,
        early: None,
        ending: Ending::AfterOutput,
        refuses_after: false,
        leaves_unread: false,
    };

    /// Changes what `words` say.
    pub(crate) fn change(mut self, words: &[&str]) -> Result<Self, String> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_lowercase().as_str() {
                "default" => self = Self::DEFAULT,
                "never" => self.closes = false,
                "refuse" => self.refuses_after = true,
                "unread" => self.leaves_unread = true,
                "delay" => {
                    let ms = words.next().and_then(|ms| ms.parse().ok()).filter(|&ms| ms <= DELAY_MAX_MS);
                    let ms: u64 = ms.ok_or("delay: needs milliseconds, at most a day")?;
                    self = Self { closes: true, early: None, delay_us: ms * 1_000, ..self };
                }
                "early" => {
                    let part: Option<f64> = words.next().and_then(|part| part.parse().ok());
                    let part = part.filter(|part| (0.0..=1.0).contains(part));
                    let part = part.ok_or("early: needs the part of the grace, from 0 to 1")?;
                    self = Self { closes: true, early: Some(part), ..self };
                }
                _ => match Ending::named(word) {
                    Some(ending) => self = Self { closes: true, ending, ..self },
                    None => return Err(format!("unknown option '{word}'; options: {}", Self::SYNTAX)),
                },
            }
        }
        Ok(self)
    }

    /// When, for a grace that starts now.
    pub(crate) fn close_us(&self, now_us: u64, grace_us: u64) -> Option<u64> {
        let after_us = match self.early {
            Some(part) => (grace_us as f64 * part) as u64,
            None => grace_us.saturating_add(self.delay_us),
        };
        self.closes.then(|| now_us.saturating_add(after_us))
    }
}

/// Longest delay after a grace: one day.
const DELAY_MAX_MS: u64 = 86_400_000;

impl Ending {
    /// The ending that users call `fin`, `rst` or `half`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "fin" => Some(Self::AfterOutput),
            "rst" => Some(Self::Reset),
            "half" => Some(Self::HalfClose),
            _ => None,
        }
    }

    /// Whether what was not written yet is dropped.
    pub(crate) fn is_immediate(self) -> bool {
        matches!(self, Self::AtOnce | Self::Reset)
    }
}

/// Most announcements of a node that wait for their end; the oldest gives way.
pub const WINDOWS_MAX: usize = 64;

/// One listener.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// How those who ask for names are told of it.
    pub(crate) name: Option<String>,
    pub(crate) listens: bool,
    pub(crate) faults: Vec<Fault>,
    /// Until when it is busy with commands, where their service takes time.
    pub(crate) busy_us: u64,
    /// What opting in is answered with.
    pub(crate) answer: Answer,
    /// Whether those who opt in are told of what goes on, and of what went on last.
    pub(crate) replays_openers: bool,
    pub(crate) replays_closers: bool,
    pub(crate) policy: ClosePolicy,
    /// What goes on.
    pub(crate) windows: VecDeque<Event>,
    /// The last MIGRATED or FAILED_OVER.
    pub(crate) retained: Option<Event>,
    /// The MOVING that the node will close for.
    pub(crate) moving: Option<Departure>,
    /// Copies sent, by kind, in the order of [`Kind::ALL`]; raw ones last.
    pub(crate) pushes: [u64; Kind::ALL.len() + 1],
}

impl Node {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            name: None,
            listens: true,
            faults: Vec::new(),
            busy_us: 0,
            answer: Answer::Ok,
            replays_openers: true,
            replays_closers: true,
            policy: ClosePolicy::DEFAULT,
            windows: VecDeque::new(),
            retained: None,
            moving: None,
            pushes: [0; Kind::ALL.len() + 1],
        }
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.listens && !self.faults.contains(&Fault::Refuse)
    }

    pub(crate) fn accept(&self) -> Accept {
        if self.faults.contains(&Fault::Drop) {
            Accept::Drop
        } else if self.faults.contains(&Fault::Stall) {
            Accept::Stall
        } else {
            Accept::Serve
        }
    }

    /// How many copies of each push a connection is sent.
    pub(crate) fn copies(&self) -> usize {
        let copies = self.faults.iter().find_map(|fault| match fault {
            Fault::Duplicate { copies } => Some(*copies),
            _ => None,
        });
        copies.unwrap_or(1)
    }

    /// Adds `fault`, in the place of one of its kind.
    pub(crate) fn add_fault(&mut self, fault: Fault) {
        self.faults.retain(|old| !old.is_like(fault));
        self.faults.push(fault);
    }

    /// Keeps what `event` says for those who opt in later.
    pub(crate) fn remember(&mut self, event: &Event) {
        if let Some(opener) = event.kind.opener() {
            let of_kind = |window: &Event| window.kind == opener;
            let same = |window: &Event| of_kind(window) && window.subject == event.subject;
            let ended = self.windows.iter().position(same).or_else(|| self.windows.iter().position(of_kind));
            ended.and_then(|index| self.windows.remove(index));
            if event.kind.is_retained() {
                self.retained = Some(event.clone());
            }
            return;
        }
        // A node has one place to go to.
        self.windows.retain(|window| window.kind != Kind::Moving || event.kind != Kind::Moving);
        if self.windows.len() >= WINDOWS_MAX {
            self.windows.pop_front();
        }
        self.windows.push_back(event.clone());
    }

    /// What those who opt in now are told, oldest first.
    pub(crate) fn pending(&self) -> Vec<Event> {
        let openers = self.windows.iter().filter(|_| self.replays_openers);
        let closers = self.retained.iter().filter(|_| self.replays_closers);
        let mut pending: Vec<Event> = openers.chain(closers).cloned().collect();
        pending.sort_by_key(|event| event.sequence);
        pending
    }
}

/// What a connection that asked for `wanted` is told of a target: a name or an address of the node
/// there, or what was given; or nothing.
pub(crate) fn endpoint_for(nodes: &[Node], target: &[u8], wanted: EndpointType) -> Option<Vec<u8>> {
    match wanted {
        EndpointType::None => None,
        EndpointType::InternalFqdn | EndpointType::ExternalFqdn => {
            let address: Option<SocketAddr> = std::str::from_utf8(target).ok().and_then(|t| t.parse().ok());
            let node = nodes.iter().find(|node| Some(node.address) == address);
            let named =
                node.and_then(|node| Some(format!("{}:{}", node.name.as_ref()?, node.address.port())));
            Some(named.map_or_else(|| target.to_vec(), String::into_bytes))
        }
        EndpointType::ServerDefault | EndpointType::InternalIp | EndpointType::ExternalIp => {
            Some(target.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::maintenance::notification::Subject;

    fn event(kind: Kind, sequence: u64, text: &str) -> Event {
        Event { kind, sequence, until_us: None, subject: Subject::Text(text.into()) }
    }

    fn sequences(node: &Node) -> Vec<u64> {
        node.pending().iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn a_closer_ends_the_window_with_its_subject_or_else_the_oldest() {
        let mut node = Node::new(([127, 0, 0, 1], 1).into());
        for (sequence, text) in [(0, "a"), (1, "b"), (2, "c")] {
            node.remember(&event(Kind::Migrating, sequence, text));
        }
        node.remember(&event(Kind::FailedOver, 3, "b"));
        assert_eq!(sequences(&node), [0, 1, 2, 3]);
        node.remember(&event(Kind::Migrated, 4, "b"));
        assert_eq!(sequences(&node), [0, 2, 4]);
        node.remember(&event(Kind::Migrated, 5, "x"));
        assert_eq!(sequences(&node), [2, 5]);
        node.replays_closers = false;
        assert_eq!(sequences(&node), [2]);
        node.replays_openers = false;
        assert!(sequences(&node).is_empty());
    }

    #[test]
    fn windows_are_bounded_and_a_node_moves_to_one_place() {
        let mut node = Node::new(([127, 0, 0, 1], 1).into());
        for sequence in 0..=WINDOWS_MAX as u64 {
            node.remember(&event(Kind::Smigrating, sequence, ""));
        }
        assert_eq!((node.windows.len(), sequences(&node).first()), (WINDOWS_MAX, Some(&1)));
        node.windows.clear();
        node.remember(&event(Kind::Moving, 1, "a"));
        node.remember(&event(Kind::Moving, 2, "b"));
        assert_eq!(sequences(&node), [2]);
    }

    #[test]
    fn the_endpoint_is_of_the_wanted_type() {
        let mut nodes = [Node::new(([127, 0, 0, 1], 1).into()), Node::new(([127, 0, 0, 1], 2).into())];
        nodes[1].name = Some("b.example.com.".into());
        let told = |target: &str, wanted: &str| {
            let wanted = EndpointType::named(wanted.as_bytes()).unwrap();
            endpoint_for(&nodes, target.as_bytes(), wanted).map(|told| String::from_utf8(told).unwrap())
        };
        assert_eq!(told("127.0.0.1:2", "internal-ip").as_deref(), Some("127.0.0.1:2"));
        assert_eq!(told("127.0.0.1:2", "external-fqdn").as_deref(), Some("b.example.com.:2"));
        assert_eq!(told("127.0.0.1:1", "internal-fqdn").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(told("c.example.com:9", "external-ip").as_deref(), Some("c.example.com:9"));
        assert_eq!(told("127.0.0.1:2", "none"), None);
    }

    #[test]
    fn closes_are_late_early_or_never() {
        let close = |words: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            ClosePolicy::DEFAULT.change(&words).map(|policy| policy.close_us(100, 1_000_000))
        };
        assert_eq!(close(""), Ok(Some(1_700_100)));
        assert_eq!(close("DELAY 5 rst"), Ok(Some(1_005_100)));
        assert_eq!(close("early 0.25 refuse unread"), Ok(Some(250_100)));
        assert_eq!(close("never"), Ok(None));
        assert_eq!(close("never default"), Ok(Some(1_700_100)));
        assert!(close("early 2").unwrap_err().contains("from 0 to 1"));
        assert!(close("late").unwrap_err().starts_with("unknown option 'late'; options: [fin|"));
    }
}
