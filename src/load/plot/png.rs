//! Encodes shapes as a PNG.

use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke, Transform,
};

use super::font::Font;
use super::shapes::{Color, Shape, Size};

pub(super) fn encode(size: Size, shapes: &[Shape], font: &Font) -> Result<Vec<u8>, String> {
    let too_large = || format!("no memory for {} × {} pixels", size.width, size.height);
    let mut sheet = Pixmap::new(size.width, size.height).ok_or_else(too_large)?;
    sheet.fill(tiny_skia::Color::WHITE);
    for shape in shapes {
        match shape {
            Shape::Rectangle { area, fill } => {
                if let Some(rect) = Rect::from_xywh(area.left, area.top, area.width, area.height) {
                    let path = PathBuilder::from_rect(rect);
                    sheet.fill_path(&path, &paint(*fill), FillRule::Winding, Transform::identity(), None);
                }
            }
            Shape::Line { points, width, color } => line(&mut sheet, points, *width, *color),
            Shape::Text { at, size, color, text } => {
                for glyph in font.outlines(text, *at, *size) {
                    let corner = glyph.px_bounds().min;
                    glyph.draw(|x, y, coverage| {
                        let (x, y) = (corner.x + x as f32, corner.y + y as f32);
                        blend(&mut sheet, x, y, *color, coverage);
                    });
                }
            }
        }
    }
    sheet.encode_png().map_err(|error| error.to_string())
}

fn paint(color: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    let alpha = (color.opacity * 255.0).round() as u8;
    paint.set_color_rgba8(color.red, color.green, color.blue, alpha);
    paint
}

fn line(sheet: &mut Pixmap, points: &[(f32, f32)], width: f32, color: Color) {
    let mut path = PathBuilder::new();
    for (place, &(x, y)) in points.iter().enumerate() {
        match place {
            0 => path.move_to(x, y),
            _ => path.line_to(x, y),
        }
    }
    let Some(path) = path.finish() else { return };
    let stroke = Stroke { width, line_cap: LineCap::Butt, line_join: LineJoin::Round, ..Stroke::default() };
    sheet.stroke_path(&path, &paint(color), &stroke, Transform::identity(), None);
}

/// Blends a color over one pixel, which is opaque before and after.
fn blend(sheet: &mut Pixmap, x: f32, y: f32, color: Color, coverage: f32) {
    let (width, height) = (sheet.width(), sheet.height());
    if x < 0.0 || y < 0.0 || x >= width as f32 || y >= height as f32 {
        return;
    }
    let place = y as usize * width as usize + x as usize;
    let Some(pixel) = sheet.pixels_mut().get_mut(place) else { return };
    let share = (coverage * color.opacity).clamp(0.0, 1.0);
    let mixed = |below: u8, above: u8| {
        (f32::from(below) + (f32::from(above) - f32::from(below)) * share).round() as u8
    };
    let (red, green, blue) =
        (mixed(pixel.red(), color.red), mixed(pixel.green(), color.green), mixed(pixel.blue(), color.blue));
    if let Some(mixed) = PremultipliedColorU8::from_rgba(red, green, blue, 255) {
        *pixel = mixed;
    }
}
