//! The picture of a sweep: throughput and the 99th percentile against the callers, a line for each number of shards and
//! connections, and where the recommended setting stands.

use std::collections::BTreeSet;

use super::Told;
use super::words::{self, flags};
use crate::load::plot::{Anchor, Area, Axis, Canvas, Color, Panel, Size, Unit, colors};
use crate::load::tuner::row::{Row, Setting};

/// The lines' colours, which people tell apart who do not see red and green; more lines begin anew.
const LINES: [Color; 5] = [colors::BLUE, colors::ORANGE, colors::GREEN, colors::VIOLET, colors::FAINT];
/// The most lines: those of the recommended number of shards come first.
const LINES_MAX: usize = 10;

/// Draws a sweep.
pub(super) fn picture(size: Size, told: &Told<'_>) -> Canvas {
    let found = told.outcome.recommendation.as_ref();
    let chosen = found.and_then(|found| told.outcome.rows.get(found.row)).map(|row| row.setting);
    let title = match chosen {
        Some(setting) => format!("recommended: {}", flags(setting)),
        None => "nothing can be recommended".to_owned(),
    };
    let under = match told.outcome.ceilings.first() {
        Some(ceiling) => format!("limited by {}", words::ceiling(ceiling)),
        None => format!("{} · {}", told.resolved.endpoint, told.resolved.workload.mix),
    };
    drawn(size, [&title, &under], &told.outcome.rows, chosen)
}

fn drawn(size: Size, heading: [&str; 2], rows: &[Row], chosen: Option<Setting>) -> Canvas {
    let mut canvas = Canvas::new(size);
    let text = canvas.text_size();
    let room = canvas.area().width - text * 2.0;
    for (line, y, size, color) in
        [(heading[0], 1.6, text * 1.15, colors::INK), (heading[1], 3.1, text, colors::FAINT)]
    {
        let line = shortened(&canvas, line, size, room);
        canvas.text(&line, (text, y * text), Anchor::Left, size, color);
    }
    let top = text * 3.8;
    let height = (canvas.area().height - top - text * 0.4) / 2.0;
    let panels = [
        panel("throughput, commands/s", "", rows, chosen, Unit::Count, |row| Some(row.throughput())),
        panel("p99", "callers of each shard", rows, chosen, Unit::Latency, |row| {
            row.latency(|latency| latency.p99)
        }),
    ];
    for (place, panel) in panels.iter().enumerate() {
        let area = Area { left: 0.0, top: top + height * place as f32, width: canvas.area().width, height };
        panel.draw(&mut canvas, area);
    }
    canvas
}

fn shortened(canvas: &Canvas, line: &str, size: f32, room: f32) -> String {
    let mut line = line.to_owned();
    if canvas.width_of(&line, size) > room {
        while !line.is_empty() && canvas.width_of(&line, size) + size > room {
            line.pop();
        }
        line.push('…');
    }
    line
}

fn panel(
    title: &str,
    under: &str,
    rows: &[Row],
    chosen: Option<Setting>,
    unit: Unit,
    read: impl Fn(&Row) -> Option<f64>,
) -> Panel {
    let measured = || rows.iter().filter(|row| row.is_measured());
    let tasks: BTreeSet<usize> = measured().map(|row| row.setting.tasks).collect();
    let (least, most) = (tasks.first().copied().unwrap_or(1), tasks.last().copied().unwrap_or(1));
    let x = Axis::log(under, Unit::Count, least as f64, most as f64)
        .labelled_at(tasks.iter().map(|tasks| *tasks as f64));
    let values: Vec<f64> = measured().filter_map(&read).filter(|value| *value > 0.0).collect();
    let (low, high) =
        (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(1.0, f64::max));
    let y = match unit {
        Unit::Latency => Axis::log("", unit, low.min(high), high),
        _ => Axis::linear("", unit, 0.0, high * 1.08),
    };
    let mut panel = Panel::new(title, x, y);
    for ((shards, connections), color) in lines(rows, chosen).into_iter().zip(LINES.into_iter().cycle()) {
        let along =
            measured().filter(|row| (row.setting.shards, row.setting.connections) == (shards, connections));
        let points = along.map(|row| (row.setting.tasks as f64, read(row))).collect();
        panel = panel.dots(&name(rows, shards, connections), color, points);
    }
    let here = chosen.map(|setting| setting.tasks as f64);
    panel.marks(if here.is_some() { "recommended" } else { "" }, here.into_iter().collect())
}

/// Numbers of shards and connections, those of the chosen number of shards first.
fn lines(rows: &[Row], chosen: Option<Setting>) -> Vec<(usize, usize)> {
    let all: BTreeSet<(usize, usize)> =
        rows.iter().map(|row| (row.setting.shards, row.setting.connections)).collect();
    let is_chosen = |line: &(usize, usize)| chosen.is_none_or(|setting| setting.shards == line.0);
    let (first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_chosen);
    first.into_iter().chain(rest).take(LINES_MAX).collect()
}

fn name(rows: &[Row], shards: usize, connections: usize) -> String {
    let first = rows.first().map(|row| row.setting.shards);
    match rows.iter().all(|row| Some(row.setting.shards) == first) {
        true => words::plural(connections, "connection"),
        false => format!("{shards}×{connections}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plot::Format;
    use crate::load::tuner::row::Sample;

    fn rows(shards: &[usize]) -> Vec<Row> {
        let mut rows = Vec::new();
        for &shards in shards {
            for connections in [1, 2, 4] {
                for tasks in [8, 16, 32, 64, 128, 256, 512, 1024] {
                    let throughput_per_second = (tasks * shards) as f64 * 1e4;
                    let sample = Sample { round: 1, throughput_per_second, answered: 1, ..Sample::default() };
                    rows.push(Row { setting: Setting { shards, connections, tasks }, samples: vec![sample] });
                }
            }
        }
        rows
    }

    #[test]
    fn a_sweep_is_drawn_at_any_size_without_texts_upon_one_another() {
        let rows = rows(&[1, 2, 4]);
        let heading = ["recommended: a setting", &"limited by the server ".repeat(30)];
        for (width, height) in [(480, 360), (1200, 800), (3000, 2000)] {
            let canvas = drawn(Size { width, height }, heading, &rows, Some(rows[9].setting));
            let texts = canvas.text_areas();
            let upon = |one: &Area, other: &Area| {
                one.left < other.right()
                    && other.left < one.right()
                    && one.top < other.bottom()
                    && other.top < one.bottom()
            };
            for (place, (text, area)) in texts.iter().enumerate() {
                assert!(area.left >= 0.0 && area.right() <= width as f32, "{text} leaves the picture");
                let other = texts.iter().skip(place + 1).find(|(_, other)| upon(area, other));
                assert!(other.is_none(), "{text:?} and {other:?} at {width}x{height}");
            }
            assert!(canvas.encode(Format::Svg).is_ok_and(|svg| !svg.is_empty()));
        }
        let nothing = drawn(Size { width: 800, height: 600 }, ["", ""], &[], None);
        assert!(nothing.encode(Format::Svg).is_ok());
    }

    #[test]
    fn lines_of_the_recommended_shards_come_first_and_are_bounded() {
        let rows = rows(&[1, 2, 4, 8]);
        let chosen = Setting { shards: 4, connections: 1, tasks: 8 };
        let found = lines(&rows, Some(chosen));
        assert_eq!(found[..4], [(4, 1), (4, 2), (4, 4), (1, 1)]);
        assert_eq!(found.len(), LINES_MAX);
        assert_eq!(name(&rows, 4, 1), "4×1");
        assert_eq!(name(&super::tests::rows(&[1]), 1, 2), "2 connections");
    }
}
