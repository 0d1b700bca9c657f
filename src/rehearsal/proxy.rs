//! The proxy: it forwards requests to a real Redis byte for byte, relays the replies byte for byte, and inserts its own
//! frames between them.
//!
//! `REHEARSE …` and `CLIENT MAINT_NOTIFICATIONS …` are local requests: the proxy answers them itself. Replies keep their
//! order, so a local request waits until upstream has answered the earlier requests of its session, and later requests
//! wait behind it. After `SUBSCRIBE`, `MONITOR` or `CLIENT REPLY`, replies cannot be told from messages, and local
//! requests are answered at once.

use std::collections::BTreeMap;

use super::commands::command::CommandContext;
use super::commands::dispatch;
use super::ids::SessionId;
use super::session::Session;
use super::session::upstream::Upstream;
use super::state::ServerState;
use super::wire::request::{Args, Parsed, Parser};

/// Forwards the requests at the head of `input`, and answers the local ones. Returns the number of handled bytes.
pub(crate) fn forward_requests(
    state: &mut ServerState,
    others: &mut BTreeMap<SessionId, Box<Session>>,
    session: &mut Session,
    now_us: u64,
    input: &[u8],
) -> usize {
    let Some(mut upstream) = session.upstream.take() else {
        return 0;
    };
    let mut parser = std::mem::take(&mut session.parser);
    upstream.is_waiting = false;
    // The bytes before `copied` are handled; those from `copied` to `at` are to be forwarded.
    let (mut copied, mut at) = (0, 0);
    while session.ending.is_none() && !session.is_silent {
        if upstream.is_full(at - copied) {
            session.is_stalled = true;
            break;
        }
        if upstream.is_request_stream_opaque {
            at = input.len();
            break;
        }
        let rest = input.get(at..).unwrap_or_default();
        match parser.parse(rest) {
            Parsed::Empty(used) => at += used,
            Parsed::Request(used) if upstream.is_inside_request => {
                upstream.is_inside_request = false;
                at += used;
            }
            Parsed::Request(used) if !is_local(parser.args(rest)) => {
                note_forwarded(state, session, &mut upstream, parser.args(rest));
                at += used;
            }
            Parsed::Request(_) if upstream.must_wait() => {
                upstream.is_waiting = true;
                session.is_stalled = true;
                break;
            }
            Parsed::Request(used) => {
                upstream.requests.extend_from_slice(input.get(copied..at).unwrap_or_default());
                let mut context = CommandContext { state, others, session, now_us };
                dispatch::execute(&mut context, parser.args(rest));
                at += used;
                copied = at;
            }
            Parsed::Incomplete => {
                at += forward_part(state, session, &mut upstream, &mut parser, rest);
                break;
            }
            Parsed::Invalid(_) => upstream.is_request_stream_opaque = true,
        }
    }
    upstream.requests.extend_from_slice(input.get(copied..at).unwrap_or_default());
    session.parser = parser;
    session.upstream = Some(upstream);
    at
}

/// Relays bytes from upstream to the client of `session`.
pub(crate) fn relay_replies(state: &mut ServerState, session: &mut Session, now_us: u64, bytes: &[u8]) {
    let Some(mut upstream) = session.upstream.take() else {
        return;
    };
    let whole = upstream.scan(session.id, bytes, |effect| session.apply_effect(effect));
    let (whole, part) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
    if !session.is_silent {
        session.reply.relay(whole, part);
    }
    session.upstream = Some(upstream);
    state.now_us = now_us;
    state.account_output(session, now_us);
}

/// Forwards the arrived part of a large request. Returns the number of forwarded bytes.
fn forward_part(
    state: &mut ServerState,
    session: &mut Session,
    upstream: &mut Upstream,
    parser: &mut Parser,
    rest: &[u8],
) -> usize {
    if !upstream.is_inside_request {
        let is_large = rest.len() > WHOLE_REQUEST_BYTES_MAX && rest.starts_with(b"*");
        if !is_large || !may_be_forwarded_in_part(parser.args(rest)) {
            return 0;
        }
        note_forwarded(state, session, upstream, parser.args(rest));
        upstream.is_inside_request = true;
    }
    parser.release(rest)
}

/// Counts a forwarded request. The audit counts it as executed, because its reply need not tell whether it was.
fn note_forwarded(state: &mut ServerState, session: &mut Session, upstream: &mut Upstream, args: Args<'_>) {
    state.commands += 1;
    session.counts.commands += 1;
    state.audit.note(args);
    upstream.note(args);
}

/// Whether the proxy answers this request itself.
#[inline]
fn is_local(args: Args<'_>) -> bool {
    match args.at(0) {
        name if name.len() == 6 => {
            name.eq_ignore_ascii_case(b"CLIENT") && args.at(1).eq_ignore_ascii_case(b"MAINT_NOTIFICATIONS")
        }
        name => name.eq_ignore_ascii_case(b"REHEARSE"),
    }
}

/// Whether an incomplete request may be forwarded before its rest has arrived. Its name decides: the proxy needs the
/// later arguments of these three commands only.
fn may_be_forwarded_in_part(args: Args<'_>) -> bool {
    // A name that is still incomplete after this many bytes is unknown, and upstream rejects it.
    args.get(0).is_none_or(|name| {
        let needed_whole = [&b"CLIENT"[..], b"REHEARSE", b"HELLO"];
        !needed_whole.iter().any(|needed| name.eq_ignore_ascii_case(needed))
    })
}

/// Requests larger than this are forwarded in parts.
const WHOLE_REQUEST_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests;
