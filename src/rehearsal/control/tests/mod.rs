//! Tests of the verbs, in virtual time.

mod closes;
mod cluster;
mod cluster_failover;
mod faults;
mod random;
mod verbs;

use crate::rehearsal::commands::testing::TestClient;
use crate::rehearsal::{Ending, NodeId, SessionId};

/// A server with two nodes, and a controller at the first node that has not opted in.
struct Fixture {
    client: TestClient,
    controller: SessionId,
}

impl Fixture {
    fn new() -> Self {
        let client = TestClient::new();
        let controller = client.id;
        Self { client, controller }
    }

    /// Opens a connection to `node` and sends `lines`.
    fn open(&mut self, node: usize, lines: &[&str]) -> SessionId {
        let id = self.client.server.open(NodeId(node), ([127, 0, 0, 9], 9).into(), self.client.now_us);
        for line in lines {
            self.ask(id, line);
        }
        id
    }

    /// Opens a connection to `node` that opts in with these `arguments`.
    fn open_opted_in(&mut self, node: usize, arguments: &str) -> SessionId {
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

    /// As `rehearse`, for a verb whose fault delays its own reply.
    fn rehearse_delayed(&mut self, line: &str) {
        self.client.id = self.controller;
        self.client.ask(&format!("REHEARSE {line}"));
    }

    /// Takes the output of `id`.
    fn take_output(&mut self, id: SessionId) -> String {
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

const ON: &str = "CLIENT MAINT_NOTIFICATIONS ON";
