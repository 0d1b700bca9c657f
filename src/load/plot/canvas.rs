//! A canvas of lines, rectangles and texts on a white background, before it is encoded as SVG or PNG.

use std::path::Path;

use super::font::Font;
use super::shapes::{Anchor, Area, Color, Shape, Size};
use super::{png, svg};

/// The file format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Svg,
    Png,
}

impl Format {
    /// The format for the extension of a file's name.
    pub(crate) fn of(path: &str) -> Option<Format> {
        let extension = Path::new(path).extension()?.to_str()?;
        match extension.to_ascii_lowercase().as_str() {
            "svg" => Some(Format::Svg),
            "png" => Some(Format::Png),
            _ => None,
        }
    }
}

/// A picture in progress: shapes in drawing order.
#[derive(Debug)]
pub(crate) struct Canvas {
    size: Size,
    font: Font,
    shapes: Vec<Shape>,
}

impl Canvas {
    pub(crate) fn new(size: Size) -> Canvas {
        Canvas { size, font: Font::embedded(), shapes: Vec::new() }
    }

    /// The area of the whole canvas.
    pub(crate) fn area(&self) -> Area {
        Area { left: 0.0, top: 0.0, width: self.size.width as f32, height: self.size.height as f32 }
    }

    /// The size of ordinary text: it grows with the canvas, and stays legible on a small one.
    pub(crate) fn text_size(&self) -> f32 {
        let scale = (self.size.width as f32 / 1200.0).min(self.size.height as f32 / 800.0);
        (14.0 * scale).max(11.0)
    }

    /// The width of a line that looks one pixel wide on a canvas of ordinary size.
    pub(crate) fn hairline(&self) -> f32 {
        (self.text_size() / 14.0).max(1.0)
    }

    pub(crate) fn rectangle(&mut self, area: Area, fill: Color) {
        self.shapes.push(Shape::Rectangle { area, fill });
    }

    pub(crate) fn line(&mut self, points: Vec<(f32, f32)>, width: f32, color: Color) {
        self.shapes.push(Shape::Line { points, width, color });
    }

    /// Draws a text and returns its width.
    pub(crate) fn text(
        &mut self,
        text: &str,
        at: (f32, f32),
        anchor: Anchor,
        size: f32,
        color: Color,
    ) -> f32 {
        let width = self.font.width(text, size);
        let left = match anchor {
            Anchor::Left => at.0,
            Anchor::Middle => at.0 - width / 2.0,
            Anchor::Right => at.0 - width,
        };
        self.shapes.push(Shape::Text { at: (left, at.1), size, color, text: text.to_owned() });
        width
    }

    /// The width of a text.
    pub(crate) fn width_of(&self, text: &str, size: f32) -> f32 {
        self.font.width(text, size)
    }

    /// Returns the picture as the content of a file, or the text of an error.
    pub(crate) fn encode(&self, format: Format) -> Result<Vec<u8>, String> {
        match format {
            Format::Svg => Ok(svg::encode(self.size, &self.shapes).into_bytes()),
            Format::Png => png::encode(self.size, &self.shapes, &self.font),
        }
    }

    #[cfg(test)]
    pub(crate) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The area of each text, for tests that no text overlaps another.
    #[cfg(test)]
    pub(crate) fn text_areas(&self) -> Vec<(String, Area)> {
        let texts = self.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { at, size, text, .. } => {
                let width = self.font.width(text, *size);
                // From the top of the capital letters to the base line.
                let area = Area { left: at.0, top: at.1 - size * 0.73, width, height: size * 0.73 };
                Some((text.clone(), area))
            }
            _ => None,
        });
        texts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_selects_the_format() {
        let formats = ["a.svg", "b.PNG", "c.d/e.png", "f", "g.pdf", "svg"].map(Format::of);
        let (svg, png) = (Some(Format::Svg), Some(Format::Png));
        assert_eq!(formats, [svg, png, png, None, None, None]);
    }

    #[test]
    fn texts_are_anchored_by_what_they_measure() {
        let mut canvas = Canvas::new(Size { width: 600, height: 400 });
        for anchor in [Anchor::Left, Anchor::Middle, Anchor::Right] {
            canvas.text("throughput", (300.0, 50.0), anchor, 14.0, Color::rgb(255, 255, 255));
        }
        let areas = canvas.text_areas();
        let width = canvas.width_of("throughput", 14.0);
        assert!((50.0..100.0).contains(&width), "{width}");
        let lefts: Vec<f32> = areas.iter().map(|(_, area)| area.left).collect();
        assert_eq!(lefts, [300.0, 300.0 - width / 2.0, 300.0 - width]);
    }

    #[test]
    fn both_formats_have_their_signatures() {
        let mut canvas = Canvas::new(Size { width: 600, height: 400 });
        canvas.rectangle(canvas.area(), Color::rgb(255, 255, 255));
        canvas.line(vec![(0.0, 0.0), (600.0, 400.0)], 2.0, Color::rgb(1, 2, 3));
        canvas.text("a < b & \"c\"", (10.0, 20.0), Anchor::Left, 14.0, Color::rgb(1, 2, 3));
        let svg = String::from_utf8(canvas.encode(Format::Svg).unwrap()).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"), "{svg}");
        let png = canvas.encode(Format::Png).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    }
}
