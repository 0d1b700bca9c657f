//! The embedded font: DejaVu Sans. Its license allows embedding, and it has every character that pictures use.

use std::fmt;

use ab_glyph::{Font as _, FontRef, Glyph, OutlinedGlyph, PxScale, ScaleFont, point};

/// `None` only if the embedded bytes were not a valid font.
pub(super) struct Font(Option<FontRef<'static>>);

impl fmt::Debug for Font {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Font")
    }
}

impl Font {
    pub(super) fn embedded() -> Font {
        Font(FontRef::try_from_slice(dejavu::sans::regular()).ok())
    }

    /// The width of a text in pixels. `size` is in pixels for one em, as in SVG.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let Some(font) = &self.0 else { return 0.0 };
        let font = font.as_scaled(scale(font, size));
        text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum()
    }

    /// The outlines of a text that begins at this point of the base line.
    pub(super) fn outlines(&self, text: &str, at: (f32, f32), size: f32) -> Vec<OutlinedGlyph> {
        let Some(font) = &self.0 else { return Vec::new() };
        let (scaled, mut x) = (font.as_scaled(scale(font, size)), at.0);
        let glyphs = text.chars().filter_map(|c| {
            let id = scaled.glyph_id(c);
            let glyph = Glyph { id, scale: scaled.scale(), position: point(x, at.1) };
            x += scaled.h_advance(id);
            font.outline_glyph(glyph)
        });
        glyphs.collect()
    }
}

/// `ab_glyph` scales a font by its line height; SVG and every other program by the em.
fn scale(font: &FontRef<'_>, size: f32) -> PxScale {
    let em = font.units_per_em().unwrap_or(2048.0);
    PxScale::from(size * font.height_unscaled() / em)
}

/// The font family in an SVG, with similar fonts for systems without it.
pub(super) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_every_character_of_pictures() {
        let font = Font::embedded();
        for sign in "0123456789.,%/×·→µ<>()abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".chars()
        {
            let text = sign.to_string();
            assert!(font.width(&text, 14.0) > 1.0, "{sign}");
            assert_eq!(font.outlines(&text, (0.0, 0.0), 14.0).len(), 1, "{sign}");
        }
        assert!(font.width("mm", 28.0) > font.width("mm", 14.0) * 1.9);
    }
}
