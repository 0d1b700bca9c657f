//! Figures as SVG and PNG: what a benchmark measured, drawn without anything that a machine may lack.
//!
//! A [`Canvas`] holds shapes and becomes either format; a [`Panel`] is one chart on it, between two [`Axis`]es, and a
//! [`HeatMap`] a table whose cells are colored. The
//! font is in the program, so a PNG looks the same everywhere, and texts are as wide as they were measured.

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

/// The colours of the series, which also people tell apart who do not see red and green.
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
