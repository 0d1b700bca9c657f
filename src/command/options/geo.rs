//! Of places on the globe.

use super::{Argument, Sink, ToArg, Write, flags, words};

words! {
    /// What distances are in.
    GeoUnit {
        /// Metres.
        Metres = "m",
        /// Kilometres.
        Kilometres = "km",
        /// Feet.
        Feet = "ft",
        /// Miles.
        Miles = "mi",
    }
}

/// Of [`GEOADD`](https://redis.io/docs/latest/commands/geoadd/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct GeoAddOptions {
    exists: Option<&'static str>,
    ch: bool,
}

impl GeoAddOptions {
    /// As `GEOADD` without options.
    pub fn new() -> Self {
        GeoAddOptions::default()
    }

    /// Only members that are new.
    pub fn nx(mut self) -> Self {
        self.exists = Some("NX");
        self
    }

    /// Only members that are there.
    pub fn xx(mut self) -> Self {
        self.exists = Some("XX");
        self
    }

    /// Counts members that have moved, too.
    pub fn ch(mut self) -> Self {
        self.ch = true;
        self
    }
}

impl Write for GeoAddOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(word) = self.exists {
            sink.word(word);
        }
        flags(sink, [(self.ch, "CH")]);
    }
}

/// Of [`GEOSEARCH`](https://redis.io/docs/latest/commands/geosearch/): where, and what is returned.
///
/// ```
/// use hitless::options::{GeoSearchOptions, GeoUnit};
///
/// let nearby = GeoSearchOptions::from_lonlat(15.0, 37.0).by_radius(200.0, GeoUnit::Kilometres).asc().with_dist();
/// # let _ = nearby;
/// ```
///
/// Without a radius or a box, the server refuses it.
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

    /// The nearest so many.
    pub fn count(mut self, members: u64) -> Self {
        (self.count, self.any) = (Some(members), false);
        self
    }

    /// The first so many that are found.
    pub fn count_any(mut self, members: u64) -> Self {
        (self.count, self.any) = (Some(members), true);
        self
    }

    /// Returns longitudes and latitudes, too: behind the other things.
    pub fn with_coord(mut self) -> Self {
        self.with_coord = true;
        self
    }

    /// Returns distances, too: first of all, in the unit of the area.
    pub fn with_dist(mut self) -> Self {
        self.with_dist = true;
        self
    }

    /// Returns geohashes, as numbers, too.
    pub fn with_hash(mut self) -> Self {
        self.with_hash = true;
        self
    }

    /// Keeps distances in the place of geohashes; for `GEOSEARCHSTORE` alone.
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
