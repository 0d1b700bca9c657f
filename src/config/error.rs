//! [`ConfigError`]: a setting that cannot work, and its allowed values.

use crate::error::{Error, ErrorKind};
use crate::proto::error::Outcome;

/// A setting that cannot work: its name, its value, and its allowed values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    setting: String,
    problem: String,
}

impl ConfigError {
    /// The name of the setting, or of the part of the URL.
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// The problem, and the allowed values.
    #[cfg(feature = "cli")]
    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }

    pub(crate) fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        ConfigError { setting: setting.into(), problem: problem.into() }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Error::new(ErrorKind::Config, Outcome::Unsent, error.to_string())
    }
}
