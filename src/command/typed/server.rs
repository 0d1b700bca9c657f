//! The server and the connection.

macro_rules! server {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`ACL WHOAMI`](https://redis.io/docs/latest/commands/acl-whoami/): the user that the connection
            /// is logged in as.
            acl_whoami() -> (String) = "ACL" "WHOAMI";
            /// [`CLIENT GETNAME`](https://redis.io/docs/latest/commands/client-getname/): the connection's
            /// name.
            client_getname() -> (Option<String>) = "CLIENT" "GETNAME";
            /// [`CLIENT ID`](https://redis.io/docs/latest/commands/client-id/): the connection's number on its
            /// server. It differs for each connection of a pool.
            client_id() -> (i64) = "CLIENT" "ID";
            /// [`CLIENT INFO`](https://redis.io/docs/latest/commands/client-info/): what the server knows about
            /// the connection.
            client_info() -> (String) = "CLIENT" "INFO";
            /// [`CLIENT KILL ID`](https://redis.io/docs/latest/commands/client-kill/): closes the connection with
            /// this number; returns how many were closed.
            client_kill_id(id: one) -> (i64) = "CLIENT" "KILL" "ID";
            /// [`CLIENT LIST`](https://redis.io/docs/latest/commands/client-list/): a line about each of the
            /// server's connections.
            client_list() -> (String) = "CLIENT" "LIST";
            /// [`CLIENT UNBLOCK`](https://redis.io/docs/latest/commands/client-unblock/): unblocks another
            /// connection; returns whether it was blocked.
            client_unblock(id: one) -> (bool) = "CLIENT" "UNBLOCK";
            /// [`COMMAND COUNT`](https://redis.io/docs/latest/commands/command-count/): how many commands the
            /// server has.
            command_count() -> (i64) = "COMMAND" "COUNT";
            /// [`COMMAND INFO`](https://redis.io/docs/latest/commands/command-info/): what the server says about
            /// commands; null for each unknown one.
            command_info(names: many) -> any = "COMMAND" "INFO";
            /// [`CONFIG GET`](https://redis.io/docs/latest/commands/config-get/): a map of the server's
            /// settings whose names match.
            config_get(patterns: many) -> any = "CONFIG" "GET";
            /// [`CONFIG RESETSTAT`](https://redis.io/docs/latest/commands/config-resetstat/): resets the server's
            /// counters.
            config_resetstat() -> (()) = "CONFIG" "RESETSTAT";
            /// [`CONFIG SET`](https://redis.io/docs/latest/commands/config-set/): changes settings of the server,
            /// until it restarts.
            config_set(settings: pairs) -> (()) = "CONFIG" "SET";
            /// [`DBSIZE`](https://redis.io/docs/latest/commands/dbsize/): how many keys there are.
            dbsize() -> (i64) = "DBSIZE";
            /// [`ECHO`](https://redis.io/docs/latest/commands/echo/): the message itself.
            echo(message: one) -> any = "ECHO";
            /// [`FLUSHALL`](https://redis.io/docs/latest/commands/flushall/): removes all keys of all
            /// databases.
            flushall() -> (()) = "FLUSHALL";
            /// [`FLUSHDB`](https://redis.io/docs/latest/commands/flushdb/): removes all keys.
            flushdb() -> (()) = "FLUSHDB";
            /// [`INFO`](https://redis.io/docs/latest/commands/info/): what the server says about itself.
            info() -> (String) = "INFO";
            /// [`INFO`](https://redis.io/docs/latest/commands/info/): some sections of it.
            info_of(sections: many) -> (String) = "INFO";
            /// [`LASTSAVE`](https://redis.io/docs/latest/commands/lastsave/): the second of Unix time at which
            /// the server last saved its data.
            lastsave() -> (i64) = "LASTSAVE";
            /// [`MEMORY USAGE`](https://redis.io/docs/latest/commands/memory-usage/): how many bytes of the
            /// server's memory a key takes.
            memory_usage(key: one) -> (Option<i64>) = "MEMORY" "USAGE";
            /// [`PING`](https://redis.io/docs/latest/commands/ping/): succeeds if the server answers.
            ping() -> (()) = "PING";
            /// [`ROLE`](https://redis.io/docs/latest/commands/role/): the role of the server, `master` or
            /// `slave`, and its replication state.
            role() -> any = "ROLE";
            /// [`SLOWLOG GET`](https://redis.io/docs/latest/commands/slowlog-get/): the latest slow commands.
            slowlog_get(count: one) -> any = "SLOWLOG" "GET";
            /// [`SLOWLOG LEN`](https://redis.io/docs/latest/commands/slowlog-len/): the number of entries of the
            /// slow log.
            slowlog_len() -> (i64) = "SLOWLOG" "LEN";
            /// [`SLOWLOG RESET`](https://redis.io/docs/latest/commands/slowlog-reset/): clears the slow log.
            slowlog_reset() -> (()) = "SLOWLOG" "RESET";
            /// [`TIME`](https://redis.io/docs/latest/commands/time/): the server's clock: seconds of Unix time,
            /// and microseconds.
            time() -> ((u64, u64)) = "TIME";
        }
    };
}

pub(crate) use server;
