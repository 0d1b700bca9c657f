//! Tests of the faults.

use super::{Fixture, migrated};
use crate::rehearsal::{Accept, Ending, NodeId};

#[test]
fn a_delay_holds_later_output_and_its_end_releases_it() {
    let mut fixture = Fixture::new();
    let id = fixture.open(0, &[]);
    fixture.rehearse("FAULT delay 5");
    assert_eq!(fixture.ask(id, "PING"), "");
    fixture.advance_ms(4);
    assert_eq!(fixture.ask(id, "ECHO x"), "");
    fixture.advance_ms(1);
    assert_eq!(fixture.take_output(id), "+PONG\r\n");
    // A close waits for delayed output.
    fixture.rehearse_delayed(&format!("TO {id} CLOSE"));
    assert_eq!(fixture.ending(id), None);
    fixture.advance_ms(4);
    assert_eq!(
        (fixture.ending(id), fixture.take_output(id).as_str()),
        (Some(Ending::AfterOutput), "$1\r\nx\r\n")
    );
    let other = fixture.open(0, &[]);
    fixture.ask(other, "PING");
    fixture.rehearse_delayed("FAULT off");
    assert_eq!(fixture.take_output(other), "+PONG\r\n");
}

#[test]
fn cuts_end_a_connection_inside_a_frame() {
    for (line, ending) in
        [("truncate 8", Ending::AtOnce), ("close-at-byte 8", Ending::AtOnce), ("reset 8 out", Ending::Reset)]
    {
        let mut fixture = Fixture::new();
        let id = fixture.open(0, &["PING"]);
        fixture.rehearse(&format!("FAULT {line}"));
        assert_eq!(fixture.ask(id, "PING"), "+PONG\r\n");
        assert_eq!((fixture.ask(id, "PING").as_str(), fixture.ending(id)), ("+", Some(ending)), "{line}");
        assert_eq!(fixture.ask(id, "PING"), "");
    }
    let mut fixture = Fixture::new();
    let id = fixture.open(0, &[]);
    fixture.rehearse("FAULT reset 30 in");
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    for _ in 0..2 {
        fixture.client.server.handle_bytes(id, 0, request);
    }
    assert_eq!((fixture.ending(id), fixture.take_output(id).as_str()), (Some(Ending::Reset), ""));
    let controller = fixture.controller;
    assert_eq!(fixture.ask(controller, "GET k"), "$1\r\nv\r\n");
}

#[test]
fn a_controller_can_end_a_stall() {
    let mut fixture = Fixture::new();
    let id = fixture.open(0, &[]);
    fixture.rehearse("FAULT stall");
    assert_eq!(fixture.client.server.accepts(NodeId(0)), Accept::Stall);
    assert!(!fixture.client.server.wants_input(id));
    assert_eq!(fixture.ask(id, "PING"), "");
    fixture.rehearse("FAULT off");
    assert_eq!(
        (fixture.take_output(id).as_str(), fixture.client.server.accepts(NodeId(0))),
        ("+PONG\r\n", Accept::Serve)
    );
    for (line, listens, accept) in
        [("refuse", false, Accept::Serve), ("drop", false, Accept::Drop), ("off", true, Accept::Serve)]
    {
        fixture.rehearse(&format!("FAULT {line}"));
        assert_eq!(fixture.client.server.is_listening(NodeId(0)), listens);
        assert_eq!(fixture.client.server.accepts(NodeId(0)), accept);
    }
    fixture.rehearse("LISTEN off");
    assert!(!fixture.client.server.is_listening(NodeId(0)) && fixture.client.server.is_listening(NodeId(1)));
}

#[test]
fn pushes_are_split_repeated_and_reordered() {
    let mut fixture = Fixture::new();
    let id = fixture.open_opted_in(0, "");
    fixture.rehearse("FAULT duplicate 2");
    fixture.rehearse("MIGRATED");
    assert_eq!(fixture.take_output(id), migrated(0).repeat(2));
    fixture.rehearse("FAULT off");
    fixture.rehearse("FAULT reorder");
    fixture.rehearse("MIGRATED");
    assert_eq!(fixture.take_output(id), "");
    fixture.rehearse("MIGRATED");
    assert_eq!(fixture.take_output(id), migrated(2) + &migrated(1));
    fixture.rehearse("MIGRATED");
    fixture.rehearse("FAULT off");
    assert_eq!(fixture.take_output(id), migrated(3));
    fixture.rehearse_delayed("FAULT split");
    assert_eq!(fixture.ask(id, "PING"), "+");
    assert_eq!(fixture.take_output(id), "P");
}
