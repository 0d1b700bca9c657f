//! Connections to the real Redis behind a proxy: one for each client.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpStream;
use glommio::sync::Semaphore;

use super::stream::Stream;
use crate::rehearsal::wire::frames::FrameScanner;

/// Until a connection is made, and its greeting answered.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the addresses of a name are taken for granted.
const LOOKUP_KEPT: Duration = Duration::from_secs(1);

/// The real Redis that a proxy stands in front of.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// A name or an address. Default: `127.0.0.1`.
    pub host: String,
    /// Default: 6379.
    pub port: u16,
    /// Whom to authenticate as before anything is forwarded, if there is a password; `None`: the
    /// default user. Default: `None`.
    pub username: Option<String>,
    /// `None`: clients authenticate themselves. Default: `None`.
    pub password: Option<String>,
    /// The database that clients find themselves in. Default: 0.
    pub database: u32,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 6379, username: None, password: None, database: 0 }
    }
}

impl std::fmt::Debug for UpstreamConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("database", &self.database)
            .finish()
    }
}

impl UpstreamConfig {
    /// What is sent before anything is forwarded, and how many replies it gets.
    fn greeting(&self) -> (Vec<u8>, usize) {
        let database = self.database.to_string();
        let auth: Option<Vec<&str>> = self.password.as_deref().map(|password| match &self.username {
            Some(username) => vec!["AUTH", username, password],
            None => vec!["AUTH", password],
        });
        let select = (self.database != 0).then(|| vec!["SELECT", &database]);
        let requests: Vec<Vec<&str>> = auth.into_iter().chain(select).collect();
        let mut bytes = Vec::new();
        for request in &requests {
            bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for word in request {
                bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        (bytes, requests.len())
    }
}

/// Connects to one upstream.
pub(super) struct Dialer {
    config: UpstreamConfig,
    /// The addresses of the name, and since when.
    found: RefCell<Option<(Instant, Vec<SocketAddr>)>>,
    /// Who may look the name up: one at a time, for all who wait.
    turn: Semaphore,
}

impl Dialer {
    pub(super) fn new(config: UpstreamConfig) -> Self {
        Self { config, found: RefCell::new(None), turn: Semaphore::new(1) }
    }

    /// A connection that is ready for a client's requests.
    pub(super) async fn dial(&self) -> io::Result<Stream> {
        let dial = async { Ok(self.dial_without_limit().await) };
        match glommio::timer::timeout(DIAL_TIMEOUT, dial).await {
            Ok(result) => result,
            Err(error) => {
                let error: glommio::GlommioError<()> = error;
                Err(io::Error::new(io::ErrorKind::TimedOut, error.to_string()))
            }
        }
    }

    async fn dial_without_limit(&self) -> io::Result<Stream> {
        let mut last_error = io::ErrorKind::NotFound.into();
        for address in self.addresses().await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return self.greet(stream).await.map(Stream::plain);
                }
                Err(error) => last_error = error.into(),
            }
        }
        Err(last_error)
    }

    /// Looked up on another thread: the system's resolver blocks.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = (self.config.host.trim_matches(['[', ']']), self.config.port);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        let _turn = self.turn.acquire_permit(1).await?;
        if let Some((since, found)) = &*self.found.borrow()
            && since.elapsed() < LOOKUP_KEPT
        {
            return Ok(found.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let host = host.to_owned();
        std::thread::Builder::new().name("hitless-resolve".into()).spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Whoever asked may have stopped waiting.
            let _ = sender.send(found);
        })?;
        let found = receiver.await.map_err(|_| io::Error::other("the look-up was broken off"))??;
        *self.found.borrow_mut() = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    async fn greet(&self, mut stream: TcpStream) -> io::Result<TcpStream> {
        let (greeting, mut replies) = self.config.greeting();
        stream.write_all(&greeting).await?;
        let (mut scanner, mut buffer) = (FrameScanner::default(), [0; 512]);
        while replies > 0 {
            let read = stream.read(&mut buffer).await?;
            let mut rest = buffer.get(..read).unwrap_or_default();
            if rest.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Some((end, kind)) =
                scanner.frame_end(rest).map_err(|_| io::Error::other("upstream is not Redis"))?
            {
                if kind == b'-' {
                    let refusal = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
                    return Err(io::Error::other(format!("refused: {}", refusal.trim_end())));
                }
                replies -= 1;
                rest = rest.get(end..).unwrap_or_default();
            }
        }
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_what_the_configuration_asks_for() {
        let greeting = |config: UpstreamConfig| {
            let (bytes, replies) = config.greeting();
            (String::from_utf8(bytes).unwrap(), replies)
        };
        let config = UpstreamConfig::default();
        assert_eq!(greeting(config.clone()), (String::new(), 0));
        let config = UpstreamConfig { password: Some("secret".into()), ..config };
        assert_eq!(greeting(config.clone()), ("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n".to_owned(), 1));
        let config = UpstreamConfig { username: Some("me".into()), database: 12, ..config };
        let expected =
            "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n".to_owned();
        assert_eq!(greeting(config.clone()), (expected, 2));
        assert!(!format!("{config:?}").contains("secret"));
    }
}
