//! [`Refreshing`]: when the nodes are asked how they see the cluster, and which view is believed.

use std::time::Duration;

use super::ids::NodeId;
use super::slot_map::Refresh;
use super::view::View;
use crate::proto::time::{Instant, earliest};

/// When the nodes are asked how they see the cluster, and which view is believed.
///
/// ```text
///        evidence, or a minute has passed            a majority agrees, all have answered, or time is over
///  Idle ────────────────────────────────▶ Asking ─────────────────────────────────────────────────────▶ Idle
/// ```
///
/// One node may be wrong: it may have been cut off, or may not have heard of a failover yet. So up to [`SAMPLE_MAX`] nodes are asked,
/// [`BATCH`] at a time, and the view of their majority is believed. Without a majority it is the view of most nodes, and among
/// equals the one that covers most slots.
///
/// The first refresh follows its evidence at once. Later ones keep a distance, which grows with the cluster: all its clients see
/// the same evidence at the same time (valkey-go#140: 5000 clients of 1000 nodes kept every core of every node busy).
#[derive(Debug)]
pub(super) struct Refreshing {
    /// The number of the refresh that began last.
    number: Refresh,
    begun: Option<Instant>,
    due: Option<Instant>,
    /// The nodes to ask after those that were asked.
    spare: Vec<NodeId>,
    awaited: Vec<NodeId>,
    answers: Vec<View>,
    sample: usize,
    until: Option<Instant>,
    /// How many refreshes in a row have changed nothing.
    unchanged: u32,
}

/// What an answer leads to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Other answers are awaited.
    Open,
    /// These nodes have to be asked as well.
    Ask(Vec<NodeId>),
    /// This view is believed, which this refresh asked for.
    Believed(Refresh, View),
    /// No node has told anything.
    Failed,
}

impl Refreshing {
    /// The first refresh is due as soon as a node is ready.
    pub(super) fn new(now: Instant) -> Self {
        Refreshing {
            number: Refresh::default(),
            begun: None,
            due: Some(now),
            spare: Vec::new(),
            awaited: Vec::new(),
            answers: Vec::new(),
            sample: 0,
            until: None,
            unchanged: 0,
        }
    }

    /// The refresh that is under way, or was last.
    pub(super) fn number(&self) -> Refresh {
        self.number
    }

    /// Something shows that the map may be wrong. `is_urgent`: commands wait until it is known who serves their slots.
    pub(super) fn note_evidence(
        &mut self,
        is_urgent: bool,
        nodes: usize,
        now: Instant,
        random: &mut fastrand::Rng,
    ) {
        let is_urgent = is_urgent && self.unchanged < URGENT_MAX;
        let distance = distance(is_urgent, nodes, random);
        let at = self.begun.map_or(now, |begun| begun.after(distance).max(now));
        self.due = earliest(self.due, Some(at));
    }

    /// A view was taken over: whether it has changed anything.
    pub(super) fn note_outcome(&mut self, has_changed: bool) {
        self.unchanged = if has_changed { 0 } else { self.unchanged.saturating_add(1) };
    }

    /// Whether a refresh has to begin now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.until.is_none() && self.due.is_some_and(|due| due <= now)
    }

    /// Begins a refresh with these nodes, which are ready, in the order in which they are to be asked. Returns those to ask first.
    pub(super) fn begin(&mut self, mut ready: Vec<NodeId>, now: Instant) -> Vec<NodeId> {
        if ready.is_empty() {
            // It is due until a node is ready.
            return Vec::new();
        }
        self.number.0 += 1;
        self.begun = Some(now);
        self.due = Some(now.after(PERIOD));
        self.until = Some(now.after(PATIENCE));
        ready.truncate(SAMPLE_MAX);
        self.sample = ready.len();
        self.answers.clear();
        self.spare = ready.split_off(ready.len().min(BATCH));
        self.awaited.clone_from(&ready);
        ready
    }

    /// A node has answered, or cannot: its connection was lost, or it tells nothing.
    pub(super) fn handle_answer(&mut self, number: Refresh, node: NodeId, view: Option<View>) -> Verdict {
        let is_awaited = self.awaited.iter().position(|awaited| *awaited == node);
        let Some(index) = is_awaited.filter(|_| self.until.is_some() && number == self.number) else {
            return Verdict::Open;
        };
        self.awaited.swap_remove(index);
        self.answers.extend(view);
        if let Some((votes, best)) = self.best()
            && 2 * votes > self.sample
        {
            return self.end(Some(best));
        }
        if !self.awaited.is_empty() {
            return Verdict::Open;
        }
        if self.spare.is_empty() {
            let best = self.best().map(|(_, best)| best);
            return self.end(best);
        }
        self.awaited = self.spare.drain(..self.spare.len().min(BATCH)).collect();
        Verdict::Ask(self.awaited.clone())
    }

    /// Time has passed: nodes that have not answered yet are not waited for.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Verdict {
        match self.until {
            Some(until) if until <= now => {
                let best = self.best().map(|(_, best)| best);
                self.end(best)
            }
            _ => Verdict::Open,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.until.or(self.due)
    }

    /// The index of the view of most nodes, and how many these are.
    fn best(&self) -> Option<(usize, usize)> {
        let votes = |view: &View| self.answers.iter().filter(|other| other.agrees_with(view)).count();
        let all = self.answers.iter().enumerate();
        let best = all.map(|(index, view)| (votes(view), view.covered(), std::cmp::Reverse(index))).max()?;
        Some((best.0, best.2.0))
    }

    fn end(&mut self, best: Option<usize>) -> Verdict {
        self.until = None;
        self.awaited.clear();
        self.spare.clear();
        let view =
            best.filter(|index| *index < self.answers.len()).map(|index| self.answers.swap_remove(index));
        self.answers.clear();
        match view {
            Some(view) => Verdict::Believed(self.number, view),
            None => Verdict::Failed,
        }
    }
}

/// How long after the last refresh another one may begin.
fn distance(is_urgent: bool, nodes: usize, random: &mut fastrand::Rng) -> Duration {
    let nodes = u32::try_from(nodes.max(1)).unwrap_or(u32::MAX);
    let least = match is_urgent {
        true => URGENT_PER_NODE.saturating_mul(nodes).clamp(URGENT_MIN, JITTER_MAX),
        false => FLOOR,
    };
    let jitter = match is_urgent {
        true => least,
        false => JITTER_PER_NODE.saturating_mul(nodes).clamp(URGENT_MIN, JITTER_MAX),
    };
    let nanos = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX);
    least + Duration::from_nanos(random.u64(0..=nanos))
}

/// How many nodes are asked at most.
const SAMPLE_MAX: usize = 10;
/// How many of them are asked at a time.
const BATCH: usize = 4;
/// How long the answers of a refresh are awaited. A node that is stopped never answers.
const PATIENCE: Duration = Duration::from_millis(500);
/// A refresh begins at the latest so long after the one before.
const PERIOD: Duration = Duration::from_secs(60);
/// The distance between refreshes that follow evidence.
const FLOOR: Duration = Duration::from_secs(1);
/// The jitter of that distance, for each node.
const JITTER_PER_NODE: Duration = Duration::from_millis(10);
const JITTER_MAX: Duration = Duration::from_secs(30);
/// The distance while commands wait for a primary, for each node: 30 to 60 ms in a cluster of six, and 5 to 10 s in one of a thousand.
const URGENT_PER_NODE: Duration = Duration::from_millis(5);
const URGENT_MIN: Duration = Duration::from_millis(20);
/// After so many urgent refreshes that have changed nothing, no election is under way: the slots stay without a primary.
const URGENT_MAX: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::cluster::view::{ViewNode, ViewRange};

    const NODE: [NodeId; 5] = [NodeId(0), NodeId(1), NodeId(2), NodeId(3), NodeId(4)];

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn view(primary: &str, last: u16) -> Option<View> {
        let endpoint = "10.0.0.1:7000".parse().unwrap();
        Some(View {
            by: None,
            nodes: vec![ViewNode { id: primary.to_owned(), endpoint }],
            ranges: vec![ViewRange { first: 0, last, primary: 0, replicas: Vec::new() }],
        })
    }

    fn begun(ready: &[NodeId]) -> Refreshing {
        let mut refreshing = Refreshing::new(at(0));
        assert!(refreshing.is_due(at(0)));
        let asked = refreshing.begin(ready.to_vec(), at(0));
        assert_eq!(asked, ready[..ready.len().min(BATCH)]);
        refreshing
    }

    fn believed(verdict: Verdict) -> String {
        match verdict {
            Verdict::Believed(_, view) => view.nodes[0].id.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cl_majority_view() {
        let mut refreshing = begun(&NODE[..3]);
        let number = refreshing.number();
        assert!(matches!(refreshing.handle_answer(number, NODE[0], view("old", 16383)), Verdict::Open));
        assert!(matches!(refreshing.handle_answer(number, NODE[1], view("new", 16383)), Verdict::Open));
        assert_eq!(believed(refreshing.handle_answer(number, NODE[2], view("new", 16383))), "new");
    }

    #[test]
    fn without_a_majority_the_view_with_most_slots_is_believed() {
        let mut refreshing = begun(&NODE[..2]);
        let number = refreshing.number();
        refreshing.handle_answer(number, NODE[0], view("part", 9));
        assert_eq!(believed(refreshing.handle_answer(number, NODE[1], view("whole", 16383))), "whole");
    }

    #[test]
    fn stopped_node_does_not_hold_a_refresh_up() {
        let mut refreshing = begun(&NODE[..2]);
        let number = refreshing.number();
        refreshing.handle_answer(number, NODE[1], view("new", 16383));
        assert!(matches!(refreshing.handle_timeout(at(499)), Verdict::Open));
        assert_eq!(refreshing.next_timeout(), Some(at(500)));
        assert_eq!(believed(refreshing.handle_timeout(at(500))), "new");
    }

    #[test]
    fn late_answer_counts_for_nothing() {
        let mut refreshing = begun(&NODE[..1]);
        let late = refreshing.number();
        assert!(matches!(refreshing.handle_timeout(at(500)), Verdict::Failed));
        refreshing.begin(vec![NODE[0]], at(600));
        assert!(matches!(refreshing.handle_answer(late, NODE[0], view("old", 16383)), Verdict::Open));
        let now = refreshing.number();
        assert_eq!(believed(refreshing.handle_answer(now, NODE[0], view("new", 16383))), "new");
    }

    #[test]
    fn nodes_are_asked_in_batches() {
        let mut refreshing = begun(&NODE);
        let number = refreshing.number();
        for node in &NODE[..3] {
            assert!(matches!(refreshing.handle_answer(number, *node, None), Verdict::Open));
        }
        match refreshing.handle_answer(number, NODE[3], None) {
            Verdict::Ask(nodes) => assert_eq!(nodes, [NODE[4]]),
            other => panic!("{other:?}"),
        }
        assert_eq!(believed(refreshing.handle_answer(number, NODE[4], view("only", 9))), "only");
    }

    #[test]
    fn refreshes_keep_a_distance_that_grows_with_the_cluster() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut due = |is_urgent, nodes| {
            let mut refreshing = begun(&NODE[..1]);
            let _ = refreshing.handle_timeout(at(500));
            refreshing.note_evidence(is_urgent, nodes, at(0), &mut random);
            refreshing.next_timeout().unwrap().since(at(0))
        };
        for _ in 0..100 {
            assert!((Duration::from_secs(1)..=Duration::from_millis(1060)).contains(&due(false, 6)));
            assert!((Duration::from_millis(30)..=Duration::from_millis(60)).contains(&due(true, 6)));
            assert!((Duration::from_secs(1)..=Duration::from_secs(11)).contains(&due(false, 1000)));
            assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&due(true, 1000)));
        }
    }

    #[test]
    fn first_evidence_is_followed_at_once() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut refreshing = begun(&NODE[..1]);
        let _ = refreshing.handle_timeout(at(500));
        assert!(!refreshing.is_due(at(30_000)));
        refreshing.note_evidence(false, 6, at(30_000), &mut random);
        assert!(refreshing.is_due(at(30_000)));
        assert!(refreshing.is_due(at(60_000)), "or after a minute");
    }
}
