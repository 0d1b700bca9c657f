//! Pictures of measurements as SVG and PNG, drawn without fonts or libraries of the system.
//!
//! A [`Canvas`] holds shapes and is encoded in either format. A [`Panel`] is one chart between two [`Axis`]es; a
//! [`HeatMap`] is a table with colored cells. The font is embedded, so a PNG looks the same on every system.

mod axis;
mod canvas;
mod font;
mod heading;
mod heat;
mod panel;
mod png;
pub(crate) mod run;
mod svg;

pub(crate) use axis::{Axis, Unit};
pub(crate) use canvas::{Area, Canvas, Color, Format, Size};
pub(crate) use heading::{heading, title};
pub(crate) use heat::HeatMap;
pub(crate) use panel::Panel;

/// The colors of the series. People with color blindness can distinguish them, too.
pub(crate) mod colors {
    use super::Color;

    pub(crate) const INK: Color = Color::rgb(0x22, 0x26, 0x2b);
    pub(crate) const FAINT: Color = Color::rgb(0x5b, 0x63, 0x6d);
    pub(crate) const GRID: Color = Color::rgb(0xe2, 0xe6, 0xea);
    pub(crate) const FRAME: Color = Color::rgb(0x9a, 0xa3, 0xad);
    pub(crate) const BLUE: Color = Color::rgb(0x00, 0x72, 0xb2);
    pub(crate) const GREEN: Color = Color::rgb(0x00, 0x9e, 0x73);
    pub(crate) const ORANGE: Color = Color::rgb(0xd9, 0x7f, 0x00);
    pub(crate) const RED: Color = Color::rgb(0xc8, 0x2a, 0x1e);
    pub(crate) const MAGENTA: Color = Color::rgb(0xb5, 0x37, 0x9b);
    pub(crate) const VIOLET: Color = Color::rgb(0x7b, 0x4f, 0xc9);
}
