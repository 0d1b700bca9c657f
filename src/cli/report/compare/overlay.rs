//! The lines of an earlier report in the background of a plot.

use serde_json::Value;

use crate::load::plot::run::Overlay;

/// Reads the timeline and the percentiles of a report. A missing figure is not drawn.
pub(super) fn of(report: &Value) -> Overlay {
    let number = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_f64);
    let intervals = report.get("timeline").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let series = |path: &str| -> Vec<(f64, Option<f64>)> {
        let point = |interval: &Value| {
            let middle = number(interval, "/at_seconds")? + number(interval, "/seconds")? / 2.0;
            Some((middle, number(interval, path)))
        };
        intervals.iter().filter_map(point).collect()
    };
    // Reports of queues and of subscribers count what arrived in the timeline only.
    let arrived = || intervals.iter().filter_map(|interval| number(interval, "/answered")).sum();
    let answered = number(report, "/commands/answered").unwrap_or_else(arrived);
    let percentile = |(name, share): (&str, f64)| {
        // With fewer commands, this percentile is the maximum under another name.
        let is_reached = answered * (1.0 - share) >= 1.0;
        let latency = number(report, &format!("/latency_us/{name}")).filter(|_| is_reached)?;
        Some((share, Some(latency)))
    };
    let mut percentiles: Vec<(f64, Option<f64>)> = PERCENTILES.into_iter().filter_map(percentile).collect();
    if let Some(most) = number(report, "/latency_us/max").filter(|_| answered >= 1.0) {
        percentiles.push((1.0 - 1.0 / answered.max(2.0), Some(most)));
    }
    Overlay {
        seconds: number(report, "/elapsed_seconds").unwrap_or(0.0),
        throughput: series("/throughput_per_second"),
        p99: series("/latency_us/p99"),
        percentiles,
    }
}

/// The percentiles of a report and their quantiles.
const PERCENTILES: [(&str, f64); 6] =
    [("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("p99_99", 0.9999)];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::load::plot::run::picture;
    use crate::load::plot::{Format, Size};

    #[test]
    fn the_timeline_and_the_percentiles_are_read() {
        let report = json!({
            "elapsed_seconds": 2.5,
            "commands": { "answered": 1000 },
            "latency_us": { "min": 1.0, "p50": 2.0, "p99": 4.0, "p99_99": 9.0, "max": 9.0 },
            "timeline": [
                { "at_seconds": 0.0, "seconds": 1.0, "throughput_per_second": 10.0, "latency_us": { "p99": 4.0 } },
                { "at_seconds": 1.0, "seconds": 1.0, "throughput_per_second": 0.0 },
            ],
        });
        let found = of(&report);
        assert_eq!(found.throughput, [(0.5, Some(10.0)), (1.5, Some(0.0))]);
        assert_eq!(found.p99, [(0.5, Some(4.0)), (1.5, None)]);
        let expected = [(0.0, Some(1.0)), (0.5, Some(2.0)), (0.99, Some(4.0)), (0.999, Some(9.0))];
        assert_eq!(found.percentiles, expected);
        assert_eq!(found.seconds, 2.5);
    }

    #[test]
    fn an_earlier_run_is_drawn_below_the_present_one() {
        let report = crate::cli::report::testing::full();
        let svg = |earlier: Option<&Overlay>| {
            let size = Size { width: 1200, height: 800 };
            let picture = picture(size, ["here", "load"], (&report).into(), earlier).encode(Format::Svg);
            String::from_utf8(picture.expect("a picture")).expect("text")
        };
        assert!(!svg(None).contains("earlier"), "nothing is drawn of no run");
        let points = vec![(0.1, Some(5.0)), (0.5, Some(9.0))];
        let (throughput, p99) = (points.clone(), points.clone());
        let both = svg(Some(&Overlay { seconds: 20.0, throughput, p99, percentiles: points }));
        assert_eq!(both.matches("earlier").count(), 3, "one in each panel: {both}");
    }

    #[test]
    fn what_a_report_lacks_is_not_drawn() {
        let found = of(&json!({ "timeline": "nonsense", "latency_us": 7 }));
        assert_eq!(found, Overlay::default());
    }
}
