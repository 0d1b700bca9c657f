//! The report of a queue or of subscriptions as text.

use std::fmt::Write;

use crate::cli::report::text::{Heading, wrapped, write_cleanup, write_maintenance};
use crate::cli::units::{grouped, micros, plural};
use crate::load::{
    Delivery, DeliveryKind, DeliveryReport, Latency, PubSubReport, QueueReport, QueueType, Via,
};

/// The description of a run above its report.
pub(crate) fn heading(endpoint: &str, delivery: &Delivery, shards: usize, connections: usize) -> Heading {
    let mut load = match delivery.kind {
        DeliveryKind::Queue { producers, consumers, queue } => {
            let queue = match queue {
                QueueType::List => "list",
                QueueType::Stream => "stream",
            };
            let (from, to) = (plural(producers, "producer"), plural(consumers, "consumer"));
            format!("{from} → a {queue} → {to}")
        }
        DeliveryKind::PubSub { publishers, subscribers, channels } => {
            let (from, to) = (plural(publishers, "publisher"), plural(subscribers, "subscriber"));
            format!("{from} → {} → {to}", plural(channels, "channel"))
        }
    };
    // Writing to a string cannot fail.
    let _ = write!(load, " · {} × {}", plural(shards, "shard"), plural(connections, "connection"));
    load.push_str(match delivery.via {
        Via::Shard => "",
        Via::Client => " · through Client",
        Via::Tokio => " · in tokio",
    });
    if let Some(rate) = delivery.rate {
        let _ = write!(load, " · {}/s wanted", grouped(rate));
    }
    if !delivery.warm_up.is_zero() {
        let _ = write!(load, " · after {} of warm-up", humantime::format_duration(delivery.warm_up));
    }
    Heading::of(endpoint, load)
}

/// The whole report for a terminal with `width` columns; `None` does not limit the width.
pub(crate) fn text(heading: &Heading, report: &DeliveryReport, width: Option<usize>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, heading, report);
    wrapped(&out, width)
}

fn write_report(out: &mut String, heading: &Heading, report: &DeliveryReport) -> std::fmt::Result {
    for problem in &report.problems {
        writeln!(out, "{problem}\n")?;
    }
    if report.interrupted {
        writeln!(out, "Interrupted; the figures cover the time until then.\n")?;
    }
    heading.write(out)?;
    writeln!(out)?;
    let what = if report.queue.is_some() { "elements" } else { "messages" };
    let (rate, seconds) = (grouped(report.throughput_per_second.round() as u64), report.elapsed_seconds);
    writeln!(out, "delivered     {rate} {what}/s in {seconds:.2} s")?;
    if let Some(offered) = report.offered.as_ref().filter(|offered| offered.unsent > 0) {
        let (rate, unsent) = (grouped(offered.per_second.round() as u64), grouped(offered.unsent));
        writeln!(out, "offered       {rate} {what}/s; {unsent} were due but never sent")?;
    }
    if let Some(queue) = &report.queue {
        write_queue(out, queue)?;
    }
    if let Some(pubsub) = &report.pubsub {
        write_pubsub(out, pubsub)?;
    }
    if report.failed > 0 {
        writeln!(out, "failed        {} commands", grouped(report.failed))?;
        for (kind, count) in &report.errors {
            let example = report.error_examples.get(kind).map(String::as_str).unwrap_or_default();
            writeln!(out, "              {kind}: {}, e.g. {example}", grouped(*count))?;
        }
    }
    if !report.maintenance.is_empty() {
        write_maintenance(out, &report.maintenance)?;
    }
    if report.connections_left_behind > 0 {
        let left = grouped(report.connections_left_behind);
        writeln!(out, "              NOT ALL: {left} connections stayed behind at a MOVING")?;
    }
    writeln!(out)?;
    for (place, (peer, count)) in report.connections.iter().enumerate() {
        let name = if place == 0 { "connections" } else { "" };
        writeln!(out, "{name:12}  {count} to {peer}")?;
    }
    match &report.cleanup {
        Some(cleanup) => write_cleanup(out, cleanup),
        None => Ok(()),
    }
}

fn write_queue(out: &mut String, queue: &QueueReport) -> std::fmt::Result {
    writeln!(out, "pushed        {}", grouped(queue.pushed))?;
    writeln!(out, "popped        {}", grouped(queue.popped))?;
    writeln!(out, "returned      {} by waits that were ended at the end", grouped(queue.returned))?;
    writeln!(out, "left          {} in the queue", grouped(queue.left))?;
    write_fault(out, "lost", queue.lost, "LOST: pushed, and found nowhere")?;
    write_fault(out, "doubled", queue.doubled, "DOUBLED: found more than once")?;
    if queue.unexpected > 0 {
        write_fault(out, "unexpected", queue.unexpected, "UNEXPECTED: not pushed by this run")?;
    }
    write_latency(out, "from the push to the delivery", queue.latency_us.as_ref())
}

fn write_pubsub(out: &mut String, pubsub: &PubSubReport) -> std::fmt::Result {
    writeln!(out, "published     {}", grouped(pubsub.published))?;
    writeln!(out, "received      {} of {} expected", grouped(pubsub.delivered), grouped(pubsub.expected))?;
    match (pubsub.gaps, pubsub.unannounced) {
        (0, _) => writeln!(out, "gaps          0")?,
        (gaps, 0) => writeln!(out, "gaps          {} missing, all announced", grouped(gaps))?,
        (gaps, silent) => {
            let (gaps, silent) = (grouped(gaps), grouped(silent));
            writeln!(out, "gaps          {gaps} missing, {silent} of them NOT ANNOUNCED")?;
        }
    }
    if pubsub.announced_gaps > 0 {
        let announced = grouped(pubsub.announced_gaps);
        writeln!(out, "              {announced} gaps announced by the client, each for one channel")?;
    }
    write_fault(out, "duplicates", pubsub.duplicates, "DUPLICATES")?;
    write_fault(out, "reordered", pubsub.reordered, "OUT OF ORDER")?;
    if pubsub.lagged > 0 {
        let lagged = grouped(pubsub.lagged);
        writeln!(out, "lagged        {lagged} dropped: subscribers were slower than the publishers")?;
    }
    if pubsub.unexpected > 0 {
        write_fault(out, "unexpected", pubsub.unexpected, "UNEXPECTED: not published by this run")?;
    }
    write_latency(out, "from the publication to the delivery", pubsub.latency_us.as_ref())
}

/// Writes a count that must be 0.
fn write_fault(out: &mut String, name: &str, count: u64, fault: &str) -> std::fmt::Result {
    match count {
        0 => writeln!(out, "{name:12}  0"),
        count => writeln!(out, "{name:12}  {} {fault}", grouped(count)),
    }
}

fn write_latency(out: &mut String, span: &str, latency: Option<&Latency>) -> std::fmt::Result {
    let Some(latency) = latency else { return Ok(()) };
    let [p50, p99, p99_9, max] = [latency.p50, latency.p99, latency.p99_9, latency.max].map(micros);
    writeln!(out, "latency       p50 {p50} · p99 {p99} · p99.9 {p99_9} · max {max}, {span}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::Limit;

    fn heading(kind: DeliveryKind) -> Heading {
        let delivery = Delivery {
            kind,
            limit: Limit::Duration(Duration::from_secs(10)),
            warm_up: Duration::from_secs(2),
            rate: Some(5000),
            via: Via::Client,
            key_prefix: String::new(),
            cleanup: false,
        };
        super::heading("127.0.0.1:7001", &delivery, 1, 4)
    }

    #[test]
    fn a_queue_shows_where_its_elements_went() {
        let kind = DeliveryKind::Queue { producers: 1, consumers: 4, queue: QueueType::Stream };
        let shown = |queue| text(&heading(kind), &DeliveryReport::example(Some(queue), None), None);
        let clean = shown(QueueReport::example());
        for part in [
            "endpoint      127.0.0.1:7001\n",
            "load          1 producer → a stream → 4 consumers · 1 shard × 4 connections · through Client · \
             5,000/s wanted · after 2s of warm-up\n",
            "delivered     100 elements/s in 10.00 s\n",
            "pushed        1,000\npopped        997\nreturned      1 by",
            "left          2 in the queue\nlost          0\ndoubled       0\n",
        ] {
            assert!(clean.contains(part), "{part:?} is not in {clean}");
        }
        let faulty = shown(QueueReport { lost: 3, doubled: 1, ..QueueReport::example() });
        assert!(
            faulty.contains("lost          3 LOST") && faulty.contains("doubled       1 DOUBLED"),
            "{faulty}"
        );
    }

    #[test]
    fn subscribers_show_what_is_missing() {
        let kind = DeliveryKind::PubSub { publishers: 1, subscribers: 2, channels: 3 };
        let shown = |pubsub| text(&heading(kind), &DeliveryReport::example(None, Some(pubsub)), None);
        let clean = shown(PubSubReport::example());
        for part in [
            "load          1 publisher → 3 channels → 2 subscribers",
            "published     1,000\nreceived      2,000 of 2,000 expected\ngaps          0\n",
            "duplicates    0\nreordered     0\n",
        ] {
            assert!(clean.contains(part), "{part:?} is not in {clean}");
        }
        let gaps = |unannounced| shown(PubSubReport { gaps: 3, unannounced, ..PubSubReport::example() });
        assert!(gaps(0).contains("3 missing, all announced"), "{}", gaps(0));
        assert!(gaps(2).contains("3 missing, 2 of them NOT ANNOUNCED"), "{}", gaps(2));
    }
}
