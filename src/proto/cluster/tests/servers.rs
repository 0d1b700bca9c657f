//! The servers of a cluster: which of them owns a slot, and what each replies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::proto::cluster::slot::Slot;

/// One connection.
#[derive(Default)]
pub(super) struct Socket {
    pub(super) port: u16,
    /// What the server has answered, and the client has not read.
    pub(super) replies: Vec<u8>,
    /// What was written to a server that is stopped.
    pub(super) unread: Vec<u8>,
    pub(super) is_asking: bool,
    /// The replies to the commands of a transaction; `None` outside of one.
    pub(super) transaction: Option<Vec<Vec<String>>>,
    pub(super) aborted: bool,
    /// The values of `RPUSH` that were refused, which the client does not know yet.
    pub(super) refused: Vec<String>,
}

/// What the servers have in common.
#[derive(Default)]
pub(super) struct Servers {
    pub(super) up: BTreeSet<u16>,
    /// Which port owns the slots from this one on.
    pub(super) owners: BTreeMap<u16, u16>,
    /// Slots that move: from the first port to the second, and the keys that have moved.
    pub(super) migrating: BTreeMap<Slot, (u16, u16, BTreeSet<String>)>,
    /// The replies of these ports to the next commands with keys, in place of theirs.
    pub(super) scripted: BTreeMap<u16, VecDeque<String>>,
    /// The views of these ports, if they are not that of all.
    pub(super) views: BTreeMap<u16, String>,
    pub(super) data: BTreeMap<String, i64>,
    /// The commands that arrived, with their port, and the errors behind those that were refused.
    pub(super) log: Vec<(u16, String)>,
    pub(super) views_asked: usize,
    pub(super) lists: BTreeMap<String, Vec<String>>,
    /// Values that may have been overtaken by the second one: both were in flight, and a server refused the first only.
    pub(super) overtaken: BTreeSet<(String, String)>,
}

impl Servers {
    pub(super) fn owner(&self, slot: Slot) -> u16 {
        *self.owners.range(..=slot.get()).next_back().unwrap().1
    }

    /// Gives one slot to a port.
    pub(super) fn give(&mut self, slot: Slot, port: u16) {
        let before = self.owner(slot);
        let next = slot.get() + 1;
        if next < Slot::COUNT && !self.owners.contains_key(&next) {
            self.owners.insert(next, before);
        }
        self.owners.insert(slot.get(), port);
    }

    pub(super) fn answer(&mut self, socket: &mut Socket, words: &[String]) -> String {
        let port = socket.port;
        let name = words[0].to_ascii_uppercase();
        match name.as_str() {
            "HELLO" => return "%1\r\n+proto\r\n:3\r\n".to_owned(),
            "CLIENT" if words[1] == "MAINT_NOTIFICATIONS" => return "-ERR unknown subcommand\r\n".to_owned(),
            "CLIENT" | "AUTH" | "SELECT" => return "+OK\r\n".to_owned(),
            "CLUSTER" => {
                self.views_asked += 1;
                return self.views.get(&port).cloned().unwrap_or_else(|| self.view());
            }
            "ASKING" => {
                self.log.push((port, words.join(" ")));
                socket.is_asking = true;
                return "+OK\r\n".to_owned();
            }
            _ => {}
        }
        self.log.push((port, words.join(" ")));
        let is_asking = std::mem::take(&mut socket.is_asking);
        match name.as_str() {
            "MULTI" => {
                (socket.transaction, socket.aborted) = (Some(Vec::new()), false);
                return "+OK\r\n".to_owned();
            }
            "EXEC" => {
                let queued = socket.transaction.take().unwrap_or_default();
                if socket.aborted {
                    return "-EXECABORT Transaction discarded because of previous errors.\r\n".to_owned();
                }
                let replies: Vec<String> = queued.iter().map(|words| self.execute(words)).collect();
                return format!("*{}\r\n{}", replies.len(), replies.concat());
            }
            _ => {}
        }
        if let Some(refusal) = self.refusal(port, words, is_asking) {
            socket.refused.extend(words.get(2).cloned());
            self.log.push((port, format!("{} -> {refusal}", words.join(" "))));
            socket.aborted |= socket.transaction.is_some();
            return format!("-{refusal}\r\n");
        }
        match &mut socket.transaction {
            Some(queued) => {
                queued.push(words.to_vec());
                "+QUEUED\r\n".to_owned()
            }
            None => self.execute(words),
        }
    }

    /// Why a server does not execute a command.
    fn refusal(&mut self, port: u16, words: &[String], is_asking: bool) -> Option<String> {
        let key = words.get(1).filter(|_| words[0] != "DBSIZE")?;
        if let Some(scripted) = self.scripted.get_mut(&port).and_then(VecDeque::pop_front) {
            return Some(scripted);
        }
        let slot = Slot::of(key.as_bytes());
        let owner = self.owner(slot);
        if let Some((from, to, moved)) = self.migrating.get(&slot) {
            if port == *from && moved.contains(key) {
                return Some(format!("ASK {slot} 10.0.0.1:{to}"));
            }
            if port == *to && is_asking {
                return None;
            }
        }
        (owner != port).then(|| format!("MOVED {slot} 10.0.0.1:{owner}"))
    }

    fn execute(&mut self, words: &[String]) -> String {
        let value = |data: &BTreeMap<String, i64>, key: &String| match data.get(key) {
            Some(value) => format!("${}\r\n{value}\r\n", value.to_string().len()),
            None => "_\r\n".to_owned(),
        };
        match words[0].to_ascii_uppercase().as_str() {
            "INCR" => {
                let value = self.data.entry(words[1].clone()).or_default();
                *value += 1;
                format!(":{value}\r\n")
            }
            "RPUSH" => {
                let list = self.lists.entry(words[1].clone()).or_default();
                list.push(words[2].clone());
                format!(":{}\r\n", list.len())
            }
            "GET" => value(&self.data, &words[1]),
            "MGET" => {
                let values: Vec<String> = words[1..].iter().map(|key| value(&self.data, key)).collect();
                format!("*{}\r\n{}", values.len(), values.concat())
            }
            "SET" | "MSET" => {
                for pair in words[1..].chunks(2) {
                    self.data.insert(pair[0].clone(), pair[1].parse().unwrap());
                }
                "+OK\r\n".to_owned()
            }
            "DEL" => {
                let count = words[1..].iter().filter(|key| self.data.remove(*key).is_some()).count();
                format!(":{count}\r\n")
            }
            "DBSIZE" => ":5\r\n".to_owned(),
            other => panic!("{other}"),
        }
    }

    pub(super) fn view(&self) -> String {
        let firsts: Vec<(u16, u16)> = self.owners.iter().map(|(first, port)| (*first, *port)).collect();
        let ranges = firsts.iter().enumerate().map(|(index, (first, port))| {
            let last = firsts.get(index + 1).map_or(Slot::COUNT, |next| next.0) - 1;
            range(*first, last, "10.0.0.1", *port)
        });
        let ranges: Vec<String> = ranges.collect();
        format!("*{}\r\n{}", ranges.len(), ranges.concat())
    }
}

/// One range of a view.
pub(super) fn range(first: u16, last: u16, host: &str, port: u16) -> String {
    let id = format!("node{port}");
    format!(
        "*3\r\n:{first}\r\n:{last}\r\n*4\r\n${}\r\n{host}\r\n:{port}\r\n${}\r\n{id}\r\n*0\r\n",
        host.len(),
        id.len()
    )
}

/// The slot of a key.
pub(super) fn slot(key: &str) -> Slot {
    Slot::of(key.as_bytes())
}
