//! One chart: lines between two axes, with shaded times and marks.

use super::axis::Axis;
use super::canvas::Canvas;
use super::colors;
use super::shapes::{Anchor, Area, Color};

/// A chart that is drawn in one [`Area`] of a canvas.
#[derive(Debug)]
pub(crate) struct Panel {
    title: String,
    x: Axis,
    y: Axis,
    series: Vec<Series>,
    shades: Vec<Shade>,
    /// Marked places of the x axis, with their common name.
    marks: (String, Vec<f64>),
}

#[derive(Debug)]
struct Series {
    name: String,
    color: Color,
    /// A missing value interrupts the line.
    points: Vec<(f64, Option<f64>)>,
    dotted: bool,
}

#[derive(Debug)]
struct Shade {
    from: f64,
    to: f64,
    label: String,
}

/// One entry of the legend: a color, its name and its position.
struct LegendEntry<'a> {
    name: &'a str,
    color: Color,
    x: f32,
    /// 0: beside the title.
    line: usize,
}

impl Panel {
    pub(crate) fn new(title: &str, x: Axis, y: Axis) -> Panel {
        let (series, shades, marks) = (Vec::new(), Vec::new(), (String::new(), Vec::new()));
        Panel { title: title.to_owned(), x, y, series, shades, marks }
    }

    /// A line through these points.
    pub(crate) fn line(mut self, name: &str, color: Color, points: Vec<(f64, Option<f64>)>) -> Panel {
        self.series.push(Series { name: name.to_owned(), color, points, dotted: false });
        self
    }

    /// A line through these points with a dot at each, for few measurements.
    pub(crate) fn dots(mut self, name: &str, color: Color, points: Vec<(f64, Option<f64>)>) -> Panel {
        self.series.push(Series { name: name.to_owned(), color, points, dotted: true });
        self
    }

    /// Shades the range between two places of the x axis.
    pub(crate) fn shade(mut self, from: f64, to: f64, label: &str) -> Panel {
        self.shades.push(Shade { from, to, label: label.to_owned() });
        self
    }

    /// Marks these places of the x axis.
    pub(crate) fn marks(mut self, name: &str, at: Vec<f64>) -> Panel {
        self.marks = (name.to_owned(), at);
        self
    }

    /// Draws it.
    pub(crate) fn draw(&self, canvas: &mut Canvas, area: Area) {
        let text = canvas.text_size();
        let most = (area.height / (text * 2.2)).clamp(2.0, 8.0) as usize;
        let ticks = self.y.ticks(most);
        let widest = ticks.iter().map(|(_, label)| canvas.width_of(label, text));
        let labels = widest.fold(canvas.width_of(WIDEST_LABEL, text), f32::max);
        // The names of shaded ranges are above the frame, where they do not cover a line.
        let above = if self.shades.iter().all(|shade| shade.label.is_empty()) { 1.9 } else { 3.1 };
        let left = area.left + labels + text * 0.4;
        let legend = self.legend(canvas, (left, area.right()));
        let lines = legend.last().map_or(0, |entry| entry.line) as f32;
        let top = area.top + text * (above + lines * LEGEND_LINE);
        let below = if self.x.title().is_empty() { 2.1 } else { 3.2 };
        let frame = Area {
            left,
            top,
            width: (area.right() - text * MARGIN - left).max(1.0),
            height: (area.bottom() - text * below - top).max(1.0),
        };
        self.draw_heading(canvas, area, frame, &legend);
        self.draw_shades(canvas, frame);
        for (value, label) in &ticks {
            let y = frame.bottom() - self.y.place(*value) * frame.height;
            canvas.line(vec![(frame.left, y), (frame.right(), y)], canvas.hairline(), colors::GRID);
            let at = (frame.left - text * 0.4, y + text * 0.36);
            canvas.text(label, at, Anchor::Right, text, colors::TEXT);
        }
        self.draw_x_axis(canvas, frame);
        self.draw_marks(canvas, frame);
        for (below, series) in self.series.iter().rev().enumerate().rev() {
            // The first lines are the widest, so that a line stays visible under a later one.
            let width = canvas.hairline() * (1.3 + 0.8 * below as f32);
            self.draw_series(canvas, frame, series, width);
        }
    }

    /// The legend beside the title, continued on further lines if it does not fit.
    fn legend(&self, canvas: &Canvas, (left, right): (f32, f32)) -> Vec<LegendEntry<'_>> {
        let text = canvas.text_size();
        let happened = (!self.marks.1.is_empty()).then_some((self.marks.0.as_str(), colors::RED));
        let named = self.series.iter().filter(|series| !series.name.is_empty());
        let names = named.map(|series| (series.name.as_str(), series.color)).chain(happened);
        let (mut x, mut line) = (left + canvas.width_of(&self.title, text * TITLE), 0);
        let entries = names.map(|(name, color)| {
            let width = text * 1.1 + canvas.width_of(name, text);
            x += text * 1.2;
            if x + width > right {
                (x, line) = (left, line + 1);
            }
            let entry = LegendEntry { name, color, x, line };
            x += width;
            entry
        });
        entries.collect()
    }

    /// Draws the title and the legend.
    fn draw_heading(&self, canvas: &mut Canvas, area: Area, frame: Area, legend: &[LegendEntry<'_>]) {
        let text = canvas.text_size();
        let y = area.top + text * 1.2;
        canvas.text(&self.title, (frame.left, y), Anchor::Left, text * TITLE, colors::TEXT);
        for LegendEntry { name, color, x, line } in legend {
            let y = y + text * LEGEND_LINE * *line as f32;
            let key = Area { left: *x, top: y - text * 0.68, width: text * 0.7, height: text * 0.7 };
            canvas.rectangle(key, *color);
            canvas.text(name, (key.right() + text * 0.4, y), Anchor::Left, text, colors::TEXT);
        }
    }

    fn draw_shades(&self, canvas: &mut Canvas, frame: Area) {
        let size = canvas.text_size() * 0.9;
        let mut free = frame.left;
        for shade in &self.shades {
            let place = |value| frame.left + self.x.place(value) * frame.width;
            let (from, to) = (place(shade.from), place(shade.to));
            // Short ranges must be visible, too.
            let width = (to - from).max(canvas.hairline() * 2.0).min(frame.right() - from).max(1.0);
            let area = Area { left: from, top: frame.top, width, height: frame.height };
            canvas.rectangle(area, colors::VIOLET.opacity(0.18));
            let half = canvas.width_of(&shade.label, size) / 2.0;
            let middle = (from + width / 2.0).min(frame.right() - half).max(frame.left + half);
            if !shade.label.is_empty() && middle - half >= free {
                let at = (middle, frame.top - size * 0.35);
                canvas.text(&shade.label, at, Anchor::Middle, size, colors::VIOLET);
                free = middle + half + size * 0.5;
            }
        }
    }

    fn draw_x_axis(&self, canvas: &mut Canvas, frame: Area) {
        let (text, hair) = (canvas.text_size(), canvas.hairline());
        let widths = |canvas: &Canvas, ticks: &[(f64, String)]| -> Vec<(f32, f32)> {
            let center = |value| frame.left + self.x.place(value) * frame.width;
            let half = |label: &str| canvas.width_of(label, text) / 2.0;
            // The last label may be wider than the margin.
            let inside = |value, half: f32| center(value).min(frame.right() + text * MARGIN - half);
            ticks.iter().map(|(value, label)| (inside(*value, half(label)), half(label))).collect()
        };
        let apart = |spans: &[(f32, f32)]| {
            let pairs = spans.iter().zip(spans.iter().skip(1));
            pairs.into_iter().all(|(one, next)| one.0 + one.1 + text * 0.8 <= next.0 - next.1)
        };
        // As many labels as fit side by side. If even the fewest do not fit, later ones are left out.
        let choices = (2..=12).rev().map(|most| self.x.ticks(most));
        let ticks = choices.into_iter().find(|ticks| apart(&widths(canvas, ticks)));
        let ticks = ticks.unwrap_or_else(|| self.x.ticks(12));
        let mut free = f32::MIN;
        for ((value, label), (x, half)) in ticks.iter().zip(widths(canvas, &ticks)) {
            let line = frame.left + self.x.place(*value) * frame.width;
            canvas.line(vec![(line, frame.top), (line, frame.bottom())], hair, colors::GRID);
            if x - half >= free {
                let at = (x, frame.bottom() + text * 1.25);
                canvas.text(label, at, Anchor::Middle, text, colors::TEXT);
                free = x + half + text * 0.5;
            }
        }
        let (right, bottom) = (frame.right(), frame.bottom());
        canvas.line(
            vec![(frame.left, frame.top), (frame.left, bottom), (right, bottom)],
            hair,
            colors::FRAME,
        );
        let at = (frame.left + frame.width / 2.0, bottom + text * 2.55);
        if !self.x.title().is_empty() {
            canvas.text(self.x.title(), at, Anchor::Middle, text, colors::MUTED);
        }
    }

    fn draw_marks(&self, canvas: &mut Canvas, frame: Area) {
        let height = canvas.text_size() * 0.8;
        let mut last = f32::MIN;
        for &value in &self.marks.1 {
            let x = frame.left + self.x.place(value) * frame.width;
            // Marks on the same pixel are drawn once.
            if x - last >= 1.0 {
                let points = vec![(x, frame.bottom()), (x, frame.bottom() - height)];
                canvas.line(points, canvas.hairline() * 1.5, colors::RED);
                last = x;
            }
        }
    }

    fn draw_series(&self, canvas: &mut Canvas, frame: Area, series: &Series, width: f32) {
        let mut run = Vec::new();
        let mut runs = Vec::new();
        for (x, y) in &series.points {
            match y {
                Some(y) => run.push((
                    frame.left + self.x.place(*x) * frame.width,
                    frame.bottom() - self.y.place(*y) * frame.height,
                )),
                None => runs.push(std::mem::take(&mut run)),
            }
        }
        runs.push(run);
        for run in runs {
            // A single point has no line, so it gets a dot.
            let side = if series.dotted { width * 3.5 } else { width * 1.5 };
            if series.dotted || run.len() == 1 {
                for (x, y) in &run {
                    let (left, top) = (x - side / 2.0, y - side / 2.0);
                    canvas.rectangle(Area { left, top, width: side, height: side }, series.color);
                }
            }
            if run.len() > 1 {
                canvas.line(run, width, series.color);
            }
        }
    }
}

/// The size of the title relative to other text.
const TITLE: f32 = 1.08;
/// The distance between lines of the legend, in text heights.
const LEGEND_LINE: f32 = 1.4;
/// The width of the widest latency label, so that the frames of stacked panels are aligned.
const WIDEST_LABEL: &str = "999 ms ";
/// The margin to the right of a frame, in text heights.
const MARGIN: f32 = 1.6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plot::{Size, Unit};

    fn panel(seconds: f64) -> Panel {
        let x = Axis::linear("time since the start", Unit::Seconds, 0.0, seconds);
        let y = Axis::log("", Unit::Latency, 80.0, 30_000.0);
        let points = |base: f64| (0..20).map(|n| (f64::from(n) * seconds / 20.0, Some(base))).collect();
        Panel::new("latency", x, y)
            .line("p50", colors::GREEN, points(100.0))
            .line("p99", colors::ORANGE, points(900.0))
            .shade(seconds * 0.5, seconds * 0.52, "MOVING")
            .shade(seconds * 0.53, seconds * 0.55, "MOVING")
            .shade(seconds * 0.99, seconds, "FAILING_OVER")
            .marks("errors", vec![seconds * 0.3])
    }

    #[test]
    fn no_text_overlaps_or_leaves_the_canvas() {
        for (width, height) in [(480, 360), (640, 480), (1200, 800), (2400, 1600), (3000, 300)] {
            for seconds in [0.3, 10.0, 75.0, 7200.0] {
                let mut canvas = Canvas::new(Size { width, height });
                let area = canvas.area();
                panel(seconds).draw(&mut canvas, area);
                let texts = canvas.text_areas();
                assert!(texts.len() > 8, "{texts:?}");
                for (index, (text, one)) in texts.iter().enumerate() {
                    assert!(one.left >= 0.0 && one.right() <= width as f32, "{text} at {width} × {height}");
                    assert!(one.top >= 0.0 && one.bottom() <= height as f32, "{text} at {width} × {height}");
                    for (other_text, other) in texts.iter().skip(index + 1) {
                        let beside = one.right() <= other.left || other.right() <= one.left;
                        let above = one.bottom() <= other.top || other.bottom() <= one.top;
                        assert!(
                            beside || above,
                            "{text} and {other_text} at {width} × {height}, {seconds} s"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_legend_wraps_below_a_long_title() {
        let axis = || Axis::linear("", Unit::Count, 0.0, 10.0);
        let mut panel = Panel::new("a title that leaves no room for all of the names", axis(), axis());
        let names = ["all commands", "in handoffs", "service time", "another one", "and one more"];
        for name in names {
            panel = panel.line(name, colors::BLUE, vec![(1.0, Some(1.0))]);
        }
        let mut canvas = Canvas::new(Size { width: 480, height: 200 });
        let area = canvas.area();
        panel.draw(&mut canvas, area);
        let texts = canvas.text_areas();
        for name in names {
            let found = texts.iter().find(|(text, _)| text == name);
            assert!(found.is_some_and(|(_, area)| area.right() <= 480.0), "{name}: {texts:?}");
        }
    }

    #[test]
    fn a_missing_value_is_a_gap() {
        use crate::load::plot::shapes::Shape;
        let lines = |points: Vec<(f64, Option<f64>)>| {
            let mut canvas = Canvas::new(Size { width: 600, height: 400 });
            let area = canvas.area();
            let axis = || Axis::linear("", Unit::Count, 0.0, 10.0);
            Panel::new("", axis(), axis()).line("", colors::BLUE, points).draw(&mut canvas, area);
            let blue = |shape: &&Shape| match shape {
                Shape::Line { color, .. } => *color == colors::BLUE,
                Shape::Rectangle { fill, .. } => *fill == colors::BLUE,
                Shape::Text { .. } => false,
            };
            canvas.shapes().iter().filter(blue).count()
        };
        let some = |x: f64| (x, Some(x));
        assert_eq!(lines(vec![some(1.0), some(2.0), some(3.0)]), 1);
        assert_eq!(lines(vec![some(1.0), some(2.0), (3.0, None), some(4.0), some(5.0)]), 2);
        assert_eq!(lines(vec![some(1.0), some(2.0), (3.0, None), some(4.0)]), 2, "a line and a dot");
        assert_eq!(lines(vec![(1.0, None)]), 0);
    }
}
