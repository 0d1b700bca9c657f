//! A run as an HdrHistogram log with one line for each interval, for HdrHistogram's own tools.
//!
//! Values are nanoseconds, times are seconds since the start of the run, and the maximum of a line is in milliseconds:
//! the defaults of those tools.

use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use super::measured::Recorded;

/// Returns the content of the file, or the text of an error.
pub(crate) fn log(recorded: &Recorded) -> Result<Vec<u8>, String> {
    let (mut out, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(concat!("[Logged with hitless ", env!("CARGO_PKG_VERSION"), ", values are nanoseconds]"))
        .with_start_time(recorded.timeline.began)
        .with_base_time(recorded.timeline.began)
        .with_max_value_divisor(MAX_VALUE_DIVISOR)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|error| error.to_string())?;
    for interval in recorded.timeline.intervals() {
        writer
            .write_histogram(&interval.latency, interval.from, interval.length, None)
            .map_err(|error| format!("{error:?}"))?;
    }
    Ok(out)
}

/// Encodes one histogram in base64, as in the lines of such a log.
pub(crate) fn encoded(histogram: &Histogram<u64>) -> Result<String, String> {
    let (mut out, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    IntervalLogWriterBuilder::new()
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|error| error.to_string())?
        .write_histogram(histogram, Duration::ZERO, Duration::ZERO, None)
        .map_err(|error| format!("{error:?}"))?;
    let line = String::from_utf8(out).map_err(|error| error.to_string())?;
    // The histogram is the last field of the line.
    Ok(line.trim_end().rsplit(',').next().unwrap_or_default().to_owned())
}

/// Reads such a log, for tests. Returns start and length of each line in seconds, and the sum of all histograms.
#[cfg(test)]
pub(crate) fn read(log: &[u8]) -> (Vec<(f64, f64)>, Histogram<u64>) {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let (mut times, mut all) = (Vec::new(), crate::load::recording::recorder::histogram());
    for entry in IntervalLogIterator::new(log) {
        if let LogEntry::Interval(line) = entry.expect("a line of a log") {
            times.push((line.start_timestamp().as_secs_f64(), line.duration().as_secs_f64()));
            let bytes = STANDARD.decode(line.encoded_histogram()).expect("base64");
            let one: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram");
            all.add(one).expect("histograms of one shape");
        }
    }
    (times, all)
}

/// The maximum of a line is written in units of this many nanoseconds.
const MAX_VALUE_DIVISOR: f64 = 1e6;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::load::recording::recorder::{Recorder, Recording, histogram};
    use crate::load::recording::timeline::Timeline;

    #[test]
    fn a_log_reads_back_as_recorded() {
        let mut timeline = Timeline::new(Duration::from_millis(100), 1);
        timeline.began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (mut all, mut random) = (histogram(), fastrand::Rng::with_seed(3));
        for n in 0..20 {
            let mut recorder = Recorder::new(false, 1);
            for _ in 0..5000 {
                let latency = Duration::from_nanos(random.u64(20_000..30_000_000));
                recorder.answer(latency, Duration::ZERO, 1);
            }
            let interval = recorder.exchange(Box::new(Recording::new(false, 1)));
            all.add(interval.latency()).unwrap();
            let from = Duration::from_millis(n * 100);
            timeline.add(from, from + Duration::from_millis(100), &interval);
        }
        let (latency, by_command) = (all.clone(), Default::default());
        let recorded = Recorded { timeline, latency, by_command, in_handoff: histogram(), service: None };
        let log = log(&recorded).unwrap();
        let text = std::str::from_utf8(&log).unwrap();
        assert!(text.starts_with("#[Histogram log format version 1.3]\n"), "{text}");
        assert!(text.contains("#[StartTime: 1800000000.000 "), "{text}");
        let (times, read) = read(&log);
        assert_eq!(times.len(), 20);
        assert_eq!(times[3], (0.3, 0.1));
        for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            assert_eq!(read.value_at_quantile(quantile), all.value_at_quantile(quantile));
        }
        assert_eq!(read.len(), 100_000);
        assert!(encoded(&all).unwrap().starts_with("HISTFAAA"), "the magic prefix of the format");
    }
}
