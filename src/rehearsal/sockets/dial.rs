//! Opens the connections from a proxy to the real Redis: one for each client.

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

/// Connects to one upstream.
pub(super) struct Dialer {
    config: UpstreamConfig,
    /// The addresses of the host name, and when they were looked up.
    found: RefCell<Option<(Instant, Vec<SocketAddr>)>>,
    /// One permit, so that one lookup serves all clients that connect at the same time.
    lookup: Semaphore,
}

impl Dialer {
    pub(super) fn new(config: UpstreamConfig) -> Self {
        Self { config, found: RefCell::new(None), lookup: Semaphore::new(1) }
    }

    /// Opens a connection that is ready for a client's requests.
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
        self.log_in(stream).await
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

    /// Looks the host name up on another thread, because the system's resolver blocks.
    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = (self.config.bare_host(), self.config.port);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        let _permit = self.lookup.acquire_permit(1).await?;
        if let Some((since, found)) = &*self.found.borrow()
            && since.elapsed() < LOOKUP_KEPT
        {
            return Ok(found.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let host = host.to_owned();
        std::thread::Builder::new().name("hitless-resolve".into()).spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // The client may have closed its connection meanwhile.
            let _ = sender.send(found);
        })?;
        let found = receiver.await.map_err(|_| io::Error::other("the name lookup was aborted"))??;
        *self.found.borrow_mut() = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    /// Completes the TLS handshake and sends the configured `AUTH` and `SELECT`.
    async fn log_in(&self, mut stream: Stream) -> io::Result<Stream> {
        let (requests, mut replies) = self.config.login_requests();
        let mut scratch = Scratch::default();
        poll_fn(|cx| stream.poll_handshake(cx, &mut scratch)).await?;
        let mut unsent = requests.as_slice();
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

/// Longest time until a connection is open and logged in.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long looked-up addresses are used.
const LOOKUP_KEPT: Duration = Duration::from_secs(1);
