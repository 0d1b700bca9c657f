//! [`Redirects`]: whether a connection may be dialed where a server sent it.

use std::net::SocketAddr;

use super::config::PoolConfig;
use super::connection::PoolConnection;
use super::context::Context;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::Event;
use crate::proto::targets::{RedirectSource, Refusal, TargetFilter};

/// Judges where servers send connections: a target when it is named, and each of its addresses before it is dialed,
/// since a name may resolve to anything.
#[derive(Debug)]
pub(super) struct Redirects {
    filter: TargetFilter,
}

impl Redirects {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Redirects { filter: TargetFilter::new(config.targets.clone(), config.configured().clone()) }
    }

    /// Whether this target may be used; if not, counts and reports that.
    pub(super) fn allows(&mut self, redirect: RedirectSource, target: &Endpoint, ctx: &mut Context) -> bool {
        match self.filter.admit(redirect, target, ctx.now) {
            Ok(()) => true,
            Err(refusal) => {
                self.note_refusal(redirect, target, &refusal, ctx);
                false
            }
        }
    }

    /// The addresses that the connection may be dialed at.
    ///
    /// # Errors
    /// If there is none of them.
    pub(super) fn admit(
        &mut self,
        known: &PoolConnection,
        addresses: Vec<SocketAddr>,
        ctx: &mut Context,
    ) -> Result<Vec<SocketAddr>, CloseReason> {
        let Some(redirect) = known.route.redirect else { return Ok(addresses) };
        let target = &known.route.endpoint;
        let mut first = None;
        let mut admitted = addresses;
        admitted.retain(|address| match self.filter.check_address(redirect, target, *address) {
            Ok(()) => true,
            Err(refusal) => {
                first.get_or_insert(refusal);
                false
            }
        });
        match first {
            Some(refusal) if admitted.is_empty() => {
                self.note_refusal(redirect, target, &refusal, ctx);
                Err(CloseReason::TargetRefused(format!("{redirect} named {target}, but {refusal}")))
            }
            _ => Ok(admitted),
        }
    }

    fn note_refusal(
        &mut self,
        redirect: RedirectSource,
        target: &Endpoint,
        refusal: &Refusal,
        ctx: &mut Context,
    ) {
        ctx.stats.targets_refused += 1;
        if self.filter.should_report(target, ctx.now) {
            ctx.effects.report(Event::TargetRefused {
                peer: redirect.by,
                redirection: redirect.how,
                target: target.clone(),
                reason: refusal.to_string(),
            });
        }
    }
}
