//! What the server does when time passes: planned actions, timeouts of blocked sessions, and what these have waited with.

use super::Server;
use crate::rehearsal::commands::unblocking;
use crate::rehearsal::context::Scope;
use crate::rehearsal::control::verbs;
use crate::rehearsal::ids::SessionId;
use crate::rehearsal::maintenance::agenda::Action;
use crate::rehearsal::state::blocked::Interruption;

impl Server {
    /// Executes the planned actions and the timeouts that are due by `now_us`, in the order of their times.
    pub(super) fn execute_due(&mut self, now_us: u64) {
        while let Some(at_us) = self.next_deadline_us().filter(|at_us| *at_us <= now_us) {
            match self.state.agenda.take_due(at_us) {
                Some((at_us, action)) => self.execute(at_us, action, now_us),
                None => self.time_out(now_us),
            }
        }
        self.resume_sessions(now_us);
    }

    /// Interrupts the sessions that wait in vain, and handles the requests of the sessions that were unblocked. This can
    /// unblock other sessions.
    pub(super) fn resume_sessions(&mut self, now_us: u64) {
        while let Some(Interruption { session, error, closes }) = self.state.blocked.take_interrupted() {
            let Some(session) = self.sessions.get_mut(&session) else { continue };
            if unblocking::unblock(&mut self.state, session, Some(error.into()), now_us) && closes {
                session.close();
            }
        }
        while let Some(id) = self.state.blocked.take_resumed() {
            self.handle_session_bytes(id, now_us, &[]);
            self.state.dirty_sessions.push(id);
        }
    }

    fn execute(&mut self, at_us: u64, action: Action, now_us: u64) {
        let mut context = self.context(at_us);
        match action {
            Action::Step { node, words } => {
                if let Err(error) = verbs::rehearse(&mut context, Scope::of_node(node), &words) {
                    tracing::warn!(%node, %error, "a scheduled step of the rehearsal failed");
                    context.state.failed_steps += 1;
                }
            }
            Action::CloseNode { node, move_id } => context.close_moved(node, move_id),
            Action::CloseUnread { sessions } => context.close_unread(&sessions),
            Action::Cluster(step) => context.take_cluster_step(step),
            Action::Release { session } => self.release(session, now_us),
        }
    }

    /// Unblocks the session whose time is over first.
    fn time_out(&mut self, now_us: u64) {
        let first = self.state.blocked.take_first();
        if let Some(session) = first.and_then(|id| self.sessions.get_mut(&id)) {
            unblocking::unblock(&mut self.state, session, None, now_us);
        }
    }

    /// Releases delayed output of a session, and plans the next release.
    fn release(&mut self, id: SessionId, now_us: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if let Some(filter) = &mut session.fault_filter
            && let Some(at_us) = filter.release(now_us)
            && !self.state.agenda.plan(at_us, Action::Release { session: id })
        {
            filter.release(u64::MAX);
        }
        self.state.dirty_sessions.push(id);
    }
}
