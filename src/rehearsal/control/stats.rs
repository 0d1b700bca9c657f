//! The reply of `REHEARSE STATS`: the state and the counts of all nodes as JSON.

use std::fmt::Write as _;

use crate::rehearsal::cluster::state::ClusterState;
use crate::rehearsal::cluster::topology::Health;
use crate::rehearsal::context::{Scope, ServerContext};
use crate::rehearsal::ids::NodeId;
use crate::rehearsal::maintenance::node::{Accept, Node};
use crate::rehearsal::maintenance::notification::{Notification, NotificationKind, Subject};
use crate::rehearsal::maintenance::opt_in::EndpointType;
use crate::rehearsal::session::Session;
use crate::rehearsal::wire::reply::Protocol;

/// Writes the JSON document on one line.
pub(super) fn write(context: &mut ServerContext<'_>) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.number("version", 1);
        json.number("sequence", context.state.sequence);
        json.number("commands", context.state.commands);
        json.number("connections_opened", context.state.sessions_opened);
        json.number("keys", context.state.keyspace.databases().iter().map(|db| db.len() as u64).sum());
        json.key("nodes");
        json.array(|json| {
            for index in 0..context.state.nodes.len() {
                write_node(context, NodeId(index), json);
            }
        });
        if let Some(cluster) = &context.state.cluster {
            json.key("cluster");
            json.object(|json| write_cluster(cluster, json));
        }
        let found = context.state.audit.findings();
        json.key("audit");
        json.object(|json| {
            json.number("submitters", found.submitters);
            json.number("commands", found.commands);
            json.number("duplicates", found.duplicates);
            json.number("out_of_order", found.out_of_order);
            json.number("missing", found.missing);
            json.number("untracked", found.untracked);
        });
    });
    json.text
}

/// The nodes of the cluster, what is changing, and how many commands were refused.
fn write_cluster(cluster: &ClusterState, json: &mut Json) {
    json.number("epoch", cluster.topology.epoch);
    json.number("migrations", cluster.migrations.len() as u64);
    json.number("pauses", cluster.pauses.len() as u64);
    let answers = cluster.answers;
    json.key("redirects");
    json.object(|json| {
        json.number("moved", answers.moved);
        json.number("ask", answers.ask);
        json.number("tryagain", answers.tryagain);
        json.number("crossslot", answers.crossslot);
        json.number("clusterdown", answers.clusterdown);
        json.number("readonly", answers.readonly);
    });
    json.key("nodes");
    json.array(|json| {
        for (id, member) in cluster.topology.ids().filter_map(|id| Some((id, cluster.topology.member(id)?))) {
            json.object(|json| {
                json.number("node", id.0 as u64);
                json.string("id", &member.id);
                json.string("address", &member.address.to_string());
                json.string(
                    "role",
                    match member.primary {
                        _ if !member.is_joined => "spare",
                        Some(_) => "replica",
                        None => "primary",
                    },
                );
                json.flag("online", member.health == Health::Online);
                json.string("slots", &cluster.topology.slots_of(id).to_string());
                json.string("view", cluster.node(id).map_or("live", |node| node.view.name()));
            });
        }
    });
}

fn write_node(context: &mut ServerContext<'_>, id: NodeId, json: &mut Json) {
    let now_us = context.now_us;
    json.object(|json| {
        json.number("node", id.0 as u64);
        if let Some(node) = context.state.nodes.get(id.0) {
            write_settings(node, now_us, json);
        }
        json.key("connections");
        json.array(|json| {
            context.for_each(&Scope::of_node(id), |_, session| write_session(session, json));
        });
    });
}

fn write_settings(node: &Node, now_us: u64, json: &mut Json) {
    json.string("address", &node.address.to_string());
    json.optional("name", node.name.as_deref());
    json.flag("listening", node.is_listening());
    json.string(
        "accepts",
        match node.accept() {
            Accept::Serve => "serve",
            Accept::Stall => "stall",
            Accept::Drop => "drop",
        },
    );
    json.key("faults");
    json.array(|json| node.faults.iter().for_each(|fault| json.value(&fault.to_string())));
    json.string("maint", node.opt_in_reply.name());
    json.flag("replays_openers", node.replays_openers);
    json.flag("replays_closers", node.replays_closers);
    json.key("windows");
    json.array(|json| node.windows.iter().for_each(|window| write_notification(window, now_us, json)));
    json.key("retained");
    match &node.retained {
        Some(retained) => write_notification(retained, now_us, json),
        None => json.raw("null"),
    }
    json.key("pushes");
    json.object(|json| {
        let names = NotificationKind::ALL.iter().map(|kind| kind.name()).chain(["raw"]);
        names.zip(node.pushes).for_each(|(name, count)| json.number(name, count));
    });
}

fn write_notification(notification: &Notification, now_us: u64, json: &mut Json) {
    json.object(|json| {
        json.string("kind", notification.kind.name());
        json.number("seq", notification.sequence);
        if let Some(until_us) = notification.until_us {
            json.signed("remaining_ms", until_us.saturating_sub_unsigned(now_us) / 1_000);
        }
        match &notification.subject {
            Subject::Target(target) => {
                json.optional("target", target.as_deref().map(lossy).as_deref());
            }
            Subject::Text(text) => json.string("subject", &lossy(text)),
            Subject::Moves(moves) => json.number("moves", moves.len() as u64),
        }
    });
}

fn write_session(session: &Session, json: &mut Json) {
    json.object(|json| {
        json.number("id", session.id.0);
        json.string("peer", &session.peer.to_string());
        json.string("name", &lossy(&session.name));
        json.string("lib_name", &lossy(&session.library_name));
        json.string("lib_ver", &lossy(&session.library_version));
        json.flag("opted_in", session.opt_in.is_some());
        json.optional("endpoint_type", session.opt_in.map(EndpointType::name));
        json.number("resp", if session.reply.protocol == Protocol::Resp3 { 3 } else { 2 });
        json.flag("closing", session.ending.is_some());
        json.number("commands", session.counts.commands);
        json.number("bytes_in", session.counts.bytes_in);
        json.number("bytes_out", session.counts.bytes_out);
        json.number("pushes", session.counts.pushes);
    });
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A JSON document that is being written.
#[derive(Debug, Default)]
struct Json {
    text: String,
}

impl Json {
    /// Writes a comma, unless this is the first element.
    fn separate(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(['{', '[', ':']) {
            self.text.push(',');
        }
    }

    fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.separate();
        self.text.push('{');
        fill(self);
        self.text.push('}');
    }

    fn array(&mut self, fill: impl FnOnce(&mut Self)) {
        self.separate();
        self.text.push('[');
        fill(self);
        self.text.push(']');
    }

    fn key(&mut self, key: &str) {
        self.value(key);
        self.text.push(':');
    }

    fn value(&mut self, text: &str) {
        self.separate();
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                // Writing to a String does not fail.
                c if c.is_control() => drop(write!(self.text, "\\u{:04x}", u32::from(c))),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    fn optional(&mut self, key: &str, text: Option<&str>) {
        self.key(key);
        match text {
            Some(text) => self.value(text),
            None => self.raw("null"),
        }
    }

    fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        self.value(text);
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        self.raw(itoa::Buffer::new().format(number));
    }

    fn signed(&mut self, key: &str, number: i64) {
        self.key(key);
        self.raw(itoa::Buffer::new().format(number));
    }

    fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.raw(if flag { "true" } else { "false" });
    }

    fn raw(&mut self, text: &str) {
        self.separate();
        self.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_parts_are_separated() {
        let mut json = Json::default();
        json.object(|json| {
            json.string("a\"b", "\\ \r\u{1} ü:");
            json.key("list");
            json.array(|json| {
                json.value("x:");
                json.value("");
                json.raw("null");
                json.object(|_| {});
            });
            json.signed("n", -1);
            json.flag("f", true);
        });
        assert_eq!(
            json.text,
            "{\"a\\\"b\":\"\\\\ \\u000d\\u0001 ü:\",\"list\":[\"x:\",\"\",null,{}],\"n\":-1,\"f\":true}"
        );
    }
}
