//! Where a report goes: it is opened before the work begins, because a report that cannot be kept is not worth it.

use std::fs::File;
use std::io::{self, Write};

use super::Failure;

/// Opens what an option names: a file, or with `-` standard output.
///
/// # Errors
/// Names the option, the file and what is wrong with it.
pub(super) fn open(option: &str, path: Option<&str>) -> Result<Option<Box<dyn Write>>, Failure> {
    match path {
        None => Ok(None),
        Some("-") => Ok(Some(Box::new(io::stdout()))),
        Some(path) => {
            let file = File::create(path).map_err(|error| {
                Failure::Usage(format!(
                    "{option}: cannot write to {path:?}: {error}; allowed: a file that can be written, or - for \
                     standard output"
                ))
            })?;
            Ok(Some(Box::new(file)))
        }
    }
}
