//! The rehearsed maintenance of a run: when the in-process endpoints announce `MOVING`, and to which address.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::load::plan::{Plan, RunEvent};
use crate::load::recording::handoffs::HandoffWatch;
use crate::load::report::counts::Moving;
use crate::load::workload::Limit;
use crate::rehearsal::{Endpoints, NodeId};

/// The scheduled `MOVING`s of a run between two in-process endpoints.
///
/// At each time the active endpoint announces that it moves to the other one, which becomes active again. The first
/// endpoint is active at the start. The grace period is half of the time until the next move or the end of the run, in
/// whole seconds from 1 to 5. After the grace period and another 0.7 s, as with real servers, the old endpoint closes
/// the connections that it had at the announcement.
#[derive(Debug)]
pub struct Moves<'a> {
    endpoints: &'a Endpoints,
    at: Vec<Duration>,
    followed: bool,
}

impl<'a> Moves<'a> {
    /// Schedules moves at these times after the start of the run. `followed`: the client is expected to hand off all of
    /// its connections at each.
    pub fn new(endpoints: &'a Endpoints, mut at: Vec<Duration>, followed: bool) -> Moves<'a> {
        at.sort_unstable();
        Moves { endpoints, at, followed }
    }

    pub(crate) fn are_followed(&self) -> bool {
        self.followed
    }

    /// Announces each `MOVING` when it is due, until the run ends. `begin` receives the start of the run, and is
    /// disconnected at its end.
    pub(crate) fn announce_all(
        &self,
        plan: &Plan,
        watch: &HandoffWatch,
        begin: &Receiver<Instant>,
    ) -> Result<Vec<Moving>, String> {
        let mut done = Vec::new();
        let Ok(start) = begin.recv() else { return Ok(done) };
        let pair = || Some((*self.endpoints.addresses().first()?, *self.endpoints.addresses().get(1)?));
        let (mut from, mut to) = pair()
            .ok_or("there is only one endpoint, so it has no target to move to; start two endpoints")?;
        let mut nodes = (NodeId(0), NodeId(1));
        for (index, &at) in self.at.iter().enumerate() {
            let wait = (start + at).saturating_duration_since(Instant::now());
            if begin.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                break;
            }
            let next = self.at.get(index + 1).copied().or(match plan.workload.limit {
                Limit::Duration(end) => Some(end),
                Limit::Requests(_) => None,
            });
            let (grace_seconds, handed_off) = (grace(at, next), watch.succeeded());
            let at_seconds = start.elapsed().as_secs_f64();
            self.announce(nodes, to, grace_seconds)?;
            tracing::info!(%from, %to, grace_seconds, "MOVING");
            plan.send(RunEvent::Moving { to, handed_off });
            done.push(Moving { at_seconds: (at_seconds * 1e3).round() / 1e3, from, to, grace_seconds });
            (from, to) = (to, from);
            nodes = (nodes.1, nodes.0);
        }
        Ok(done)
    }

    fn announce(&self, (from, to): (NodeId, NodeId), target: SocketAddr, grace: u64) -> Result<(), String> {
        let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let (back, moving) = (words("RETURN"), words(&format!("MOVING {grace} {target}")));
        let announced = self.endpoints.with_server(move |server| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
            // The target returns first; otherwise a client that follows at once would find it closing.
            server.rehearse(to, now_us, &back)?;
            server.rehearse(from, now_us, &moving)
        });
        announced.map_err(|error| error.to_string())?.map(drop)
    }
}

/// The grace period in seconds of a move at `at`, if the next move or the end of the run is at `next`.
fn grace(at: Duration, next: Option<Duration>) -> u64 {
    next.map_or(GRACE.1, |next| (next.saturating_sub(at) / 2).as_secs().clamp(GRACE.0, GRACE.1))
}

/// The shortest and the longest announced grace period, in seconds.
const GRACE: (u64, u64) = (1, 5);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;
    use crate::load::workload::Workload;
    use crate::rehearsal::EndpointsConfig;

    fn endpoints(count: usize) -> Endpoints {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Endpoints::start(EndpointsConfig { listen: vec![any; count], ..EndpointsConfig::default() })
            .expect("endpoints")
    }

    fn plan() -> Plan {
        Plan::new(Workload::default(), 1, Arc::default(), mpsc::channel().0)
    }

    #[test]
    fn each_endpoint_moves_to_the_other_and_comes_back() {
        let endpoints = endpoints(2);
        let (first, second) = (endpoints.addresses()[0], endpoints.addresses()[1]);
        // The last one is never due, because the run ends before.
        let at = [3_600_000, 0, 1].map(Duration::from_millis);
        let moves = Moves::new(&endpoints, at.into(), true);
        let (begin, begins) = mpsc::channel();
        begin.send(Instant::now()).expect("the receiver exists");
        let done = std::thread::scope(|scope| {
            let conducting = scope.spawn({
                let moves = &moves;
                move || moves.announce_all(&plan(), &HandoffWatch::new(1), &begins)
            });
            let goes_on = |server: &mut crate::rehearsal::Server| {
                server
                    .rehearse(NodeId(0), 0, &[b"STATS".to_vec()])
                    .is_ok_and(|json| !json.contains("\"sequence\":2"))
            };
            while endpoints.with_server(goes_on).expect("endpoints") {
                std::thread::yield_now();
            }
            drop(begin);
            conducting.join().expect("no panic").expect("moves")
        });
        let went: Vec<_> = done.iter().map(|moving| (moving.from, moving.to)).collect();
        assert_eq!(went, [(first, second), (second, first)]);
        assert_eq!([done[0].grace_seconds, done[1].grace_seconds], [1, 5]);
    }

    #[test]
    fn one_endpoint_cannot_move_and_an_unstarted_run_does_not() {
        let endpoints = endpoints(1);
        let moves = Moves::new(&endpoints, vec![Duration::ZERO], true);
        let (begin, begins) = mpsc::channel();
        begin.send(Instant::now()).expect("the receiver exists");
        let watch = HandoffWatch::new(1);
        let error = moves.announce_all(&plan(), &watch, &begins).expect_err("one endpoint cannot move");
        assert!(error.contains("no target to move to"), "{error}");
        drop(begin);
        assert_eq!(moves.announce_all(&plan(), &watch, &begins), Ok(Vec::new()));
    }

    #[test]
    fn the_grace_is_half_the_time_to_the_next_move() {
        let seconds = Duration::from_secs;
        assert_eq!(grace(seconds(5), Some(seconds(10))), 2);
        assert_eq!(grace(seconds(1), Some(seconds(2))), 1);
        assert_eq!(grace(seconds(10), Some(seconds(60))), 5);
        assert_eq!(grace(seconds(3), None), 5);
    }
}
