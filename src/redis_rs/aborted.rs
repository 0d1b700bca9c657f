//! The error of a transaction whose commands the server refused to queue.
//!
//! redis-rs lists these commands in an error that only redis-rs can construct. So a connection of redis-rs constructs it: it
//! reads, from memory, replies like those of the server.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_lite::future;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The error of a transaction with these error replies, each with the index of its command.
pub(super) async fn aborted(failed: &[(usize, Bytes)]) -> RedisError {
    match replay(failed).await {
        Err(error) => error,
        Ok(()) => (redis::ErrorKind::Client, "hitless", "the transaction was aborted".to_owned()).into(),
    }
}

async fn replay(failed: &[(usize, Bytes)]) -> Result<(), RedisError> {
    let commands = failed.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
    let mut pipeline = redis::Pipeline::with_capacity(commands);
    pipeline.atomic();
    (0..commands).for_each(|_| {
        pipeline.cmd("PING");
    });
    let server = Server { replies: replies(commands, failed), read: 0, is_asked: false };
    let login = RedisConnectionInfo::default().set_skip_set_lib_name();
    // Without timeouts it needs no runtime.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let (mut connection, driver) = MultiplexedConnection::new_with_config(&login, server, config).await?;
    let request = connection.req_packed_commands(&pipeline, commands + 1, 1);
    let driven = async {
        driver.await;
        // The request ends after its driver.
        future::pending().await
    };
    future::or(request, driven).await.map(|_| ())
}

fn replies(commands: usize, failed: &[(usize, Bytes)]) -> Vec<u8> {
    let mut replies = b"+OK\r\n".to_vec();
    let mut failed = failed.iter().peekable();
    for command in 0..commands {
        match failed.next_if(|(index, _)| *index == command) {
            Some((_, text)) => {
                let length = text.len().to_string();
                replies.extend([b"!", length.as_bytes(), b"\r\n", text, b"\r\n"].concat());
            }
            None => replies.extend(b"+QUEUED\r\n"),
        }
    }
    replies.extend(b"*-1\r\n");
    replies
}

/// A server that sends its replies after the first request, and closes.
struct Server {
    replies: Vec<u8>,
    read: usize,
    is_asked: bool,
}

impl AsyncRead for Server {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_asked {
            // The driver that reads is about to write.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = this.replies.get(this.read..).unwrap_or_default();
        let taken = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(taken);
        this.read += taken.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, asked: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().is_asked = true;
        Poll::Ready(Ok(asked.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use redis::ServerErrorKind;

    use super::*;

    #[test]
    fn error_lists_the_commands_and_their_errors() {
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        for count in [1, 2, 20_000] {
            let failed: Vec<_> = (0..count)
                .map(|number| (3 * number + 1, text(["READONLY no", "ERR un\r\nknown"][number % 2])))
                .collect();
            let error = future::block_on(aborted(&failed));
            assert_eq!(error.kind(), ServerErrorKind::ExecAbort.into(), "{error}");
            let found = error.into_server_errors().unwrap();
            let indices: Vec<usize> = found.iter().map(|(index, _)| *index).collect();
            assert_eq!(indices, failed.iter().map(|(index, _)| *index).collect::<Vec<_>>());
            assert_eq!(found[0].1.kind(), Some(ServerErrorKind::ReadOnly));
            assert!(count == 1 || found[1].1.details() == Some("un\r\nknown"));
        }
    }
}
