//! Options of commands for geographic positions.

use super::sorted_sets::ZaddOptions;
use super::{Argument, Sink, ToArg, Write, flags, words};

words! {
    /// The unit of distances.
    GeoUnit {
        /// Meters.
        Meters = "m",
        /// Kilometers.
        Kilometers = "km",
        /// Feet.
        Feet = "ft",
        /// Miles.
        Miles = "mi",
    }
}

/// Options of [`GEOADD`](https://redis.io/docs/latest/commands/geoadd/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct GeoAddOptions(ZaddOptions);

impl GeoAddOptions {
    /// No options.
    pub fn new() -> Self {
        GeoAddOptions::default()
    }

    /// Adds new members only.
    pub fn nx(self) -> Self {
        GeoAddOptions(self.0.nx())
    }

    /// Changes existing members only.
    pub fn xx(self) -> Self {
        GeoAddOptions(self.0.xx())
    }

    /// Also counts members that have moved.
    pub fn ch(self) -> Self {
        GeoAddOptions(self.0.ch())
    }
}

impl Write for GeoAddOptions {
    fn write(&self, sink: &mut impl Sink) {
        // Positions are members of a sorted set, and the server parses these words as it parses those of ZADD.
        self.0.write(sink);
    }
}

/// Options of [`GEOSEARCH`](https://redis.io/docs/latest/commands/geosearch/): the area, and the fields to return.
///
/// ```
/// use hitless::options::{GeoSearchOptions, GeoUnit};
///
/// let nearby = GeoSearchOptions::from_lonlat(15.0, 37.0).by_radius(200.0, GeoUnit::Kilometers).asc().with_dist();
/// # let _ = nearby;
/// ```
///
/// The server rejects a search without a radius or a box.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct GeoSearchOptions<'a> {
    from: From<'a>,
    area: Option<Area>,
    order: Option<&'static str>,
    count: Option<u64>,
    any: bool,
    with_coord: bool,
    with_dist: bool,
    with_hash: bool,
    store_dist: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum From<'a> {
    Member(Argument<'a>),
    LonLat(f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Area {
    Radius(f64, GeoUnit),
    Box(f64, f64, GeoUnit),
}

impl<'a> GeoSearchOptions<'a> {
    /// Around a member.
    pub fn from_member(member: &'a (impl ToArg + ?Sized)) -> Self {
        Self::around(From::Member(member.to_arg()))
    }

    /// Around a longitude and latitude.
    pub fn from_lonlat(longitude: f64, latitude: f64) -> Self {
        Self::around(From::LonLat(longitude, latitude))
    }

    /// Within a circle.
    pub fn by_radius(mut self, radius: f64, unit: GeoUnit) -> Self {
        self.area = Some(Area::Radius(radius, unit));
        self
    }

    /// Within a box.
    pub fn by_box(mut self, width: f64, height: f64, unit: GeoUnit) -> Self {
        self.area = Some(Area::Box(width, height, unit));
        self
    }

    /// The nearest first.
    pub fn asc(mut self) -> Self {
        self.order = Some("ASC");
        self
    }

    /// The farthest first.
    pub fn desc(mut self) -> Self {
        self.order = Some("DESC");
        self
    }

    /// At most this many members, the nearest ones.
    pub fn count(mut self, members: u64) -> Self {
        (self.count, self.any) = (Some(members), false);
        self
    }

    /// At most this many members, the first ones that the server finds.
    pub fn count_any(mut self, members: u64) -> Self {
        (self.count, self.any) = (Some(members), true);
        self
    }

    /// Also returns longitudes and latitudes, behind the other fields.
    pub fn with_coord(mut self) -> Self {
        self.with_coord = true;
        self
    }

    /// Also returns distances, before the other fields, in the unit of the area.
    pub fn with_dist(mut self) -> Self {
        self.with_dist = true;
        self
    }

    /// Also returns geohashes, as numbers.
    pub fn with_hash(mut self) -> Self {
        self.with_hash = true;
        self
    }

    /// Stores distances instead of geohashes; only for `GEOSEARCHSTORE`.
    pub fn store_dist(mut self) -> Self {
        self.store_dist = true;
        self
    }

    fn around(from: From<'a>) -> Self {
        let (with_coord, with_dist, with_hash) = (false, false, false);
        let (area, order, count, any, store_dist) = (None, None, None, false, false);
        GeoSearchOptions { from, area, order, count, any, with_coord, with_dist, with_hash, store_dist }
    }
}

impl Write for GeoSearchOptions<'_> {
    fn write(&self, sink: &mut impl Sink) {
        match &self.from {
            From::Member(member) => sink.named("FROMMEMBER", member),
            From::LonLat(longitude, latitude) => {
                sink.word("FROMLONLAT");
                sink.many(&[longitude, latitude]);
            }
        }
        match self.area {
            Some(Area::Radius(radius, unit)) => {
                sink.named("BYRADIUS", radius);
                unit.write(sink);
            }
            Some(Area::Box(width, height, unit)) => {
                sink.word("BYBOX");
                sink.many(&[width, height]);
                unit.write(sink);
            }
            None => {}
        }
        if let Some(order) = self.order {
            sink.word(order);
        }
        if let Some(members) = self.count {
            sink.named("COUNT", members);
        }
        flags(
            sink,
            [
                (self.any, "ANY"),
                (self.with_coord, "WITHCOORD"),
                (self.with_dist, "WITHDIST"),
                (self.with_hash, "WITHHASH"),
                (self.store_dist, "STOREDIST"),
            ],
        );
    }
}
