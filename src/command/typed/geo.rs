//! Geographic positions, which are stored in sorted sets.

macro_rules! geo {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`GEOADD`](https://redis.io/docs/latest/commands/geoadd/): adds members, each with its longitude
            /// and latitude before it; returns how many are new.
            geoadd(key: one, places: triples) -> (i64) = "GEOADD";
            /// [`GEOADD`](https://redis.io/docs/latest/commands/geoadd/): the same under conditions; returns how
            /// many are new, or have changed.
            geoadd_with(key: one, options: (GeoAddOptions), places: triples) -> (i64) = "GEOADD";
            /// [`GEODIST`](https://redis.io/docs/latest/commands/geodist/): the distance of two members.
            geodist(key: one, member: one, other: one, unit: (GeoUnit)) -> (Option<f64>) = "GEODIST";
            /// [`GEOHASH`](https://redis.io/docs/latest/commands/geohash/): the geohashes of members; null for
            /// each that is absent.
            geohash(key: one, members: many) -> any = "GEOHASH";
            /// [`GEOPOS`](https://redis.io/docs/latest/commands/geopos/): the longitudes and latitudes of
            /// members.
            geopos(key: one, members: many) -> (Vec<Option<(f64, f64)>>) = "GEOPOS";
            /// [`GEOSEARCH`](https://redis.io/docs/latest/commands/geosearch/): the members in a circle or a
            /// box.
            geosearch(key: one, options: (GeoSearchOptions<'_>)) -> any = "GEOSEARCH";
            /// [`GEOSEARCHSTORE`](https://redis.io/docs/latest/commands/geosearchstore/): stores the result as a
            /// sorted set; returns their number.
            geosearchstore(
                destination: one, source: one, options: (GeoSearchOptions<'_>)
            ) -> (i64) = "GEOSEARCHSTORE";
        }
    };
}

pub(crate) use geo;
