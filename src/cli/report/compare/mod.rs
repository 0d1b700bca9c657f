//! Compares two reports: which figures are better or worse, and which settings differ.

mod figures;
mod overlay;
mod rank_test;

use std::fmt::Write;
use std::fs::File;
use std::io::Read;

use serde_json::{Value, json};

use self::figures::{ALPHA, ComparedFigure, TEST, Unit, Verdict, compare, runs, runs_needed};

use crate::cli::options::versus;
use crate::cli::terminal::style::{Style, Styles};
use crate::cli::units::{grouped, micros};
use crate::load::plot;

/// The report that another one is compared with. It is kept as JSON, because it may come from a file of an older
/// version: a figure that it lacks is not compared.
#[derive(Debug)]
pub(crate) struct Baseline {
    /// The file or the options that the report comes from.
    name: String,
    report: Value,
    /// Whether it was run with the options of `--versus`, so that other settings are intended.
    is_versus: bool,
}

impl Baseline {
    /// Reads a report from a file, or says why the file is not a report.
    pub(crate) fn read(path: &str) -> Result<Baseline, String> {
        let read = |error| format!("cannot read {path}: {error}");
        let mut text = String::new();
        let file = File::open(path).map_err(read)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(read)?;
        let report: Value = serde_json::from_str(&text)
            .map_err(|error| format!("{path} is not JSON ({error}); give a file that --json has written"))?;
        let none = |what: &str| format!("{path} is not a report of `hitless bench --json`: {what}");
        match report.get("version").and_then(Value::as_u64) {
            Some(1) => {}
            Some(version) => {
                return Err(none(&format!("unknown version {version}; this program reads version 1")));
            }
            None => return Err(none("it has no \"version\"")),
        }
        if report.get("throughput_per_second").and_then(Value::as_f64).is_none() {
            return Err(none("it has no \"throughput_per_second\""));
        }
        Ok(Baseline { name: path.to_owned(), report, is_versus: false })
    }

    /// The report of the alternating runs with these options.
    pub(crate) fn versus(options: &str, report: Value) -> Baseline {
        Baseline { name: format!("--versus '{}'", versus::shown(options)), report, is_versus: true }
    }

    /// Adds the comparison to a report, and the other report unless it is in a file.
    pub(crate) fn add_to(&self, now: &mut Value) {
        let comparison = self.comparison(now);
        if let Some(now) = now.as_object_mut() {
            now.insert("comparison".to_owned(), comparison);
            if self.is_versus {
                now.insert("versus".to_owned(), self.report.clone());
            }
        }
    }

    /// The comparison as JSON.
    fn comparison(&self, now: &Value) -> Value {
        let figures: Vec<Value> = compare(&self.report, now).iter().map(ComparedFigure::json).collect();
        let difference = |(name, then, now)| json!({ "name": name, "then": then, "now": now });
        let differences: Vec<Value> = differences(&self.report, now).into_iter().map(difference).collect();
        json!({
            "with": self.name,
            "test": TEST,
            "p_value_below": ALPHA,
            "runs": { "then": runs(&self.report), "now": runs(now) },
            "figures": figures,
            "config_differences": differences,
        })
    }

    /// The earlier run as background lines of the plot.
    pub(crate) fn overlay(&self) -> plot::run::Overlay {
        overlay::of(&self.report)
    }

    /// The comparison as text for a terminal with `width` columns; `None` does not limit the width.
    pub(crate) fn text(&self, now: &Value, width: Option<usize>, styles: Styles) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, now, width.is_some_and(|width| width < NARROW), styles);
        out
    }

    /// A narrow terminal omits the earlier figure, which follows from the ratio.
    fn write(&self, out: &mut String, now: &Value, narrow: bool, styles: Styles) -> std::fmt::Result {
        let (name_width, gap) = if narrow { (15, " ") } else { (22, "   ") };
        let row = |name: &str, then: &str, now: &str| {
            let name: String = name.chars().take(name_width).collect();
            if narrow { format!("{name:15}{now:>10}") } else { format!("{name:22}{then:>14}{now:>14}") }
        };
        writeln!(out, "compared with {}", self.name)?;
        writeln!(out, "{}{gap}now/then", row("", "then", "now"))?;
        let all = compare(&self.report, now);
        for one in &all {
            let shown =
                |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |n| show(one.figure.unit, n));
            let (then, now) = (shown(one.then), shown(one.now));
            writeln!(out, "{}{gap}{}", row(one.figure.name, &then, &now), verdict(one, narrow, styles))?;
        }
        self.write_test(out, now, &all)?;
        self.write_differences(out, now)?;
        for (report, which) in [(&self.report, "earlier"), (now, "present")] {
            write_warnings(out, report, if self.is_versus && which == "earlier" { "other" } else { which })?;
        }
        Ok(())
    }

    /// Explains the verdicts, or why there are none.
    fn write_test(&self, out: &mut String, now: &Value, all: &[ComparedFigure]) -> std::fmt::Result {
        let (then, now) = (runs(&self.report), runs(now));
        let needed = runs_needed();
        match all.iter().any(|one| one.verdict == Verdict::TooFewRuns) {
            true => writeln!(
                out,
                "\nNot enough runs to tell better from worse: {then} then and {now} now; it takes {needed} of each \
                 (--repeat {needed})."
            ),
            false => writeln!(
                out,
                "\nMedians of {then} runs then and {now} now. Same: within the spread of the runs; better and worse: \
                 beyond it (Mann-Whitney U test, p below {ALPHA})."
            ),
        }
    }

    fn write_differences(&self, out: &mut String, now: &Value) -> std::fmt::Result {
        let differences = differences(&self.report, now);
        match (differences.is_empty(), self.is_versus) {
            (true, _) => return Ok(()),
            (_, true) => writeln!(out, "\nWhat differs:")?,
            (_, false) => {
                writeln!(out, "\nNOT THE SAME EXPERIMENT, so the figures do not compare like with like:")?;
            }
        }
        for (name, then, now) in differences {
            writeln!(out, "  {name}: {then} then, {now} now")?;
        }
        Ok(())
    }
}

/// Writes the warnings that a report has about its own figures.
fn write_warnings(out: &mut String, report: &Value, which: &str) -> std::fmt::Result {
    if report.get("interrupted") == Some(&Value::Bool(true)) {
        writeln!(out, "The {which} run was interrupted.")?;
    }
    for list in ["/problems", "/machine/disturbances"] {
        let found = report.pointer(list).and_then(Value::as_array).into_iter().flatten();
        for message in found.filter_map(|one| one.get("message")).filter_map(Value::as_str) {
            writeln!(out, "The {which} run: {message}.")?;
        }
    }
    Ok(())
}

fn show(unit: Unit, number: f64) -> String {
    match unit {
        Unit::Rate => format!("{} /s", grouped(number.round() as u64)),
        Unit::Nanos => format!("{number:.0} ns"),
        Unit::Micros => micros(number),
        Unit::Count => grouped(number as u64),
    }
}

fn verdict(one: &ComparedFigure, narrow: bool, styles: Styles) -> String {
    let word = match one.verdict {
        Verdict::Better => styles.apply(Style::Good, "better"),
        Verdict::Worse => styles.apply(Style::Error, "worse"),
        Verdict::Same => "same".to_owned(),
        Verdict::TooFewRuns => "too few runs".to_owned(),
        Verdict::OnlyInOne if narrow => return "only once".to_owned(),
        Verdict::OnlyInOne => return "measured once only".to_owned(),
    };
    match one.ratio() {
        Some(ratio) => format!("× {ratio:<5.2} {word}"),
        None => word,
    }
}

/// The settings that differ: name, earlier value, present value.
fn differences(then: &Value, now: &Value) -> Vec<(String, String, String)> {
    let empty = serde_json::Map::new();
    let config = |report: &Value| report.get("config").and_then(Value::as_object).unwrap_or(&empty).clone();
    let (then, now) = (config(then), config(now));
    let mut names: Vec<&String> = now.keys().collect();
    names.extend(then.keys().filter(|name| !now.contains_key(*name)));
    let shown = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "not set".to_owned(),
        Some(Value::String(text)) if text.ends_with(EMBEDDED) => EMBEDDED.trim_start_matches(", ").to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let relevant = names.into_iter().filter(|name| !IRRELEVANT.contains(&name.as_str()));
    let pairs = relevant.map(|name| (name.clone(), shown(then.get(name)), shown(now.get(name))));
    pairs.filter(|(_, then, now)| then != now).collect()
}

/// The largest report that is read. Reports of this program are about a thousandth of this size.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Terminals with fewer columns than this get the narrow table.
const NARROW: usize = 70;
/// Settings that may differ between two runs of the same experiment.
const IRRELEVANT: &[&str] = &["seed", "client_name", "password", "username", "credentials"];
/// The suffix of an endpoint in this process. Its address differs in every run, so that only the suffix is compared.
const EMBEDDED: &str = ", in this process";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn earlier(report: Value) -> Baseline {
        Baseline { name: "old.json".to_owned(), report, is_versus: false }
    }

    /// A report of `runs` runs, which differ by a few thousandths.
    fn repeated(run: &Value, runs: u32) -> Value {
        let mut report = run.clone();
        let again = |n: u32| {
            let mut run = run.clone();
            let factor = 1.0 + f64::from(n) / 1000.0;
            for path in ["/throughput_per_second", "/latency_us/p50", "/latency_us/p99"] {
                if let Some(number) = run.pointer_mut(path) {
                    *number = json!(number.as_f64().expect("a number") * factor);
                }
            }
            run
        };
        report["repeats"] = (0..runs).map(again).collect();
        report
    }

    fn then() -> Value {
        json!({
            "throughput_per_second": 1000.0, "latency_us": { "p50": 100.0, "p99": 1000.0, "max": 5000.0 },
            "commands": { "failed": 0 }, "longest_gap_us": 7.0,
        })
    }

    fn now() -> Value {
        json!({
            "throughput_per_second": 1500.0, "latency_us": { "p50": 50.0, "p99": 2000.0, "max": 5000.0 },
            "commands": { "failed": 0 },
        })
    }

    fn line(text: &str, name: &str) -> String {
        let found = text.lines().find(|line| line.starts_with(name));
        let found = found.unwrap_or_else(|| panic!("no {name} in:\n{text}"));
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn repeated_runs_say_which_figure_is_better() {
        let (then, now) = (repeated(&then(), 5), repeated(&now(), 5));
        let text = earlier(then.clone()).text(&now, None, Styles::new(false));
        assert_eq!(line(&text, "throughput"), "throughput 1,002 /s 1,503 /s × 1.50 better");
        assert_eq!(line(&text, "latency p50"), "latency p50 100 µs 50.1 µs × 0.50 better");
        assert_eq!(line(&text, "latency p99"), "latency p99 1.00 ms 2.00 ms × 2.00 worse");
        assert_eq!(line(&text, "latency max"), "latency max 5.00 ms 5.00 ms × 1.00 same");
        assert_eq!(line(&text, "failed"), "failed 0 0 same");
        assert_eq!(line(&text, "longest gap"), "longest gap 7.00 µs - measured once only");
        assert!(text.contains("Medians of 5 runs then and 5 now") && text.contains("Mann-Whitney"), "{text}");
        let narrow = earlier(then).text(&now, Some(40), Styles::new(false));
        let table = narrow.split("\n\n").next().expect("a table");
        assert!(table.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.contains("latency p99       2.00 ms × 2.00  worse\n"), "{narrow}");
        assert!(!text.contains("service time") && !text.contains("NOT THE SAME") && !text.contains('\x1b'));
    }

    #[test]
    fn single_runs_are_not_enough_to_tell() {
        for (old, new) in
            [(then(), now()), (then(), repeated(&now(), 9)), (repeated(&then(), 4), repeated(&now(), 4))]
        {
            let text = earlier(old.clone()).text(&new, None, Styles::new(false));
            assert!(line(&text, "throughput").ends_with("too few runs"), "{text}");
            assert!(
                text.contains("Not enough runs to tell better from worse: ") && text.contains("--repeat 5"),
                "{text}"
            );
            assert!(!text.contains(" better\n") && !text.contains(" worse\n"), "{text}");
            let json = earlier(old).comparison(&new);
            let verdicts = json["figures"].as_array().expect("figures").iter().map(|one| &one["verdict"]);
            assert!(
                verdicts.clone().all(|word| word == "not_enough_runs" || word == "measured_once_only"),
                "{json:#}"
            );
        }
    }

    #[test]
    fn the_json_comparison_has_every_figure() {
        let json = earlier(repeated(&then(), 5)).comparison(&repeated(&now(), 6));
        assert_eq!(
            (json["with"].as_str(), json["test"].as_str()),
            (Some("old.json"), Some("mann-whitney-u"))
        );
        assert_eq!(json["runs"], json!({ "then": 5, "now": 6 }));
        let figures = json["figures"].as_array().expect("figures");
        let find = |path: &str| figures.iter().find(|one| one["path"] == path).expect(path);
        assert_eq!(find("/throughput_per_second")["verdict"], "better");
        assert_eq!(find("/latency_us/p99")["verdict"], "worse");
        assert!(find("/latency_us/p99")["p_value"].as_f64().is_some_and(|p| p < 0.01));
        assert_eq!(find("/longest_gap_us")["verdict"], "measured_once_only");
    }

    #[test]
    fn doubts_about_either_run_are_repeated() {
        let mut now = now();
        now["problems"] = json!([{ "kind": "nothing_measured", "message": "NOTHING WAS MEASURED" }]);
        now["machine"] =
            json!({ "disturbances": [{ "kind": "pause", "message": "the machine stood still" }] });
        let text = earlier(then()).text(&now, None, Styles::new(false));
        assert!(text.contains("The present run: NOTHING WAS MEASURED.\n"), "{text}");
        assert!(text.contains("The present run: the machine stood still.\n"), "{text}");
    }

    #[test]
    fn colors_only_if_enabled() {
        let (then, now) = (repeated(&then(), 5), repeated(&now(), 5));
        let text = earlier(then.clone()).text(&now, None, Styles::new(true));
        assert!(text.contains("\x1b[32mbetter\x1b[0m") && text.contains("\x1b[31mworse\x1b[0m"), "{text}");
        assert!(!earlier(then).text(&now, None, Styles::new(false)).contains('\x1b'));
    }

    #[test]
    fn versus_options_are_intended_differences() {
        let report = |connections: u64| json!({ "config": { "connections": connections }, "throughput_per_second": 1.0 });
        let versus = Baseline::versus("--connections 8", report(8));
        let text = versus.text(&report(4), None, Styles::new(false));
        assert!(text.contains("compared with --versus '--connections 8'\n"), "{text}");
        assert!(text.contains("What differs:\n  connections: 8 then, 4 now\n"), "{text}");
        assert!(!text.contains("NOT THE SAME"), "{text}");
        let (mut one, mut other) = (report(4), report(4));
        versus.add_to(&mut one);
        assert_eq!(one["versus"]["config"]["connections"], 8);
        earlier(report(1)).add_to(&mut other);
        assert!(other.get("versus").is_none() && other["comparison"].is_object(), "{other:#}");
    }

    #[test]
    fn settings_that_change_the_experiment_are_named() {
        let report = |tasks: u64, endpoint: &str, more: Value| {
            let mut config = json!({ "tasks_per_shard": tasks, "endpoint": endpoint, "seed": tasks });
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "config": config, "interrupted": tasks == 64 })
        };
        let then = report(64, "127.0.0.1:1, in this process", json!({ "rate": 5000 }));
        let now = report(128, "127.0.0.1:2, in this process", json!({}));
        let text = earlier(then.clone()).text(&now, None, Styles::new(false));
        assert!(text.contains("NOT THE SAME EXPERIMENT"), "{text}");
        assert!(text.contains("  tasks_per_shard: 64 then, 128 now\n"), "{text}");
        assert!(text.contains("  rate: 5000 then, not set now\n"), "{text}");
        assert!(text.contains("The earlier run was interrupted."), "{text}");
        assert!(!text.contains("seed") && !text.contains("endpoint"), "{text}");
        assert_eq!(differences(&then, &then), []);
        let elsewhere = report(64, "redis.example:6379", json!({ "rate": 5000 }));
        let expected = ("endpoint", "in this process", "redis.example:6379");
        let expected = [(expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned())];
        assert_eq!(differences(&then, &elsewhere), expected);
    }

    #[test]
    fn files_that_are_not_reports_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        for (text, why) in [
            ("hello", "is not JSON"),
            ("[1, 2]", "it has no \"version\""),
            ("{\"version\": 2}", "version 2"),
            ("{\"version\": 1}", "throughput_per_second"),
        ] {
            let path = directory.path().join("old.json");
            std::fs::write(&path, text).unwrap();
            let problem = Baseline::read(path.to_str().unwrap()).unwrap_err();
            assert!(problem.contains(why) && problem.contains("old.json"), "{problem}");
        }
        assert!(Baseline::read("/nonexistent/old.json").unwrap_err().contains("cannot read /nonexistent"));
    }
}
