//! [`Sockets`]: the kernel interface through which shards use their sockets.

use std::fmt;

/// The kernel interface through which a shard on a thread of its own uses its sockets: [`Config::sockets`](crate::Config::sockets).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sockets {
    /// What was measured to cost less CPU: [`IoUring`](Sockets::IoUring) for shards with 32 or more connections, and
    /// [`Epoll`](Sockets::Epoll) for others.
    #[default]
    Auto,
    /// epoll says which sockets can be used. Each read and each write is a system call of its own.
    Epoll,
    /// An io_uring of the shard's own receives and sends, for all sockets with one system call. Linux 6.1 or later; where the
    /// kernel refuses it, the shard uses epoll.
    IoUring,
}

impl Sockets {
    /// The choice for shards with so many connections.
    pub(crate) fn resolve(self, connections_per_shard: usize) -> Sockets {
        match self {
            Sockets::Auto if connections_per_shard >= IO_URING_FROM => Sockets::IoUring,
            Sockets::Auto => Sockets::Epoll,
            chosen => chosen,
        }
    }
}

impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sockets::Auto => "auto",
            Sockets::Epoll => "epoll",
            Sockets::IoUring => "io_uring",
        })
    }
}

/// With 16 connections both cost nearly the same, and with 50 the ring costs less. With few connections each read has many
/// replies: a system call more is nothing beside them, and a copy more is not.
const IO_URING_FROM: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_choice_follows_the_number_of_connections() {
        assert_eq!(
            [4, 31, 32].map(|count| Sockets::Auto.resolve(count)),
            [Sockets::Epoll, Sockets::Epoll, Sockets::IoUring]
        );
        for chosen in [Sockets::Epoll, Sockets::IoUring] {
            assert_eq!([4, 64].map(|count| chosen.resolve(count)), [chosen; 2]);
        }
    }
}
