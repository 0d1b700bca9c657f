//! The plot of a sweep: throughput and the 99th percentile, with the recommended setting marked. It is a heat map if
//! several sizes vary, and a line if one does.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::phrases::{self, flags};
use super::report_input::ReportInput;
use crate::load::plot::{Area, Axis, Canvas, Color, HeatMap, Panel, Size, Unit, colors, heading, title};
use crate::load::tuner::row::{Row, Setting};

/// Draws a sweep.
pub(super) fn picture(size: Size, input: &ReportInput<'_>) -> Canvas {
    let found = input.result.recommendation.as_ref();
    let chosen = found.and_then(|found| input.result.rows.get(found.row)).map(|row| row.setting);
    let mut lines = vec![
        match chosen {
            Some(setting) => format!("recommended: {}", flags(setting)),
            None => "nothing can be recommended".to_owned(),
        },
        format!("{} · {}", input.resolved.endpoint, input.resolved.workload.mix),
    ];
    if let Some(ceiling) = input.result.ceilings.first() {
        lines.push(format!("limited by {}", phrases::ceiling(ceiling)));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    drawn(size, &title("hitless tune", SystemTime::now()), &lines, &input.result.rows, chosen)
}

/// A figure of a row: how it is read and written, and its color.
struct Figure {
    title: &'static str,
    unit: Unit,
    color: Color,
    read: fn(&Row) -> Option<f64>,
}

fn drawn(size: Size, title: &str, lines: &[&str], rows: &[Row], chosen: Option<Setting>) -> Canvas {
    let mut canvas = Canvas::new(size);
    let top = heading(&mut canvas, title, lines.iter().copied());
    let height = (canvas.area().height - top - canvas.text_size() * 0.4) / FIGURES.len() as f32;
    let measured: Vec<&Row> = rows.iter().filter(|row| row.is_measured()).collect();
    let varied = varied(&measured);
    for (place, figure) in FIGURES.iter().enumerate() {
        let area = Area { left: 0.0, top: top + height * place as f32, width: canvas.area().width, height };
        match varied.as_slice() {
            [] => line(figure, &measured, TASKS, chosen).draw(&mut canvas, area),
            [only] => line(figure, &measured, *only, chosen).draw(&mut canvas, area),
            [upward @ .., rightward] => {
                heat_map(figure, &measured, upward, *rightward, chosen).draw(&mut canvas, area);
            }
        }
    }
    canvas
}

/// One of the sizes that a sweep varies.
#[derive(Clone, Copy)]
struct Dimension {
    name: &'static str,
    read: fn(&Setting) -> usize,
}

/// The sizes that differ between rows.
fn varied(rows: &[&Row]) -> Vec<Dimension> {
    let differs = |dimension: &Dimension| {
        let mut values = rows.iter().map(|row| (dimension.read)(&row.setting));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    [SHARDS, CONNECTIONS, TASKS].into_iter().filter(differs).collect()
}

fn line(figure: &Figure, rows: &[&Row], along: Dimension, chosen: Option<Setting>) -> Panel {
    let at = |row: &&Row| (along.read)(&row.setting) as f64;
    let (least, most) = ends(rows.iter().map(at));
    let name = format!("{}, logarithmic", along.name);
    let x = Axis::log(&name, Unit::Count, least, most).labelled_at(rows.iter().map(at));
    let (low, high) = ends(rows.iter().filter_map(|row| (figure.read)(row)).filter(|value| *value > 0.0));
    let (what, y) = match figure.unit {
        Unit::Latency => (", logarithmic", Axis::log("", figure.unit, low, high)),
        _ => ("", Axis::linear("", figure.unit, 0.0, high * 1.08)),
    };
    let points = rows.iter().map(|row| (at(row), (figure.read)(row))).collect();
    let panel = Panel::new(&format!("{}{what}", figure.title), x, y).dots("", figure.color, points);
    match chosen.map(|setting| (along.read)(&setting) as f64) {
        Some(here) => panel.shade(here, here, RECOMMENDED),
        None => panel,
    }
}

fn ends(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let most = values.clone().fold(1.0, f64::max);
    (values.fold(f64::MAX, f64::min).min(most), most)
}

/// The rows of the heat map are the combinations of the `upward` sizes.
fn heat_map(
    figure: &Figure,
    rows: &[&Row],
    upward: &[Dimension],
    rightward: Dimension,
    chosen: Option<Setting>,
) -> HeatMap {
    let row_of = |setting: &Setting| upward.iter().map(|size| (size.read)(setting)).collect::<Vec<_>>();
    let settings = || rows.iter().map(|row| &row.setting);
    let all_rows: Vec<Vec<usize>> = settings().map(row_of).collect::<BTreeSet<_>>().into_iter().collect();
    let columns: Vec<usize> = settings().map(rightward.read).collect::<BTreeSet<_>>().into_iter().collect();
    let place = |setting: &Setting| {
        let row = all_rows.binary_search(&row_of(setting)).ok()?;
        Some((row, columns.binary_search(&(rightward.read)(setting)).ok()?))
    };
    let mut cells = vec![vec![None; columns.len()]; all_rows.len()];
    for row in rows {
        let cell = place(&row.setting).and_then(|(at, column)| cells.get_mut(at)?.get_mut(column));
        if let Some(cell) = cell {
            *cell = (figure.read)(row);
        }
    }
    let joined = |parts: Vec<String>| parts.join(" × ");
    HeatMap {
        title: figure.title.to_owned(),
        unit: figure.unit,
        color: figure.color,
        columns: (rightward.name.to_owned(), columns.iter().map(ToString::to_string).collect()),
        rows: (
            joined(upward.iter().map(|size| size.name.to_owned()).collect()),
            all_rows.iter().map(|row| joined(row.iter().map(ToString::to_string).collect())).collect(),
        ),
        cells,
        marked: chosen.as_ref().and_then(place).map(|(row, column)| (row, column, RECOMMENDED.to_owned())),
    }
}

const FIGURES: [Figure; 2] = [
    Figure {
        title: "throughput, commands/s",
        unit: Unit::Count,
        color: colors::BLUE,
        read: |row| Some(row.throughput()),
    },
    Figure {
        title: "p99 latency",
        unit: Unit::Latency,
        color: colors::RED,
        read: |row| row.latency(|latency| latency.p99),
    },
];
const SHARDS: Dimension = Dimension { name: "shards", read: |setting| setting.shards };
const CONNECTIONS: Dimension =
    Dimension { name: "connections of each shard", read: |setting| setting.connections };
const TASKS: Dimension = Dimension { name: "callers of each shard", read: |setting| setting.tasks };
const RECOMMENDED: &str = "recommended";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plot::Format;
    use crate::load::tuner::row::Sample;

    fn rows(shards: &[usize], connections: &[usize], tasks: &[usize]) -> Vec<Row> {
        let mut rows = Vec::new();
        for &shards in shards {
            for &connections in connections {
                for &tasks in tasks {
                    let throughput_per_second = (tasks * shards + connections) as f64 * 1e4;
                    let sample = Sample { round: 1, throughput_per_second, answered: 1, ..Sample::default() };
                    rows.push(Row { setting: Setting { shards, connections, tasks }, samples: vec![sample] });
                }
            }
        }
        rows
    }

    const TASKS_SWEPT: [usize; 8] = [8, 16, 32, 64, 128, 256, 512, 1024];

    fn texts(rows: &[Row], chosen: Option<Setting>) -> Vec<String> {
        let canvas = drawn(Size { width: 1200, height: 800 }, "a title", &["a line"], rows, chosen);
        canvas.text_areas().into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn texts_never_overlap_at_any_size() {
        let long = "limited by the server ".repeat(30);
        for rows in [
            rows(&[1, 2, 4], &[1, 2, 4], &TASKS_SWEPT),
            rows(&[2], &[1, 2, 4, 8], &TASKS_SWEPT),
            rows(&[2], &[1], &TASKS_SWEPT),
        ] {
            for (width, height) in [(480, 360), (1200, 800), (3000, 2000)] {
                let chosen = rows.last().map(|row| row.setting);
                let canvas = drawn(Size { width, height }, "a title", &[&long], &rows, chosen);
                let texts = canvas.text_areas();
                let upon = |one: &Area, other: &Area| {
                    one.left < other.right()
                        && other.left < one.right()
                        && one.top < other.bottom()
                        && other.top < one.bottom()
                };
                for (place, (text, area)) in texts.iter().enumerate() {
                    assert!(area.left >= 0.0 && area.right() <= width as f32, "{text} leaves the picture");
                    assert!(area.top >= 0.0 && area.bottom() <= height as f32, "{text} leaves the picture");
                    let other = texts.iter().skip(place + 1).find(|(_, other)| upon(area, other));
                    assert!(other.is_none(), "{text:?} and {other:?} at {width}x{height}");
                }
                assert!(canvas.encode(Format::Svg).is_ok_and(|svg| !svg.is_empty()));
            }
        }
        let nothing = drawn(Size { width: 800, height: 600 }, "", &[], &[], None);
        assert!(nothing.encode(Format::Svg).is_ok());
    }

    #[test]
    fn several_sizes_are_a_heat_map_and_one_is_a_line() {
        let two = rows(&[1], &[1, 2, 4], &TASKS_SWEPT);
        let found = texts(&two, Some(two[9].setting));
        let count = |found: &[String], name: &str| found.iter().filter(|text| *text == name).count();
        assert_eq!(count(&found, "connections of each shard (upward)"), 2);
        assert_eq!(count(&found, "callers of each shard"), 2);
        assert!(count(&found, RECOMMENDED) >= 2, "{found:?}");
        // The value of a cell: 16 callers on 2 connections.
        assert!(found.contains(&"180 k".to_owned()), "{found:?}");
        let three = texts(&rows(&[1, 2], &[1, 2], &[8, 16]), None);
        assert_eq!(count(&three, "shards × connections of each shard (upward)"), 2);
        assert!(three.contains(&"2 × 1".to_owned()) && count(&three, RECOMMENDED) == 0, "{three:?}");
        let one = rows(&[1], &[1, 2, 4], &[64]);
        let found = texts(&one, Some(one[1].setting));
        assert_eq!(count(&found, "connections of each shard, logarithmic"), 2);
        assert_eq!(count(&found, RECOMMENDED), 2);
        assert!(!found.iter().any(|text| text.ends_with("(upward)")), "{found:?}");
    }
}
