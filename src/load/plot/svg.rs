//! Encodes shapes as an SVG document of basic elements, which every viewer supports.

use std::fmt::Write;

use super::font::FAMILY;
use super::shapes::{Color, Shape, Size};

pub(super) fn encode(size: Size, shapes: &[Shape]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, size, shapes);
    out
}

fn write_all(out: &mut String, Size { width, height }: Size, shapes: &[Shape]) -> std::fmt::Result {
    write!(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" ")?;
    writeln!(out, "viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\">")?;
    writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>")?;
    for shape in shapes {
        match shape {
            Shape::Rectangle { area, fill } => {
                let (x, y, width, height) = (area.left, area.top, area.width, area.height);
                write!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"")?;
                paint(out, "fill", *fill)?;
                writeln!(out, "/>")?;
            }
            Shape::Line { points, width, color } => {
                write!(out, "<polyline points=\"")?;
                for (place, (x, y)) in points.iter().enumerate() {
                    write!(out, "{}{x:.1},{y:.1}", if place > 0 { " " } else { "" })?;
                }
                write!(out, "\" fill=\"none\" stroke-width=\"{width:.2}\" stroke-linejoin=\"round\"")?;
                paint(out, "stroke", *color)?;
                writeln!(out, "/>")?;
            }
            Shape::Text { at, size, color, text } => {
                write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size:.1}\"", at.0, at.1)?;
                paint(out, "fill", *color)?;
                writeln!(out, ">{}</text>", escaped(text))?;
            }
        }
    }
    writeln!(out, "</svg>")
}

fn paint(out: &mut String, what: &str, color: Color) -> std::fmt::Result {
    write!(out, " {what}=\"#{:02x}{:02x}{:02x}\"", color.red, color.green, color.blue)?;
    if color.opacity < 1.0 {
        write!(out, " {what}-opacity=\"{:.2}\"", color.opacity)?;
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
