//! A latency histogram in few bytes, so that a timeline can keep many.
//!
//! A histogram with the recorders' bounds takes a quarter of a megabyte, nearly all of it zeros. The packed form has
//! only the recorded values: the distance to the value before and the count, as variable-length integers.

use hdrhistogram::Histogram;

/// The recorded values of a histogram.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Packed {
        let (mut bytes, mut last) = (Vec::new(), 0);
        for step in histogram.iter_recorded() {
            let value = step.value_iterated_to();
            put(&mut bytes, value - last);
            put(&mut bytes, step.count_at_value());
            last = value;
        }
        Packed(bytes.into_boxed_slice())
    }

    /// Adds the values to a histogram with the recorders' bounds; the round trip is exact.
    pub(crate) fn add_to(&self, histogram: &mut Histogram<u64>) {
        let (mut bytes, mut value) = (self.0.iter().copied(), 0);
        while let (Some(distance), Some(count)) = (take(&mut bytes), take(&mut bytes)) {
            value += distance;
            histogram.saturating_record_n(value, count);
        }
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << (place * 7);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recording::recorder::histogram;

    #[test]
    fn packing_keeps_every_value() {
        let mut all = histogram();
        for value in [0, 1, 127, 128, 1_000_000, 3_600_000_000_000] {
            all.saturating_record_n(value, value + 1);
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            all.saturating_record(random.u64(50_000..5_000_000));
        }
        let packed = Packed::of(&all);
        assert!(packed.0.len() < 20_000, "{} bytes", packed.0.len());
        let mut again = histogram();
        packed.add_to(&mut again);
        assert_eq!(again, all);
        assert_eq!(Packed::of(&histogram()), Packed::default());
    }
}
