//! The file or stream of a report: checked before the run, written once at its end.
//!
//! A regular file is replaced in one step: the report goes to a temporary file beside it, which then takes its name.
//! A run that fails half way leaves the earlier report as it was. The temporary file exists only while the finished
//! report is written, so an interrupted run leaves none behind.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Where a report goes.
pub(super) enum Destination {
    /// A device, a pipe, or a descriptor that is open already: it takes bytes as they come.
    Stream(File),
    /// A regular file, or a name that no file has yet.
    Regular(Regular),
}

/// A regular file behind all symbolic links.
pub(super) struct Regular {
    folder: PathBuf,
    path: PathBuf,
    /// Device and inode, if the file exists.
    inode: Option<(u64, u64)>,
}

impl Destination {
    /// Checks whether a report can be written there, without changing or creating a file.
    ///
    /// # Errors
    /// The system's reason why it cannot be written.
    pub(super) fn open(path: &Path) -> io::Result<Destination> {
        if path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let path = without_links(path)?;
        let found = match fs::metadata(&path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if found.as_ref().is_some_and(|found| !found.is_file() || path.is_symlink()) {
            // Appends: standard output may be a regular file that also gets other lines.
            return Ok(Destination::Stream(OpenOptions::new().append(true).open(&path)?));
        }
        let folder = folder_of(&path).to_owned();
        match &found {
            Some(_) => drop(OpenOptions::new().write(true).open(&path)?),
            None => drop(tempfile::tempfile_in(&folder).map_err(without_path)?),
        }
        let inode = found.map(|found| (found.dev(), found.ino()));
        Ok(Destination::Regular(Regular { folder, path, inode }))
    }

    /// Whether one report would overwrite the other. A stream takes several.
    pub(super) fn is_same_file(&self, other: &Destination) -> bool {
        match (self, other) {
            (Destination::Regular(one), Destination::Regular(other)) => {
                one.path == other.path || (one.inode.is_some() && one.inode == other.inode)
            }
            _ => false,
        }
    }

    /// Writes the report, atomically if the system permits it.
    ///
    /// # Errors
    /// The system's reason.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        match self {
            Destination::Stream(out) => out.write_all(content),
            Destination::Regular(file) => file.replace(content),
        }
    }
}

impl Regular {
    fn replace(&self, content: &[u8]) -> io::Result<()> {
        // An error here (a full disk) leaves the earlier report as it was.
        if let Some(staged) = self.stage(content)?
            && staged.persist(&self.path).is_ok()
        {
            return Ok(());
        }
        // A file that is mounted by itself, as containers do, cannot be renamed over.
        self.overwrite(content)
    }

    /// The report in a temporary file that can replace the present file; `None` if a replacement would lose
    /// something.
    fn stage(&self, content: &[u8]) -> io::Result<Option<NamedTempFile>> {
        let present = fs::metadata(&self.path).ok();
        // Hard links would keep the earlier report; a pipe would lose its reader.
        if present.as_ref().is_some_and(|present| !present.is_file() || present.nlink() > 1) {
            return Ok(None);
        }
        let permissions = Permissions::from_mode(MODE_OF_NEW_FILES);
        let staged =
            tempfile::Builder::new().prefix(".hitless-").permissions(permissions).tempfile_in(&self.folder);
        let Ok(mut staged) = staged else {
            return Ok(None);
        };
        let file = staged.as_file_mut();
        file.write_all(content)?;
        if let Some(present) = &present
            && copy_owner_and_mode(file, present).is_err()
        {
            return Ok(None);
        }
        file.sync_all()?;
        Ok(Some(staged))
    }

    fn overwrite(&self, content: &[u8]) -> io::Result<()> {
        File::create(&self.path)?.write_all(content)
    }
}

/// Gives a file the owner and the permissions of another.
fn copy_owner_and_mode(file: &File, model: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        fchown(file, Some(model.uid()), Some(model.gid()))?;
    }
    // Last, because a change of the owner takes permissions away.
    file.set_permissions(model.permissions())
}

/// Follows symbolic links to a file that need not exist, but not those of `/proc`, which stand for open descriptors.
fn without_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Some(name) = path.file_name() else {
            fs::metadata(&path)?;
            return Ok(path);
        };
        let folder = folder_of(&path).canonicalize()?;
        let whole = folder.join(name);
        if !whole.is_symlink() || folder.starts_with("/proc") {
            return Ok(whole);
        }
        path = folder.join(fs::read_link(&whole)?);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The system's own error, without the name of a temporary file that means nothing to the user.
fn without_path(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.source()?.downcast_ref::<io::Error>());
    match inner.and_then(io::Error::raw_os_error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error,
    }
}

/// The mode of new files, from which the umask takes away.
const MODE_OF_NEW_FILES: u32 = 0o666;
/// Linux follows as many links.
const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::thread;

    use super::*;

    fn write(path: &Path, content: &str) -> io::Result<()> {
        Destination::open(path)?.write(content.as_bytes())
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn opening_changes_and_creates_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "earlier").expect("a file");
        let opened = [Destination::open(&old).expect("old"), Destination::open(&new).expect("new")];
        assert_eq!(names(folder.path()), ["old"]);
        drop(opened);
        assert_eq!(fs::read_to_string(&old).expect("a file"), "earlier");
        assert_eq!(names(folder.path()), ["old"]);
    }

    #[test]
    fn a_reader_of_the_old_file_sees_it_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report");
        fs::write(&path, "earlier").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o604)).expect("permissions");
        let mut reader = File::open(&path).expect("a file");
        write(&path, "later").expect("written");
        let mut seen = String::new();
        reader.read_to_string(&mut seen).expect("text");
        assert_eq!((seen.as_str(), fs::read_to_string(&path).expect("text").as_str()), ("earlier", "later"));
        assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o604);
        assert_eq!(names(folder.path()), ["report"]);
    }

    #[test]
    fn a_new_file_has_the_permissions_of_any_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let (plain, report) = (folder.path().join("plain"), folder.path().join("report"));
        fs::write(&plain, "").expect("a file");
        write(&report, "new").expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("a file").mode();
        assert_eq!(mode(&report), mode(&plain));
    }

    #[test]
    fn links_stay_and_their_file_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("a folder");
        symlink("inner/report", folder.path().join("link")).expect("a link");
        symlink("link", folder.path().join("second")).expect("a link");
        for content in ["new", "newer"] {
            write(&folder.path().join("second"), content).expect("written");
            assert_eq!(fs::read_to_string(inner.join("report")).expect("text"), content);
        }
        assert!(folder.path().join("link").is_symlink() && folder.path().join("second").is_symlink());
        symlink("round", folder.path().join("round")).expect("a link");
        let error = write(&folder.path().join("round"), "x").expect_err("a loop");
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn several_names_of_one_file_keep_one_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "earlier and longer").expect("a file");
        fs::hard_link(&one, &other).expect("a link");
        write(&one, "later").expect("written");
        assert_eq!(fs::read_to_string(&other).expect("text"), "later");
    }

    #[test]
    fn pipes_and_devices_are_written_to_directly() {
        let folder = tempfile::tempdir().expect("a folder");
        let (input, output) = io::pipe().expect("a pipe");
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&output);
        let reader = thread::spawn(move || io::read_to_string(input).expect("text"));
        let link = folder.path().join("link");
        symlink(format!("/dev/fd/{descriptor}"), &link).expect("a link");
        write(&link, "through a pipe").expect("written");
        drop(output);
        assert_eq!(reader.join().expect("a reader"), "through a pipe");
        write(Path::new("/dev/null"), "x").expect("written");
        let full = write(Path::new("/dev/full"), "x").expect_err("full");
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn an_open_descriptor_of_a_file_is_appended_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut log = File::create(&path).expect("a file");
        log.write_all(b"a line\n").expect("written");
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&log);
        write(Path::new(&format!("/proc/self/fd/{descriptor}")), "a report\n").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("text"), "a line\na report\n");
    }

    #[test]
    fn what_cannot_be_written_has_the_systems_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("text");
        let reason = |path: &str| Destination::open(Path::new(path)).err().map(|error| error.kind());
        assert_eq!(reason(&format!("{path}/none/report")), Some(io::ErrorKind::NotFound));
        assert_eq!(reason(""), Some(io::ErrorKind::NotFound));
        for folder in [path, "/", "..", &format!("{path}/new/")] {
            assert_eq!(reason(folder), Some(io::ErrorKind::IsADirectory), "{folder}");
        }
        assert!(names(folder.path()).is_empty());
        // A folder of the kernel's takes no files, from root neither.
        let error = Destination::open(Path::new("/proc/report")).err().expect("refused").to_string();
        assert!(!error.contains("/proc"), "{error}");
    }
}
