//! Tests of the verbs, in virtual time.

use proptest::prelude::*;

use super::unescape;
use crate::rehearsal::commands::testing::Client;
use crate::rehearsal::{Accept, Ending, NodeId, SessionId};

const ON: &str = "CLIENT MAINT_NOTIFICATIONS ON";

/// A server with two nodes; a controller at the first, which has not opted in.
struct Stand {
    client: Client,
    controller: SessionId,
}

impl Stand {
    fn new() -> Self {
        let client = Client::new();
        let controller = client.id;
        Self { client, controller }
    }

    /// A connection to `node`, after `lines`.
    fn open(&mut self, node: usize, lines: &[&str]) -> SessionId {
        let id = self.client.server.open(NodeId(node), ([127, 0, 0, 9], 9).into(), self.client.now_us);
        for line in lines {
            self.ask(id, line);
        }
        id
    }

    /// A connection to `node` that has opted in, with these arguments behind `ON`.
    fn open_told(&mut self, node: usize, arguments: &str) -> SessionId {
        self.open(node, &["HELLO 3", format!("{ON} {arguments}").trim()])
    }

    fn ask(&mut self, id: SessionId, line: &str) -> String {
        self.client.id = id;
        self.client.ask(line)
    }

    #[track_caller]
    fn rehearse(&mut self, line: &str) {
        self.client.id = self.controller;
        let reply = self.client.ask(&format!("REHEARSE {line}"));
        assert!(reply.starts_with("+OK"), "{line}: {reply}");
    }

    /// Takes what waits for `id`.
    fn hear(&mut self, id: SessionId) -> String {
        self.client.id = id;
        String::from_utf8(self.client.take()).unwrap()
    }

    fn advance_ms(&mut self, ms: u64) {
        self.client.advance_ms(ms);
        self.client.server.handle_time(self.client.now_us);
    }

    fn ending(&self, id: SessionId) -> Option<Ending> {
        self.client.server.ending(id)
    }

    fn stats(&mut self) -> String {
        let id = self.controller;
        self.ask(id, "REHEARSE STATS")
    }
}

fn moving(sequence: u64, seconds: i64, endpoint: &str) -> String {
    format!(">4\r\n$6\r\nMOVING\r\n:{sequence}\r\n:{seconds}\r\n${}\r\n{endpoint}\r\n", endpoint.len())
}

fn migrated(sequence: u64) -> String {
    format!(">3\r\n$8\r\nMIGRATED\r\n:{sequence}\r\n$5\r\n[\"1\"]\r\n")
}

#[test]
fn moving_answers_how_many_connections_were_told() {
    let mut stand = Stand::new();
    let controller = stand.controller;
    assert_eq!(stand.ask(controller, "REHEARSE MOVING 9 null"), "+OK: 0 of 0 connections were told\r\n");
    stand.open(0, &["HELLO 3"]);
    let reply = stand.ask(controller, "REHEARSE MOVING 9 null");
    assert!(reply.starts_with("+OK: 0 of 1 connection was told; none has asked for it"), "{reply}");
    let told = stand.open_told(0, "");
    // It has asked, but speaks RESP2 by now: no push reaches it.
    let downgraded = stand.open_told(0, "");
    stand.ask(downgraded, "HELLO 2");
    stand.open_told(1, "");
    assert_eq!(stand.ask(controller, "REHEARSE MOVING 9 null"), "+OK: 1 of 3 connections were told\r\n");
    assert_eq!(stand.ask(controller, "REHEARSE ALL MOVING 9 null"), "+OK: 2 of 4 connections were told\r\n");
    let id = told.to_string();
    let only = stand.ask(controller, &format!("REHEARSE TO {id} MOVING 9 null"));
    assert_eq!(only, "+OK: 1 of 1 connection was told\r\n");
}

#[test]
fn pretty_stats_are_the_same_on_many_lines() {
    let mut stand = Stand::new();
    let controller = stand.controller;
    let reply = stand.ask(controller, "REHEARSE STATS --pretty");
    assert!(reply.contains("\n  \"nodes\": [\n    {\n      \"node\": 0,\n"), "{reply}");
}

#[test]
fn a_moving_is_told_to_whom_it_concerns_and_closes_everybody() {
    let mut stand = Stand::new();
    let told = stand.open_told(0, "");
    let by_name = stand.open_told(0, "moving-endpoint-type external-fqdn");
    let by_none = stand.open_told(0, "moving-endpoint-type none");
    let silent = stand.open(0, &["HELLO 3"]);
    let elsewhere = stand.open_told(1, "");
    stand.rehearse("NODE 1 NAME b.example.com");
    stand.rehearse("MOVING 1.5 127.0.0.3:2");
    assert_eq!(stand.hear(told), moving(0, 2, "127.0.0.3:2"));
    assert_eq!(stand.hear(by_name), moving(0, 2, "b.example.com:2"));
    assert_eq!(stand.hear(by_none), ">4\r\n$6\r\nMOVING\r\n:0\r\n:2\r\n_\r\n");
    assert_eq!(stand.hear(silent) + &stand.hear(elsewhere), "");

    stand.ask(told, "SET k v");
    stand.advance_ms(1_600);
    let late = stand.open(0, &["HELLO 3"]);
    assert_eq!(stand.ask(late, ON), format!("+OK\r\n{}", moving(0, 0, "127.0.0.3:2")));
    assert_eq!(stand.client.server.next_deadline_us(), Some(1_000_000_000 + 2_200_000));
    stand.advance_ms(599);
    assert_eq!(stand.ask(told, "PING"), "+PONG\r\n");
    stand.advance_ms(1);
    for id in [told, by_name, by_none, silent, late, stand.controller] {
        assert_eq!(stand.ending(id), Some(Ending::AfterOutput));
    }
    assert_eq!(stand.ending(elsewhere), None);
    assert_eq!(stand.ask(elsewhere, "GET k"), "$1\r\nv\r\n");
    // The window is over, and the node still listens.
    let after = stand.open(0, &["HELLO 3"]);
    assert_eq!(stand.ask(after, ON), "+OK\r\n");
    assert!(stand.client.server.is_listening(NodeId(0)));
}

#[test]
fn a_node_that_returns_closes_those_who_were_there_before() {
    let mut stand = Stand::new();
    let before = stand.open_told(0, "");
    stand.rehearse("MOVING 1 127.0.0.3:2");
    assert_eq!(stand.hear(before), moving(0, 1, "127.0.0.3:2"));
    let told_late = stand.open(0, &["HELLO 3"]);
    assert_eq!(stand.ask(told_late, ON), format!("+OK\r\n{}", moving(0, 1, "127.0.0.3:2")));
    stand.advance_ms(1_000);
    stand.rehearse("RETURN");
    let back = stand.open(0, &["HELLO 3"]);
    assert_eq!(stand.ask(back, ON), "+OK\r\n");
    stand.rehearse("RETURN");
    stand.advance_ms(700);
    assert_eq!(
        [before, told_late, back].map(|id| stand.ending(id)),
        [Some(Ending::AfterOutput), Some(Ending::AfterOutput), None]
    );
    // It may leave again, and is not back then until it is said so.
    stand.controller = stand.open(0, &[]);
    stand.rehearse("MOVING 1 127.0.0.3:2");
    assert_eq!(stand.hear(back), moving(1, 1, "127.0.0.3:2"));
    stand.advance_ms(1_700);
    assert_eq!(stand.ending(back), Some(Ending::AfterOutput));
}

#[test]
fn who_does_not_read_is_cut_off_after_the_close() {
    let mut stand = Stand::new();
    let id = stand.open_told(0, "");
    stand.rehearse("MOVING 0 null DELAY 0 UNREAD");
    stand.advance_ms(0);
    assert_eq!(stand.ending(id), Some(Ending::AfterOutput));
    let push = ">4\r\n$6\r\nMOVING\r\n:0\r\n:0\r\n_\r\n";
    assert_eq!(stand.client.server.output(id), push.repeat(2).as_bytes());
    stand.advance_ms(1_000);
    assert_eq!((stand.ending(id), stand.client.server.output(id)), (Some(Ending::AtOnce), &b""[..]));
}

#[test]
fn closes_differ_by_option_and_by_setting() {
    for (line, after_ms, ending, listens) in [
        ("MOVING 2 null EARLY 0.5 RST", 1_000, Ending::Reset, true),
        ("MOVING 2 null HALF DELAY 100 REFUSE", 2_100, Ending::HalfClose, false),
        ("MOVING 2 null FIN DELAY 4000", 6_000, Ending::AfterOutput, true),
    ] {
        let mut stand = Stand::new();
        let id = stand.open_told(0, "");
        stand.rehearse(line);
        stand.advance_ms(after_ms - 1);
        assert_eq!(stand.ending(id), None, "{line}");
        stand.advance_ms(1);
        assert_eq!(stand.ending(id), Some(ending), "{line}");
        assert_eq!(stand.client.server.is_listening(NodeId(0)), listens, "{line}");
        assert_eq!(stand.client.server.next_disturbed_node().is_some(), !listens);
    }
    let mut stand = Stand::new();
    let id = stand.open_told(0, "");
    stand.rehearse("CLOSING never");
    stand.rehearse("MOVING 1 null");
    assert_eq!(stand.client.server.next_deadline_us(), None);
    stand.rehearse("DELAY 0");
    stand.rehearse("MOVING 1 null");
    stand.advance_ms(500);
    // The later one counts.
    stand.rehearse("MOVING 5 null");
    stand.advance_ms(1_000);
    assert_eq!(stand.ending(id), None);
    stand.advance_ms(4_000);
    assert_eq!(stand.ending(id), Some(Ending::AfterOutput));
}

#[test]
fn a_half_closed_connection_is_read_and_not_answered() {
    let mut stand = Stand::new();
    let id = stand.open(0, &[]);
    stand.rehearse("CLOSE half");
    assert!(stand.client.server.wants_input(id));
    assert_eq!(stand.ask(id, "PING"), "");
    // The controller gets its reply, and is closed in the ordinary way.
    assert_eq!(stand.ending(stand.controller), Some(Ending::AfterOutput));
}

#[test]
fn every_verb_sends_its_push_and_one_number_counts_for_all_nodes() {
    let mut stand = Stand::new();
    let (here, there) = (stand.open_told(0, ""), stand.open_told(1, ""));
    stand.rehearse("MIGRATING 2 27");
    assert_eq!(stand.hear(here), ">4\r\n$9\r\nMIGRATING\r\n:0\r\n:2\r\n$6\r\n[\"27\"]\r\n");
    stand.rehearse("NODE 1 FAILING_OVER 2 [\"21\"]");
    assert_eq!(stand.hear(there), ">4\r\n$12\r\nFAILING_OVER\r\n:1\r\n:2\r\n$6\r\n[\"21\"]\r\n");
    stand.rehearse("ALL FAILED_OVER 1,2");
    let failed_over = ">3\r\n$11\r\nFAILED_OVER\r\n:2\r\n$9\r\n[\"1\",\"2\"]\r\n";
    assert_eq!((stand.hear(here).as_str(), stand.hear(there).as_str()), (failed_over, failed_over));
    stand.rehearse("SMIGRATING 8892-8991");
    stand.rehearse("SMIGRATED a:1 b:2 8892-8991 a:1 c:3 7");
    let expected = ">3\r\n$10\r\nSMIGRATING\r\n:3\r\n$9\r\n8892-8991\r\n>3\r\n$9\r\nSMIGRATED\r\n:4\r\n*2\r\n\
        *3\r\n$3\r\na:1\r\n$3\r\nb:2\r\n$9\r\n8892-8991\r\n*3\r\n$3\r\na:1\r\n$3\r\nc:3\r\n$1\r\n7\r\n";
    assert_eq!(stand.hear(here), expected);
    stand.rehearse("SEQ 9");
    stand.rehearse(&format!("TO {here} MIGRATED"));
    assert_eq!((stand.hear(here), stand.hear(there)), (migrated(9), String::new()));
    stand.rehearse("NODE 127.0.0.3:2 AFTER 50 PUSH +a\\r\\n\\x2bb\\r\\n");
    stand.advance_ms(50);
    assert_eq!(stand.hear(there), "+a\r\n+b\r\n");
}

#[test]
fn pushes_follow_the_reply_of_who_asked_for_them() {
    let mut stand = Stand::new();
    let controller = stand.controller;
    stand.ask(controller, "HELLO 3");
    stand.ask(controller, ON);
    assert_eq!(stand.ask(controller, "REHEARSE MIGRATED"), format!("+OK\r\n{}", migrated(0)));
    assert_eq!(stand.ask(controller, "REHEARSE PUSH >1\\r\\n+x\\r\\n"), "+OK\r\n>1\r\n+x\r\n");
}

#[test]
fn what_is_wrong_is_said() {
    for (line, complaint) in [
        ("", "a verb is needed; see REHEARSE HELP"),
        ("ALL", "a verb is needed; see REHEARSE HELP"),
        ("NOSUCH 1", "unknown verb 'NOSUCH'; there are MOVING, MIGRATING, "),
        ("NODE 7 STATS", "there is no node '7'"),
        ("TO 77 CLOSE", "TO: there is no connection 77"),
        ("AFTER x STATS", "AFTER: 'x' is not a number of milliseconds"),
        ("MOVING 5", "syntax: REHEARSE MOVING grace_s target|null [how it closes, see CLOSING]"),
        ("MOVING soon null", "MOVING grace_s: 'soon' is not a number of seconds"),
        ("MOVING 5 null LATE", "unknown option 'LATE'; options: [fin|rst|half|never]"),
        ("MIGRATING", "syntax: REHEARSE MIGRATING time_s [shards]"),
        ("SMIGRATED a b", "syntax: REHEARSE SMIGRATED src dst slots [src dst slots ...]"),
        ("PUSH \\q", "a \\ must be followed by r, n, t, x or another \\"),
        ("FAULT nosuch", "unknown fault 'nosuch'; syntax: FAULT delay ms"),
        ("CLOSE softly", "syntax: REHEARSE CLOSE [fin|rst|half]"),
        ("MAINT perhaps", "syntax: REHEARSE MAINT ok|unknown|"),
        ("REPLAY maybe", "REPLAY: 'maybe' is neither 'on' nor 'off'"),
        ("LISTEN", "syntax: REHEARSE LISTEN on|off"),
        ("STATS now", "syntax: REHEARSE STATS [--pretty]"),
        ("RETURN 1", "takes no arguments"),
    ] {
        let mut stand = Stand::new();
        let controller = stand.controller;
        let reply = stand.ask(controller, format!("REHEARSE {line}").trim());
        assert!(reply.starts_with(&format!("-ERR REHEARSE: {complaint}")), "{line}: {reply}");
        assert!(stand.stats().contains("\"sequence\":0,"), "{line}");
    }
    let mut stand = Stand::new();
    let words = [b"MIGRATED".to_vec()];
    let now_us = stand.client.now_us;
    assert_eq!(stand.client.server.rehearse(NodeId(2), now_us, &words), Err("there is no node 2".into()));
    assert_eq!(stand.client.server.rehearse(NodeId(1), now_us, &words), Ok("OK".into()));
    assert!(stand.ask(SessionId(1), "REHEARSE HELP").contains("\nREHEARSE FAILED_OVER [shards]\n"));
}

#[test]
fn a_delay_holds_back_what_follows_and_its_end_releases_it() {
    let mut stand = Stand::new();
    let id = stand.open(0, &[]);
    stand.rehearse("FAULT delay 5");
    assert_eq!(stand.ask(id, "PING"), "");
    stand.advance_ms(4);
    assert_eq!(stand.ask(id, "ECHO x"), "");
    stand.advance_ms(1);
    assert_eq!(stand.hear(id), "+PONG\r\n");
    // A close waits for what was delayed.
    stand.rehearse_delayed(&format!("TO {id} CLOSE"));
    assert_eq!(stand.ending(id), None);
    stand.advance_ms(4);
    assert_eq!((stand.ending(id), stand.hear(id).as_str()), (Some(Ending::AfterOutput), "$1\r\nx\r\n"));
    let other = stand.open(0, &[]);
    stand.ask(other, "PING");
    stand.rehearse_delayed("FAULT off");
    assert_eq!(stand.hear(other), "+PONG\r\n");
}

impl Stand {
    /// As `rehearse`, when the reply does not come at once.
    fn rehearse_delayed(&mut self, line: &str) {
        self.client.id = self.controller;
        self.client.ask(&format!("REHEARSE {line}"));
    }
}

#[test]
fn cuts_end_a_connection_inside_a_frame_in_either_direction() {
    for (line, ending) in
        [("truncate 8", Ending::AtOnce), ("close-at-byte 8", Ending::AtOnce), ("reset 8 out", Ending::Reset)]
    {
        let mut stand = Stand::new();
        let id = stand.open(0, &["PING"]);
        stand.rehearse(&format!("FAULT {line}"));
        assert_eq!(stand.ask(id, "PING"), "+PONG\r\n");
        assert_eq!((stand.ask(id, "PING").as_str(), stand.ending(id)), ("+", Some(ending)), "{line}");
        assert_eq!(stand.ask(id, "PING"), "");
    }
    let mut stand = Stand::new();
    let id = stand.open(0, &[]);
    stand.rehearse("FAULT reset 30 in");
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    for _ in 0..2 {
        stand.client.server.handle_bytes(id, 0, request);
    }
    assert_eq!((stand.ending(id), stand.hear(id).as_str()), (Some(Ending::Reset), ""));
    let controller = stand.controller;
    assert_eq!(stand.ask(controller, "GET k"), "$1\r\nv\r\n");
}

#[test]
fn a_stall_is_ended_by_who_began_it() {
    let mut stand = Stand::new();
    let id = stand.open(0, &[]);
    stand.rehearse("FAULT stall");
    assert_eq!(stand.client.server.accepts(NodeId(0)), Accept::Stall);
    assert!(!stand.client.server.wants_input(id));
    assert_eq!(stand.ask(id, "PING"), "");
    stand.rehearse("FAULT off");
    assert_eq!(
        (stand.hear(id).as_str(), stand.client.server.accepts(NodeId(0))),
        ("+PONG\r\n", Accept::Serve)
    );
    for (line, listens, accept) in
        [("refuse", false, Accept::Serve), ("drop", false, Accept::Drop), ("off", true, Accept::Serve)]
    {
        stand.rehearse(&format!("FAULT {line}"));
        assert_eq!(stand.client.server.is_listening(NodeId(0)), listens);
        assert_eq!(stand.client.server.accepts(NodeId(0)), accept);
    }
    stand.rehearse("LISTEN off");
    assert!(!stand.client.server.is_listening(NodeId(0)) && stand.client.server.is_listening(NodeId(1)));
}

#[test]
fn pushes_are_split_repeated_and_overtaken() {
    let mut stand = Stand::new();
    let id = stand.open_told(0, "");
    stand.rehearse("FAULT duplicate 2");
    stand.rehearse("MIGRATED");
    assert_eq!(stand.hear(id), migrated(0).repeat(2));
    stand.rehearse("FAULT off");
    stand.rehearse("FAULT reorder");
    stand.rehearse("MIGRATED");
    assert_eq!(stand.hear(id), "");
    stand.rehearse("MIGRATED");
    assert_eq!(stand.hear(id), migrated(2) + &migrated(1));
    stand.rehearse("MIGRATED");
    stand.rehearse("FAULT off");
    assert_eq!(stand.hear(id), migrated(3));
    stand.rehearse_delayed("FAULT split");
    assert_eq!(stand.ask(id, "PING"), "+");
    assert_eq!(stand.hear(id), "P");
}

#[test]
fn stats_tell_what_can_be_counted() {
    let mut stand = Stand::new();
    let id = stand.open(1, &["HELLO 3 SETNAME me", &format!("{ON} moving-endpoint-type internal-ip")]);
    stand.ask(id, "INCR audit:a:1");
    stand.ask(id, "INCR audit:a:3");
    stand.rehearse("ALL FAILING_OVER 2");
    stand.rehearse("NODE 1 MOVING 2 null");
    stand.rehearse("NODE 1 FAULT duplicate 3");
    stand.rehearse("MIGRATED 7");
    stand.hear(id);
    let stats = stand.stats();
    for part in [
        "{\"version\":1,\"sequence\":3,\"commands\":9,\"connections_opened\":2,\"keys\":2,\"nodes\":[{\"node\":0,\
         \"address\":\"127.0.0.2:2\",\"name\":null,\"listening\":true,\"accepts\":\"serve\",\"faults\":[],",
        "\"windows\":[{\"kind\":\"FAILING_OVER\",\"seq\":0,\"remaining_ms\":2000,\"subject\":\"[\\\"1\\\"]\"},\
         {\"kind\":\"MOVING\",\"seq\":1,\"remaining_ms\":2000,\"target\":null}],\"retained\":null,\
         \"pushes\":{\"MOVING\":1,\"MIGRATING\":0,\"MIGRATED\":0,\"FAILING_OVER\":1,",
        "\"retained\":{\"kind\":\"MIGRATED\",\"seq\":2,\"subject\":\"[\\\"7\\\"]\"}",
        "\"faults\":[\"duplicate 3\"]",
        "{\"id\":2,\"peer\":\"127.0.0.9:9\",\"name\":\"me\",\"lib_name\":\"\",\"lib_ver\":\"\",\"opted_in\":true,\
         \"endpoint_type\":\"internal-ip\",\"resp\":3,\"closing\":false,\"commands\":4,\"bytes_in\":",
        "\"pushes\":2}]}],\"audit\":{\"submitters\":1,\"commands\":2,\"duplicates\":0,\"out_of_order\":0,\
         \"missing\":1,\"untracked\":0}}\r\n",
    ] {
        assert!(stats.contains(part), "{part}\nis not in\n{stats}");
    }
    let controller = stand.controller;
    stand.ask(controller, "HELLO 3");
    assert!(stand.stats().starts_with('='));
}

#[test]
fn a_reset_forgets_everything_but_the_connections() {
    let mut stand = Stand::new();
    let id = stand.open_told(1, "");
    stand.ask(id, "INCR audit:a:2");
    for line in [
        "ALL MIGRATED",
        "ALL MOVING 2 null",
        "ALL MAINT unknown",
        "ALL FAULT refuse",
        "ALL NAME x",
        "AFTER 9 STATS",
    ] {
        stand.rehearse(line);
    }
    stand.hear(id);
    stand.rehearse("RESET");
    let (stats, fresh) = (stand.stats(), Stand::new().stats());
    let settings = |stats: &str| {
        stats.split("\"address\"").nth(1).unwrap().split("\"connections\"").next().map(str::to_owned)
    };
    assert_eq!(settings(&stats), settings(&fresh));
    assert!(stats.contains("\"keys\":0,") && stats.contains("\"missing\":0,"), "{stats}");
    assert_eq!(stand.client.server.next_deadline_us(), None);
    stand.rehearse("ALL MIGRATED");
    assert_eq!(stand.hear(id), migrated(0));
}

#[test]
fn a_scenario_is_a_list_of_steps() {
    let mut stand = Stand::new();
    let id = stand.open_told(0, "");
    let start_us = stand.client.now_us;
    for (after_ms, line) in [(30, "MIGRATED"), (10, "MIGRATED"), (20, "NOSUCH")] {
        let words = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        stand.client.server.schedule(start_us + after_ms * 1_000, NodeId(0), words);
    }
    assert_eq!(stand.client.server.next_deadline_us(), Some(start_us + 10_000));
    stand.advance_ms(10);
    assert_eq!(stand.hear(id), migrated(0));
    stand.advance_ms(90);
    assert_eq!(stand.hear(id), migrated(1));
    assert_eq!(stand.client.server.next_deadline_us(), None);
}

#[test]
fn escapes_are_read() {
    assert_eq!(unescape(r"a\r\n\t\\\x00\xfF").unwrap(), b"a\r\n\t\\\x00\xff");
    for wrong in ["\\", "\\x", "\\x1", "\\xg0", "\\q"] {
        assert!(unescape(wrong).is_err(), "{wrong}");
    }
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

fn whole_frames(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match redis_protocol::resp3::decode::complete::decode(bytes) {
            Ok(Some((_, used))) => bytes = &bytes[used..],
            _ => return false,
        }
    }
    true
}

proptest! {
    /// Whatever is rehearsed: each connection hears whole frames, in one reply for each request, and the server always
    /// gets on with what it has planned.
    #[test]
    fn any_rehearsal_leaves_frames_whole_and_the_clock_moving(
        steps in prop::collection::vec((0..LINES.len(), 0u64..100), 0..60),
    ) {
        let mut stand = Stand::new();
        let connections = [stand.open_told(0, ""), stand.open_told(1, "moving-endpoint-type none")];
        let mut heard = connections.map(|_| Vec::new());
        for (line, ms) in steps {
            let now_us = stand.client.now_us;
            let words: Vec<Vec<u8>> = LINES[line].split(' ').map(|word| word.as_bytes().to_vec()).collect();
            stand.client.server.rehearse(NodeId(0), now_us, &words).unwrap();
            for (id, heard) in connections.iter().zip(&mut heard) {
                stand.client.server.handle_bytes(*id, now_us, b"ECHO hi\r\nMULTI\r\nPING\r\nEXEC\r\n");
                let output = stand.client.server.output(*id).to_vec();
                stand.client.server.consume_output(*id, output.len());
                heard.extend_from_slice(&output);
            }
            stand.advance_ms(ms);
            prop_assert!(stand.client.server.next_deadline_us().is_none_or(|at_us| at_us > stand.client.now_us));
        }
        stand.client.server.rehearse(NodeId(0), stand.client.now_us, &["ALL".into(), "FAULT".into(), "off".into()]).unwrap();
        for (id, heard) in connections.iter().zip(&mut heard) {
            heard.extend_from_slice(stand.client.server.output(*id));
            let is_cut = matches!(stand.ending(*id), Some(Ending::AtOnce | Ending::Reset));
            prop_assert!(is_cut || whole_frames(heard), "{}", heard.escape_ascii());
        }
    }
}
