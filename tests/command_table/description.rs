//! [`Description`]: a command as the table and as the server describe it, in the same words.

use std::collections::BTreeSet;

use redis::{FromRedisValue, Value, from_redis_value};

use crate::commands::{BeginSearch, CommandSpec, FindKeys, Flag, KeySpec};

#[derive(Debug)]
pub(crate) struct Description {
    flags: BTreeSet<String>,
    /// The place of each key, and how it is used.
    keys: Vec<(String, String)>,
    request: String,
    response: String,
}

impl Description {
    pub(crate) fn of_table(spec: &CommandSpec) -> Description {
        let flags = FLAGS.iter().filter(|flag| spec.flags.contains(**flag));
        Description {
            flags: flags.map(|flag| format!("{flag:?}").to_lowercase()).collect(),
            keys: spec.keys.iter().map(|key| (place(key), access(key))).collect(),
            request: format!("{:?}", spec.request).to_lowercase(),
            response: format!("{:?}", spec.response).to_lowercase(),
        }
    }

    /// The name, the description, and the subcommands of an entry of `COMMAND`.
    pub(crate) fn of_server(entry: Value) -> (String, Description, Vec<Value>) {
        let fields: Vec<Value> = read(entry);
        let [name, _, flags, _, _, _, _, tips, keys, subcommands] = <[Value; 10]>::try_from(fields).unwrap();
        let name = read::<String>(name).to_uppercase().replace('|', " ");
        let mut description = Description {
            flags: read::<Vec<String>>(flags).iter().map(|flag| flag_word(flag)).collect(),
            keys: keys_of_server(&name, read(keys)),
            request: "default".to_owned(),
            response: "default".to_owned(),
        };
        for tip in read::<Vec<String>>(tips) {
            match tip.split_once(':') {
                Some(("request_policy", policy)) => description.request = policy.replace('_', ""),
                Some(("response_policy", policy)) => description.response = policy.replace('_', ""),
                _ => _ = description.flags.insert(flag_word(&tip)),
            }
        }
        (name, description, read(subcommands))
    }

    pub(crate) fn places(&self) -> Vec<&str> {
        self.keys.iter().map(|(place, _)| &**place).collect()
    }

    /// What differs, in the words of the table of differences.
    pub(crate) fn differences(&self, other: &Description) -> Vec<&'static str> {
        let differs = [
            ("flags", self.flags != other.flags),
            ("keys", self.keys != other.keys),
            ("request", self.request != other.request),
            ("response", self.response != other.response),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }
}

fn place(key: &KeySpec) -> String {
    let begin = match key.begin {
        BeginSearch::Index(index) => format!("index {index}"),
        BeginSearch::Keyword(word, from) => format!("keyword {word} {from}"),
        BeginSearch::OfSort => return "of SORT".to_owned(),
        BeginSearch::OfMigrate => return "of MIGRATE".to_owned(),
        BeginSearch::Unknown => return "unknown".to_owned(),
    };
    match key.find {
        FindKeys::Range { last, step, limit } => format!("{begin} range {last} {step} {limit}"),
        FindKeys::KeyNum { number, first, step } => format!("{begin} keynum {number} {first} {step}"),
    }
}

fn access(key: &KeySpec) -> String {
    format!("{:?}{}", key.access, if key.is_variable { " variable" } else { "" }).to_lowercase()
}

fn keys_of_server(name: &str, keys: Vec<Value>) -> Vec<(String, String)> {
    let keys = keys.into_iter().map(|key| {
        let flags: Vec<String> = read(field(&key, "flags"));
        let access =
            flags.iter().find(|flag| ["RO", "RW", "OW", "RM", "not_key"].contains(&&***flag)).unwrap();
        let is_variable = flags.iter().any(|flag| flag == "variable_flags");
        let access = format!("{}{}", access.replace('_', ""), if is_variable { " variable" } else { "" });
        (place_of_server(&key), access.to_lowercase())
    });
    let mut keys: Vec<_> = keys.collect();
    // Found by code: the server's description is incomplete.
    match name {
        "SORT" => keys[2].0 = "of SORT".to_owned(),
        "MIGRATE" => keys = vec![("of MIGRATE".to_owned(), keys[0].1.clone())],
        _ => {}
    }
    keys
}

fn place_of_server(key: &Value) -> String {
    let part = |part: &str, names: &[&str]| {
        let part = field(key, part);
        let kind: String = read(field(&part, "type"));
        let spec = field(&part, "spec");
        let values = names.iter().filter_map(|name| {
            get(&spec, name).map(|value| match value {
                Value::Int(number) => number.to_string(),
                value => read(value),
            })
        });
        [kind].into_iter().chain(values).collect::<Vec<_>>().join(" ")
    };
    let begin = part("begin_search", &["index", "keyword", "startfrom"]);
    let find = part("find_keys", &["lastkey", "keynumidx", "firstkey", "keystep", "limit"]);
    if begin == "unknown" { begin } else { format!("{begin} {find}") }
}

fn field(map: &Value, name: &str) -> Value {
    get(map, name).unwrap_or_else(|| panic!("no {name} in {map:?}"))
}

/// A field of a map, which is a list of names and values.
fn get(map: &Value, name: &str) -> Option<Value> {
    let fields: Vec<Value> = read(map.clone());
    let found = fields.chunks_exact(2).find(|pair| read::<String>(pair[0].clone()) == name);
    found.map(|pair| pair[1].clone())
}

fn read<T: FromRedisValue>(value: Value) -> T {
    from_redis_value(value).unwrap()
}

/// The name of a flag as a word: both servers' names of one flag are the same.
fn flag_word(flag: &str) -> String {
    match flag {
        "skip_slowlog" | "skip_commandlog" => "skiplog".to_owned(),
        "nondeterministic_output" => "nondeterministic".to_owned(),
        "nondeterministic_output_order" => "unordered".to_owned(),
        _ => flag.replace('_', ""),
    }
}

const FLAGS: [Flag; 22] = [
    Flag::Write,
    Flag::Readonly,
    Flag::DenyOom,
    Flag::Module,
    Flag::Admin,
    Flag::PubSub,
    Flag::NoScript,
    Flag::Blocking,
    Flag::Loading,
    Flag::Stale,
    Flag::SkipMonitor,
    Flag::SkipLog,
    Flag::Asking,
    Flag::Fast,
    Flag::NoAuth,
    Flag::NoMulti,
    Flag::NoAsyncLoading,
    Flag::NoMandatoryKeys,
    Flag::AllowBusy,
    Flag::MovableKeys,
    Flag::Nondeterministic,
    Flag::Unordered,
];
