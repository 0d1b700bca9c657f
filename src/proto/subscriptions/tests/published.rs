//! Messages of which no push is made: they come to the same as pushes, whatever happens around them.

use proptest::prelude::*;

use super::*;

impl Fixture {
    /// Gives a message without a push, as [`Fixture::push`] gives the push. Returns whether it was taken.
    fn publish(&mut self, link: Link, items: &str) -> bool {
        let bulk = |word: &str| Frame::Bulk(Bytes::copy_from_slice(word.as_bytes()));
        let push = Frame::Push(items.split(' ').map(bulk).collect());
        let message = Published::of(&push).unwrap();
        self.subscriptions.handle_published(link, message, self.now, &mut self.events)
    }
}

/// Two tables with one story. The first one gets every message as a push.
struct Pair([Fixture; 2]);

impl Pair {
    fn both(&mut self, change: impl Fn(&mut Fixture)) {
        self.0.iter_mut().for_each(change);
    }

    /// One random step; `newest` is the connection that was made last.
    fn step(&mut self, random: &mut fastrand::Rng, newest: &mut u32) {
        let link = Link(newest.saturating_sub(random.u32(..2)));
        let (id, name) = ([A, B][random.usize(..2)], ["a", "b"][random.usize(..2)]);
        let kind = [CHANNEL, PATTERN, SHARDED][random.usize(..3)];
        match random.u32(..40) {
            0..4 => self.both(|one| one.add(id, kind, name)),
            4 => self.both(|one| one.remove(id, kind, name)),
            5 => self.both(|one| one.subscriptions.close(id, one.now)),
            6 | 7 => {
                *newest += 1;
                let (link, is_handoff) = (Link(*newest), random.bool());
                self.both(|one| if is_handoff { one.successor(link) } else { one.ready(link) });
            }
            8 => self.both(|one| one.lose(link)),
            9..16 => self.both(|one| one.answer(link)),
            16 => {
                let more = Duration::from_millis(random.u64(1..3000));
                self.both(|one| {
                    one.now = one.now.after(more);
                    one.timeout();
                });
            }
            _ => {
                let payload = random.u32(..3);
                let message = match kind {
                    CHANNEL => format!("message {name} {payload}"),
                    PATTERN => format!("pmessage {name} x{name} {payload}"),
                    SHARDED => format!("smessage {name} {payload}"),
                };
                let [pushed, published] = &mut self.0;
                pushed.push(link, &message);
                if !published.publish(link, &message) {
                    published.push(link, &message);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_without_pushes_give_the_same_events(seed: u64) {
        let (mut random, mut newest) = (fastrand::Rng::with_seed(seed), 1);
        let mut pair = Pair([Fixture::new(), Fixture::new()]);
        pair.both(|one| one.ready(OLD));
        for _ in 0..200 {
            pair.step(&mut random, &mut newest);
            let [pushed, published] = &mut pair.0;
            prop_assert_eq!(pushed.events(), published.events());
            prop_assert_eq!(pushed.subscriptions.stats(), published.subscriptions.stats());
            prop_assert_eq!(pushed.subscriptions.next_timeout(), published.subscriptions.next_timeout());
        }
    }
}

#[test]
fn message_needs_a_push_while_two_connections_carry_its_name() {
    let mut fixture = Fixture::subscribed(&["a"]);
    assert!(fixture.publish(OLD, "message a 1"));
    assert!(!fixture.publish(OLD, "message b 1"), "no subscription wants it");
    assert!(!fixture.publish(NEW, "message a 1"), "the connection is unknown");
    assert_eq!(fixture.events(), ["1 message a: 1"]);
    let mut fixture = Fixture::overlapping(&["a"]);
    assert!(!fixture.publish(OLD, "message a 2") && !fixture.publish(NEW, "message a 2"));
    fixture.push(OLD, "unsubscribe a");
    assert!(fixture.publish(NEW, "message a 3") && !fixture.publish(OLD, "message a 3"));
    assert_eq!(fixture.events(), ["1 message a: 3"]);
}
