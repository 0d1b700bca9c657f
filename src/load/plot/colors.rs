//! The colors of pictures. People with color blindness can distinguish the series, too.

use super::shapes::Color;

pub(crate) const TEXT: Color = Color::rgb(0x22, 0x26, 0x2b);
pub(crate) const MUTED: Color = Color::rgb(0x5b, 0x63, 0x6d);
pub(crate) const GRID: Color = Color::rgb(0xe2, 0xe6, 0xea);
pub(crate) const FRAME: Color = Color::rgb(0x9a, 0xa3, 0xad);
pub(crate) const BLUE: Color = Color::rgb(0x00, 0x72, 0xb2);
pub(crate) const GREEN: Color = Color::rgb(0x00, 0x9e, 0x73);
pub(crate) const ORANGE: Color = Color::rgb(0xd9, 0x7f, 0x00);
pub(crate) const RED: Color = Color::rgb(0xc8, 0x2a, 0x1e);
pub(crate) const MAGENTA: Color = Color::rgb(0xb5, 0x37, 0x9b);
pub(crate) const VIOLET: Color = Color::rgb(0x7b, 0x4f, 0xc9);
pub(crate) const BACKGROUND: Color = Color::rgb(0xff, 0xff, 0xff);
