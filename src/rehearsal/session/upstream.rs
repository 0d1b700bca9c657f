//! One session's exchange with its upstream connection.

use std::collections::VecDeque;

use crate::rehearsal::ids::SessionId;
use crate::rehearsal::wire::frames::FrameScanner;
use crate::rehearsal::wire::hello::Hello;
use crate::rehearsal::wire::reply::Protocol;
use crate::rehearsal::wire::request::Args;

/// The requests and replies of one session that are in flight between the proxy and upstream.
///
/// The proxy appends requests, and calls [`Upstream::note`] once for each. The upstream connection takes the bytes with
/// [`Upstream::take`], and passes everything that it reads to [`Upstream::scan`]. Replies are matched to requests by
/// their number alone, so a request must never be noted twice and no reply byte may be left out.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    pub(crate) requests: Vec<u8>,
    /// Bytes at the head of `requests` that the connection has written.
    taken: usize,
    scanner: FrameScanner,
    /// The number of forwarded requests, and of replies to them.
    sent: u64,
    answered: u64,
    /// Effects on the session that wait for a reply, with the number of their request.
    pending_effects: VecDeque<(u64, PendingEffect)>,
    /// A request was forwarded in part.
    pub(crate) is_inside_request: bool,
    /// The client has violated the protocol. Everything that it sends is forwarded, so that upstream replies with the
    /// error.
    pub(crate) is_request_stream_opaque: bool,
    /// A local request waits for the replies to earlier requests.
    pub(crate) is_waiting: bool,
    replies: Replies,
}

/// How replies are told apart.
///
/// ```text
///  Counted ── SUBSCRIBE, MONITOR, CLIENT REPLY ──▶ Uncounted
///     │                                                │
///     └────── SYNC, PSYNC, or a broken frame ──────────┴──▶ Opaque
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Replies {
    /// Each request gets one reply. All other frames are pushes.
    #[default]
    Counted,
    /// Some requests get no reply, and some frames are messages that look like replies.
    Uncounted,
    /// The bytes are not frames, as in replication. No frame can be inserted.
    Opaque,
}

/// What a forwarded request changes in the session when upstream replies without an error.
#[derive(Debug)]
pub(crate) enum PendingEffect {
    Hello { protocol: Option<Protocol>, name: Option<Vec<u8>> },
    Name(Vec<u8>),
    LibraryName(Vec<u8>),
    LibraryVersion(Vec<u8>),
    Reset,
}

impl Upstream {
    /// The bytes that the upstream connection has not written yet.
    pub(crate) fn pending(&self) -> &[u8] {
        self.requests.get(self.taken..).unwrap_or_default()
    }

    /// Whether no more requests may be forwarded after `more_bytes`. The rest of a request that was forwarded in part
    /// does not count as another request.
    pub(crate) fn is_full(&self, more_bytes: usize) -> bool {
        let is_counted = self.replies == Replies::Counted && !self.is_inside_request;
        self.pending().len() + more_bytes >= REQUEST_BYTES_MAX
            || (is_counted && self.sent - self.answered >= REQUESTS_MAX)
    }

    /// Whether a waiting request could be forwarded or answered now.
    pub(crate) fn has_room(&self) -> bool {
        !(self.is_full(0) || self.is_waiting && self.must_wait())
    }

    /// Whether a local reply now would overtake the replies to earlier requests.
    pub(crate) fn must_wait(&self) -> bool {
        self.replies == Replies::Counted && self.answered < self.sent
    }

    /// The upstream connection has written the first `bytes` of [`Upstream::pending`].
    pub(crate) fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= self.requests.len() {
            self.requests.clear();
            self.requests.shrink_to(CAPACITY_KEPT_BYTES);
            self.taken = 0;
        } else if self.taken >= self.requests.len() / 2 {
            self.requests.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Counts a forwarded request, and records its effect on the session.
    #[inline]
    pub(crate) fn note(&mut self, args: Args<'_>) {
        self.sent += 1;
        // The length of the name rules out nearly all commands before the comparison.
        if matches!(args.at(0).len(), 4..=7 | 9..=12) {
            self.note_command(args);
        }
    }

    fn note_command(&mut self, args: Args<'_>) {
        let effect = match args.at(0).to_ascii_uppercase().as_slice() {
            b"HELLO" => hello(args),
            b"RESET" => Some(PendingEffect::Reset),
            b"CLIENT" => match args.at(1).to_ascii_uppercase().as_slice() {
                b"SETNAME" => Some(PendingEffect::Name(args.at(2).to_vec())),
                b"SETINFO" if args.at(2).eq_ignore_ascii_case(b"LIB-NAME") => {
                    Some(PendingEffect::LibraryName(args.at(3).to_vec()))
                }
                b"SETINFO" if args.at(2).eq_ignore_ascii_case(b"LIB-VER") => {
                    Some(PendingEffect::LibraryVersion(args.at(3).to_vec()))
                }
                b"REPLY" => return self.stop_counting(),
                _ => None,
            },
            b"MONITOR" | b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE"
            | b"SUNSUBSCRIBE" => return self.stop_counting(),
            b"SYNC" | b"PSYNC" => {
                self.replies = Replies::Opaque;
                return;
            }
            _ => None,
        };
        if let Some(effect) = effect {
            self.pending_effects.push_back((self.sent, effect));
        }
    }

    fn stop_counting(&mut self) {
        if self.replies == Replies::Counted {
            self.replies = Replies::Uncounted;
        }
    }

    /// Scans bytes from upstream and calls `apply` for each effect that upstream has accepted. Returns the end of the
    /// last complete frame in `bytes`.
    pub(crate) fn scan(
        &mut self,
        session: SessionId,
        bytes: &[u8],
        mut apply: impl FnMut(PendingEffect),
    ) -> usize {
        let mut whole = 0;
        while self.replies != Replies::Opaque {
            match self.scanner.frame_end(bytes.get(whole..).unwrap_or_default()) {
                Ok(Some((length, kind))) => {
                    whole += length;
                    // RESP2 has no pushes: there a push arrives as an array, and is counted as a reply.
                    if kind != b'>' {
                        self.note_reply(kind == b'-', &mut apply);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    tracing::debug!(%session, "upstream sends bytes that are not RESP; they are relayed unchanged");
                    self.replies = Replies::Opaque;
                }
            }
        }
        whole
    }

    fn note_reply(&mut self, is_error: bool, apply: &mut impl FnMut(PendingEffect)) {
        self.answered = self.sent.min(self.answered + 1);
        while self.pending_effects.front().is_some_and(|(request, _)| *request <= self.answered) {
            if let Some((_, effect)) = self.pending_effects.pop_front()
                && !is_error
            {
                apply(effect);
            }
        }
    }
}

/// The effect of a `HELLO`; `None` if it is malformed, which upstream will reject.
fn hello(args: Args<'_>) -> Option<PendingEffect> {
    let hello = Hello::parse(args).ok()?;
    Some(PendingEffect::Hello { protocol: hello.protocol, name: hello.name.map(<[u8]>::to_vec) })
}

/// Bytes of requests that wait for upstream, at which the client is not read any more (1 MiB).
pub(crate) const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of replies that wait for the client, at which upstream is not read any more (1 MiB).
pub(crate) const UPSTREAM_REPLY_BYTES_MAX: usize = 1 << 20;
/// Most requests of one session in flight at upstream. Redis has no limit of its own on the replies that it buffers for
/// them.
pub(crate) const REQUESTS_MAX: u64 = 1_024;

/// Request memory that an idle session keeps.
const CAPACITY_KEPT_BYTES: usize = 128 << 10;
