//! Scripts and functions. [`Script`](crate::command::Script) sends a script's text only to servers that do not know it.

macro_rules! scripting {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`EVAL`](https://redis.io/docs/latest/commands/eval/): runs a script.
            eval(script: one, keys: counted, arguments: many) -> any = "EVAL";
            /// [`EVAL_RO`](https://redis.io/docs/latest/commands/eval_ro/): runs a script that only reads.
            eval_ro(script: one, keys: counted, arguments: many) -> any = "EVAL_RO";
            /// [`EVALSHA`](https://redis.io/docs/latest/commands/evalsha/): runs a script that the server
            /// knows, by the SHA-1 of its text.
            evalsha(sha1: one, keys: counted, arguments: many) -> any = "EVALSHA";
            /// [`EVALSHA_RO`](https://redis.io/docs/latest/commands/evalsha_ro/): the same for one that only
            /// reads.
            evalsha_ro(sha1: one, keys: counted, arguments: many) -> any = "EVALSHA_RO";
            /// [`FCALL`](https://redis.io/docs/latest/commands/fcall/): runs a function of a library.
            fcall(function: one, keys: counted, arguments: many) -> any = "FCALL";
            /// [`FCALL_RO`](https://redis.io/docs/latest/commands/fcall_ro/): runs a function that only reads.
            fcall_ro(function: one, keys: counted, arguments: many) -> any = "FCALL_RO";
            /// [`FUNCTION DELETE`](https://redis.io/docs/latest/commands/function-delete/): removes a library.
            function_delete(library: one) -> (()) = "FUNCTION" "DELETE";
            /// [`FUNCTION DUMP`](https://redis.io/docs/latest/commands/function-dump/): all libraries in the
            /// binary form that `FUNCTION RESTORE` takes.
            function_dump() -> any = "FUNCTION" "DUMP";
            /// [`FUNCTION FLUSH`](https://redis.io/docs/latest/commands/function-flush/): removes all
            /// libraries.
            function_flush() -> (()) = "FUNCTION" "FLUSH";
            /// [`FUNCTION LIST`](https://redis.io/docs/latest/commands/function-list/): a map about each
            /// library.
            function_list() -> any = "FUNCTION" "LIST";
            /// [`FUNCTION LOAD`](https://redis.io/docs/latest/commands/function-load/): loads a library; returns
            /// its name.
            function_load(code: one) -> (String) = "FUNCTION" "LOAD";
            /// [`FUNCTION LOAD REPLACE`](https://redis.io/docs/latest/commands/function-load/): loads a library,
            /// replacing one of the same name; returns the name.
            function_load_replace(code: one) -> (String) = "FUNCTION" "LOAD" "REPLACE";
            /// [`FUNCTION RESTORE`](https://redis.io/docs/latest/commands/function-restore/): loads the output of
            /// `FUNCTION DUMP`.
            function_restore(dump: one) -> (()) = "FUNCTION" "RESTORE";
            /// [`SCRIPT EXISTS`](https://redis.io/docs/latest/commands/script-exists/): whether the server
            /// knows these scripts.
            script_exists(sha1s: many) -> (Vec<bool>) = "SCRIPT" "EXISTS";
            /// [`SCRIPT FLUSH`](https://redis.io/docs/latest/commands/script-flush/): removes all scripts from
            /// the server.
            script_flush() -> (()) = "SCRIPT" "FLUSH";
            /// [`SCRIPT LOAD`](https://redis.io/docs/latest/commands/script-load/): stores a script on the
            /// server; returns its SHA-1.
            script_load(script: one) -> (String) = "SCRIPT" "LOAD";
        }
    };
}

pub(crate) use scripting;
