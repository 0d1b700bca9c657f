//! Login options that keep the password hidden from other users of this machine.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::Config;
use crate::cli::exit::Failure;

/// Login options.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Endpoint")]
pub(crate) struct LoginArgs {
    /// Log in as this user [default: from the URL, then from HITLESS_USERNAME, then the server's default user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Log in with the password on the first line of this file [default: from the URL, then from HITLESS_PASSWORD].
    /// There is no option for the password itself: every user of this machine can read a command line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl LoginArgs {
    /// Adds these options to the configuration of the URL. `is_embedded`: the endpoint is in this process and takes
    /// no login.
    ///
    /// # Errors
    /// The error names the option and the file, never a password.
    pub(crate) fn apply(&self, config: Config, is_embedded: bool) -> Result<Config, Failure> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        self.apply_with(config, is_embedded, variable)
    }

    fn apply_with(
        &self,
        mut config: Config,
        is_embedded: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, Failure> {
        if is_embedded {
            return match self.given() {
                None => Ok(config),
                Some(option) => Err(Failure::Usage(format!(
                    "{option}: the endpoints in this process take no login; add --url"
                ))),
            };
        }
        let (has_user, has_password) = config.has_login();
        let password = match &self.password_file {
            Some(path) => Some(read(path)?),
            None if has_password => None,
            None => variable("HITLESS_PASSWORD"),
        };
        let user = match &self.user {
            Some(user) if user.is_empty() => {
                return Err(Failure::Usage("--user: \"\": allowed: a name that is not empty".to_owned()));
            }
            Some(user) => Some(user.clone()),
            // The password of a URL belongs to the user of that URL.
            None if has_user || has_password => None,
            None => variable("HITLESS_USERNAME"),
        };
        if let Some(password) = password {
            config = config.password(password);
        }
        if let Some(user) = user {
            config = config.username(user);
        }
        match config.has_login() {
            (true, false) => Err(Failure::Usage(
                "--user: a user needs a password; set HITLESS_PASSWORD, or give --password-file FILE"
                    .to_owned(),
            )),
            _ => Ok(config),
        }
    }

    fn given(&self) -> Option<String> {
        let file = self.password_file.as_ref().map(|path| format!("--password-file: {path:?}"));
        file.or(self.user.as_ref().map(|user| format!("--user: {user:?}")))
    }
}

/// The first line of a file.
fn read(path: &Path) -> Result<String, Failure> {
    let refusal = |why: &str| Failure::Usage(format!("--password-file: {path:?}: {why}"));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| refusal(&format!("cannot be read: {error}")))?;
    let read = file.take(PASSWORD_MAX).read_to_string(&mut text);
    read.map_err(|error| refusal(&format!("cannot be read: {error}")))?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(refusal("its first line is empty; allowed: a line with the password")),
        password => Ok(password.to_owned()),
    }
}

/// The longest part of a password file that is read.
const PASSWORD_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str, args: &LoginArgs, variables: &[(&str, &str)]) -> Result<String, String> {
        let variable =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let config = Config::from_url(url).expect("a URL");
        match args.apply_with(config, false, variable) {
            Ok(config) => {
                let effective = config.validate().expect("settings");
                let (user, password, _) = effective.login();
                Ok(format!("{}:{}", user.unwrap_or("-"), password.unwrap_or("-")))
            }
            Err(Failure::Usage(message)) => Err(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn named(name: &str) -> LoginArgs {
        LoginArgs { user: Some(name.to_owned()), password_file: None }
    }

    #[test]
    fn options_override_the_url_and_the_url_the_variables() {
        let both = &[("HITLESS_USERNAME", "eve"), ("HITLESS_PASSWORD", "env")][..];
        let none = LoginArgs::default();
        assert_eq!(login("redis://h", &none, &[]), Ok("-:-".to_owned()));
        assert_eq!(login("redis://h", &none, both), Ok("eve:env".to_owned()));
        assert_eq!(login("redis://ann@h", &none, both), Ok("ann:env".to_owned()));
        assert_eq!(login("redis://:url@h", &none, both), Ok("-:url".to_owned()));
        assert_eq!(login("redis://ann:url@h", &named("bob"), both), Ok("bob:url".to_owned()));
        assert_eq!(login("redis://h", &named("bob"), both), Ok("bob:env".to_owned()));
        let error = login("redis://h", &named("bob"), &[]).expect_err("no password");
        assert!(error.starts_with("--user: ") && error.contains("HITLESS_PASSWORD"), "{error}");
        assert!(login("redis://h", &named(""), both).expect_err("no name").starts_with("--user: \"\""));
    }

    #[test]
    fn a_password_file_gives_its_first_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let from = |text: &str| {
            std::fs::write(&path, text).expect("a file");
            let args = LoginArgs { user: None, password_file: Some(path.clone()) };
            login("redis://ann:url@h", &args, &[("HITLESS_PASSWORD", "env")])
        };
        assert_eq!(from("file\r\nmore\n"), Ok("ann:file".to_owned()));
        assert_eq!(from("a b"), Ok("ann:a b".to_owned()));
        assert!(from("\nmore").expect_err("empty").starts_with("--password-file: "));
        let own = LoginArgs { user: None, password_file: Some(path) };
        let config = Config::from_url("redis://h").expect("a URL");
        let refused = own.apply_with(config, true, |_| None);
        assert!(matches!(refused, Err(Failure::Usage(why)) if why.contains("--url")));
    }
}
