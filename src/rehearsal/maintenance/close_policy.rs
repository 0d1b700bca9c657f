//! When and how a node closes its connections after a MOVING.

use crate::rehearsal::ending::Ending;
use crate::rehearsal::ids::SessionId;

/// How a node closes its connections after a MOVING.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClosePolicy {
    /// Whether the node closes them at all.
    pub(crate) closes: bool,
    /// The time from the end of the grace period to the close.
    pub(crate) delay_us: u64,
    /// Closes after this part of the grace period instead.
    pub(crate) early: Option<f64>,
    pub(crate) ending: Ending,
    /// The node stops listening after the close.
    pub(crate) refuses_after: bool,
    /// The node sends another copy of the push right before the close.
    pub(crate) leaves_unread: bool,
}

/// The close that a MOVING has planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlannedClose {
    /// The MOVING that planned it.
    pub(crate) move_id: u64,
    pub(crate) policy: ClosePolicy,
    /// The last connection to close; `None` closes all connections that exist at that time.
    pub(crate) last: Option<SessionId>,
}

impl ClosePolicy {
    pub(crate) const SYNTAX: &str =
        "[fin|rst|half|never] [delay ms] [early part-of-grace] [refuse] [unread] [default]";

    /// Real servers close 0.7 s after the grace period.
    pub(crate) const DEFAULT: Self = Self {
        closes: true,
        delay_us: 700_000,
        early: None,
        ending: Ending::AfterOutput,
        refuses_after: false,
        leaves_unread: false,
    };

    /// Applies the options in `words`.
    pub(crate) fn change(mut self, words: &[&str]) -> Result<Self, String> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_lowercase().as_str() {
                "default" => self = Self::DEFAULT,
                "never" => self.closes = false,
                "refuse" => self.refuses_after = true,
                "unread" => self.leaves_unread = true,
                "delay" => {
                    let ms = words.next().and_then(|ms| ms.parse().ok()).filter(|&ms| ms <= DELAY_MAX_MS);
                    let ms: u64 = ms.ok_or("delay: needs milliseconds, at most a day")?;
                    self = Self { closes: true, early: None, delay_us: ms * 1_000, ..self };
                }
                "early" => {
                    let part: Option<f64> = words.next().and_then(|part| part.parse().ok());
                    let part = part.filter(|part| (0.0..=1.0).contains(part));
                    let part = part.ok_or("early: needs the part of the grace, from 0 to 1")?;
                    self = Self { closes: true, early: Some(part), ..self };
                }
                _ => match Ending::named(word) {
                    Some(ending) => self = Self { closes: true, ending, ..self },
                    None => return Err(format!("unknown option '{word}'; options: {}", Self::SYNTAX)),
                },
            }
        }
        Ok(self)
    }

    /// The time of the close, for a grace period that starts now.
    pub(crate) fn close_us(&self, now_us: u64, grace_us: u64) -> Option<u64> {
        let after_us = match self.early {
            Some(part) => (grace_us as f64 * part) as u64,
            None => grace_us.saturating_add(self.delay_us),
        };
        self.closes.then(|| now_us.saturating_add(after_us))
    }
}

/// Longest delay after a grace period: one day.
const DELAY_MAX_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_late_early_or_never() {
        let close = |words: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            ClosePolicy::DEFAULT.change(&words).map(|policy| policy.close_us(100, 1_000_000))
        };
        assert_eq!(close(""), Ok(Some(1_700_100)));
        assert_eq!(close("DELAY 5 rst"), Ok(Some(1_005_100)));
        assert_eq!(close("early 0.25 refuse unread"), Ok(Some(250_100)));
        assert_eq!(close("never"), Ok(None));
        assert_eq!(close("never default"), Ok(Some(1_700_100)));
        assert!(close("early 2").unwrap_err().contains("from 0 to 1"));
        assert!(close("late").unwrap_err().starts_with("unknown option 'late'; options: [fin|"));
    }
}
