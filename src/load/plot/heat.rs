//! A heat map: a table of measurements, colored by their values, that shows the combined effect of two settings.

use super::axis::Unit;
use super::canvas::Canvas;
use super::colors;
use super::shapes::{Anchor, Area, Color};

/// A table that is drawn in one [`Area`] of a canvas. Columns go from left to right, rows from bottom to top.
#[derive(Debug)]
pub(crate) struct HeatMap {
    pub(crate) title: String,
    pub(crate) unit: Unit,
    /// The color of the highest value; lower values are paler.
    pub(crate) color: Color,
    /// The quantity of the columns, and their labels.
    pub(crate) columns: (String, Vec<String>),
    pub(crate) rows: (String, Vec<String>),
    /// The values, row by row; `None` where nothing was measured.
    pub(crate) cells: Vec<Vec<Option<f64>>>,
    /// The row and column of a framed cell, with its name.
    pub(crate) marked: Option<(usize, usize, String)>,
}

impl HeatMap {
    /// Draws it.
    pub(crate) fn draw(&self, canvas: &mut Canvas, area: Area) {
        let text = canvas.text_size();
        let widest = self.rows.1.iter().map(|label| canvas.width_of(label, text)).fold(0.0, f32::max);
        let (left, top) = (area.left + widest + text * 1.6, area.top + text * 3.5);
        let frame = Area {
            left,
            top,
            width: (area.right() - text * 1.6 - left).max(1.0),
            height: (area.bottom() - text * 3.2 - top).max(1.0),
        };
        self.draw_heading(canvas, area);
        let grid = CellGrid { frame, columns: self.columns.1.len().max(1), rows: self.rows.1.len().max(1) };
        self.draw_cells(canvas, &grid);
        self.draw_labels(canvas, &grid);
        if let Some((row, column, name)) = &self.marked {
            self.draw_mark(canvas, &grid, (*row, *column), name);
        }
    }

    /// The title, the color scale, and the quantity of the rows.
    fn draw_heading(&self, canvas: &mut Canvas, area: Area) {
        let text = canvas.text_size();
        let y = area.top + text * 1.2;
        canvas.text(&self.title, (area.left + text, y), Anchor::Left, text * 1.08, colors::TEXT);
        let below = (area.left + text, y + text * 1.6);
        canvas.text(&format!("{} (upward)", self.rows.0), below, Anchor::Left, text, colors::MUTED);
        let Some((least, most)) = self.range() else { return };
        let right = area.right() - text * 1.6;
        let right =
            right - canvas.text(&self.unit.short(most), (right, y), Anchor::Right, text, colors::TEXT);
        let width = text * 7.0 / SCALE_STEPS as f32;
        let bar = right - text * 7.4;
        for step in 0..SCALE_STEPS {
            let share = step as f32 / (SCALE_STEPS - 1) as f32;
            let left = bar + width * step as f32;
            let piece = Area { left, top: y - text * 0.72, width: width + 0.3, height: text * 0.8 };
            canvas.rectangle(piece, shade(self.color, share));
        }
        canvas.text(&self.unit.short(least), (bar - text * 0.4, y), Anchor::Right, text, colors::TEXT);
    }

    fn draw_cells(&self, canvas: &mut Canvas, grid: &CellGrid) {
        let size = canvas.text_size() * 0.92;
        let range = self.range();
        for (row, values) in self.cells.iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                let area = grid.cell(row, column);
                let (Some(value), Some((least, most))) = (value, range) else {
                    canvas.rectangle(area, colors::GRID.opacity(0.5));
                    continue;
                };
                let share = share(*value, least, most);
                canvas.rectangle(area, shade(self.color, share));
                let label = self.unit.short(*value);
                if canvas.width_of(&label, size) + 4.0 <= area.width && size * 1.3 <= area.height {
                    let at = (area.left + area.width / 2.0, area.top + area.height / 2.0 + size * 0.36);
                    let ink = if share > DARK_FROM { colors::BACKGROUND } else { colors::TEXT };
                    canvas.text(&label, at, Anchor::Middle, size, ink);
                }
            }
        }
    }

    /// The labels of rows and columns: every second one, or fewer, if not all fit.
    fn draw_labels(&self, canvas: &mut Canvas, grid: &CellGrid) {
        let (text, frame) = (canvas.text_size(), grid.frame);
        let every = (text * 1.2 / grid.cell(0, 0).height).ceil().max(1.0) as usize;
        for (row, label) in self.rows.1.iter().enumerate().step_by(every) {
            let cell = grid.cell(row, 0);
            let at = (frame.left - text * 0.5, cell.top + cell.height / 2.0 + text * 0.36);
            canvas.text(label, at, Anchor::Right, text, colors::TEXT);
        }
        let labels = &self.columns.1;
        let widest = labels.iter().map(|label| canvas.width_of(label, text)).fold(0.0, f32::max);
        let every = ((widest + text * 0.6) / grid.cell(0, 0).width).ceil().max(1.0) as usize;
        for (column, label) in labels.iter().enumerate().step_by(every) {
            let cell = grid.cell(0, column);
            let half = canvas.width_of(label, text) / 2.0;
            let x = (cell.left + cell.width / 2.0).min(frame.right() + text * 1.4 - half);
            canvas.text(label, (x, frame.bottom() + text * 1.25), Anchor::Middle, text, colors::TEXT);
        }
        let at = (frame.left + frame.width / 2.0, frame.bottom() + text * 2.6);
        canvas.text(&self.columns.0, at, Anchor::Middle, text, colors::MUTED);
    }

    /// Frames a cell. Its name is written beside the title, and in the cell if it fits below the value.
    fn draw_mark(&self, canvas: &mut Canvas, grid: &CellGrid, (row, column): (usize, usize), name: &str) {
        let (text, cell) = (canvas.text_size(), grid.cell(row, column));
        outline(canvas, cell);
        let (right, y) = (grid.frame.right(), grid.frame.top - text * 0.7);
        let left = right - canvas.text(name, (right, y), Anchor::Right, text, colors::TEXT);
        let key =
            Area { left: left - text * 1.2, top: y - text * 0.7, width: text * 0.7, height: text * 0.7 };
        outline(canvas, key);
        let size = text * 0.92;
        if canvas.width_of(name, size) + 6.0 <= cell.width && size * 4.2 <= cell.height {
            let at = (cell.left + cell.width / 2.0, cell.top + cell.height / 2.0 + size * 1.7);
            let value = self.cells.get(row).and_then(|row| row.get(column)).copied().flatten();
            let is_dark = value
                .zip(self.range())
                .is_some_and(|(value, (least, most))| share(value, least, most) > DARK_FROM);
            canvas.text(
                name,
                at,
                Anchor::Middle,
                size,
                if is_dark { colors::BACKGROUND } else { colors::TEXT },
            );
        }
    }

    /// The minimum and maximum of all values.
    fn range(&self) -> Option<(f64, f64)> {
        let values = || self.cells.iter().flatten().flatten().copied();
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        (least <= most).then_some((least, most))
    }
}

/// The positions of the cells.
struct CellGrid {
    frame: Area,
    columns: usize,
    rows: usize,
}

impl CellGrid {
    fn cell(&self, row: usize, column: usize) -> Area {
        let (width, height) = (self.frame.width / self.columns as f32, self.frame.height / self.rows as f32);
        // Large cells are separated by one pixel of background.
        let gap = if width.min(height) > 6.0 { 1.0 } else { 0.0 };
        Area {
            left: self.frame.left + width * column as f32,
            top: self.frame.bottom() - height * (row + 1) as f32,
            width: width - gap,
            height: height - gap,
        }
    }
}

/// Frames an area with a line that is visible on every color.
fn outline(canvas: &mut Canvas, area: Area) {
    let (left, top, right, bottom) = (area.left, area.top, area.right(), area.bottom());
    let corners = || vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top - 0.1)];
    canvas.line(corners(), canvas.hairline() * 4.5, colors::BACKGROUND);
    canvas.line(corners(), canvas.hairline() * 2.5, colors::TEXT);
}

/// The place of a value between minimum and maximum, from 0 to 1. If these are far apart, logarithms are compared.
fn share(value: f64, least: f64, most: f64) -> f32 {
    let (value, least, most) = match least > 0.0 && most / least > LINEAR_UP_TO {
        true => (value.ln(), least.ln(), most.ln()),
        false => (value, least, most),
    };
    if most > least { (((value - least) / (most - least)) as f32).clamp(0.0, 1.0) } else { 1.0 }
}

/// Interpolates between a pale tint and the color.
fn shade(color: Color, share: f32) -> Color {
    let mixed = |part: u8| {
        let part = f32::from(part);
        // The result lies between tint and color, so it fits a byte.
        (255.0 - (255.0 - part) * (PALEST + (1.0 - PALEST) * share)).round() as u8
    };
    Color::rgb(mixed(color.red), mixed(color.green), mixed(color.blue))
}

/// The tint of the lowest value, which must differ from the background.
const PALEST: f32 = 0.08;
const SCALE_STEPS: usize = 28;

/// From this share on, text on the color is light.
const DARK_FROM: f32 = 0.55;
/// If maximum and minimum differ by more than this factor, logarithms are compared.
const LINEAR_UP_TO: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plot::Size;
    use crate::load::plot::shapes::Shape;

    fn map(columns: usize, rows: usize) -> HeatMap {
        let names = |count| (0..count).map(|place: usize| (1usize << place.min(30)).to_string()).collect();
        HeatMap {
            title: "throughput, commands/s".to_owned(),
            unit: Unit::Count,
            color: colors::BLUE,
            columns: ("callers of each shard".to_owned(), names(columns)),
            rows: ("connections of each shard".to_owned(), names(rows)),
            cells: (0..rows)
                .map(|row| {
                    (0..columns).map(|column| Some((row * columns + column + 1) as f64 * 1e4)).collect()
                })
                .collect(),
            marked: Some((rows / 2, columns / 2, "recommended".to_owned())),
        }
    }

    fn drawn(map: &HeatMap, width: u32, height: u32) -> Canvas {
        let mut canvas = Canvas::new(Size { width, height });
        let area = canvas.area();
        map.draw(&mut canvas, area);
        canvas
    }

    #[test]
    fn no_text_is_cut_or_overlaps() {
        for (width, height) in [(480, 140), (640, 300), (1200, 380), (2400, 800)] {
            for (columns, rows) in [(2, 2), (8, 5), (12, 30), (40, 40)] {
                let texts = drawn(&map(columns, rows), width, height).text_areas();
                for (index, (text, one)) in texts.iter().enumerate() {
                    let case = format!("{text} of {columns}×{rows} at {width}×{height}");
                    assert!(one.left >= 0.0 && one.right() <= width as f32, "{case} is cut");
                    assert!(one.top >= 0.0 && one.bottom() <= height as f32, "{case} is cut");
                    for (other_text, other) in texts.iter().skip(index + 1) {
                        let beside = one.right() <= other.left || other.right() <= one.left;
                        let above = one.bottom() <= other.top || other.bottom() <= one.top;
                        assert!(beside || above, "{case} is on {other_text}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_value_has_a_shade_and_the_mark_a_name() {
        let canvas = drawn(&map(4, 3), 1200, 400);
        let mut fills = Vec::new();
        for shape in canvas.shapes() {
            if let Shape::Rectangle { area, fill } = shape
                && area.width > 100.0
            {
                assert!(!fills.contains(fill), "{fill:?} twice");
                fills.push(*fill);
            }
        }
        assert_eq!(fills.len(), 12);
        assert_eq!(fills.last(), Some(&colors::BLUE));
        let names = canvas.text_areas().into_iter().filter(|(text, _)| text == "recommended").count();
        assert_eq!(names, 2, "beside the title and in the cell");
    }

    #[test]
    fn a_gap_has_no_value_and_no_shade() {
        let mut with_gap = map(2, 2);
        with_gap.cells = vec![vec![None, Some(7.0)], vec![None, None]];
        with_gap.marked = None;
        let texts = drawn(&with_gap, 600, 300).text_areas();
        let sevens = texts.iter().filter(|(text, _)| text == "7").count();
        assert_eq!(sevens, 3, "the cell and both ends of the scale");
    }
}
