//! The heading of a picture: its title, and lines that describe its content.

use std::time::SystemTime;

use super::canvas::Canvas;
use super::colors;
use super::shapes::Anchor;

/// Draws the title and the lines below it, and returns the y coordinate of their lower end.
///
/// Long lines are wrapped. The heading takes at most [`SHARE_MAX`] of the picture's height; omitted text is marked with
/// `…`.
pub(crate) fn heading<'a>(canvas: &mut Canvas, title: &str, lines: impl IntoIterator<Item = &'a str>) -> f32 {
    let text = canvas.text_size();
    let room = canvas.area().width - text * 2.0;
    let mut rows: Vec<(String, f32)> = wrapped(canvas, title, text * TITLE, room);
    rows.extend(lines.into_iter().flat_map(|line| wrapped(canvas, line, text, room)));
    let most = ((canvas.area().height * SHARE_MAX / (text * LINE)) as usize).max(2);
    let is_cut = rows.len() > most;
    rows.truncate(most);
    if let (true, Some((last, size))) = (is_cut, rows.last_mut()) {
        while !last.is_empty() && canvas.width_of(&format!("{last}…"), *size) > room {
            last.pop();
        }
        last.push('…');
    }
    let mut y = text * 0.2;
    for (row, size) in rows {
        y += text * LINE;
        let color = if size > text { colors::TEXT } else { colors::MUTED };
        canvas.text(&row, (text, y), Anchor::Left, size, color);
    }
    y + text * 0.7
}

/// The title of a picture: the command, its version, and the date.
pub(crate) fn title(command: &str, made: SystemTime) -> String {
    let date = humantime::format_rfc3339_seconds(made).to_string().replace('T', " ").replace('Z', " UTC");
    format!("{command} {} · {date}", env!("CARGO_PKG_VERSION"))
}

/// Wraps a line, between words if possible.
fn wrapped(canvas: &Canvas, line: &str, size: f32, room: f32) -> Vec<(String, f32)> {
    let mut rows = Vec::new();
    let mut row = String::new();
    for word in line.split_inclusive(' ') {
        if !row.is_empty() && canvas.width_of(&format!("{row}{}", word.trim_end()), size) > room {
            rows.push(std::mem::take(&mut row));
        }
        for sign in word.chars() {
            if canvas.width_of(&format!("{row}{sign}"), size) > room && sign != ' ' {
                rows.push(std::mem::take(&mut row));
            }
            row.push(sign);
        }
    }
    rows.push(row);
    rows.into_iter().map(|row| (row.trim_end().to_owned(), size)).filter(|(row, _)| !row.is_empty()).collect()
}

/// The size of the title relative to other text.
const TITLE: f32 = 1.15;
/// The distance between lines, in text heights.
const LINE: f32 = 1.5;
/// The largest share of the height; the charts get the rest.
const SHARE_MAX: f32 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plot::Size;

    #[test]
    fn long_headings_continue_on_the_next_line() {
        let size = Size { width: 640, height: 480 };
        let mut canvas = Canvas::new(size);
        let words = "a heading that is too long for one line but not for three ".repeat(2);
        let down = heading(&mut canvas, "a title", [words.as_str(), &"x".repeat(120)]);
        let texts = canvas.text_areas();
        let all: String = texts.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" ");
        assert!(all.contains(words.trim_end()) && !all.contains('…'), "{all}");
        assert!(texts.iter().all(|(_, area)| area.right() <= 640.0 && area.bottom() < down), "{texts:?}");
    }

    #[test]
    fn a_title_has_version_and_date() {
        let made = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_800_000_000_900);
        let expected = concat!("hitless bench ", env!("CARGO_PKG_VERSION"), " · 2027-01-15 08:00:00 UTC");
        assert_eq!(title("hitless bench", made), expected);
    }

    #[test]
    fn a_heading_leaves_the_charts_their_room() {
        let mut canvas = Canvas::new(Size { width: 480, height: 360 });
        let down = heading(&mut canvas, "a title", [&*"many words ".repeat(200)]);
        assert!(down < 360.0 * 0.35, "{down}");
        assert!(
            canvas
                .text_areas()
                .last()
                .is_some_and(|(text, area)| text.ends_with('…') && area.right() <= 480.0)
        );
    }
}
