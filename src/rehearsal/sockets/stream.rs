//! A socket's bytes, in the clear or under TLS: who reads and writes here need not know which.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use rustls::Connection;

use super::raw;

/// Bytes that are read at once.
const READ_BYTES_MAX: usize = 64 << 10;
/// The same under TLS: what these hold, and what an earlier read began of a record, is no more than
/// [`READ_BYTES_MAX`].
const SEALED_BYTES_MAX: usize = READ_BYTES_MAX - RECORD_BYTES_MAX;
/// The most plain bytes in one record.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// Where bytes arrive: shared by all connections of a thread, and used within one poll.
pub(super) struct Scratch {
    /// What was read.
    pub(super) bytes: Box<[u8]>,
    /// The same under TLS; empty until somebody speaks it.
    sealed: Box<[u8]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { bytes: vec![0; READ_BYTES_MAX].into(), sealed: Box::default() }
    }
}

pub(super) struct Stream {
    socket: TcpStream,
    /// `None`: in the clear.
    tls: Option<Box<Tls>>,
}

struct Tls {
    connection: Connection,
    /// How many bytes of the caller's have been sealed, and count as written once the socket has taken their records.
    sealed: usize,
    /// The peer has said, or shown, that no more will come.
    is_at_end: bool,
}

impl Stream {
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    pub(super) fn tls(socket: TcpStream, connection: Connection) -> Self {
        Self { socket, tls: Some(Box::new(Tls { connection, sealed: 0, is_at_end: false })) }
    }

    /// Whether keys are still being agreed on: nothing that is written could be sent.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.connection.is_handshaking())
    }

    /// Brings the handshake to its end, if there is one.
    pub(super) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        if !self.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(match ready!(self.poll_read(cx, scratch))? {
            0 => io::ErrorKind::UnexpectedEof.into(),
            _ => io::Error::other("it speaks before it is spoken to"),
        }))
    }

    /// Reads into `scratch.bytes`, and says how many there are; 0 at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<usize>> {
        let Some(tls) = &mut self.tls else {
            return Pin::new(&mut self.socket).poll_read(cx, &mut scratch.bytes);
        };
        if tls.is_at_end {
            return Poll::Ready(Ok(0));
        }
        if scratch.sealed.is_empty() {
            scratch.sealed = vec![0; SEALED_BYTES_MAX].into();
        }
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut scratch.sealed))?;
        tls.is_at_end = read == 0;
        let sealed = scratch.sealed.get(..read).unwrap_or_default();
        let opened = tls.open(sealed, &mut scratch.bytes).inspect_err(|_| {
            // An alert says why; whoever is to get it may be gone.
            raw::send_now(&self.socket, &tls.outgoing());
            raw::end(&self.socket);
        })?;
        if opened == 0 && !tls.is_at_end {
            // Of the handshake, or half a record. Others' turn, and what there is to be answered is written first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(opened))
    }

    /// Writes some of `bytes`, which must be offered again, with or without more behind them, until they are taken.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(tls) = &mut self.tls else {
            return Pin::new(&mut self.socket).poll_write(cx, bytes);
        };
        if tls.sealed == 0 && !tls.connection.is_handshaking() {
            tls.sealed = tls.connection.writer().write(bytes)?;
        }
        ready!(self.poll_flush(cx))?;
        match self.tls.as_mut().map_or(0, |tls| std::mem::take(&mut tls.sealed)) {
            // What is read brings the handshake on, and this task with it.
            0 => Poll::Pending,
            written => Poll::Ready(Ok(written)),
        }
    }

    /// Writes what the protocol itself has to say. Ready when nothing of it is left.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else {
            return Poll::Ready(Ok(()));
        };
        let mut sink = Sink { socket: &mut self.socket, cx };
        while tls.connection.wants_write() {
            match tls.connection.write_tls(&mut sink) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says under TLS that nothing more will come, as far as the socket takes it without waiting. Only where an end
    /// is one in order: without it, a client must take what it has for cut off.
    pub(super) fn say_farewell(&mut self) {
        if let Some(tls) = &mut self.tls
            && !tls.connection.is_handshaking()
        {
            tls.connection.send_close_notify();
            raw::send_now(&self.socket, &tls.outgoing());
        }
    }

    /// The socket beneath, for what is done to it beside reading and writing.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl Tls {
    /// Opens what the socket gave, all of it, and says how many bytes were in it.
    fn open(&mut self, mut sealed: &[u8], bytes: &mut [u8]) -> io::Result<usize> {
        let mut opened = 0;
        while !sealed.is_empty() {
            // 0: the peer has said farewell, and nothing behind that counts.
            if self.connection.read_tls(&mut sealed)? == 0 {
                self.is_at_end = true;
                break;
            }
            let state = self
                .connection
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let room = bytes.get_mut(opened..).unwrap_or_default();
            if state.plaintext_bytes_to_read() > room.len() {
                return Err(io::Error::other("more was in the records than they can hold"));
            }
            if state.plaintext_bytes_to_read() > 0 {
                opened += self.connection.reader().read(room)?;
            }
            self.is_at_end |= state.peer_has_closed();
        }
        Ok(opened)
    }

    /// What the protocol has to say, to be sent at once or never.
    fn outgoing(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            // A vector takes everything.
            let _ = self.connection.write_tls(&mut bytes);
        }
        bytes
    }
}

/// The socket as TLS writes to it: what would wait is an error, and the task is woken when it would not any more.
struct Sink<'a, 'cx> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'cx>,
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_write(self.cx, bytes) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
