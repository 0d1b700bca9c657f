//! Tests of the verbs that announce, and of those that report.

use super::{Fixture, ON, migrated};
use crate::rehearsal::{NodeId, SessionId};

#[test]
fn verbs_send_their_pushes_with_one_sequence_for_all_nodes() {
    let mut fixture = Fixture::new();
    let (here, there) = (fixture.open_opted_in(0, ""), fixture.open_opted_in(1, ""));
    fixture.rehearse("MIGRATING 2 27");
    assert_eq!(fixture.take_output(here), ">4\r\n$9\r\nMIGRATING\r\n:0\r\n:2\r\n$6\r\n[\"27\"]\r\n");
    fixture.rehearse("NODE 1 FAILING_OVER 2 [\"21\"]");
    assert_eq!(fixture.take_output(there), ">4\r\n$12\r\nFAILING_OVER\r\n:1\r\n:2\r\n$6\r\n[\"21\"]\r\n");
    fixture.rehearse("ALL FAILED_OVER 1,2");
    let failed_over = ">3\r\n$11\r\nFAILED_OVER\r\n:2\r\n$9\r\n[\"1\",\"2\"]\r\n";
    assert_eq!(
        (fixture.take_output(here).as_str(), fixture.take_output(there).as_str()),
        (failed_over, failed_over)
    );
    fixture.rehearse("SMIGRATING 8892-8991");
    fixture.rehearse("SMIGRATED a:1 b:2 8892-8991 a:1 c:3 7");
    let expected = ">3\r\n$10\r\nSMIGRATING\r\n:3\r\n$9\r\n8892-8991\r\n>3\r\n$9\r\nSMIGRATED\r\n:4\r\n*2\r\n\
        *3\r\n$3\r\na:1\r\n$3\r\nb:2\r\n$9\r\n8892-8991\r\n*3\r\n$3\r\na:1\r\n$3\r\nc:3\r\n$1\r\n7\r\n";
    assert_eq!(fixture.take_output(here), expected);
    fixture.rehearse("SEQ 9");
    fixture.rehearse(&format!("TO {here} MIGRATED"));
    assert_eq!((fixture.take_output(here), fixture.take_output(there)), (migrated(9), String::new()));
    fixture.rehearse("NODE 127.0.0.3:2 AFTER 50 PUSH +a\\r\\n\\x2bb\\r\\n");
    fixture.advance_ms(50);
    assert_eq!(fixture.take_output(there), "+a\r\n+b\r\n");
}

#[test]
fn pushes_follow_the_reply_of_their_verb() {
    let mut fixture = Fixture::new();
    let controller = fixture.controller;
    fixture.ask(controller, "HELLO 3");
    fixture.ask(controller, ON);
    assert_eq!(fixture.ask(controller, "REHEARSE MIGRATED"), format!("+OK\r\n{}", migrated(0)));
    assert_eq!(fixture.ask(controller, "REHEARSE PUSH >1\\r\\n+x\\r\\n"), "+OK\r\n>1\r\n+x\r\n");
}

#[test]
fn errors_name_the_mistake() {
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
        let mut fixture = Fixture::new();
        let controller = fixture.controller;
        let reply = fixture.ask(controller, format!("REHEARSE {line}").trim());
        assert!(reply.starts_with(&format!("-ERR REHEARSE: {complaint}")), "{line}: {reply}");
        assert!(fixture.stats().contains("\"sequence\":0,"), "{line}");
    }
    let mut fixture = Fixture::new();
    let words = [b"MIGRATED".to_vec()];
    let now_us = fixture.client.now_us;
    assert_eq!(fixture.client.server.rehearse(NodeId(2), now_us, &words), Err("there is no node 2".into()));
    assert_eq!(fixture.client.server.rehearse(NodeId(1), now_us, &words), Ok("OK".into()));
    assert!(fixture.ask(SessionId(1), "REHEARSE HELP").contains("\nREHEARSE FAILED_OVER [shards]\n"));
}

#[test]
fn stats_hold_all_counts() {
    let mut fixture = Fixture::new();
    let id = fixture.open(1, &["HELLO 3 SETNAME me", &format!("{ON} moving-endpoint-type internal-ip")]);
    fixture.ask(id, "INCR audit:a:1");
    fixture.ask(id, "INCR audit:a:3");
    fixture.rehearse("ALL FAILING_OVER 2");
    fixture.rehearse("NODE 1 MOVING 2 null");
    fixture.rehearse("NODE 1 FAULT duplicate 3");
    fixture.rehearse("MIGRATED 7");
    fixture.take_output(id);
    let stats = fixture.stats();
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
    let controller = fixture.controller;
    fixture.ask(controller, "HELLO 3");
    assert!(fixture.stats().starts_with('='));
}

#[test]
fn pretty_stats_are_the_same_on_many_lines() {
    let mut fixture = Fixture::new();
    let controller = fixture.controller;
    let reply = fixture.ask(controller, "REHEARSE STATS --pretty");
    assert!(reply.contains("\n  \"nodes\": [\n    {\n      \"node\": 0,\n"), "{reply}");
}

#[test]
fn a_reset_forgets_everything_but_the_connections() {
    let mut fixture = Fixture::new();
    let id = fixture.open_opted_in(1, "");
    fixture.ask(id, "INCR audit:a:2");
    for line in [
        "ALL MIGRATED",
        "ALL MOVING 2 null",
        "ALL MAINT unknown",
        "ALL FAULT refuse",
        "ALL NAME x",
        "AFTER 9 STATS",
    ] {
        fixture.rehearse(line);
    }
    fixture.take_output(id);
    fixture.rehearse("RESET");
    let (stats, fresh) = (fixture.stats(), Fixture::new().stats());
    let settings = |stats: &str| {
        stats.split("\"address\"").nth(1).unwrap().split("\"connections\"").next().map(str::to_owned)
    };
    assert_eq!(settings(&stats), settings(&fresh));
    assert!(stats.contains("\"keys\":0,") && stats.contains("\"missing\":0,"), "{stats}");
    assert_eq!(fixture.client.server.next_deadline_us(), None);
    fixture.rehearse("ALL MIGRATED");
    assert_eq!(fixture.take_output(id), migrated(0));
}

#[test]
fn scheduled_steps_run_at_their_times() {
    let mut fixture = Fixture::new();
    let id = fixture.open_opted_in(0, "");
    let start_us = fixture.client.now_us;
    for (after_ms, line) in [(30, "MIGRATED"), (10, "MIGRATED"), (20, "NOSUCH")] {
        let words = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        fixture.client.server.schedule(start_us + after_ms * 1_000, NodeId(0), words);
    }
    assert_eq!(fixture.client.server.next_deadline_us(), Some(start_us + 10_000));
    fixture.advance_ms(10);
    assert_eq!(fixture.take_output(id), migrated(0));
    fixture.advance_ms(90);
    assert_eq!(fixture.take_output(id), migrated(1));
    assert_eq!(fixture.client.server.next_deadline_us(), None);
}
