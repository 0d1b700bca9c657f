//! Passwords on the command line: finds them, and removes them from messages.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;

use crate::Config;

/// Texts that no message may repeat. The passwords of the command line and of the configuration file are collected
/// before anything is printed, and every error about options passes through [`Secrets::hide`].
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    texts: Vec<String>,
}

impl Secrets {
    /// The secrets among these words.
    pub(crate) fn found_in(words: &[impl AsRef<OsStr>]) -> Secrets {
        let mut secrets = Secrets::default();
        let mut is_next = false;
        for word in words.iter().map(|word| word.as_ref().to_string_lossy().into_owned()) {
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            if is_next {
                secrets.add(&word);
            }
            is_next = PASSWORD_OPTIONS.contains(&word.as_str());
            if PASSWORD_OPTIONS.contains(&name) {
                secrets.add(value);
            }
            secrets.add_urls(&word);
        }
        secrets
    }

    /// Adds a text if it may hold a URL with a password.
    pub(crate) fn add_urls(&mut self, text: &str) {
        let value = match text.split_once('=') {
            Some((option, value)) if option.starts_with('-') => value,
            _ => text,
        };
        if may_hold_a_password(value) {
            self.add(value);
        }
    }

    fn add(&mut self, text: &str) {
        if !text.is_empty() {
            self.texts.push(text.to_owned());
        }
    }

    /// `text` without the secrets.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }
}

/// Whether a text looks like a URL with a password, well formed or not.
fn may_hold_a_password(text: &str) -> bool {
    text.contains('@') || (text.contains("://") && text.contains("pass"))
}

/// Whether this is a URL with a password.
pub(crate) fn has_password(text: &str) -> bool {
    text.contains("://") && Config::from_url(text).is_ok_and(|config| config.has_login().1)
}

/// Whether users other than the owner may read a file.
pub(crate) fn is_open_to_others(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o044 != 0
}

/// Options of other programs that take a password.
const PASSWORD_OPTIONS: [&str; 5] = ["-a", "--pass", "--password", "--auth", "--authenticate"];
/// The replacement of a secret.
const HIDDEN: &str = "(hidden)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_passwords_are_not_repeated() {
        for words in [
            &["bench", "redis://a:Xq7k@h"][..],
            &["bench", "--url=redis://:Xq7k@h:port"],
            &["bench", "a:Xq7k@h"],
            &["bench", "redis://h?password=Xq7k"],
            &["bench", "-a", "Xq7k"],
            &["bench", "--password=Xq7k"],
            &["bench", "--authenticate", "a:Xq7k"],
        ] {
            let message = format!("unexpected: {}", words.join(" "));
            let hidden = Secrets::found_in(words).hide(&message);
            assert!(!hidden.contains("Xq7k") && hidden.contains(HIDDEN), "{hidden}");
        }
        assert_eq!(Secrets::found_in(&["bench", "-c", "50"]).hide("50 of -c"), "50 of -c");
    }

    #[test]
    fn passwords_in_urls_are_found() {
        for (url, has) in [
            ("redis://a:b@h", true),
            ("rediss://:b@h:1/2", true),
            ("redis://h", false),
            ("redis://a@h", false),
            ("nonsense", false),
            ("", false),
        ] {
            assert_eq!(has_password(url), has, "{url}");
        }
    }
}
