//! The results of checking the replies of a run.

/// The results of the checks of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) checked: u64,
    pub(crate) mismatched: u64,
    /// The texts of the first few mismatches.
    pub(crate) examples: Vec<String>,
    pub(crate) audit: AuditTally,
}

impl Findings {
    const EXAMPLES_MAX: usize = 8;

    pub(crate) fn add(&mut self, other: Findings) {
        self.checked += other.checked;
        self.mismatched += other.mismatched;
        let room = Findings::EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
        self.audit.answered += other.audit.answered;
        self.audit.ambiguous += other.audit.ambiguous;
    }

    /// Counts one check; `Err` has the text of the mismatch.
    pub(crate) fn note(&mut self, held: Result<(), String>) {
        self.checked += 1;
        if let Err(example) = held {
            self.mismatched += 1;
            if self.examples.len() < Findings::EXAMPLES_MAX {
                self.examples.push(example);
            }
        }
    }
}

/// The increments of the audit counter. Each answered one was executed exactly once, each ambiguous one at most once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AuditTally {
    pub(crate) answered: u64,
    pub(crate) ambiguous: u64,
}

impl AuditTally {
    /// Checks the final value of the counter.
    pub(crate) fn check(self, counter: u64) -> Result<(), String> {
        let most = self.answered + self.ambiguous;
        if (self.answered..=most).contains(&counter) {
            return Ok(());
        }
        Err(format!(
            "the audit counter is {counter}, but {} increments were answered and {} more may \
             have been executed",
            self.answered, self.ambiguous
        ))
    }
}
