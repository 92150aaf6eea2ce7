//! Where things lie in a data directory, and the file-system habits all of them share: private modes,
//! no symbolic links, replace by rename, one owner by `flock`.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A data directory: everything one instance writes, except its shared memory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// Which session runs or ran last, and where its shared files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentSession {
    /// Session id, which is also the epoch of its client order ids.
    pub session: u64,
    /// Directory of the lanes, the status and the command file.
    pub shared_dir: PathBuf,
}

impl DataDir {
    /// Opens or creates the directory with mode 0700.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or belongs to another user.
    pub fn open(root: &Path) -> io::Result<Self> {
        create_private_dir(root)?;
        let root = fs::canonicalize(root)?;
        Ok(Self { root })
    }

    /// The directory itself, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Archived sessions, one folder each.
    pub fn archive(&self) -> PathBuf {
        self.root.join("archive")
    }

    /// The store of a trading mode; simulation and live never share one.
    pub fn store(&self, mode: &str) -> PathBuf {
        self.root.join(format!("{mode}.db"))
    }

    /// Who changed what over HTTP, by trading mode.
    pub fn audit(&self, mode: &str) -> PathBuf {
        self.root.join(format!("{mode}-audit.db"))
    }

    /// Log lines and metrics over time, by trading mode.
    pub fn telemetry(&self, mode: &str) -> PathBuf {
        self.root.join(format!("{mode}-telemetry.db"))
    }

    /// Exists while the kill switch is latched.
    pub fn kill_latch(&self) -> PathBuf {
        self.root.join("kill")
    }

    /// Exists while the last hot process has not stopped in order.
    pub fn unclean_marker(&self) -> PathBuf {
        self.root.join("run").join("unclean")
    }

    /// Sockets, process logs and the pointer to the current session.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Reads the pointer to the current session; `None` before the first start.
    ///
    /// # Errors
    ///
    /// When the pointer exists and cannot be read or parsed.
    pub fn current_session(&self) -> io::Result<Option<CurrentSession>> {
        match fs::read_to_string(self.run().join("session.toml")) {
            Ok(text) => toml::from_str(&text).map(Some).map_err(io::Error::other),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Replaces the pointer to the current session.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn set_current_session(&self, current: &CurrentSession) -> io::Result<()> {
        let text = toml::to_string(current).map_err(io::Error::other)?;
        create_private_dir(&self.run())?;
        replace_file(&self.run().join("session.toml"), text.as_bytes())
    }

    /// Sets the kill latch and syncs it, so that it survives a power loss. `why` is for people.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn set_kill_latch(&self, why: &str) -> io::Result<()> {
        // Two that set it at the same moment get into each other's way, and it is set all the same.
        replace_file(&self.kill_latch(), format!("{why}\n").as_bytes())
            .or_else(|e| if self.kill_latch().exists() { Ok(()) } else { Err(e) })
    }

    /// Removes the kill latch.
    ///
    /// # Errors
    ///
    /// Those of the file system; an absent latch is no error.
    pub fn clear_kill_latch(&self) -> io::Result<()> {
        remove_synced(&self.kill_latch())
    }

    /// Takes the lock `name` of this directory, or `None` when another process holds it.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn try_lock(&self, name: &str) -> io::Result<Option<FileLock>> {
        create_private_dir(&self.run())?;
        FileLock::try_take(&self.run().join(name))
    }
}

/// Holds an exclusive `flock` until dropped or until the process dies.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock of `path`, creating the file, or returns `None` when it is held.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open_private(path, OpenOptions::new().read(true).write(true).create(true))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// Creates a directory and its parents with mode 0700; refuses one that belongs to somebody else.
///
/// # Errors
///
/// Those of the file system, or `PermissionDenied` for a foreign directory.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let owner = fs::symlink_metadata(path)?.uid();
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("directory {} belongs to user {owner}, not to us", path.display()),
    ))
}

/// Opens a file with mode 0600, never through a symbolic link, never inherited by a child.
///
/// # Errors
///
/// Those of the file system.
pub fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)
}

/// Reads a secret: a file that nobody else may read, never through a symbolic link.
///
/// # Errors
///
/// Those of the file system, or `PermissionDenied` for a file that others may read.
pub fn read_private(path: &Path) -> io::Result<String> {
    let mut file = open_private(path, OpenOptions::new().read(true))?;
    let mode = file.metadata()?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("mode {mode:o} lets others read it, must be 600");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Replaces `path` so that a crash leaves the old or the new content, and syncs both.
///
/// # Errors
///
/// Those of the file system.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = open_private(&next, OpenOptions::new().write(true).create(true).truncate(true))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Removes a file and syncs its directory; an absent file is no error.
///
/// # Errors
///
/// Those of the file system.
pub fn remove_synced(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(path.parent().unwrap_or(Path::new("."))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Makes renames and removals in `dir` durable.
///
/// # Errors
///
/// Those of the file system.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let held = data.try_lock("hot.lock").unwrap();
        assert!(held.is_some());
        assert!(data.try_lock("hot.lock").unwrap().is_none());
        drop(held);
        assert!(data.try_lock("hot.lock").unwrap().is_some());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "x").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(open_private(&link, OpenOptions::new().read(true)).is_err());
    }
}
