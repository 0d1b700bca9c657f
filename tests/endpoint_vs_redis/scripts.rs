//! The commands that both servers get: one script a text, one command a line.

/// Each script starts with an empty database.
///
/// Some commands are left out. `HELLO`, `INFO`, `TIME`, `CLIENT ID|INFO|LIST` and `COMMAND` describe the server. `CLIENT
/// SETINFO` is newer than some servers, and only Redis Enterprise knows `CLIENT MAINT_NOTIFICATIONS`. `SPOP`,
/// `SRANDMEMBER` and `RANDOMKEY` choose at random, so the scripts call them only where one choice exists. `INCRBYFLOAT`
/// is compared with exact sums only: Redis adds 80-bit floats, and the difference shows.
pub(crate) const ALL: &[&str] = &[
    "PING
    PING hello
    PING a b
    ECHO
    ping
    FOO
    FOO a b c
    GET
    SELECT 99
    SELECT x
    SELECT 0
    AUTH a
    AUTH default any
    AUTH other any
    HELLO 9
    HELLO x
    HELLO 3 FOO
    HELLO 3 AUTH a
    CLIENT SETNAME a
    CLIENT GETNAME
    CLIENT SETNAME ''
    CLIENT GETNAME
    CLIENT NOSUCH
    CLIENT UNBLOCK 999999
    client unblock 999999 error
    CLIENT UNBLOCK 999999 TIMEOUT
    CLIENT UNBLOCK 999999 maybe
    CLIENT UNBLOCK x
    CLIENT UNBLOCK
    CLIENT REPLY ON
    CLIENT TRACKING OFF
    CLIENT GETREDIR
    CLUSTER SHARDS
    CLUSTER
    CLIENT SETNAME
    CLIENT
    CLIENT KILL ID 0
    CLIENT KILL 1.1.1.1:1
    CLIENT KILL ID 999999
    CLIENT NO-EVICT on
    CLIENT NO-EVICT maybe
    CONFIG GET save
    CONFIG GET nosuch
    CONFIG GET
    CONFIG NOSUCH
    FLUSHALL foo
    FLUSHDB SYNC
    FLUSHALL ASYNC
    TYPE none
    DBSIZE",
    "SET k v
    GET k
    SET k w NX
    SET k w NX GET
    SET k w XX GET
    SET n w XX
    SET n w NX XX
    SET n w EX 1 PX 1
    SET n w EX
    SET n w EX 0
    SET n w EX -1
    SET n w EX x
    SET n w EX 9223372036854775807
    SET n w KEEPTTL EX 1
    SET n w foo
    GETSET k x
    GETDEL k
    GETDEL k
    GETEX k
    SETNX k 1
    SETNX k 2
    GETEX k EX
    GETEX k PERSIST
    GETEX k FOO 1
    GETEX k EX 0
    SETEX k 0 v
    SETEX k x v
    PSETEX k -1 v
    MSET a 1 b 2
    MSET a 1 b
    MSETNX b 1 c 2
    MSETNX c 1 d 2
    MGET a b none
    APPEND a xyz
    STRLEN a
    GETRANGE a 0 -1
    GETRANGE a -2 -1
    GETRANGE a -1 -2
    GETRANGE a 2 1
    GETRANGE a 100 200
    GETRANGE a -100 1
    GETRANGE a -100 -50
    GETRANGE a x 1
    GETRANGE none 0 -1
    SETRANGE a 6 xyz
    SETRANGE a -1 xyz
    SETRANGE none 5 ''
    SETRANGE a 536870911 xyz
    GET a",
    "INCR n
    INCRBY n 10
    DECRBY n 3
    DECR n
    INCRBY n x
    SET n abc
    INCR n
    SET n 9223372036854775807
    INCR n
    DECRBY n -9223372036854775808
    SET n -9223372036854775808
    DECR n
    SET n 10
    INCRBYFLOAT n 0.1
    SET n 2.5
    INCRBYFLOAT n 5.0e3
    INCRBYFLOAT n -5002.5
    INCRBYFLOAT n x
    INCRBYFLOAT n inf
    SET n 01
    INCR n
    SET n 3.0
    INCRBYFLOAT n 1
    INCRBYFLOAT big 1e17
    RPUSH l a
    INCR l
    GET l
    APPEND l x
    SETRANGE l 0 x
    GETSET l x
    MGET l n
    SET l x GET
    STRLEN l",
    "EXPIRE none 10
    SET k v
    TTL k
    PTTL k
    TTL none
    EXPIRE k 100
    TTL k
    EXPIRE k 10 NX
    EXPIRE k 200 GT
    EXPIRE k 300 LT
    EXPIRE k 100 LT XX
    EXPIRE k 100 NX GT
    EXPIRE k 100 GT LT
    EXPIRE k 100 FOO
    EXPIRE k x
    EXPIRE k 9223372036854775807
    EXPIREAT k 33177117420
    EXPIRETIME k
    PEXPIRETIME k
    PEXPIREAT k 33177117420123
    PEXPIRETIME k
    EXPIRETIME k
    PERSIST k
    PERSIST k
    EXPIRETIME k
    EXPIRETIME none
    SET k v EXAT 33177117420
    EXPIRETIME k
    SET k w KEEPTTL
    EXPIRETIME k
    INCR n
    RENAME k j
    EXPIRETIME j
    SET j v
    TTL j
    PEXPIRE j 0
    EXISTS j
    SET x y EXAT 1
    GET x
    EXPIRE n -1
    EXISTS n",
    "HSET h a 1 b 2
    HSET h a 3 c 4
    HSET h a
    HSET h a 1 b
    HMSET h d 5
    HMSET h d 5 e
    HSETNX h d 6
    HSETNX h e 6
    HGET h a
    HGET h none
    HMGET h a none
    HMGET none a
    HGETALL h
    HGETALL none
    HKEYS h
    HVALS h
    HLEN h
    HSTRLEN h a
    HEXISTS h a
    HEXISTS h none
    HINCRBY h a 4
    HINCRBY h a x
    HINCRBYFLOAT h a 0.5
    HINCRBYFLOAT h a x
    HINCRBY h a 1
    HSET h s x
    HINCRBYFLOAT h s 1
    HINCRBY h big 9223372036854775807
    HINCRBY h big 1
    HSCAN h 0 MATCH b
    HSCAN none 0
    HSCAN h x
    HSCAN h 0 COUNT 0
    HSCAN h 0 FOO 1
    HDEL h a b c d e s big
    EXISTS h
    HDEL h a
    SET k v
    HGET k a
    HSET k a 1
    HGETALL k
    HDEL k a",
    "LPUSHX l a
    RPUSH l a b
    LPUSH l c d
    RPUSHX l e
    LRANGE l 0 -1
    LRANGE l 1 1
    LRANGE l 3 1
    LRANGE l -100 100
    LRANGE l x 1
    LRANGE none 0 -1
    LINDEX l 0
    LINDEX l -1
    LINDEX l 99
    LINDEX l x
    LINDEX none 0
    LPOP l
    RPOP l 2
    LPOP l -1
    LPOP l x
    LPOP l 0
    LPOP none
    LPOP none 2
    LPOP none 0
    LLEN l
    LSET l 0 X
    LSET l 99 X
    LSET l x X
    LSET none 0 X
    RPUSH m a b a c a
    LREM m -2 a
    LREM m 0 none
    LREM m x a
    LRANGE m 0 -1
    LREM m 1 a
    LINSERT m BEFORE c x
    LINSERT m AFTER c y
    LINSERT m AFTER none y
    LINSERT m FOO c y
    LINSERT none AFTER c y
    LRANGE m 0 -1
    LTRIM m 1 -2
    LRANGE m 0 -1
    LTRIM m x 1
    RPOPLPUSH m l
    LMOVE m l LEFT RIGHT
    LMOVE m l LEFT RIGHT
    LMOVE m l LEFT FOO
    LMOVE l l LEFT RIGHT
    LRANGE l 0 -1
    LTRIM l 5 1
    EXISTS l m
    SET k v
    LPUSH k a
    LLEN k
    LPOP k
    RPUSH l a
    RPOPLPUSH l k
    RPOPLPUSH k l",
    "SADD s a b a
    SADD s b
    SISMEMBER s a
    SISMEMBER none a
    SMISMEMBER s a x
    SMEMBERS s
    SMEMBERS none
    SCARD s
    SMOVE s t a
    SMOVE s t a
    SMOVE none t a
    SMOVE t t a
    SSCAN s 0
    SRANDMEMBER s
    SRANDMEMBER s 5
    SRANDMEMBER s -2
    SRANDMEMBER s x
    SRANDMEMBER none
    SRANDMEMBER none 1
    SPOP s x
    SPOP s -1
    SPOP s 0
    SPOP s
    SPOP s
    SPOP s 1
    SPOP t 1
    EXISTS s t
    SADD a 1 2 3 x
    SADD b 2 3 4
    SINTER a b
    SINTER a none
    SUNION a b none
    SDIFF a b
    SDIFFSTORE c a b
    SMEMBERS c
    SINTERSTORE c a none
    EXISTS c
    SUNIONSTORE a a b
    SCARD a
    SREM a 1 nosuch
    SET k v
    SADD k a
    SINTER a k
    SUNIONSTORE k a
    TYPE k",
    "MSET a 1 b 2 c 3
    KEYS *
    KEYS [ab]
    KEYS [^a]
    KEYS none
    SCAN 0
    SCAN 0 MATCH a*
    SCAN 0 TYPE list
    SCAN 0 TYPE STRING
    SCAN x
    SCAN 0 COUNT x
    SCAN 0 COUNT 0
    SCAN 0 MATCH
    EXISTS a a none
    TOUCH a none
    RENAME c d
    RENAME c d
    RENAMENX d a
    RENAMENX d e
    RENAMENX d e
    RENAME e e
    DBSIZE
    DEL a none
    UNLINK b e
    RANDOMKEY
    SET only v
    RANDOMKEY",
    "EXEC
    DISCARD
    MULTI
    SET k v
    INCR k
    GET k
    EXEC
    MULTI
    GET
    EXEC
    MULTI
    NOSUCH
    SET k w
    EXEC
    GET k
    MULTI
    SET k w
    DISCARD
    GET k
    WATCH k
    SET k x
    MULTI
    GET k
    EXEC
    WATCH k
    SET k y
    UNWATCH
    MULTI
    HSET h a b
    HGETALL h
    LPOP none
    EXEC
    MULTI
    RESET
    EXEC",
];

/// The scripts to which Valkey replies differently on purpose: it accepts `READONLY` without a cluster, and a `MULTI` or a
/// `WATCH` in a transaction aborts the transaction.
pub(crate) const ONLY_AS_REDIS: &[&str] = &[
    "READONLY
    READWRITE
    CLIENT KILL ID x",
    "MULTI
    SET k v
    INCR k
    MULTI
    WATCH k
    GET k
    EXEC",
];
