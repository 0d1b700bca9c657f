//! Pictures of measurements as SVG and PNG, drawn without fonts or libraries of the system.
//!
//! A [`Canvas`] holds shapes and is encoded in either format. A [`Panel`] is one chart between two [`Axis`]es; a
//! [`HeatMap`] is a table with colored cells. The font is embedded, so a PNG looks the same on every system.

mod axis;
mod canvas;
pub(crate) mod colors;
mod font;
mod heading;
mod heat;
mod panel;
mod png;
pub(crate) mod run;
mod shapes;
mod svg;

pub(crate) use axis::{Axis, Unit};
pub(crate) use canvas::{Canvas, Format};
pub(crate) use heading::{heading, title};
pub(crate) use heat::HeatMap;
pub(crate) use panel::Panel;
pub(crate) use shapes::{Area, Color, Size};
