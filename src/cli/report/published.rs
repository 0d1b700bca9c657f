//! [`Published`]: a report of `hitless bench`, whatever its workload, as far as files, tables and comparisons need it.

use anyhow::anyhow;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::report::text::{self, Heading};
use crate::cli::report::{delivery, memtier};
use crate::load::plot::run::Drawn;
use crate::load::{DeliveryReport, Latency, Problem, Recorded, Report};

/// A report that is printed, drawn, compared and repeated in the one way that all workloads have.
pub(crate) trait Published: Clone + Serialize {
    /// What the throughput counts, in the plural.
    fn counts(&self) -> &'static str;
    fn throughput_per_second(&self) -> f64;
    fn latency(&self) -> Option<&Latency>;
    fn failed(&self) -> u64;
    fn elapsed_seconds(&self) -> f64;
    fn problems(&self) -> &[Problem];
    /// Whether the run measured something, and nothing went wrong.
    fn is_clean(&self) -> bool;
    fn is_interrupted(&self) -> bool;
    fn set_interrupted(&mut self);
    /// What was recorded at full resolution.
    fn recorded(&self) -> &Recorded;
    fn drawn(&self) -> Drawn<'_>;
    /// The whole report for a terminal with `width` columns; `None` does not limit the width.
    fn text(&self, heading: &Heading, width: Option<usize>) -> String;
    /// The report in the format of memtier_benchmark.
    ///
    /// # Errors
    /// If that format has no place for it.
    fn memtier(&self, config: &Map<String, Value>) -> anyhow::Result<Value>;
}

/// The methods that read a field of the same name in either report.
macro_rules! fields {
    () => {
        fn throughput_per_second(&self) -> f64 {
            self.throughput_per_second
        }

        fn latency(&self) -> Option<&Latency> {
            self.latency_us.as_ref()
        }

        fn elapsed_seconds(&self) -> f64 {
            self.elapsed_seconds
        }

        fn problems(&self) -> &[Problem] {
            &self.problems
        }

        fn is_interrupted(&self) -> bool {
            self.interrupted
        }

        fn set_interrupted(&mut self) {
            self.interrupted = true;
        }

        fn recorded(&self) -> &Recorded {
            &self.recorded
        }

        fn drawn(&self) -> Drawn<'_> {
            Drawn::from(self)
        }
    };
}

impl Published for Report {
    fields!();

    fn counts(&self) -> &'static str {
        "commands"
    }

    fn failed(&self) -> u64 {
        self.commands.failed
    }

    fn is_clean(&self) -> bool {
        Report::is_clean(self)
    }

    fn text(&self, heading: &Heading, width: Option<usize>) -> String {
        text::report(heading, self, width)
    }

    fn memtier(&self, config: &Map<String, Value>) -> anyhow::Result<Value> {
        memtier::document(config, self)
    }
}

impl Published for DeliveryReport {
    fields!();

    fn counts(&self) -> &'static str {
        if self.queue.is_some() { "elements" } else { "messages" }
    }

    fn failed(&self) -> u64 {
        self.failed
    }

    fn is_clean(&self) -> bool {
        DeliveryReport::is_clean(self)
    }

    fn text(&self, heading: &Heading, width: Option<usize>) -> String {
        delivery::text(heading, self, width)
    }

    fn memtier(&self, _: &Map<String, Value>) -> anyhow::Result<Value> {
        Err(anyhow!("memtier_benchmark's format has no place for {}; give --json", self.counts()))
    }
}
