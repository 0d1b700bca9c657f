//! Random sequences of verbs.

use proptest::prelude::*;

use super::Fixture;
use crate::rehearsal::{Ending, NodeId};

proptest! {
    /// For any sequence of verbs, each connection gets whole frames, and no planned action stays overdue.
    #[test]
    fn any_rehearsal_keeps_frames_whole_and_planned_actions_running(
        steps in prop::collection::vec((0..LINES.len(), 0u64..100), 0..60),
    ) {
        let mut fixture = Fixture::new();
        let connections = [fixture.open_opted_in(0, ""), fixture.open_opted_in(1, "moving-endpoint-type none")];
        let mut received = connections.map(|_| Vec::new());
        for (line, ms) in steps {
            let now_us = fixture.client.now_us;
            let words: Vec<Vec<u8>> = LINES[line].split(' ').map(|word| word.as_bytes().to_vec()).collect();
            fixture.client.server.rehearse(NodeId(0), now_us, &words).unwrap();
            for (id, received) in connections.iter().zip(&mut received) {
                fixture.client.server.handle_bytes(*id, now_us, b"ECHO hi\r\nMULTI\r\nPING\r\nEXEC\r\n");
                let output = fixture.client.server.output(*id).to_vec();
                fixture.client.server.consume_output(*id, output.len());
                received.extend_from_slice(&output);
            }
            fixture.advance_ms(ms);
            prop_assert!(fixture.client.server.next_deadline_us().is_none_or(|at_us| at_us > fixture.client.now_us));
        }
        fixture.client.server.rehearse(NodeId(0), fixture.client.now_us, &["ALL".into(), "FAULT".into(), "off".into()]).unwrap();
        for (id, received) in connections.iter().zip(&mut received) {
            received.extend_from_slice(fixture.client.server.output(*id));
            let is_cut = matches!(fixture.ending(*id), Some(Ending::AtOnce | Ending::Reset));
            prop_assert!(is_cut || whole_frames(received), "{}", received.escape_ascii());
        }
    }
}

fn whole_frames(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match redis_protocol::resp3::decode::complete::decode(bytes) {
            Ok(Some((_, used))) => bytes = &bytes[used..],
            _ => return false,
        }
    }
    true
}

const LINES: &[&str] = &[
    "MOVING 0.2 null",
    "MOVING 0.1 127.0.0.3:2 EARLY 0.5 UNREAD HALF",
    "ALL MOVING 0.05 x:1 REFUSE RST",
    "MIGRATING 2",
    "ALL MIGRATED",
    "SMIGRATING 1-2",
    "SMIGRATED a b 1-2",
    "PUSH >1\\r\\n+x\\r\\n",
    "FAULT delay 30",
    "FAULT duplicate 3",
    "FAULT reorder",
    "FAULT split",
    "FAULT stall",
    "FAULT off",
    "ALL FAULT off",
    "REPLAY off",
    "REPLAY on",
    "AFTER 20 MIGRATED",
    "RETURN",
    "RESET",
    "STATS",
];
