//! What is done to sockets beside reading and writing them, and what the runtime does not do itself.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::path::Path;
use std::time::Duration;

use glommio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

pub(super) const ACCEPT_BACKLOG: i32 = 1_024;
/// Bytes that arrived unread and are thrown away so that an end is one, and not a reset.
const DRAINED_BYTES_MAX: usize = 1 << 20;

/// Asks the kernel for a ring, because glommio panics if it gets none, and blames the kernel's age.
#[expect(unsafe_code, reason = "a system call that no crate wraps")]
pub(super) fn probe_io_uring() -> io::Result<()> {
    // As large as the kernel's io_uring_params, which are all zero by default.
    let mut params = [0u8; 120];
    // SAFETY: the call takes a number of entries and a pointer to the 120 bytes of one io_uring_params, whatever their
    // alignment. `params` is as large, and borrowed for this call alone; the kernel keeps no reference to it.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, params.as_mut_ptr()) };
    if fd >= 0 {
        // SAFETY: the call has just opened `fd`, nobody else knows its number, and what owns it here closes it once.
        // Descriptors fit in an i32.
        drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) });
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let cause = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring (5.8 or newer is needed)",
        Some(libc::EPERM) => {
            "io_uring is forbidden, by a seccomp filter (the default in most containers) or by the \
             sysctl kernel.io_uring_disabled"
        }
        Some(libc::ENOMEM) => "io_uring gets no memory: see the locked-memory limit (ulimit -l)",
        _ => "io_uring is not available",
    };
    Err(io::Error::new(error.kind(), format!("{cause}: {error}")))
}

/// Binds without SO_REUSEPORT, which glommio's own bind sets: two processes would share a port
/// unknowingly.
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
            // A port that the kernel chose is lost when the socket stops listening; one that was asked for is not.
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

/// The runtime's listener for a socket that listens already.
#[expect(unsafe_code, reason = "the runtime takes sockets as bare numbers")]
pub(super) fn listener(socket: StdListener) -> TcpListener {
    // SAFETY: the descriptor is an open, listening TCP socket, and comes out of an owner that gives it up: the result
    // owns it alone.
    unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) }
}

/// Connects to a unix socket. The runtime's stream for TCP serves: it sends, receives and waits as on any socket.
#[expect(unsafe_code, reason = "the runtime takes sockets as bare numbers")]
pub(super) fn connect_unix(path: &Path) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A server that does not accept must not hold the thread: then this is refused instead.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    // SAFETY: the descriptor is an open, connected stream socket, and comes out of an owner that gives it up: the
    // result owns it alone.
    Ok(unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) })
}

/// Ends a connection with a FIN, after what has been written. What arrived and was not read would make it a reset,
/// which takes the last replies away from the client.
pub(super) fn end(stream: &TcpStream) {
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

/// Says that nothing more will be written; reading goes on.
pub(super) fn end_writing(stream: &TcpStream) {
    let descriptor = descriptor(stream);
    if let Err(error) = SockRef::from(&descriptor).shutdown(Shutdown::Write) {
        tracing::debug!(%error, "cannot shut a connection down");
    }
}

/// Has the connection reset when it is closed; what is not sent by then is lost.
pub(super) fn reset_on_close(stream: &TcpStream) {
    let descriptor = descriptor(stream);
    if let Err(error) = SockRef::from(&descriptor).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot set SO_LINGER");
    }
}

/// Tells a client that there are too many, as far as its socket takes it without waiting.
pub(super) fn refuse(stream: &TcpStream) {
    send_now(stream, b"-ERR max number of clients reached\r\n");
}

/// Last words, as far as the socket takes them without waiting.
pub(super) fn send_now(stream: &TcpStream, bytes: &[u8]) {
    let descriptor = descriptor(stream);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // Whoever they are for may be gone.
    let _ = SockRef::from(&descriptor).send_with_flags(bytes, flags);
}

/// The stream's descriptor, for as long as the stream is borrowed.
#[expect(unsafe_code, reason = "the runtime lends sockets as bare numbers")]
fn descriptor(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the stream keeps its descriptor open until it is dropped, which it cannot be while it is borrowed; the
    // result has the lifetime of that borrow.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}
