//! Checks that a setting is within its range.

use std::time::Duration;

use super::error::ConfigError;

/// # Errors
/// Names the setting and the range, if the value is out of it.
pub(super) fn check_number(
    setting: &str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(setting, format!("{value} is not within {least} to {most}")))
}

/// # Errors
/// Names the setting and the range, if the value is out of it.
pub(super) fn check_time(
    setting: &str,
    value: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(setting, format!("{value:?} is not within {least:?} to {most:?}")))
}
