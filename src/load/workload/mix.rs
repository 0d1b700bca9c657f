//! Which commands a run sends, and in which proportions.

use std::fmt;

use super::template::Template;

/// Which commands a run sends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Mix {
    /// `SET` and `GET`, at random in this proportion.
    Ratio {
        /// The share of `SET`.
        set: u32,
        /// The share of `GET`.
        get: u32,
    },
    /// The user's own commands, at random in proportion to their ratios.
    Commands(Vec<WeightedCommand>),
}

/// One of the user's own commands with its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedCommand {
    /// The command.
    pub command: Template,
    /// The weight relative to the other commands: 1 to 1,000,000.
    pub ratio: u32,
}

impl Mix {
    /// Whether the commands read values, so that the run is meaningful only if the keys exist.
    pub fn reads(&self) -> bool {
        match self {
            Mix::Ratio { get, .. } => *get > 0,
            Mix::Commands(shares) => {
                shares.iter().any(|share| share.command.reads_strings() && share.command.has_key())
            }
        }
    }

    /// Chooses one of the commands, and returns it with its index; `None` in a mix of `SET` and `GET`.
    pub(crate) fn choose(&self, rng: &mut fastrand::Rng) -> Option<(usize, &Template)> {
        let Mix::Commands(shares) = self else { return None };
        if let [only] = shares.as_slice() {
            return Some((0, &only.command));
        }
        let all: u64 = shares.iter().map(|share| u64::from(share.ratio)).sum();
        let mut drawn = rng.u64(..all.max(1));
        let chosen = shares.iter().enumerate().find(|(_, share)| {
            let ratio = u64::from(share.ratio);
            let is_it = drawn < ratio;
            drawn = drawn.saturating_sub(ratio);
            is_it
        });
        chosen.map(|(place, share)| (place, &share.command))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mix::Ratio { set, get } => write!(f, "SET:GET {set}:{get}"),
            Mix::Commands(shares) => match shares.as_slice() {
                [only] => only.command.fmt(f),
                several => several.iter().enumerate().try_for_each(|(place, share)| {
                    let between = if place > 0 { " + " } else { "" };
                    write!(f, "{between}{} × {}", share.ratio, share.command)
                }),
            },
        }
    }
}

/// The most different commands that one run sends.
pub(crate) const COMMANDS_MAX: usize = 64;
/// The largest weight of one command.
pub(crate) const COMMAND_RATIO_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::goodness_of_fit::{chi_square, chi_square_limit};

    fn mix(shares: &[(&str, u32)]) -> Mix {
        let share = |&(text, ratio): &(&str, u32)| WeightedCommand {
            command: text.parse().expect("a command"),
            ratio,
        };
        Mix::Commands(shares.iter().map(share).collect())
    }

    #[test]
    fn commands_are_chosen_by_their_ratios_only() {
        let mix = mix(&[("GET {key}", 7), ("SET {key} {value}", 2), ("INCR n", 1)]);
        let names = ["GET", "SET", "INCR"];
        for (expected, fits) in [([0.7, 0.2, 0.1], true), ([0.69, 0.2, 0.11], false)] {
            let mut rng = fastrand::Rng::with_seed(3);
            let misfit = chi_square(&expected, 100_000, || {
                let (place, command) = mix.choose(&mut rng).expect("a command");
                assert_eq!(names.get(place), Some(&command.name()));
                place
            });
            assert_eq!(misfit < chi_square_limit(2), fits, "{misfit}");
        }
    }

    #[test]
    fn a_mix_is_shown_with_its_proportions() {
        assert_eq!(mix(&[("GET {key}", 7)]).to_string(), "GET {key}");
        assert_eq!(mix(&[("GET {key}", 7), ("PING", 1)]).to_string(), "7 × GET {key} + 1 × PING");
    }

    #[test]
    fn a_mix_with_one_reader_reads() {
        assert!(mix(&[("PING", 1), ("get {key}", 1)]).reads());
        assert!(!mix(&[("PING", 1), ("LPUSH {key} x", 1)]).reads());
    }
}
