//! The seven maintenance notifications as bytes.
//!
//! This file does not use the client's encoder, so that a mistake in the encoder is not repeated here.

/// The seven kinds of maintenance notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotificationKind {
    Moving,
    Migrating,
    Migrated,
    FailingOver,
    FailedOver,
    Smigrating,
    Smigrated,
}

impl NotificationKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Moving,
        Self::Migrating,
        Self::Migrated,
        Self::FailingOver,
        Self::FailedOver,
        Self::Smigrating,
        Self::Smigrated,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Moving => "MOVING",
            Self::Migrating => "MIGRATING",
            Self::Migrated => "MIGRATED",
            Self::FailingOver => "FAILING_OVER",
            Self::FailedOver => "FAILED_OVER",
            Self::Smigrating => "SMIGRATING",
            Self::Smigrated => "SMIGRATED",
        }
    }

    /// The kind whose window this kind closes.
    pub(crate) fn opener(self) -> Option<Self> {
        match self {
            Self::Migrated => Some(Self::Migrating),
            Self::FailedOver => Some(Self::FailingOver),
            Self::Smigrated => Some(Self::Smigrating),
            Self::Moving | Self::Migrating | Self::FailingOver | Self::Smigrating => None,
        }
    }

    /// Whether the node keeps the last notification of this kind and sends it to later opt-ins.
    pub(crate) fn is_retained(self) -> bool {
        matches!(self, Self::Migrated | Self::FailedOver)
    }
}

/// One maintenance notification, of which each connection gets a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notification {
    pub(crate) kind: NotificationKind,
    pub(crate) sequence: u64,
    /// The end of the announced time, for the kinds that announce one.
    pub(crate) until_us: Option<i64>,
    pub(crate) subject: Subject,
}

/// The content of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The new endpoint; `None` sends a null, so that the client resolves its configured name again.
    Target(Option<Vec<u8>>),
    /// Shard ids as JSON text, or slots.
    Text(Vec<u8>),
    /// Source, destination and slots of each move.
    Moves(Vec<[Vec<u8>; 3]>),
}

/// The shapes of SMIGRATED that servers and proxies have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SmigratedShape {
    /// `[[source, target, slots], ...]`, as today.
    #[default]
    Nested,
    /// `[[target, slots], ...]`: the source is the node that announces.
    Pairs,
    /// `target slots ...`
    Flat,
    /// `source target slots ...`
    Triples,
    /// `count ["target slots", ...]`. SMIGRATING has an element for each range then.
    Counted,
}

impl SmigratedShape {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "nested" => Some(Self::Nested),
            "pairs" => Some(Self::Pairs),
            "flat" => Some(Self::Flat),
            "triples" => Some(Self::Triples),
            "counted" => Some(Self::Counted),
            _ => None,
        }
    }
}

pub(crate) const SHAPE_SYNTAX: &str = "SHAPE nested|pairs|flat|triples|counted";

impl Notification {
    /// The seconds until the announced time ends, rounded up. The number is negative once the end is at least one second
    /// ago.
    pub(crate) fn remaining_s(&self, now_us: u64) -> Option<i64> {
        let remaining_us = self.until_us?.saturating_sub_unsigned(now_us);
        Some(remaining_us.div_euclid(1_000_000) + i64::from(remaining_us.rem_euclid(1_000_000) > 0))
    }

    /// Writes the push for one connection. `endpoint` replaces the target of a MOVING, because the form of the endpoint
    /// depends on the type that the connection requested.
    pub(crate) fn write(
        &self,
        now_us: u64,
        endpoint: Option<&[u8]>,
        shape: SmigratedShape,
        out: &mut Vec<u8>,
    ) {
        let remaining_s = self.remaining_s(now_us);
        let fields = match (&self.subject, shape) {
            (Subject::Moves(moves), SmigratedShape::Flat) => 2 * moves.len(),
            (Subject::Moves(moves), SmigratedShape::Triples) => 3 * moves.len(),
            (Subject::Moves(_), SmigratedShape::Counted) => 2,
            // One element for each range.
            (Subject::Text(slots), SmigratedShape::Counted) if self.kind == NotificationKind::Smigrating => {
                slots.split(|byte| *byte == b',').count()
            }
            _ => 1,
        };
        header(b'>', 2 + usize::from(remaining_s.is_some()) + fields, out);
        bulk(self.kind.name().as_bytes(), out);
        line(b':', &self.sequence.to_string(), out);
        if let Some(seconds) = remaining_s {
            line(b':', &seconds.to_string(), out);
        }
        match (&self.subject, endpoint) {
            (Subject::Target(_), Some(endpoint)) => bulk(endpoint, out),
            (Subject::Target(_), None) => out.extend_from_slice(b"_\r\n"),
            (Subject::Text(slots), _) if fields > 1 => {
                slots.split(|byte| *byte == b',').for_each(|range| bulk(range, out));
            }
            (Subject::Text(text), _) => bulk(text, out),
            (Subject::Moves(moves), _) => write_moves(moves, shape, out),
        }
    }
}

/// Writes the moves of SMIGRATED.
fn write_moves(moves: &[[Vec<u8>; 3]], shape: SmigratedShape, out: &mut Vec<u8>) {
    if matches!(shape, SmigratedShape::Nested | SmigratedShape::Pairs | SmigratedShape::Counted) {
        if shape == SmigratedShape::Counted {
            line(b':', &moves.len().to_string(), out);
        }
        header(b'*', moves.len(), out);
    }
    for [source, target, slots] in moves {
        let parts: &[&[u8]] = match shape {
            SmigratedShape::Nested | SmigratedShape::Triples => &[source, target, slots],
            SmigratedShape::Pairs | SmigratedShape::Flat => &[target, slots],
            SmigratedShape::Counted => &[&[target, &b" "[..], slots].concat()],
        };
        if matches!(shape, SmigratedShape::Nested | SmigratedShape::Pairs) {
            header(b'*', parts.len(), out);
        }
        parts.iter().for_each(|part| bulk(part, out));
    }
}

fn line(kind: u8, text: &str, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn header(kind: u8, len: usize, out: &mut Vec<u8>) {
    line(kind, &len.to_string(), out);
}

fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    header(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: u64 = 1_000_000_000;

    fn notification(
        kind: NotificationKind,
        sequence: u64,
        seconds: Option<i64>,
        subject: Subject,
    ) -> Notification {
        let until_us = seconds.map(|seconds| NOW_US as i64 + seconds * 1_000_000);
        Notification { kind, sequence, until_us, subject }
    }

    fn text(text: &str) -> Subject {
        Subject::Text(text.into())
    }

    #[test]
    fn frames_equal_those_of_a_real_server() {
        let endpoint = b"54.78.247.156:12075";
        let moves =
            Subject::Moves(vec![["10.129.228.140:13486", "10.252.90.18:13486", "8892-8991"].map(Into::into)]);
        let captured: [(Notification, &str); 8] = [
            (
                notification(NotificationKind::Moving, 0, Some(15), Subject::Target(None)),
                ">4\r\n$6\r\nMOVING\r\n:0\r\n:15\r\n_\r\n",
            ),
            (
                notification(
                    NotificationKind::Moving,
                    17,
                    Some(15),
                    Subject::Target(Some(endpoint.to_vec())),
                ),
                ">4\r\n$6\r\nMOVING\r\n:17\r\n:15\r\n$19\r\n54.78.247.156:12075\r\n",
            ),
            (
                notification(NotificationKind::Migrating, 0, Some(2), text("[\"27\"]")),
                ">4\r\n$9\r\nMIGRATING\r\n:0\r\n:2\r\n$6\r\n[\"27\"]\r\n",
            ),
            (
                notification(NotificationKind::Migrated, 1, None, text("[\"27\"]")),
                ">3\r\n$8\r\nMIGRATED\r\n:1\r\n$6\r\n[\"27\"]\r\n",
            ),
            (
                notification(NotificationKind::FailingOver, 0, Some(2), text("[\"21\"]")),
                ">4\r\n$12\r\nFAILING_OVER\r\n:0\r\n:2\r\n$6\r\n[\"21\"]\r\n",
            ),
            (
                notification(NotificationKind::FailedOver, 1, None, text("[\"21\"]")),
                ">3\r\n$11\r\nFAILED_OVER\r\n:1\r\n$6\r\n[\"21\"]\r\n",
            ),
            (
                notification(NotificationKind::Smigrating, 18, None, text("8892-8991")),
                ">3\r\n$10\r\nSMIGRATING\r\n:18\r\n$9\r\n8892-8991\r\n",
            ),
            (
                notification(NotificationKind::Smigrated, 19, None, moves),
                ">3\r\n$9\r\nSMIGRATED\r\n:19\r\n*1\r\n*3\r\n$20\r\n10.129.228.140:13486\r\n\
                 $18\r\n10.252.90.18:13486\r\n$9\r\n8892-8991\r\n",
            ),
        ];
        for (notification, expected) in captured {
            let mut out = Vec::new();
            let Notification { subject, .. } = &notification;
            let endpoint = match subject {
                Subject::Target(target) => target.as_deref(),
                Subject::Text(_) | Subject::Moves(_) => None,
            };
            notification.write(NOW_US, endpoint, SmigratedShape::Nested, &mut out);
            assert_eq!(out.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
        }
    }

    #[test]
    fn smigrated_has_five_shapes() {
        let moves = ["a:1 b:2 0-9,11", "a:1 c:3 12"].map(|text| {
            let parts: Vec<&str> = text.split(' ').collect();
            [parts[0], parts[1], parts[2]].map(Into::into)
        });
        let moves = notification(NotificationKind::Smigrated, 7, None, Subject::Moves(moves.into()));
        let written = |notification: &Notification, shape: &str| {
            let mut out = Vec::new();
            notification.write(NOW_US, None, SmigratedShape::named(shape).unwrap(), &mut out);
            String::from_utf8(out).unwrap().replace("\r\n", " ")
        };
        for (shape, expected) in [
            ("nested", ">3 $9 SMIGRATED :7 *2 *3 $3 a:1 $3 b:2 $6 0-9,11 *3 $3 a:1 $3 c:3 $2 12 "),
            ("pairs", ">3 $9 SMIGRATED :7 *2 *2 $3 b:2 $6 0-9,11 *2 $3 c:3 $2 12 "),
            ("flat", ">6 $9 SMIGRATED :7 $3 b:2 $6 0-9,11 $3 c:3 $2 12 "),
            ("triples", ">8 $9 SMIGRATED :7 $3 a:1 $3 b:2 $6 0-9,11 $3 a:1 $3 c:3 $2 12 "),
            ("counted", ">4 $9 SMIGRATED :7 :2 *2 $10 b:2 0-9,11 $6 c:3 12 "),
        ] {
            assert_eq!(written(&moves, shape), expected);
        }
        let slots = notification(NotificationKind::Smigrating, 6, None, text("0-9,11"));
        assert_eq!(written(&slots, "nested"), ">3 $10 SMIGRATING :6 $6 0-9,11 ");
        assert_eq!(written(&slots, "counted"), ">4 $10 SMIGRATING :6 $3 0-9 $2 11 ");
    }

    #[test]
    fn the_remaining_time_is_rounded_up_and_goes_below_zero() {
        let notification = notification(NotificationKind::Moving, 0, Some(2), Subject::Target(None));
        let remaining: Vec<_> = [0, 1, 1_000_000, 1_999_999, 2_000_000, 2_900_000, 5_000_000]
            .iter()
            .filter_map(|later_us| notification.remaining_s(NOW_US + later_us))
            .collect();
        assert_eq!(remaining, [2, 2, 1, 1, 0, 0, -3]);
    }
}
