//! How the decoder skips a push that it does not keep. Replies never get here.

use super::Decoder;
use crate::proto::resp::limits::DecodeError;
use crate::proto::resp::skip::Skip;
use crate::proto::resp::wire::take_line;

impl Decoder {
    /// Handles an error in an element: skips the rest of a push, and returns the error for a reply. The element began with
    /// the kept part of a line, or else with `before`. True once the push is skipped; false if the input ended first.
    #[cold]
    pub(super) fn skip_after(
        &mut self,
        error: DecodeError,
        mut before: &[u8],
        input: &mut &[u8],
    ) -> Result<bool, DecodeError> {
        if !self.in_push {
            return Err(error);
        }
        let kept = std::mem::take(&mut self.line);
        let line = if kept.is_empty() { take_line(&mut before).unwrap_or(before) } else { &kept[..] };
        let kind = line.first().copied().unwrap_or_default();
        let skip = match error {
            DecodeError::LineTooLong if b"+-(".contains(&kind) => self.begin_skip().in_line(&kept),
            DecodeError::BadVerbatim | DecodeError::OddMap => self.begin_skip().after_element(),
            DecodeError::Misplaced if kind == b'.' => self.begin_skip().after_element(),
            error if is_about_content(error) => {
                let content = line.get(1..).and_then(|line| line.strip_suffix(b"\r\n")).ok_or(error)?;
                let mut skip = self.begin_skip();
                skip.line(kind, content)?;
                skip
            }
            error => return Err(error),
        };
        self.skip = Some(skip);
        self.skip_on(input)
    }

    /// Drops the values of the push that have arrived, and remembers how many elements are missing.
    fn begin_skip(&mut self) -> Skip {
        self.attributes.clear();
        let aggregates = std::mem::take(&mut self.open);
        let open = aggregates.iter().map(|aggregate| (aggregate.kind == b'|', aggregate.missing));
        Skip::within(open, self.streamed.take().is_some())
    }

    /// Takes the skipped push out of `input`; true once it has ended.
    #[cold]
    pub(super) fn skip_on(&mut self, input: &mut &[u8]) -> Result<bool, DecodeError> {
        let Some(skip) = &mut self.skip else { return Ok(true) };
        if !skip.take_from(input)? {
            return Ok(false);
        }
        self.skip = None;
        self.skipped += 1;
        self.end_frame();
        Ok(true)
    }
}

/// Whether only the value or the size of an element is wrong, so that its end is still known.
fn is_about_content(error: DecodeError) -> bool {
    match error {
        DecodeError::TooDeep | DecodeError::TooManyElements | DecodeError::TooLong => true,
        DecodeError::BadNumber(kind) => b":,#_(".contains(&kind),
        _ => false,
    }
}
