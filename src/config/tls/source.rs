//! [`Source`]: a PEM file, or PEM in memory.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::error::ConfigError;

/// The source of certificates or a key. It prints the path, never the content.
#[derive(Clone)]
pub(super) enum Source {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

/// The metadata that changes with the content of a file; `None` inside if the file is not readable.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, i64, i64, u64)>);

impl Stamp {
    pub(super) fn of(path: &Path) -> Self {
        // Secrets are often chains of links that are swapped atomically, so the metadata is that of the file at their end.
        let seen = std::fs::metadata(path).ok();
        Stamp(seen.map(|file| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.size())))
    }
}

impl Source {
    pub(super) fn memory(pem: &[u8]) -> Self {
        Source::Memory(pem.into())
    }

    pub(super) fn path(&self) -> Option<&PathBuf> {
        match self {
            Source::File(path) => Some(path),
            Source::Memory(_) => None,
        }
    }

    /// All certificates. At least one is required.
    pub(super) fn certificates(&self, setting: &str) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let pem = self.read(setting)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| self.wrong(setting, &error))?;
        match certificates.is_empty() {
            true => Err(self.wrong(setting, &"there is no certificate in it; expected PEM")),
            false => Ok(certificates),
        }
    }

    /// The first private key.
    pub(super) fn key(&self, setting: &str) -> Result<PrivateKeyDer<'static>, ConfigError> {
        PrivateKeyDer::from_pem_slice(&self.read(setting)?).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                self.wrong(setting, &"there is no private key in it; expected an unencrypted key as PEM")
            }
            error => self.wrong(setting, &error),
        })
    }

    /// An error that names this source.
    pub(super) fn wrong(&self, setting: &str, problem: &dyn fmt::Display) -> ConfigError {
        ConfigError::new(setting, format!("{self}: {problem}"))
    }

    fn read(&self, setting: &str) -> Result<Arc<[u8]>, ConfigError> {
        match self {
            Source::Memory(pem) => Ok(pem.clone()),
            Source::File(path) => read_bounded(path).map_err(|error| self.wrong(setting, &error)),
        }
    }
}

/// Reads a file up to a bound, because a device such as /dev/zero never ends.
fn read_bounded(path: &Path) -> io::Result<Arc<[u8]>> {
    let mut content = Vec::new();
    let file = std::fs::File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, PEM_BYTES_MAX + 1), &mut content)?;
    match content.len() as u64 > PEM_BYTES_MAX {
        true => Err(io::Error::other("longer than 16 MiB")),
        false => Ok(content.into()),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Memory(_) => f.write_str("(in memory)"),
        }
    }
}

/// No file of certificates is this long.
const PEM_BYTES_MAX: u64 = 16 << 20;
