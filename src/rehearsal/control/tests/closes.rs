//! Tests of MOVING and of how nodes close.

use super::{Fixture, ON, moving};
use crate::rehearsal::{Ending, NodeId};

#[test]
fn moving_answers_how_many_connections_were_told() {
    let mut fixture = Fixture::new();
    let controller = fixture.controller;
    assert_eq!(fixture.ask(controller, "REHEARSE MOVING 9 null"), "+OK: 0 of 0 connections were told\r\n");
    fixture.open(0, &["HELLO 3"]);
    let reply = fixture.ask(controller, "REHEARSE MOVING 9 null");
    assert!(reply.starts_with("+OK: 0 of 1 connection was told; none has asked for it"), "{reply}");
    let told = fixture.open_opted_in(0, "");
    // This connection has opted in and then changed to RESP2, so no push reaches it.
    let downgraded = fixture.open_opted_in(0, "");
    fixture.ask(downgraded, "HELLO 2");
    fixture.open_opted_in(1, "");
    assert_eq!(fixture.ask(controller, "REHEARSE MOVING 9 null"), "+OK: 1 of 3 connections were told\r\n");
    assert_eq!(
        fixture.ask(controller, "REHEARSE ALL MOVING 9 null"),
        "+OK: 2 of 4 connections were told\r\n"
    );
    let id = told.to_string();
    let only = fixture.ask(controller, &format!("REHEARSE TO {id} MOVING 9 null"));
    assert_eq!(only, "+OK: 1 of 1 connection was told\r\n");
}

#[test]
fn a_moving_reaches_opted_in_connections_and_closes_all() {
    let mut fixture = Fixture::new();
    let told = fixture.open_opted_in(0, "");
    let by_name = fixture.open_opted_in(0, "moving-endpoint-type external-fqdn");
    let by_none = fixture.open_opted_in(0, "moving-endpoint-type none");
    let silent = fixture.open(0, &["HELLO 3"]);
    let elsewhere = fixture.open_opted_in(1, "");
    fixture.rehearse("NODE 1 NAME b.example.com");
    fixture.rehearse("MOVING 1.5 127.0.0.3:2");
    assert_eq!(fixture.take_output(told), moving(0, 2, "127.0.0.3:2"));
    assert_eq!(fixture.take_output(by_name), moving(0, 2, "b.example.com:2"));
    assert_eq!(fixture.take_output(by_none), ">4\r\n$6\r\nMOVING\r\n:0\r\n:2\r\n_\r\n");
    assert_eq!(fixture.take_output(silent) + &fixture.take_output(elsewhere), "");

    fixture.ask(told, "SET k v");
    fixture.advance_ms(1_600);
    let late = fixture.open(0, &["HELLO 3"]);
    assert_eq!(fixture.ask(late, ON), format!("+OK\r\n{}", moving(0, 0, "127.0.0.3:2")));
    assert_eq!(fixture.client.server.next_deadline_us(), Some(1_000_000_000 + 2_200_000));
    fixture.advance_ms(599);
    assert_eq!(fixture.ask(told, "PING"), "+PONG\r\n");
    fixture.advance_ms(1);
    for id in [told, by_name, by_none, silent, late, fixture.controller] {
        assert_eq!(fixture.ending(id), Some(Ending::AfterOutput));
    }
    assert_eq!(fixture.ending(elsewhere), None);
    assert_eq!(fixture.ask(elsewhere, "GET k"), "$1\r\nv\r\n");
    // The window is closed, and the node still listens.
    let after = fixture.open(0, &["HELLO 3"]);
    assert_eq!(fixture.ask(after, ON), "+OK\r\n");
    assert!(fixture.client.server.is_listening(NodeId(0)));
}

#[test]
fn a_returning_node_closes_only_earlier_connections() {
    let mut fixture = Fixture::new();
    let before = fixture.open_opted_in(0, "");
    fixture.rehearse("MOVING 1 127.0.0.3:2");
    assert_eq!(fixture.take_output(before), moving(0, 1, "127.0.0.3:2"));
    let told_late = fixture.open(0, &["HELLO 3"]);
    assert_eq!(fixture.ask(told_late, ON), format!("+OK\r\n{}", moving(0, 1, "127.0.0.3:2")));
    fixture.advance_ms(1_000);
    fixture.rehearse("RETURN");
    let back = fixture.open(0, &["HELLO 3"]);
    assert_eq!(fixture.ask(back, ON), "+OK\r\n");
    fixture.rehearse("RETURN");
    fixture.advance_ms(700);
    assert_eq!(
        [before, told_late, back].map(|id| fixture.ending(id)),
        [Some(Ending::AfterOutput), Some(Ending::AfterOutput), None]
    );
    // A second MOVING closes these connections, because no RETURN follows it.
    fixture.controller = fixture.open(0, &[]);
    fixture.rehearse("MOVING 1 127.0.0.3:2");
    assert_eq!(fixture.take_output(back), moving(1, 1, "127.0.0.3:2"));
    fixture.advance_ms(1_700);
    assert_eq!(fixture.ending(back), Some(Ending::AfterOutput));
}

#[test]
fn unread_output_is_dropped_after_the_close() {
    let mut fixture = Fixture::new();
    let id = fixture.open_opted_in(0, "");
    fixture.rehearse("MOVING 0 null DELAY 0 UNREAD");
    fixture.advance_ms(0);
    assert_eq!(fixture.ending(id), Some(Ending::AfterOutput));
    let push = ">4\r\n$6\r\nMOVING\r\n:0\r\n:0\r\n_\r\n";
    assert_eq!(fixture.client.server.output(id), push.repeat(2).as_bytes());
    fixture.advance_ms(1_000);
    assert_eq!((fixture.ending(id), fixture.client.server.output(id)), (Some(Ending::AtOnce), &b""[..]));
}

#[test]
fn closes_follow_options_and_settings() {
    for (line, after_ms, ending, listens) in [
        ("MOVING 2 null EARLY 0.5 RST", 1_000, Ending::Reset, true),
        ("MOVING 2 null HALF DELAY 100 REFUSE", 2_100, Ending::HalfClose, false),
        ("MOVING 2 null FIN DELAY 4000", 6_000, Ending::AfterOutput, true),
    ] {
        let mut fixture = Fixture::new();
        let id = fixture.open_opted_in(0, "");
        fixture.rehearse(line);
        fixture.advance_ms(after_ms - 1);
        assert_eq!(fixture.ending(id), None, "{line}");
        fixture.advance_ms(1);
        assert_eq!(fixture.ending(id), Some(ending), "{line}");
        assert_eq!(fixture.client.server.is_listening(NodeId(0)), listens, "{line}");
        assert_eq!(fixture.client.server.next_dirty_node().is_some(), !listens);
    }
    let mut fixture = Fixture::new();
    let id = fixture.open_opted_in(0, "");
    fixture.rehearse("CLOSING never");
    fixture.rehearse("MOVING 1 null");
    assert_eq!(fixture.client.server.next_deadline_us(), None);
    fixture.rehearse("DELAY 0");
    fixture.rehearse("MOVING 1 null");
    fixture.advance_ms(500);
    // The later MOVING replaces the earlier one.
    fixture.rehearse("MOVING 5 null");
    fixture.advance_ms(1_000);
    assert_eq!(fixture.ending(id), None);
    fixture.advance_ms(4_000);
    assert_eq!(fixture.ending(id), Some(Ending::AfterOutput));
}

#[test]
fn a_half_closed_connection_is_read_but_not_answered() {
    let mut fixture = Fixture::new();
    let id = fixture.open(0, &[]);
    fixture.rehearse("CLOSE half");
    assert!(fixture.client.server.wants_input(id));
    assert_eq!(fixture.ask(id, "PING"), "");
    // The controller gets its reply first and then a normal close.
    assert_eq!(fixture.ending(fixture.controller), Some(Ending::AfterOutput));
}
