//! [`Credentials`]: the user and the password of a login.

use std::fmt;

use crate::proto::resp::Encoder;

/// A password, and the user that it belongs to unless that user is `default`.
///
/// `Debug` never prints the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    username: Option<String>,
    password: Secret,
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl Credentials {
    /// The password of the user `default`, or of a server without users.
    pub fn password(password: impl Into<String>) -> Self {
        Credentials { username: None, password: Secret(password.into()) }
    }

    /// A user and their password.
    pub fn user(name: impl Into<String>, password: impl Into<String>) -> Self {
        Credentials { username: Some(name.into()), password: Secret(password.into()) }
    }

    /// User and password, as `HELLO 3 AUTH` takes them.
    pub(super) fn both(&self) -> [&[u8]; 2] {
        [self.username.as_deref().unwrap_or("default").as_bytes(), self.password.0.as_bytes()]
    }

    /// Writes `AUTH`. Without a user it takes one argument, because servers without users do not know the form with two.
    pub(super) fn write_auth(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::command(out, if self.username.is_some() { 3 } else { 2 });
        encoder.bytes(b"AUTH");
        if let Some(name) = &self.username {
            encoder.bytes(name.as_bytes());
        }
        encoder.bytes(self.password.0.as_bytes());
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_written_and_never_printed() {
        for (credentials, written) in [
            (Credentials::password("s3cret"), "*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n"),
            (Credentials::user("app", "s3cret"), "*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$6\r\ns3cret\r\n"),
        ] {
            let mut out = Vec::new();
            credentials.write_auth(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written);
            assert!(!format!("{credentials:?} {credentials:#?}").contains("s3cret"));
        }
    }
}
