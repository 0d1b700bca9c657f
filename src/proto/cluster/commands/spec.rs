//! [`CommandSpec`]: what the servers say about one command.

/// One command, or one subcommand of a container such as `OBJECT`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandSpec {
    /// The name in upper case. That of a subcommand begins with its container: `OBJECT FREQ`.
    pub(crate) name: &'static str,
    #[cfg_attr(
        not(any(test, feature = "rehearsal")),
        expect(dead_code, reason = "the table holds all that servers say of a command")
    )]
    pub(crate) flags: CommandFlags,
    /// Where the keys are.
    pub(crate) keys: &'static [KeySpec],
    /// On which nodes the command runs.
    pub(crate) request: RequestPolicy,
    /// What is made of the replies of several nodes.
    pub(crate) response: ResponsePolicy,
    pub(crate) subcommands: &'static [CommandSpec],
}

/// The flags of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommandFlags(u32);

/// A flag in the reply to `COMMAND`, or one of its tips about nondeterministic output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    Write,
    Readonly,
    DenyOom,
    Module,
    Admin,
    PubSub,
    NoScript,
    Blocking,
    Loading,
    Stale,
    SkipMonitor,
    /// `skip_slowlog` of Redis, and `skip_commandlog` of Valkey.
    SkipLog,
    Asking,
    Fast,
    NoAuth,
    NoMulti,
    NoAsyncLoading,
    NoMandatoryKeys,
    AllowBusy,
    MovableKeys,
    /// The tip `nondeterministic_output`.
    Nondeterministic,
    /// The tip `nondeterministic_output_order`.
    Unordered,
}

/// On which nodes a command runs, by the tip `request_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestPolicy {
    /// On the node of its keys; without keys, on any one.
    Default,
    /// On every primary.
    AllShards,
    /// On every node, replicas too.
    AllNodes,
    /// On the nodes of its keys: the command may be split by slot.
    MultiShard,
    /// As the command's documentation says.
    Special,
}

/// What is made of the replies of several nodes, by the tip `response_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponsePolicy {
    /// Replies with keys are put in the order of the keys; the others are joined in any order.
    Default,
    /// The first success, or an error if no node succeeds.
    OneSucceeded,
    /// A success if every node succeeds, or one of the errors.
    AllSucceeded,
    AggSum,
    AggMin,
    #[cfg_attr(not(test), expect(dead_code, reason = "no command of a server has it"))]
    AggMax,
    AggLogicalAnd,
    #[expect(dead_code, reason = "no command of a server has it")]
    AggLogicalOr,
    /// As the command's documentation says.
    Special,
}

/// Where some of a command's keys are. See the [key specifications](https://redis.io/docs/latest/develop/reference/key-specs/).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeySpec {
    pub(crate) begin: BeginSearch,
    pub(crate) find: FindKeys,
    pub(crate) access: KeyAccess,
    /// Whether the access depends on the arguments: `SET` reads only with `GET`.
    pub(crate) is_variable: bool,
}

/// At which argument the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeginSearch {
    Index(u8),
    /// Behind this word, which is searched for from an argument on. A negative number counts from the end, where the search
    /// goes backwards.
    Keyword(&'static str, i8),
    /// As `SORT` does: behind its option `STORE`. The servers describe it as unknown.
    OfSort,
    /// As `MIGRATE` does: its third argument, or all behind `KEYS`. The servers' description is incomplete.
    OfMigrate,
    /// Nowhere: the names of these keys are not among the arguments.
    Unknown,
}

/// Which arguments are keys, from the one on at which the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FindKeys {
    /// All up to `last`, in steps. A negative `last` counts from the end; of the arguments up to there, the keys are the
    /// first half if `limit` is 2.
    Range { last: i8, step: u8, limit: u8 },
    /// As many as the argument `number` says, from the argument `first` on, in steps.
    KeyNum { number: u8, first: u8, step: u8 },
}

/// How a command uses keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyAccess {
    /// It reads them.
    Ro,
    /// It reads and writes them.
    Rw,
    /// It overwrites them.
    Ow,
    /// It removes them.
    Rm,
    /// They are no keys, but decide on the slot as keys do: the channels of sharded pub/sub.
    NotKey,
}

impl CommandSpec {
    /// Whether the keys that [`keys`](Self::keys) finds may not be all that the command reads, as with `SORT … BY`.
    #[cfg_attr(not(test), expect(dead_code, reason = "the live test of the table asks it"))]
    pub(crate) fn is_incomplete(&self) -> bool {
        self.keys.iter().any(|spec| spec.begin == BeginSearch::Unknown)
    }

    pub(super) const fn policy(self, request: RequestPolicy, response: ResponsePolicy) -> Self {
        CommandSpec { request, response, ..self }
    }

    pub(super) const fn with(self, subcommands: &'static [CommandSpec]) -> Self {
        CommandSpec { subcommands, ..self }
    }
}

impl CommandFlags {
    const fn of(flags: &[Flag]) -> Self {
        let mut bits = 0;
        let mut rest = flags;
        while let [flag, others @ ..] = rest {
            bits |= 1 << *flag as u32;
            rest = others;
        }
        CommandFlags(bits)
    }

    #[cfg_attr(
        not(any(test, feature = "rehearsal")),
        expect(dead_code, reason = "the table holds all that servers say of a command")
    )]
    pub(crate) const fn contains(self, flag: Flag) -> bool {
        self.0 >> flag as u32 & 1 == 1
    }
}

impl KeySpec {
    const fn new(begin: BeginSearch, find: FindKeys, access: KeyAccess) -> Self {
        KeySpec { begin, find, access, is_variable: false }
    }

    pub(super) const fn variable(self) -> Self {
        KeySpec { is_variable: true, ..self }
    }
}

/// A command of the table, without policies and subcommands.
pub(super) const fn command(name: &'static str, flags: &[Flag], keys: &'static [KeySpec]) -> CommandSpec {
    CommandSpec {
        name,
        flags: CommandFlags::of(flags),
        keys,
        request: RequestPolicy::Default,
        response: ResponsePolicy::Default,
        subcommands: &[],
    }
}

/// One key.
pub(super) const fn key(index: u8, access: KeyAccess) -> KeySpec {
    keys(index, 0, 1, access)
}

/// The keys from an argument on.
pub(super) const fn keys(index: u8, last: i8, step: u8, access: KeyAccess) -> KeySpec {
    KeySpec::new(BeginSearch::Index(index), FindKeys::Range { last, step, limit: 0 }, access)
}

/// The keys behind their number.
pub(super) const fn counted(index: u8, step: u8, access: KeyAccess) -> KeySpec {
    KeySpec::new(BeginSearch::Index(index), FindKeys::KeyNum { number: 0, first: 1, step }, access)
}

/// The keys behind a word.
pub(super) const fn after(word: &'static str, from: i8, last: i8, limit: u8, access: KeyAccess) -> KeySpec {
    KeySpec::new(BeginSearch::Keyword(word, from), FindKeys::Range { last, step: 1, limit }, access)
}

/// Keys that only code by hand can find, or none.
pub(super) const fn special(begin: BeginSearch, access: KeyAccess) -> KeySpec {
    KeySpec::new(begin, FindKeys::Range { last: 0, step: 1, limit: 0 }, access)
}
