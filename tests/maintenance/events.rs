//! Event handlers: the order of events.

use futures_lite::future::block_on;
use hitless::observe::{Event, HandoffResult};

use crate::common::fixture::{Fixture, WAIT_MAX, is_announced, is_disconnected};

/// The life of two shards as an event handler sees it.
#[test]
fn events_are_ordered_and_carry_their_shard() {
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 1);
    fixture.announce("10", "");
    fixture.events.wait("the predecessors are closed", 2, is_disconnected(fixture.address(0)));
    block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
    let events = fixture.events.all();
    let [old, new] = [fixture.address(0), fixture.address(1)];
    for shard in 0..2 {
        let own: Vec<_> = events.iter().filter(|(on, _)| *on == shard).map(|(_, event)| event).collect();
        let own: Vec<_> = own.into_iter().filter(|event| !is_announced(event)).collect();
        let is_expected = matches!(
            own[..],
            [
                Event::Connected { peer: Some(first), .. },
                Event::HandoffStarted { from: begun, to },
                Event::Connected { peer: Some(second), .. },
                Event::HandoffEnded { from, result: HandoffResult::Succeeded, attempts: 1, .. },
                Event::Disconnected { peer: Some(third), .. },
                Event::Disconnected { peer: Some(last), .. },
            ] if [*first, *begun, *from, *third] == [old; 4] && [*second, *last] == [new; 2]
                && to.socket_addr() == Some(new)
        );
        assert!(is_expected, "{own:#?}");
    }
    let announced: Vec<_> = events.iter().filter(|(_, event)| is_announced(event)).collect();
    assert_eq!(announced.len(), 1, "{announced:?}");
}
