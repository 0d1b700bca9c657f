//! [`Aggregate`]: an array, set, map, push or attribute whose elements have not all arrived.

use super::frame::Frame;

#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) kind: u8,
    /// How many elements are missing; `None` for a streamed aggregate, which an end marker completes.
    pub(super) missing: Option<usize>,
    pub(super) items: Vec<Frame>,
    /// The attributes of the next element.
    pub(super) attributes: Vec<Frame>,
}

/// The frame, together with the attributes in front of it, if there are any.
#[inline]
pub(super) fn attributed(pending: &mut Vec<Frame>, frame: Frame) -> Frame {
    if pending.is_empty() {
        return frame;
    }
    let attributes = pairs(std::mem::take(pending)).unwrap_or_default();
    Frame::Attributed { attributes, frame: Box::new(frame) }
}

/// The elements of a map as pairs; `None` if a value is missing.
pub(super) fn pairs(items: Vec<Frame>) -> Option<Vec<(Frame, Frame)>> {
    if !items.len().is_multiple_of(2) {
        return None;
    }
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    Some(pairs)
}
