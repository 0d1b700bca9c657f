//! A byte stream over a socket, in plain text or under TLS.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use rustls::Connection;

use super::raw;

/// The read buffers that all connections of a thread share. A connection uses them within one poll.
pub(super) struct Scratch {
    /// The bytes that were read.
    pub(super) bytes: Box<[u8]>,
    /// The encrypted bytes from the socket; empty until the first TLS connection.
    encrypted: Box<[u8]>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { bytes: vec![0; READ_BYTES_MAX].into(), encrypted: Box::default() }
    }
}

/// One connection's byte stream.
pub(super) struct Stream {
    socket: TcpStream,
    /// `None` for plain text.
    tls: Option<Box<Tls>>,
}

struct Tls {
    connection: Connection,
    /// The number of the caller's bytes that are encrypted. They count as written when the socket has taken their
    /// records.
    encrypted: usize,
    /// The peer has closed its direction, with or without a `close_notify`.
    is_at_end: bool,
}

impl Stream {
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    pub(super) fn tls(socket: TcpStream, connection: Connection) -> Self {
        Self { socket, tls: Some(Box::new(Tls { connection, encrypted: 0, is_at_end: false })) }
    }

    /// Whether the TLS handshake is incomplete. Nothing can be written before it is complete.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.connection.is_handshaking())
    }

    /// Completes the TLS handshake. Plain text is ready at once.
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
            _ => io::Error::other("the server sent data before the first request"),
        }))
    }

    /// Reads into `scratch.bytes`. Returns the number of bytes; 0 at the end.
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
        if scratch.encrypted.is_empty() {
            scratch.encrypted = vec![0; ENCRYPTED_BYTES_MAX].into();
        }
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut scratch.encrypted))?;
        tls.is_at_end = read == 0;
        let encrypted = scratch.encrypted.get(..read).unwrap_or_default();
        let decrypted = tls.decrypt(encrypted, &mut scratch.bytes).inspect_err(|_| {
            // The TLS alert tells the peer the reason, if the peer still reads.
            raw::send_nonblocking(&self.socket, &tls.outgoing());
            raw::close(&self.socket);
        })?;
        if decrypted == 0 && !tls.is_at_end {
            // These bytes were part of the handshake or of an incomplete record. The task is polled again after the
            // others, and writes its own handshake messages first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(decrypted))
    }

    /// Writes some of `bytes`. Until they are taken, the caller must pass the same bytes again; more may follow them.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(tls) = &mut self.tls else {
            return Pin::new(&mut self.socket).poll_write(cx, bytes);
        };
        if tls.encrypted == 0 && !tls.connection.is_handshaking() {
            tls.encrypted = tls.connection.writer().write(bytes)?;
        }
        ready!(self.poll_flush(cx))?;
        match self.tls.as_mut().map_or(0, |tls| std::mem::take(&mut tls.encrypted)) {
            // The handshake is incomplete. The next read continues it and wakes this task.
            0 => Poll::Pending,
            written => Poll::Ready(Ok(written)),
        }
    }

    /// Writes pending TLS records. Ready when none is left.
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

    /// Sends the TLS alert `close_notify` without waiting. Only a graceful close may call this. Without a
    /// `close_notify` a client must treat the stream as truncated, and some faults need that.
    pub(super) fn send_close_notify(&mut self) {
        if let Some(tls) = &mut self.tls
            && !tls.connection.is_handshaking()
        {
            tls.connection.send_close_notify();
            raw::send_nonblocking(&self.socket, &tls.outgoing());
        }
    }

    /// The socket itself, for operations besides reading and writing.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl Tls {
    /// Decrypts all bytes from the socket into `bytes`. Returns the number of decrypted bytes.
    fn decrypt(&mut self, mut encrypted: &[u8], bytes: &mut [u8]) -> io::Result<usize> {
        let mut decrypted = 0;
        while !encrypted.is_empty() {
            // rustls takes no more bytes after a `close_notify`. Bytes behind it are ignored.
            if self.connection.read_tls(&mut encrypted)? == 0 {
                self.is_at_end = true;
                break;
            }
            let state = self
                .connection
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let room = bytes.get_mut(decrypted..).unwrap_or_default();
            if state.plaintext_bytes_to_read() > room.len() {
                return Err(io::Error::other("the TLS records hold more bytes than the protocol allows"));
            }
            if state.plaintext_bytes_to_read() > 0 {
                decrypted += self.connection.reader().read(room)?;
            }
            self.is_at_end |= state.peer_has_closed();
        }
        Ok(decrypted)
    }

    /// Takes the pending TLS records, which the caller sends now or never.
    fn outgoing(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            // Writing to a vector does not fail.
            let _ = self.connection.write_tls(&mut bytes);
        }
        bytes
    }
}

/// The socket as rustls writes to it. A write that would wait fails with `WouldBlock`, and the socket wakes the task when
/// it can continue.
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

/// Most bytes of one read.
const READ_BYTES_MAX: usize = 64 << 10;
/// Most encrypted bytes of one read. Together with the start of a record from an earlier read, they decrypt to at most
/// [`READ_BYTES_MAX`].
const ENCRYPTED_BYTES_MAX: usize = READ_BYTES_MAX - RECORD_BYTES_MAX;
/// Most plain bytes of one TLS record.
const RECORD_BYTES_MAX: usize = 16 << 10;
