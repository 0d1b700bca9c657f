//! [`Cause`]: the problem of a socket in words, with the error of the system or of TLS.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A text, and the error that it describes, if there was one. Cloning allocates, which is fine: connections fail rarely.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    text: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Cause {
    pub(crate) fn of(text: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Cause { text: text.into(), source: Some(Arc::new(source)) }
    }

    pub(crate) fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Cause { text, source: None }
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
