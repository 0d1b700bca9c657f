//! The state of one listener.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::close_policy::{ClosePolicy, PlannedClose};
use super::fault::Fault;
use super::notification::{Notification, NotificationKind};
use super::opt_in::{EndpointType, OptInReply};

/// How a listener treats new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// It accepts and serves them.
    #[default]
    Serve,
    /// It accepts them, and neither reads nor writes.
    Stall,
    /// It accepts them and closes them immediately.
    Drop,
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// The name that a MOVING to this node gives to connections that requested a name.
    pub(crate) name: Option<String>,
    pub(crate) listens: bool,
    pub(crate) faults: Vec<Fault>,
    /// The time until which commands occupy the node; see [`Fault::Service`].
    pub(crate) busy_us: u64,
    /// The reply to an opt-in.
    pub(crate) opt_in_reply: OptInReply,
    /// Whether later opt-ins get the notifications of the open windows.
    pub(crate) replays_openers: bool,
    /// Whether later opt-ins get the last MIGRATED or FAILED_OVER.
    pub(crate) replays_closers: bool,
    pub(crate) policy: ClosePolicy,
    /// The notifications of the open windows.
    pub(crate) windows: VecDeque<Notification>,
    /// The last MIGRATED or FAILED_OVER.
    pub(crate) retained: Option<Notification>,
    /// The close that the last MOVING has planned.
    pub(crate) planned_close: Option<PlannedClose>,
    /// Pushes sent, by kind, in the order of [`NotificationKind::ALL`]; raw pushes last.
    pub(crate) pushes: [u64; NotificationKind::ALL.len() + 1],
}

impl Node {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            name: None,
            listens: true,
            faults: Vec::new(),
            busy_us: 0,
            opt_in_reply: OptInReply::Ok,
            replays_openers: true,
            replays_closers: true,
            policy: ClosePolicy::DEFAULT,
            windows: VecDeque::new(),
            retained: None,
            planned_close: None,
            pushes: [0; NotificationKind::ALL.len() + 1],
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

    /// The number of copies of each push that a connection gets.
    pub(crate) fn copies(&self) -> usize {
        let copies = self.faults.iter().find_map(|fault| match fault {
            Fault::Duplicate { copies } => Some(*copies),
            _ => None,
        });
        copies.unwrap_or(1)
    }

    /// Adds `fault`, which replaces a fault of the same kind.
    pub(crate) fn add_fault(&mut self, fault: Fault) {
        self.faults.retain(|old| !old.is_same_kind(fault));
        self.faults.push(fault);
    }

    /// Keeps `notification` for later opt-ins, and opens or closes its window.
    pub(crate) fn remember(&mut self, notification: &Notification) {
        if let Some(opener) = notification.kind.opener() {
            let of_kind = |window: &Notification| window.kind == opener;
            let same = |window: &Notification| of_kind(window) && window.subject == notification.subject;
            let closed = self.windows.iter().position(same).or_else(|| self.windows.iter().position(of_kind));
            closed.and_then(|index| self.windows.remove(index));
            if notification.kind.is_retained() {
                self.retained = Some(notification.clone());
            }
            return;
        }
        // A node moves to one target, so a later MOVING replaces an earlier one.
        if notification.kind == NotificationKind::Moving {
            self.forget_moving();
        }
        if self.windows.len() >= WINDOWS_MAX {
            self.windows.pop_front();
        }
        self.windows.push_back(notification.clone());
    }

    /// Removes the MOVING from the open windows.
    pub(crate) fn forget_moving(&mut self) {
        self.windows.retain(|window| window.kind != NotificationKind::Moving);
    }

    /// The notifications for a connection that opts in now, oldest first.
    pub(crate) fn replayed(&self) -> Vec<Notification> {
        let openers = self.windows.iter().filter(|_| self.replays_openers);
        let closers = self.retained.iter().filter(|_| self.replays_closers);
        let mut replayed: Vec<Notification> = openers.chain(closers).cloned().collect();
        replayed.sort_by_key(|notification| notification.sequence);
        replayed
    }
}

/// The endpoint in a MOVING to `target`, for a connection that requested type `wanted`. It is the name of the node at
/// `target`, or `target` itself, or nothing.
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

/// Most open windows of a node; a further one replaces the oldest.
const WINDOWS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::maintenance::notification::Subject;

    fn notification(kind: NotificationKind, sequence: u64, text: &str) -> Notification {
        Notification { kind, sequence, until_us: None, subject: Subject::Text(text.into()) }
    }

    fn sequences(node: &Node) -> Vec<u64> {
        node.replayed().iter().map(|notification| notification.sequence).collect()
    }

    #[test]
    fn a_closer_ends_its_window_or_the_oldest_one() {
        let mut node = Node::new(([127, 0, 0, 1], 1).into());
        for (sequence, text) in [(0, "a"), (1, "b"), (2, "c")] {
            node.remember(&notification(NotificationKind::Migrating, sequence, text));
        }
        node.remember(&notification(NotificationKind::FailedOver, 3, "b"));
        assert_eq!(sequences(&node), [0, 1, 2, 3]);
        node.remember(&notification(NotificationKind::Migrated, 4, "b"));
        assert_eq!(sequences(&node), [0, 2, 4]);
        node.remember(&notification(NotificationKind::Migrated, 5, "x"));
        assert_eq!(sequences(&node), [2, 5]);
        node.replays_closers = false;
        assert_eq!(sequences(&node), [2]);
        node.replays_openers = false;
        assert!(sequences(&node).is_empty());
    }

    #[test]
    fn windows_are_bounded_and_a_node_has_one_target() {
        let mut node = Node::new(([127, 0, 0, 1], 1).into());
        for sequence in 0..=WINDOWS_MAX as u64 {
            node.remember(&notification(NotificationKind::Smigrating, sequence, ""));
        }
        assert_eq!((node.windows.len(), sequences(&node).first()), (WINDOWS_MAX, Some(&1)));
        node.windows.clear();
        node.remember(&notification(NotificationKind::Moving, 1, "a"));
        node.remember(&notification(NotificationKind::Moving, 2, "b"));
        assert_eq!(sequences(&node), [2]);
    }

    #[test]
    fn the_endpoint_has_the_requested_type() {
        let mut nodes = [Node::new(([127, 0, 0, 1], 1).into()), Node::new(([127, 0, 0, 1], 2).into())];
        nodes[1].name = Some("b.example.com.".into());
        let endpoint = |target: &str, wanted: &str| {
            let wanted = EndpointType::named(wanted.as_bytes()).unwrap();
            endpoint_for(&nodes, target.as_bytes(), wanted)
                .map(|endpoint| String::from_utf8(endpoint).unwrap())
        };
        assert_eq!(endpoint("127.0.0.1:2", "internal-ip").as_deref(), Some("127.0.0.1:2"));
        assert_eq!(endpoint("127.0.0.1:2", "external-fqdn").as_deref(), Some("b.example.com.:2"));
        assert_eq!(endpoint("127.0.0.1:1", "internal-fqdn").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(endpoint("c.example.com:9", "external-ip").as_deref(), Some("c.example.com:9"));
        assert_eq!(endpoint("127.0.0.1:2", "none"), None);
    }
}
