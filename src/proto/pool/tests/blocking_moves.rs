//! Blocking commands at a handoff: the element that they wait for is delivered once, whenever it comes.

use super::*;

/// A server that pushes one element after so many steps, and blocks a client until then.
#[derive(Default)]
struct Jobs {
    steps_left: usize,
    is_pushed: bool,
    is_taken: bool,
    waiting: Option<ConnectionId>,
}

impl Jobs {
    /// The element comes now, if it is time: to the connection that waits, or into the list.
    fn step(&mut self, story: &mut Story) {
        if self.steps_left == 0 && !std::mem::replace(&mut self.is_pushed, true) {
            self.serve(story);
        }
        self.steps_left = self.steps_left.saturating_sub(1);
    }

    /// A connection reads its command.
    fn block(&mut self, story: &mut Story, id: ConnectionId) {
        if !story.written(id).is_empty() {
            self.waiting = Some(id);
            self.serve(story);
        }
    }

    /// A sibling reads UNBLOCK.
    fn unblock(&mut self, story: &mut Story, sibling: ConnectionId) {
        if story.written(sibling).contains("UNBLOCK") {
            let waited = self.waiting.take();
            story.receive(sibling, if waited.is_some() { ":1\r\n" } else { ":0\r\n" });
            waited.map(|id| story.receive(id, "_\r\n"));
        }
    }

    fn serve(&mut self, story: &mut Story) {
        if self.is_pushed
            && !self.is_taken
            && let Some(id) = self.waiting.take()
        {
            self.is_taken = true;
            story.receive(id, "*2\r\n+jobs\r\n+one\r\n");
        }
    }
}

#[test]
fn mv_blpop_not_lost() {
    for steps_left in 0..7 {
        let (mut story, shared, own) = Story::blocked("BLPOP jobs 60");
        let mut jobs = Jobs { steps_left, waiting: Some(own), ..Jobs::default() };
        jobs.step(&mut story);
        let (_, successor) = story.handed_off(shared);
        for _ in 0..3 {
            jobs.step(&mut story);
            jobs.unblock(&mut story, shared);
            jobs.step(&mut story);
            jobs.block(&mut story, successor);
            story.run(SECOND);
        }
        assert!(jobs.is_taken, "it comes after {steps_left} steps");
        let element = Frame::Array(vec![Frame::Simple("jobs".into()), Frame::Simple("one".into())]);
        assert_eq!(story.delivered.replies, [(1, element)], "it comes after {steps_left} steps");
    }
}

#[test]
fn mv_blpop_goes_on_at_the_successor() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 60");
    let begin = story.now;
    story.run(SECOND * 10);
    let (_, successor) = story.handed_off(shared);
    assert_eq!(story.written(successor), "", "its wait on the old server has not ended");
    assert!(story.pool.connection(shared).is_alive(), "it is needed to end the wait");
    assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
    story.receive(shared, ":1\r\n");
    story.receive(own, "_\r\n");
    assert!(story.delivered.replies.is_empty());
    let rest = (SECOND * 60).checked_sub(story.now.since(begin)).unwrap();
    let millis = rest.as_nanos().div_ceil(1_000_000);
    assert_eq!(story.written(successor), format!("BLPOP jobs {}.{:03}", millis / 1000, millis % 1000));
    assert!(!story.pool.connection(shared).is_alive() && !story.pool.connection(own).is_alive());
    story.receive(successor, "*2\r\n+jobs\r\n+one\r\n");
    assert_eq!((story.delivered.answered(), story.pool.exclusive().reissued), (vec![1], 1));
}

#[test]
fn mv_blpop_element_of_the_old_server_is_delivered() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 60");
    let (_, successor) = story.handed_off(shared);
    assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
    // An element comes before the server reads it.
    story.receive(own, "*2\r\n+jobs\r\n+one\r\n");
    story.receive(shared, ":0\r\n");
    assert_eq!(story.delivered.answered(), [1]);
    story.run(SECOND);
    assert_eq!(story.written(successor), "", "it is not issued again");
}

#[test]
fn mv_blpop_that_times_out_is_not_issued_again() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 2");
    story.run(SECOND);
    story.handed_off(shared);
    story.run(SECOND);
    story.receive(own, "_\r\n");
    assert_eq!(story.delivered.replies, [(1, Frame::Null)]);
}
