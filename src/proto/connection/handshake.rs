//! [`Handshake`]: the first exchange on a new connection.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::credentials::{Credentials, Secret};
use super::opt_in::{self, Notifications, Verdict};
use crate::proto::error::{CloseReason, ServerState, log_text};
use crate::proto::maint::mode::{EndpointType, Mode};
use crate::proto::resp::{Encoder, Frame};

/// The settings of a handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandshakeConfig {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) client_name: Option<String>,
    pub(crate) database: u32,
    pub(crate) mode: Mode,
    pub(crate) endpoint_type: EndpointType,
    pub(crate) tls: bool,
}

impl HandshakeConfig {
    /// The configured credentials, for connections without newer ones.
    pub(crate) fn credentials(&self) -> Option<Arc<Credentials>> {
        let Secret(password) = self.password.as_ref()?;
        Some(Arc::new(match &self.username {
            Some(name) => Credentials::user(name, password),
            None => Credentials::password(password),
        }))
    }
}

/// The negotiated version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

/// The result of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) protocol: Protocol,
    pub(crate) notifications: Notifications,
    /// The server's id of the connection, if HELLO has told it.
    pub(crate) client: Option<u64>,
}

/// The handshake of one connection: the replies that are due, and what they mean.
///
/// ```text
///                    RESP3, notifications wanted
///           ┌──▶ opt-in gate ──handle_opt_in──▶ SetInfo ×2 ──▶ OptIn, if asked ──▶ Select, if not 0 ──▶ over
///           │                                    ▲                 │  ▲
/// Hello ────┼──▶ RESP3 or RESP2, not wanted ─────┤                 └──┘ the type is not understood: asks without it
///           │                                    │
///           └──▶ no HELLO ──▶ Auth ──▶ SetName ──┘
/// ```
///
/// [`HELLO`](https://redis.io/docs/latest/commands/hello/) travels alone: a server without it speaks RESP2 and needs
/// another login. Everything behind it is one write. At the opt-in gate the owner decides, for the endpoint, whether this
/// connection asks for maintenance notifications; until then the handshake writes nothing.
///
/// The owner feeds every reply to [`Handshake::handle_reply`], in order, and never a push.
#[derive(Debug)]
pub(crate) struct Handshake {
    config: Arc<HandshakeConfig>,
    login: Option<Arc<Credentials>>,
    /// `None` on a unix socket, on which no server announces another endpoint.
    peer: Option<IpAddr>,
    awaited: VecDeque<Step>,
    /// HELLO is answered, and the owner has to call [`Handshake::handle_opt_in`].
    awaits_opt_in: bool,
    negotiated: Negotiated,
}

/// A command whose reply is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Hello,
    Auth,
    SetName,
    SetInfo,
    /// `CLIENT MAINT_NOTIFICATIONS`; `named` if it names a type of endpoint.
    OptIn {
        named: bool,
    },
    Select,
}

impl Handshake {
    /// Begins a handshake: writes HELLO.
    pub(crate) fn begin(
        config: Arc<HandshakeConfig>,
        login: Option<Arc<Credentials>>,
        peer: Option<IpAddr>,
        out: &mut Vec<u8>,
    ) -> Self {
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(credentials) = &login {
            hello.push(b"AUTH");
            hello.extend(credentials.both());
        }
        if let Some(name) = &config.client_name {
            hello.extend([b"SETNAME", name.as_bytes()]);
        }
        write(out, &hello);
        let negotiated =
            Negotiated { protocol: Protocol::Resp3, notifications: Notifications::Off, client: None };
        let awaited = VecDeque::from([Step::Hello]);
        Handshake { config, login, peer, awaited, awaits_opt_in: false, negotiated }
    }

    /// Takes the next reply and writes what follows from it. Returns the result once the handshake is over.
    ///
    /// # Errors
    /// The reason to close the connection, if this reply ends the handshake.
    pub(crate) fn handle_reply(
        &mut self,
        reply: Frame,
        out: &mut Vec<u8>,
    ) -> Result<Option<Negotiated>, CloseReason> {
        let step = self.awaited.pop_front().ok_or(CloseReason::UnaskedReply)?;
        match (step, reply.without_attributes()) {
            (Step::Hello, Frame::Error(reply)) if lacks_hello(&reply) => {
                self.fall_back_to_resp2()?;
                self.write_resp2_login(out);
                self.write_settings(false, out);
            }
            (Step::Hello, reply @ (Frame::Map(_) | Frame::Array(_))) => {
                self.negotiated.client = integer_of(&reply, b"id").and_then(|id| u64::try_from(id).ok());
                if integer_of(&reply, b"proto") != Some(3) {
                    self.fall_back_to_resp2()?;
                }
                match self.may_ask() {
                    true => self.awaits_opt_in = true,
                    false => self.write_settings(false, out),
                }
            }
            (Step::OptIn { named }, reply) => self.handle_verdict(opt_in::judge(&reply, named), out)?,
            (step, Frame::Error(reply)) => step.handle_error(&reply)?,
            (Step::Hello, other) => return Err(refused("HELLO", other.kind().as_bytes())),
            _ => {}
        }
        let is_over = self.awaited.is_empty() && !self.awaits_opt_in;
        Ok(is_over.then(|| self.negotiated.clone()))
    }

    /// What the handshake waits for, for the error about a handshake that takes too long.
    pub(crate) fn awaits(&self) -> &'static str {
        match self.awaited.front() {
            Some(step) => step.name(),
            None => "CLIENT MAINT_NOTIFICATIONS, which another connection has sent",
        }
    }

    /// Whether the handshake waits for [`Handshake::handle_opt_in`].
    pub(crate) fn awaits_opt_in(&self) -> bool {
        self.awaits_opt_in
    }

    /// Writes the commands behind HELLO, with or without the request for notifications.
    pub(crate) fn handle_opt_in(&mut self, ask: bool, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.awaits_opt_in) {
            self.write_settings(ask, out);
        }
    }

    fn may_ask(&self) -> bool {
        self.negotiated.protocol == Protocol::Resp3
            && self.config.mode != Mode::Disabled
            && self.peer.is_some()
    }

    fn fall_back_to_resp2(&mut self) -> Result<(), CloseReason> {
        self.negotiated.protocol = Protocol::Resp2;
        match self.config.mode {
            // RESP2 has no pushes.
            Mode::Enabled => Err(CloseReason::Resp3NotNegotiated),
            Mode::Auto | Mode::Disabled => Ok(()),
        }
    }

    fn handle_verdict(&mut self, verdict: Verdict, out: &mut Vec<u8>) -> Result<(), CloseReason> {
        let notifications = match verdict {
            Verdict::AskWithoutType => {
                opt_in::write(out, None);
                self.awaited.push_back(Step::OptIn { named: false });
                return Ok(());
            }
            Verdict::Settled(notifications) => notifications,
        };
        match (self.config.mode, notifications) {
            (Mode::Enabled, Notifications::Refused(text)) => Err(CloseReason::MaintRefused(text)),
            (Mode::Enabled, Notifications::Denied(text)) => Err(CloseReason::MaintDenied(text)),
            (_, notifications) => {
                self.negotiated.notifications = notifications;
                Ok(())
            }
        }
    }

    /// Writes what HELLO would have carried, for servers without HELLO.
    fn write_resp2_login(&mut self, out: &mut Vec<u8>) {
        if let Some(credentials) = &self.login {
            credentials.write_auth(out);
            self.awaited.push_back(Step::Auth);
        }
        if let Some(name) = &self.config.client_name {
            write(out, &[b"CLIENT", b"SETNAME", name.as_bytes()]);
            self.awaited.push_back(Step::SetName);
        }
    }

    fn write_settings(&mut self, ask: bool, out: &mut Vec<u8>) {
        write(out, &[b"CLIENT", b"SETINFO", b"LIB-NAME", env!("CARGO_PKG_NAME").as_bytes()]);
        write(out, &[b"CLIENT", b"SETINFO", b"LIB-VER", env!("CARGO_PKG_VERSION").as_bytes()]);
        self.awaited.extend([Step::SetInfo, Step::SetInfo]);
        if let Some(peer) = self.peer.filter(|_| ask) {
            let kind = opt_in::kind(self.config.endpoint_type, peer, self.config.tls);
            opt_in::write(out, kind);
            self.awaited.push_back(Step::OptIn { named: kind.is_some() });
        }
        if self.config.database > 0 {
            let mut encoder = Encoder::command(out, 2);
            encoder.bytes(b"SELECT");
            encoder.integer(self.config.database.into());
            self.awaited.push_back(Step::Select);
        }
    }
}

impl Step {
    /// The name of the command.
    fn name(self) -> &'static str {
        match self {
            Step::Hello => "HELLO",
            Step::Auth => "AUTH",
            Step::SetName => "CLIENT SETNAME",
            Step::SetInfo => "CLIENT SETINFO",
            Step::OptIn { .. } => "CLIENT MAINT_NOTIFICATIONS",
            Step::Select => "SELECT",
        }
    }

    fn handle_error(self, reply: &[u8]) -> Result<(), CloseReason> {
        let state = ServerState::of(reply);
        let is_passing = state.is_some_and(ServerState::is_passing);
        match self {
            // Servers before 7.2 lack CLIENT SETINFO, and no feature depends on it. `opt_in::judge` has read the other.
            Step::SetInfo | Step::OptIn { .. } => Ok(()),
            // Every refusal of AUTH is about the login. For other steps only the codes of a known state are.
            step if !is_passing && (step == Step::Auth || state.is_some()) => {
                Err(CloseReason::Auth(log_text(reply)))
            }
            step => Err(refused(step.name(), reply)),
        }
    }
}

fn refused(command: &'static str, reply: &[u8]) -> CloseReason {
    CloseReason::Handshake { command, reply: log_text(reply) }
}

fn lacks_hello(reply: &[u8]) -> bool {
    let reply = reply.to_ascii_lowercase();
    reply.starts_with(b"noproto") || memchr::memmem::find(&reply, b"unknown command").is_some()
}

/// The number with this name in the reply to HELLO.
fn integer_of(reply: &Frame, name: &[u8]) -> Option<i64> {
    let is_it = |key: &Frame| matches!(key, Frame::Bulk(key) | Frame::Simple(key) if &key[..] == name);
    let value = match reply {
        Frame::Map(pairs) => pairs.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value),
        Frame::Array(items) => items.chunks_exact(2).find_map(|pair| match pair {
            [key, value] if is_it(key) => Some(value),
            _ => None,
        }),
        _ => None,
    };
    match value {
        Some(Frame::Integer(value)) => Some(*value),
        _ => None,
    }
}

fn write(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    let mut encoder = Encoder::command(out, arguments.len());
    for argument in arguments {
        encoder.bytes(argument);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bytes::Bytes;

    use super::*;

    const PEER: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));

    const NEGOTIATED: Negotiated =
        Negotiated { protocol: Protocol::Resp3, notifications: Notifications::Off, client: None };

    fn config() -> Arc<HandshakeConfig> {
        Arc::new(HandshakeConfig {
            username: None,
            password: Some(Secret("s3cret".into())),
            client_name: Some("app".into()),
            database: 2,
            ..HandshakeConfig::default()
        })
    }

    fn begin(config: Arc<HandshakeConfig>, out: &mut Vec<u8>) -> Handshake {
        let login = config.credentials();
        Handshake::begin(config, login, PEER, out)
    }

    fn error(text: &'static str) -> Frame {
        Frame::Error(Bytes::from_static(text.as_bytes()))
    }

    fn ok() -> Frame {
        Frame::Simple(Bytes::from_static(b"OK"))
    }

    fn hello(proto: i64) -> Frame {
        Frame::Map(vec![(Frame::Bulk(Bytes::from_static(b"proto")), Frame::Integer(proto))])
    }

    fn words(out: &mut Vec<u8>) -> String {
        let text = String::from_utf8(std::mem::take(out)).unwrap();
        let kept = text.split("\r\n").filter(|line| !line.starts_with(['*', '$']) && !line.is_empty());
        kept.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn hello_is_sent_alone_and_the_rest_in_one_write() {
        let mut out = Vec::new();
        let mut handshake = begin(config(), &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "*7\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$6\r\ns3cret\r\n\
             $7\r\nSETNAME\r\n$3\r\napp\r\n"
        );
        out.clear();
        assert_eq!(handshake.handle_reply(hello(3), &mut out).unwrap(), None);
        assert!(handshake.awaits_opt_in() && out.is_empty());
        handshake.handle_opt_in(false, &mut out);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            words(&mut out),
            format!("CLIENT SETINFO LIB-NAME hitless CLIENT SETINFO LIB-VER {version} SELECT 2")
        );
        assert_eq!(handshake.handle_reply(ok(), &mut out).unwrap(), None);
        assert_eq!(handshake.handle_reply(error("ERR unknown subcommand"), &mut out).unwrap(), None);
        assert_eq!(handshake.handle_reply(ok(), &mut out).unwrap(), Some(NEGOTIATED));
        assert!(out.is_empty());
    }

    #[test]
    fn server_without_hello_gets_resp2() {
        for refusal in ["ERR unknown command 'HELLO'", "NOPROTO unsupported protocol version"] {
            let mut out = Vec::new();
            let mut handshake = begin(config(), &mut out);
            out.clear();
            assert_eq!(handshake.handle_reply(error(refusal), &mut out).unwrap(), None);
            assert!(words(&mut out).starts_with("AUTH s3cret CLIENT SETNAME app CLIENT SETINFO"));
            for _ in 0..4 {
                assert_eq!(handshake.handle_reply(ok(), &mut out).unwrap(), None);
            }
            let negotiated = Negotiated { protocol: Protocol::Resp2, ..NEGOTIATED };
            assert_eq!(handshake.handle_reply(ok(), &mut out).unwrap(), Some(negotiated));
        }
    }

    #[test]
    fn hello_reply_with_version_2_needs_no_second_login() {
        let mut out = Vec::new();
        let mut handshake = begin(Arc::new(HandshakeConfig::default()), &mut out);
        assert_eq!(words(&mut out), "HELLO 3");
        handshake.handle_reply(hello(2), &mut out).unwrap();
        assert!(words(&mut out).starts_with("CLIENT SETINFO"));
        handshake.handle_reply(ok(), &mut out).unwrap();
        let negotiated = Negotiated { protocol: Protocol::Resp2, ..NEGOTIATED };
        assert_eq!(handshake.handle_reply(ok(), &mut out).unwrap(), Some(negotiated));
    }

    #[test]
    fn wrong_password_is_no_sign_of_an_old_server() {
        for refusal in ["WRONGPASS invalid", "NOAUTH HELLO must be called", "NOPERM no"] {
            let mut out = Vec::new();
            let mut handshake = begin(config(), &mut out);
            let reason = handshake.handle_reply(error(refusal), &mut out).unwrap_err();
            assert!(matches!(&reason, CloseReason::Auth(text) if text == refusal), "{reason:?}");
            assert!(reason.is_refusal());
        }
    }

    #[test]
    fn loading_is_tried_again_and_an_absent_database_is_not() {
        let mut out = Vec::new();
        let mut handshake = begin(config(), &mut out);
        let loading = handshake.handle_reply(error("LOADING dataset"), &mut out).unwrap_err();
        assert!(!loading.is_refusal());

        let mut handshake = begin(config(), &mut out);
        handshake.handle_reply(hello(3), &mut out).unwrap();
        handshake.handle_opt_in(true, &mut out);
        for reply in [ok(), ok(), ok()] {
            handshake.handle_reply(reply, &mut out).unwrap();
        }
        let select = handshake.handle_reply(error("ERR DB index is out of range"), &mut out).unwrap_err();
        assert_eq!(select.to_string(), "the server refused SELECT: ERR DB index is out of range");
        assert!(select.is_refusal());
    }

    #[test]
    fn no_debug_output_holds_the_password() {
        assert!(!format!("{:?}", config()).contains("s3cret"));
    }
}
