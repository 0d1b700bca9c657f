//! Publishing. `Client::subscribe` subscribes.

macro_rules! pubsub {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`PUBLISH`](https://redis.io/docs/latest/commands/publish/): sends a message to all subscribers of
            /// a channel; returns how many received it from this server.
            publish(channel: one, message: one) -> (i64) = "PUBLISH";
            /// [`PUBSUB CHANNELS`](https://redis.io/docs/latest/commands/pubsub-channels/): the channels with
            /// subscribers whose names match.
            pubsub_channels(pattern: one) -> any = "PUBSUB" "CHANNELS";
            /// [`PUBSUB NUMPAT`](https://redis.io/docs/latest/commands/pubsub-numpat/): how many patterns are
            /// subscribed to.
            pubsub_numpat() -> (i64) = "PUBSUB" "NUMPAT";
            /// [`PUBSUB NUMSUB`](https://redis.io/docs/latest/commands/pubsub-numsub/): a map from channels to
            /// their numbers of subscribers.
            pubsub_numsub(channels: many) -> any = "PUBSUB" "NUMSUB";
            /// [`PUBSUB SHARDCHANNELS`](https://redis.io/docs/latest/commands/pubsub-shardchannels/): the same
            /// as `pubsub_channels` for channels of a cluster's shard.
            pubsub_shardchannels(pattern: one) -> any = "PUBSUB" "SHARDCHANNELS";
            /// [`PUBSUB SHARDNUMSUB`](https://redis.io/docs/latest/commands/pubsub-shardnumsub/): the same as
            /// `pubsub_numsub` for channels of a cluster's shard.
            pubsub_shardnumsub(channels: many) -> any = "PUBSUB" "SHARDNUMSUB";
            /// [`SPUBLISH`](https://redis.io/docs/latest/commands/spublish/): sends a message to the
            /// subscribers of a channel of a cluster's shard.
            spublish(channel: one, message: one) -> (i64) = "SPUBLISH";
        }
    };
}

pub(crate) use pubsub;
