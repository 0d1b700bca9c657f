//! Whether a run measured enough: if most commands were not answered, the measurements do not describe the endpoint.

use std::fmt;

use serde::Serialize;

/// Why the measurements of a run do not describe its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The kind, for programs.
    pub kind: ProblemKind,
    /// The text for people, with the fix.
    pub message: String,
}

/// The kinds of a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// No command was answered.
    NothingMeasured,
    /// Less than 90 % of the commands that were offered were answered.
    TooFewAnswered,
    /// One of several servers answered less than 90 %.
    ServerTooFewAnswered,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(all(test, feature = "cli"))]
impl Problem {
    /// One with this text, for tests of code that displays it.
    pub(crate) fn example(message: &str) -> Problem {
        Problem { kind: ProblemKind::NothingMeasured, message: message.to_owned() }
    }
}

/// The outcome of the commands that were offered to a run, or to one of its servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Commands passed to the client.
    pub(crate) issued: u64,
    pub(crate) answered: u64,
    /// Commands of an open loop that were scheduled but never sent.
    pub(crate) unsent: u64,
}

impl Tally {
    pub(crate) fn offered(self) -> u64 {
        self.issued.saturating_add(self.unsent)
    }

    /// The answered share of the offered commands; `None` if none was offered.
    pub(crate) fn answered_share(self) -> Option<f64> {
        (self.offered() > 0).then(|| self.answered as f64 / self.offered() as f64)
    }

    fn is_enough(self) -> bool {
        self.answered > 0 && self.answered_share().is_some_and(|share| share >= ANSWERED_SHARE_MIN)
    }

    /// `600 failed, 17000 were due and never sent`
    fn losses(self) -> String {
        let failed = self.issued.saturating_sub(self.answered);
        match self.unsent {
            0 => format!("{failed} failed"),
            unsent => format!("{failed} failed, {unsent} were due and never sent"),
        }
    }
}

/// The problems of a run, the gravest first. `servers`: the parts of several servers, by name.
pub(crate) fn problems(whole: Tally, servers: &[(String, Tally)]) -> Vec<Problem> {
    let of_server = |(name, tally): &(String, Tally)| (!tally.is_enough()).then(|| of_server(name, *tally));
    of_whole(whole).into_iter().chain(servers.iter().filter_map(of_server)).collect()
}

fn of_whole(tally: Tally) -> Option<Problem> {
    let Tally { answered, .. } = tally;
    let (offered, losses) = (tally.offered(), tally.losses());
    let (kind, message) = match (offered, answered) {
        _ if tally.is_enough() => return None,
        (0, _) => (
            ProblemKind::NothingMeasured,
            "NOTHING WAS MEASURED: no command was sent in the measured time; measure for longer".to_owned(),
        ),
        (_, 0) => (
            ProblemKind::NothingMeasured,
            format!(
                "NOTHING WAS MEASURED: none of {offered} commands was answered ({losses}); \
                 check the endpoint, or measure for longer than it takes to answer"
            ),
        ),
        _ => (
            ProblemKind::TooFewAnswered,
            format!(
                "TOO LITTLE WAS ANSWERED: {} of the commands ({answered} of {offered}; {losses}); \
                 below {} the measurements do not describe the endpoint",
                percent(tally),
                whole_percent(ANSWERED_SHARE_MIN),
            ),
        ),
    };
    Some(Problem { kind, message })
}

fn of_server(name: &str, tally: Tally) -> Problem {
    let message = format!(
        "TOO LITTLE WAS ANSWERED BY {name}: {} of {} commands ({})",
        tally.answered,
        tally.offered(),
        tally.losses(),
    );
    Problem { kind: ProblemKind::ServerTooFewAnswered, message }
}

/// Rounded down, so that a share below the minimum never reads as the minimum.
fn percent(tally: Tally) -> String {
    let share = tally.answered_share().unwrap_or(0.0);
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

fn whole_percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A run, and each of its servers, must answer at least this share of the offered commands.
pub(crate) const ANSWERED_SHARE_MIN: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(issued: u64, answered: u64, unsent: u64) -> Tally {
        Tally { issued, answered, unsent }
    }

    fn of(whole: Tally) -> Option<(ProblemKind, String)> {
        let problems = problems(whole, &[]);
        problems.into_iter().next().map(|problem| (problem.kind, problem.message))
    }

    #[test]
    fn a_run_with_enough_answers_has_no_problem() {
        for enough in [tally(1, 1, 0), tally(100, 90, 0), tally(95, 90, 5), tally(1_000_000, 999_999, 0)] {
            assert_eq!(of(enough), None, "{enough:?}");
        }
    }

    #[test]
    fn nothing_measured_is_named_with_its_reason() {
        let (kind, message) = of(tally(0, 0, 0)).expect("a problem");
        assert_eq!(kind, ProblemKind::NothingMeasured);
        assert!(message.contains("no command was sent"), "{message}");
        let (kind, message) = of(tally(64, 0, 20_000)).expect("a problem");
        assert_eq!(kind, ProblemKind::NothingMeasured);
        assert!(
            message.contains("none of 20064 commands was answered (64 failed, 20000 were due"),
            "{message}"
        );
        assert!(of(tally(0, 0, 20_000)).is_some_and(|(kind, _)| kind == ProblemKind::NothingMeasured));
    }

    #[test]
    fn too_small_a_share_never_reads_as_enough() {
        for (few, share) in [(tally(100, 89, 0), "89.0 %"), (tally(64, 64, 19_936), "0.3 %")] {
            let (kind, message) = of(few).expect("a problem");
            assert_eq!(kind, ProblemKind::TooFewAnswered);
            assert!(message.starts_with(&format!("TOO LITTLE WAS ANSWERED: {share}")), "{message}");
        }
        let (_, message) = of(tally(100_000, 89_999, 0)).expect("a problem");
        assert!(message.contains("89.9 %") && message.contains("below 90 %"), "{message}");
    }

    #[test]
    fn a_server_without_answers_is_reported() {
        let servers = [("a:1".to_owned(), tally(10_000, 10_000, 0)), ("b:2".to_owned(), tally(64, 0, 0))];
        let found = problems(tally(10_064, 10_000, 0), &servers);
        let [only] = &found[..] else { panic!("{found:?}") };
        assert_eq!(only.kind, ProblemKind::ServerTooFewAnswered);
        assert_eq!(only.to_string(), "TOO LITTLE WAS ANSWERED BY b:2: 0 of 64 commands (64 failed)");
    }
}
