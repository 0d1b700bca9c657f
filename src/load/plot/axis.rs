//! An axis: where a value lies between its two ends, and which values are labelled in which unit.

/// One side of a [`Panel`](super::Panel).
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    title: String,
    scale: Scale,
    unit: Unit,
    from: f64,
    to: f64,
    /// The labelled values, if they are given: settings instead of measurements.
    given: Vec<f64>,
}

/// The quantity of the numbers, which determines their format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds, written as seconds, minutes or hours.
    Seconds,
    /// Microseconds, written as ns, µs, ms or s.
    Latency,
    /// A count: `20 k`, `1.5 M`.
    Count,
    /// A share of 1, written in percent.
    Percent,
}

impl Axis {
    /// Evenly spaced.
    pub(crate) fn linear(title: &str, unit: Unit, from: f64, to: f64) -> Axis {
        let to = if to > from { to } else { from + 1.0 };
        Axis { title: title.to_owned(), scale: Scale::Linear, unit, from, to, given: Vec::new() }
    }

    /// Logarithmic, from a round number below the minimum to a round number above the maximum.
    pub(crate) fn log(title: &str, unit: Unit, least: f64, most: f64) -> Axis {
        let least = least.max(LOG_LEAST);
        let (from, to) = (round_down(least), round_up(most.max(least)));
        let to = if to > from * 1.5 { to } else { round_up(from * 1.5) };
        Axis { title: title.to_owned(), scale: Scale::Log, unit, from, to, given: Vec::new() }
    }

    /// Percentiles from 0 to that of the last of this many samples.
    pub(crate) fn nines(title: &str, samples: u64) -> Axis {
        let nines = (samples.max(10) as f64).log10().min(NINES_MAX);
        let (scale, unit) = (Scale::Nines, Unit::Percent);
        let title = title.to_owned();
        Axis { title, scale, unit, from: 0.0, to: 1.0 - 10f64.powf(-nines), given: Vec::new() }
    }

    /// Labels exactly these values.
    pub(crate) fn labelled_at(mut self, values: impl IntoIterator<Item = f64>) -> Axis {
        self.given = values.into_iter().collect();
        self
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// The place of a value: 0 at the beginning of the axis, 1 at its end, never outside.
    pub(crate) fn place(&self, value: f64) -> f32 {
        let (at, from, to) = (self.scaled(value), self.scaled(self.from), self.scaled(self.to));
        ((at - from) / (to - from)).clamp(0.0, 1.0) as f32
    }

    fn scaled(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(LOG_LEAST).log10(),
            Scale::Nines => -(1.0 - value).max(10f64.powf(-NINES_MAX)).log10(),
        }
    }

    /// At most `most` values with their labels, in ascending order; at least two if there are two.
    pub(crate) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        if !self.given.is_empty() {
            let every = self.given.len().div_ceil(most.max(1));
            let chosen = self.given.iter().step_by(every);
            return chosen.map(|&value| (value, self.label(value, value))).collect();
        }
        match self.scale {
            Scale::Linear => self.linear_ticks(most),
            Scale::Log => self.log_ticks(most),
            Scale::Nines => self.nines_ticks(most),
        }
    }

    fn linear_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let divisor = self.unit.divisor(self.to).0;
        let mut step = round_up((self.to - self.from) / divisor / most.max(1) as f64);
        if self.unit == Unit::Count && step < 1.0 && divisor == 1.0 {
            // A count has no fractions.
            step = 1.0;
        }
        let first = (self.from / divisor / step).ceil();
        let count = ((self.to / divisor / step).floor() - first).clamp(0.0, 1000.0) as u64;
        let tick = |n: u64| {
            let value = (first + n as f64) * step * divisor;
            (value, self.label(value, step * divisor))
        };
        (0..=count).map(tick).collect()
    }

    fn log_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let decades = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let all = |digits: &[f64], every: usize| -> Vec<(f64, String)> {
            let powers = (decades.0..=decades.1).step_by(every);
            let values = powers.flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
            let inside = values.filter(|&value| value >= self.from * 0.999 && value <= self.to * 1.001);
            inside.map(|value| (value, self.label(value, value))).collect()
        };
        let choices: [(&[f64], usize); 6] =
            [(&[1.0, 2.0, 5.0], 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 3), (&[1.0], 5)];
        let mut fitting = choices.iter().map(|(digits, every)| all(digits, *every));
        let found = fitting.find(|ticks| ticks.len() <= most.max(2));
        found.unwrap_or_default()
    }

    fn nines_ticks(&self, most: usize) -> Vec<(f64, String)> {
        // Rounding errors make the end slightly less than a whole number of nines.
        let nines = (self.scaled(self.to) + 1e-6).floor() as usize;
        let every = nines.div_ceil(most.saturating_sub(2).max(1)).max(1);
        let powers = (1..=nines).step_by(every).map(|nines| 1.0 - 0.1f64.powi(nines as i32));
        let values = [0.0, 0.5].into_iter().chain(powers);
        values.map(|value| (value, self.label(value, 0.0))).collect()
    }

    /// The label of a value, if the labelled values are `step` apart.
    fn label(&self, value: f64, step: f64) -> String {
        if self.unit == Unit::Percent {
            // As many decimals as the number of nines needs.
            let digits = (-(1.0 - value).log10()).round().max(0.0) as usize;
            return format!("{:.*} %", digits.saturating_sub(2), value * 100.0);
        }
        // On a logarithmic axis each label has its own unit; on a linear one all labels have the same.
        let (divisor, name) = match self.scale {
            Scale::Linear if self.given.is_empty() => self.unit.divisor(self.to),
            _ => self.unit.divisor(value),
        };
        if value == 0.0 {
            return match self.unit {
                Unit::Count => "0".to_owned(),
                _ => format!("0{name}"),
            };
        }
        let (value, step) = (value / divisor, step / divisor);
        let decimals = (-(step * 1.001).log10().floor()).clamp(0.0, 6.0) as usize;
        let mut text = format!("{value:.decimals$}");
        if text.contains('.') {
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
        text + name
    }
}

impl Unit {
    /// A single value with up to three digits.
    pub(crate) fn short(self, value: f64) -> String {
        let (divisor, name) = self.divisor(value);
        let value = value / divisor;
        let decimals = match value.abs() {
            x if x == x.round() && divisor == 1.0 => 0,
            x if x < 9.995 => 2,
            x if x < 99.95 => 1,
            _ => 0,
        };
        format!("{value:.decimals$}{name}")
    }

    /// The divisor for numbers up to `most`, and the name of the resulting unit.
    fn divisor(self, most: f64) -> (f64, &'static str) {
        match self {
            Unit::Seconds if most < 180.0 => (1.0, " s"),
            Unit::Seconds if most < 3.0 * 3600.0 => (60.0, " min"),
            Unit::Seconds => (3600.0, " h"),
            Unit::Latency if most < 0.999 => (1e-3, " ns"),
            Unit::Latency if most < 999.0 => (1.0, " µs"),
            Unit::Latency if most < 999e3 => (1e3, " ms"),
            Unit::Latency => (1e6, " s"),
            Unit::Count if most < 9999.0 => (1.0, ""),
            Unit::Count if most < 1e6 => (1e3, " k"),
            Unit::Count => (1e6, " M"),
            Unit::Percent => (0.01, " %"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
    /// Each step is a tenth of the distance to 100 % of the step before. This scale shows the tail of a distribution.
    Nines,
}

/// The smallest 1, 2 or 5 times a power of ten that is not below.
fn round_up(number: f64) -> f64 {
    let power = 10f64.powf(number.max(LOG_LEAST).log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0].into_iter();
    let mut up = digits.map(|digit| digit * power).filter(|round| *round >= number * 0.999_999);
    up.next().unwrap_or(power * 10.0)
}

/// The largest 1, 2 or 5 times a power of ten that is not above.
fn round_down(number: f64) -> f64 {
    let power = 10f64.powf(number.max(LOG_LEAST).log10().floor());
    let digits = [5.0, 2.0, 1.0].into_iter();
    let mut down = digits.map(|digit| digit * power).filter(|round| *round <= number * 1.000_001);
    down.next().unwrap_or(power)
}

/// The most nines of a percentile: no histogram has more samples.
const NINES_MAX: f64 = 9.0;
/// The replacement for values without a logarithm on a logarithmic axis.
const LOG_LEAST: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, most: usize) -> Vec<String> {
        axis.ticks(most).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn labels_are_round_numbers_in_one_unit() {
        let seconds = |to| labels(&Axis::linear("", Unit::Seconds, 0.0, to), 6);
        assert_eq!(seconds(10.0), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]);
        assert_eq!(seconds(0.5), ["0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s", "0.5 s"]);
        assert_eq!(seconds(600.0), ["0 min", "2 min", "4 min", "6 min", "8 min", "10 min"]);
        let rate = |to, most| labels(&Axis::linear("", Unit::Count, 0.0, to), most);
        assert_eq!(rate(812_000.0, 5), ["0", "200 k", "400 k", "600 k", "800 k"]);
        assert_eq!(rate(2_600_000.0, 6), ["0", "0.5 M", "1 M", "1.5 M", "2 M", "2.5 M"]);
        assert_eq!(rate(3.0, 6), ["0", "1", "2", "3"]);
    }

    #[test]
    fn logarithmic_labels_have_the_unit_that_suits_each() {
        let axis = |least, most| Axis::log("", Unit::Latency, least, most);
        assert_eq!(labels(&axis(70.0, 1800.0), 6), ["50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms"]);
        assert_eq!(labels(&axis(70.0, 3e6), 6), ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
        assert!(labels(&axis(0.0, 1e9), 4).len() >= 2);
        assert!(labels(&axis(50.0, 50.0), 6).len() >= 2, "a single value has a range, too");
        let connections = Axis::log("", Unit::Count, 1.0, 64.0).labelled_at([1.0, 4.0, 16.0, 64.0]);
        assert_eq!(labels(&connections, 6), ["1", "4", "16", "64"]);
    }

    #[test]
    fn percentiles_are_labelled_by_nines() {
        let axis = Axis::nines("", 1_000_000);
        let expected = ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
        assert_eq!(labels(&axis, 8), expected);
        let places = [0.0, 0.9, 0.99, 0.999, 0.999_999].map(|share| (axis.place(share) * 6.0).round());
        assert_eq!(places, [0.0, 1.0, 2.0, 3.0, 6.0]);
    }

    #[test]
    fn values_outside_are_placed_at_the_ends() {
        for axis in [
            Axis::linear("", Unit::Count, 0.0, 10.0),
            Axis::log("", Unit::Latency, 1.0, 10.0),
            Axis::nines("", 100),
        ] {
            for value in [-1.0, 0.0, 1.0, 1e12, f64::INFINITY] {
                assert!((0.0..=1.0).contains(&axis.place(value)), "{value} on {axis:?}");
            }
        }
    }
}
