//! Socket operations besides reading and writing, and those that the runtime lacks.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::path::Path;
use std::time::Duration;

use glommio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// Checks that the kernel grants an io_uring. Without one glommio panics, and its message names the kernel's age as the
/// cause.
#[expect(unsafe_code, reason = "a system call that no crate wraps")]
pub(super) fn probe_io_uring() -> io::Result<()> {
    // As large as the kernel's io_uring_params, which are all zero by default.
    let mut params = [0u8; 120];
    // SAFETY: the call takes a number of entries and a pointer to the 120 bytes of one io_uring_params, with any
    // alignment. `params` has this size and is borrowed for this call only; the kernel keeps no reference to it.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    if fd >= 0 {
        // SAFETY: the call has just opened `fd`, and no other code knows its number, so this owner alone closes it.
        // Descriptors fit in an i32.
        drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) });
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let cause = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring; 5.8 or newer is needed",
        Some(libc::EPERM) => {
            "io_uring is forbidden by a seccomp filter (the default in most containers) or by the sysctl \
             kernel.io_uring_disabled; allow it there"
        }
        Some(libc::ENOMEM) => "io_uring gets no memory; raise the locked-memory limit (ulimit -l)",
        _ => "io_uring is not available",
    };
    Err(io::Error::new(error.kind(), format!("{cause}: {error}")))
}

/// Binds without SO_REUSEPORT. glommio's own bind sets it, and then two processes could share a port unnoticed.
pub(super) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let bind_only = |address: SocketAddr| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        Ok(socket)
    };
    let bind = || {
        let mut socket = bind_only(address)?;
        if address.port() == 0 {
            // When a socket stops listening, it keeps an explicit port but loses one that the kernel chose. So the chosen
            // port is bound again explicitly.
            let chosen = socket.local_addr()?.as_socket().unwrap_or(address);
            socket = bind_only(chosen)?;
        }
        socket.listen(ACCEPT_BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Converts a listening socket to the runtime's listener.
#[expect(unsafe_code, reason = "the runtime takes sockets as bare numbers")]
pub(super) fn listener(socket: StdListener) -> TcpListener {
    // SAFETY: the descriptor is an open, listening TCP socket. Its former owner has released it, so the result is its
    // only owner.
    unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) }
}

/// Connects to a unix socket. The runtime's TCP stream can carry it, because it only sends, receives and waits.
#[expect(unsafe_code, reason = "the runtime takes sockets as bare numbers")]
pub(super) fn connect_unix(path: &Path) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A blocking connect would stall the thread while the server's backlog is full. A non-blocking one fails instead.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    // SAFETY: the descriptor is an open, connected stream socket. Its former owner has released it, so the result is
    // its only owner.
    Ok(unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) })
}

/// Closes a connection with a FIN behind the written bytes. It reads what has arrived first: while unread bytes are
/// left, the kernel sends a RST instead of a FIN. A RST makes the client lose the last replies.
pub(super) fn close(stream: &TcpStream) {
    let descriptor = descriptor(stream);
    let socket = SockRef::from(&descriptor);
    if socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut unread = [MaybeUninit::uninit(); 8 << 10];
    let mut drained = 0;
    while let Ok(read @ 1..) = socket.recv_with_flags(&mut unread, libc::MSG_DONTWAIT) {
        drained += read;
        if drained > DRAINED_BYTES_MAX {
            break;
        }
    }
}

/// Shuts down the direction to the peer. Reading continues.
pub(super) fn shut_down_writing(stream: &TcpStream) {
    let descriptor = descriptor(stream);
    if let Err(error) = SockRef::from(&descriptor).shutdown(Shutdown::Write) {
        tracing::debug!(%error, "cannot shut a connection down");
    }
}

/// Makes the kernel send a RST when the connection is closed. Bytes that are not sent by then are lost.
pub(super) fn reset_on_close(stream: &TcpStream) {
    let descriptor = descriptor(stream);
    if let Err(error) = SockRef::from(&descriptor).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot set SO_LINGER");
    }
}

/// Sends Redis's error for too many clients, without waiting.
pub(super) fn refuse(stream: &TcpStream) {
    send_nonblocking(stream, b"-ERR max number of clients reached\r\n");
}

/// Sends as many of `bytes` as the socket takes without waiting, and ignores errors.
pub(super) fn send_nonblocking(stream: &TcpStream, bytes: &[u8]) {
    let descriptor = descriptor(stream);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // The peer may have closed the connection.
    let _ = SockRef::from(&descriptor).send_with_flags(bytes, flags);
}

/// The stream's descriptor, borrowed with the stream.
#[expect(unsafe_code, reason = "the runtime lends sockets as bare numbers")]
fn descriptor(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the stream keeps its descriptor open until it is dropped. The result has the lifetime of the borrow, so
    // the stream cannot be dropped before it.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}

pub(super) const ACCEPT_BACKLOG: i32 = 1_024;
/// Most unread bytes that are read and dropped before a close.
const DRAINED_BYTES_MAX: usize = 1 << 20;
