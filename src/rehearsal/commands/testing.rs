//! A client for the tests of the commands: a server, one session, and a clock that the tests advance.

use crate::rehearsal::{ClusterConfig, NodeId, Server, ServerConfig, SessionId};

pub(crate) struct TestClient {
    pub(crate) server: Server,
    pub(crate) id: SessionId,
    pub(crate) now_us: u64,
}

impl TestClient {
    pub(crate) fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        // The clock starts 1,000 s after 1970.
        let now_us = 1_000_000_000;
        let nodes = vec![([127, 0, 0, 2], 2).into(), ([127, 0, 0, 3], 2).into()];
        let mut server = Server::new(config, nodes, now_us);
        let id = server.open(NodeId(0), ([127, 0, 0, 1], 1).into(), now_us);
        Self { server, id, now_us }
    }

    /// A client of the first node of a cluster, whose nodes are 127.0.0.1:7001 and the next ports.
    pub(crate) fn of_cluster(cluster: ClusterConfig) -> Self {
        let now_us = 1_000_000_000;
        let nodes = (7001..).take(cluster.nodes()).map(|port| ([127, 0, 0, 1], port).into()).collect();
        let config = ServerConfig { cluster: Some(cluster), ..ServerConfig::default() };
        let mut server = Server::new(config, nodes, now_us);
        let id = server.open(NodeId(0), ([127, 0, 0, 1], 1).into(), now_us);
        Self { server, id, now_us }
    }

    /// Opens another session of the same server.
    pub(crate) fn open(&mut self) -> SessionId {
        self.server.open(NodeId(0), ([127, 0, 0, 1], 3).into(), self.now_us)
    }

    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.now_us += ms * 1_000;
    }

    pub(crate) fn send(&mut self, words: &[&str]) {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.server.handle_bytes(self.id, self.now_us, request.as_bytes());
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        let output = self.server.output(self.id).to_vec();
        self.server.consume_output(self.id, output.len());
        output
    }

    /// Sends the words of `line` and returns the reply. The word `''` is an empty argument.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').map(|word| if word == "''" { "" } else { word }).collect();
        self.send(&words);
        String::from_utf8_lossy(&self.take()).into_owned()
    }

    /// As [`TestClient::ask`], from another session.
    pub(crate) fn ask_from(&mut self, id: SessionId, line: &str) -> String {
        let own = std::mem::replace(&mut self.id, id);
        let reply = self.ask(line);
        self.id = own;
        reply
    }

    /// Sends `line` from another session and checks its output, which can be empty.
    #[track_caller]
    pub(crate) fn expect_from(&mut self, id: SessionId, line: &str, expected: &str) {
        assert_eq!(self.ask_from(id, line), expected, "{line}");
    }

    /// Takes the output of another session.
    pub(crate) fn take_from(&mut self, id: SessionId) -> String {
        let own = std::mem::replace(&mut self.id, id);
        let output = self.take();
        self.id = own;
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Takes the marks of all dirty sessions.
    pub(crate) fn dirty(&mut self) -> Vec<SessionId> {
        std::iter::from_fn(|| self.server.next_dirty_session()).collect()
    }

    /// Sends `line` and checks the reply. An empty `expected` accepts any reply.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, expected: &str) {
        let reply = self.ask(line);
        assert!(expected.is_empty() || reply == expected, "{line}: {reply:?}, not {expected:?}");
    }

    #[track_caller]
    pub(crate) fn expect_all(&mut self, script: &[(&str, &str)]) {
        for (line, expected) in script {
            self.expect(line, expected);
        }
    }
}
