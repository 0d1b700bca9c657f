//! [`View`]: the cluster as one of its nodes sees it, the reply to `CLUSTER SLOTS`.
//!
//! The reply lists ranges of slots: the first and the last slot, the primary, and its replicas. A node is an array of its preferred
//! endpoint, its port and its id; since Redis 7 metadata follow (<https://redis.io/docs/latest/commands/cluster-slots/>).

use std::collections::BTreeMap;

use super::ids::NodeId;
use super::not_served::NamedNode;
use super::slot::Slot;
use crate::proto::endpoint::Endpoint;
use crate::proto::resp::Frame;

/// The cluster as one of its nodes sees it. Its ranges are in the order of their slots, and do not overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// The node whose view it is.
    pub(super) by: Option<NodeId>,
    pub(super) nodes: Vec<ViewNode>,
    pub(super) ranges: Vec<ViewRange>,
}

/// A node in a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ViewNode {
    /// The id that it keeps for life; empty if the server names none.
    pub(super) id: String,
    pub(super) endpoint: Endpoint,
}

/// Adjacent slots of one primary. Nodes are indexes into [`View::nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ViewRange {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) primary: usize,
    pub(super) replicas: Vec<usize>,
}

impl View {
    /// Reads the reply of the node `by`, which is at this endpoint. `None` if it tells nothing: it is an error, empty, or malformed, or names no primary that
    /// can be reached. A node that has just restarted answers with an empty list, and knows nothing (redis#13414).
    pub(super) fn read(reply: &Frame, by: NodeId, at: &Endpoint) -> Option<View> {
        let Frame::Array(ranges) = reply else { return None };
        let mut reader =
            Reader { at, view: View { by: Some(by), ..View::default() }, known: BTreeMap::new() };
        for range in ranges.iter().take(usize::from(Slot::COUNT)) {
            let Frame::Array(items) = range else { continue };
            reader.read_range(items);
        }
        let view = reader.view.in_order();
        (!view.ranges.is_empty()).then_some(view)
    }

    /// The primary of this slot, as an index into [`View::nodes`].
    pub(super) fn primary_of(&self, slot: Slot) -> Option<usize> {
        let behind = self.ranges.partition_point(|range| range.first <= slot.get());
        let range = self.ranges.get(behind.checked_sub(1)?)?;
        (slot.get() <= range.last).then_some(range.primary)
    }

    /// How many slots have a primary.
    pub(super) fn covered(&self) -> usize {
        self.ranges.iter().map(|range| usize::from(range.last - range.first) + 1).sum()
    }

    /// Whether both say that the same primaries own the same slots. Replicas may differ, and the addresses of nodes with ids.
    pub(super) fn agrees_with(&self, other: &View) -> bool {
        let owners = |view: &View| -> Vec<(u16, u16, String)> {
            let all = view.ranges.iter();
            let named = all.filter_map(|range| {
                let node = view.nodes.get(range.primary)?;
                let name = if node.id.is_empty() { node.endpoint.to_string() } else { node.id.clone() };
                Some((range.first, range.last, name))
            });
            named.collect()
        };
        owners(self) == owners(other)
    }

    /// Sorts the ranges, joins adjacent ones of the same nodes, which servers cut differently, and drops those that overlap.
    fn in_order(mut self) -> View {
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.sort_by_key(|range| range.first);
        for range in ranges {
            match self.ranges.last_mut() {
                Some(last) if range.first <= last.last => {}
                Some(last)
                    if last.last + 1 == range.first
                        && (last.primary, &last.replicas) == (range.primary, &range.replicas) =>
                {
                    last.last = range.last;
                }
                _ => self.ranges.push(range),
            }
        }
        self
    }
}

/// A view that is being read. The server chooses how long it is, so no step may take longer for each node that it names.
struct Reader<'a> {
    at: &'a Endpoint,
    view: View,
    known: BTreeMap<ViewNode, usize>,
}

impl Reader<'_> {
    fn read_range(&mut self, items: &[Frame]) {
        let [first, last, primary, replicas @ ..] = items else { return };
        let (Some(first), Some(last)) = (slot(first), slot(last)) else { return };
        let Some(primary) = self.read_node(primary).filter(|_| first <= last) else { return };
        let replicas = replicas.iter().take(REPLICAS_MAX);
        let replicas = replicas.filter_map(|replica| self.read_node(replica)).collect();
        self.view.ranges.push(ViewRange { first, last, primary, replicas });
    }

    /// The index of a node; `None` if it cannot be reached.
    fn read_node(&mut self, node: &Frame) -> Option<usize> {
        let Frame::Array(items) = node else { return None };
        let [host, Frame::Integer(port), rest @ ..] = items.as_slice() else { return None };
        // No host means the host of the server that was asked.
        let host = if matches!(host, Frame::Null) { "" } else { text(host)? };
        let endpoint = NamedNode::of(host, u16::try_from(*port).ok()?)?.endpoint(self.at)?;
        let id = rest.first().and_then(text).filter(|id| id.len() <= ID_LENGTH_MAX).unwrap_or_default();
        let node = ViewNode { id: id.to_owned(), endpoint };
        if let Some(index) = self.known.get(&node) {
            return Some(*index);
        }
        let index = self.view.nodes.len();
        if index >= NodeId::COUNT_MAX {
            return None;
        }
        self.known.insert(node.clone(), index);
        self.view.nodes.push(node);
        Some(index)
    }
}

fn slot(frame: &Frame) -> Option<u16> {
    let Frame::Integer(number) = frame else { return None };
    u16::try_from(*number).ok().and_then(Slot::new).map(Slot::get)
}

fn text(frame: &Frame) -> Option<&str> {
    match frame {
        Frame::Bulk(text) | Frame::Simple(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

/// Ids have 40 digits.
const ID_LENGTH_MAX: usize = 64;
/// How many replicas of one primary are read.
const REPLICAS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Endpoint {
        "10.0.0.9:7000".parse().unwrap()
    }

    fn node(host: Frame, port: i64, id: &str) -> Frame {
        Frame::Array(vec![
            host,
            Frame::Integer(port),
            Frame::Bulk(id.to_owned().into()),
            Frame::Array(vec![]),
        ])
    }

    fn range(first: i64, last: i64, nodes: Vec<Frame>) -> Frame {
        let mut items = vec![Frame::Integer(first), Frame::Integer(last)];
        items.extend(nodes);
        Frame::Array(items)
    }

    fn read(ranges: Vec<Frame>) -> Option<View> {
        View::read(&Frame::Array(ranges), NodeId(0), &at())
    }

    fn host(text: &str) -> Frame {
        Frame::Bulk(text.to_owned().into())
    }

    #[test]
    fn ranges_name_primaries_and_replicas() {
        let (one, two) = (node(host("10.0.0.1"), 7001, "a"), node(host("10.0.0.2"), 7002, "b"));
        let view = read(vec![
            range(8192, 16383, vec![two.clone()]),
            range(0, 99, vec![one.clone(), two.clone()]),
            range(100, 8191, vec![one, two]),
        ])
        .unwrap();
        assert_eq!((view.ranges.len(), view.covered(), view.nodes.len()), (2, 16384, 2));
        let endpoint_of = |number| {
            let index = view.primary_of(Slot::new(number).unwrap()).unwrap();
            view.nodes[index].endpoint.to_string()
        };
        assert_eq!(endpoint_of(0), "10.0.0.1:7001");
        assert_eq!(endpoint_of(8191), "10.0.0.1:7001");
        assert_eq!(endpoint_of(16383), "10.0.0.2:7002");
        assert_eq!(view.ranges[0].replicas.len(), 1);
    }

    #[test]
    fn cl_unknown_host_skipped() {
        let view = read(vec![
            range(0, 9, vec![node(host("?"), 7001, "a")]),
            range(10, 19, vec![node(Frame::Null, 7002, "b"), node(host("?"), 7003, "c")]),
            range(20, 29, vec![node(host(""), 7004, "d")]),
        ])
        .unwrap();
        assert_eq!(view.primary_of(Slot::new(5).unwrap()), None, "a node without an address is never dialed");
        let endpoints: Vec<_> = view.nodes.iter().map(|node| node.endpoint.to_string()).collect();
        assert_eq!(endpoints, ["10.0.0.9:7002", "10.0.0.9:7004"], "no host means the host that was asked");
        assert!(view.ranges.iter().all(|range| range.replicas.is_empty()));
    }

    #[test]
    fn malformed_and_empty_views_tell_nothing() {
        assert!(read(vec![]).is_none());
        assert!(View::read(&Frame::Error("ERR unknown command".into()), NodeId(0), &at()).is_none());
        assert!(read(vec![range(5, 3, vec![node(host("a"), 1, "a")])]).is_none());
        assert!(read(vec![range(0, 16384, vec![node(host("a"), 1, "a")])]).is_none());
        assert!(read(vec![range(0, 1, vec![node(host("a"), 0, "a")])]).is_none());
        assert!(read(vec![range(0, 1, vec![]), Frame::Null]).is_none());
    }

    #[test]
    fn views_agree_if_their_primaries_do() {
        let view = |replica: &str, cut: i64, other: i64| {
            let one = vec![node(host("10.0.0.1"), 7001, "a"), node(host(replica), 7003, "r")];
            let ranges = vec![
                range(0, cut, one.clone()),
                range(cut + 1, 99, one),
                range(100, other, vec![node(host("10.0.0.2"), 7002, "b")]),
            ];
            read(ranges).unwrap()
        };
        assert!(view("10.0.0.3", 50, 200).agrees_with(&view("10.0.0.4", 60, 200)));
        assert!(!view("10.0.0.3", 50, 200).agrees_with(&view("10.0.0.3", 50, 201)));
    }
}
