//! Connections to the real Redis behind a proxy: one for each client.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use glommio::net::TcpStream;
use glommio::sync::Semaphore;

use super::raw;
use super::stream::{Scratch, Stream};
use super::upstream::UpstreamConfig;
use crate::rehearsal::wire::frames::FrameScanner;

/// Until a connection is made, and its greeting answered.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the addresses of a name are taken for granted.
const LOOKUP_KEPT: Duration = Duration::from_secs(1);

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
        let socket = match &self.config.path {
            Some(path) => raw::connect_unix(path)?,
            None => self.dial_tcp().await?,
        };
        let stream = match &self.config.tls {
            None => Stream::plain(socket),
            Some(tls) => Stream::tls(socket, tls.connect()?.into()),
        };
        self.greet(stream).await
    }

    async fn dial_tcp(&self) -> io::Result<TcpStream> {
        let mut last_error = io::ErrorKind::NotFound.into();
        for address in self.addresses().await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last_error = error.into(),
            }
        }
        Err(last_error)
    }

    /// Looked up on another thread: the system's resolver blocks.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = (self.config.bare_host(), self.config.port);
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

    async fn greet(&self, mut stream: Stream) -> io::Result<Stream> {
        let (greeting, mut replies) = self.config.greeting();
        let mut scratch = Scratch::default();
        poll_fn(|cx| stream.poll_handshake(cx, &mut scratch)).await?;
        let mut unsent = greeting.as_slice();
        while !unsent.is_empty() {
            let written = poll_fn(|cx| stream.poll_write(cx, unsent)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            unsent = unsent.get(written..).unwrap_or_default();
        }
        let mut scanner = FrameScanner::default();
        while replies > 0 {
            let read = poll_fn(|cx| stream.poll_read(cx, &mut scratch)).await?;
            let mut rest = scratch.bytes.get(..read).unwrap_or_default();
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
