//! [`TokioSocket`]: a socket that tokio watches.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;
use tokio::io::unix::AsyncFd;

use crate::driver::runtime::Socket;

/// A non-blocking socket that tokio watches.
///
/// Its readiness is edge-triggered: it stays until a system call finds the socket empty or full. A read that did not fill its
/// buffer has emptied the socket, which saves the call that would say so. An event between that read and the clearing of the
/// readiness is not lost: tokio keeps a readiness that is newer than the one that is cleared.
pub(crate) struct TokioSocket(AsyncFd<OwnedFd>);

impl TokioSocket {
    /// # Errors
    /// If the system has no room left to watch it.
    #[allow(
        deprecated,
        reason = "its successor, which older versions do not have, is unsafe for types that may close their descriptor"
    )]
    pub(super) fn register(descriptor: OwnedFd) -> io::Result<Self> {
        AsyncFd::new(descriptor).map(TokioSocket)
    }
}

impl Socket for TokioSocket {
    #[inline]
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut readiness = ready!(self.0.poll_read_ready(context))?;
            match rustix::net::recv(self.0.get_ref(), &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) => {
                    if count > 0 && count < buffer.len() {
                        readiness.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(Errno::AGAIN) => readiness.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    #[inline]
    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut readiness = ready!(self.0.poll_write_ready(context))?;
            match rustix::net::send(self.0.get_ref(), bytes, SEND) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => readiness.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ready = ready!(self.0.poll_write_ready(context))?;
        let error = SockRef::from(self.0.get_ref()).take_error();
        Poll::Ready(error.and_then(|error| error.map_or(Ok(()), Err)))
    }

    #[cfg(feature = "tls")]
    fn run_later(&self, context: &Context<'_>) {
        context.waker().wake_by_ref();
    }

    fn with<T>(&self, see: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        see(SockRef::from(self.0.get_ref()))
    }
}

/// A socket whose other end is gone must not raise a signal. Where the flag does not exist, dialing sets it as an option.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;
