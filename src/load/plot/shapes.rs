//! The shapes of a picture, with their sizes, areas and colors.

/// The size of a picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Size {
    /// Smaller pictures have no room for the labels of three panels.
    pub(crate) const MIN: Size = Size { width: 480, height: 360 };
    /// Larger pictures take hundreds of megabytes of memory.
    pub(crate) const MAX: Size = Size { width: 8000, height: 8000 };
}

/// A color with its opacity from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Color {
    pub(crate) red: u8,
    pub(crate) green: u8,
    pub(crate) blue: u8,
    pub(crate) opacity: f32,
}

impl Color {
    pub(crate) const fn rgb(red: u8, green: u8, blue: u8) -> Color {
        Color { red, green, blue, opacity: 1.0 }
    }

    pub(crate) const fn opacity(self, opacity: f32) -> Color {
        Color { opacity, ..self }
    }
}

/// A part of the picture, in pixels from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl Area {
    pub(crate) fn right(&self) -> f32 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f32 {
        self.top + self.height
    }
}

/// Which point of a text its position is, on the base line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Left,
    Middle,
    Right,
}

/// One shape on the canvas.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Rectangle {
        area: Area,
        fill: Color,
    },
    Line {
        points: Vec<(f32, f32)>,
        width: f32,
        color: Color,
    },
    /// The position is the left end of the base line, whatever the anchor was.
    Text {
        at: (f32, f32),
        size: f32,
        color: Color,
        text: String,
    },
}
