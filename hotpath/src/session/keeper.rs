//! Small files that a restart needs, stored by a thread of their own: a slow disk stands in nobody's way.

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};
use tickpath_shared::paths::replace_file;

/// Pause before what could not be stored is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The thread, until [`Self::finish`].
pub(super) struct Keeper {
    files: Option<Sender<(PathBuf, Vec<u8>)>>,
    troubles: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start() -> Self {
        let (files, wanted) = unbounded();
        let (tell, troubles) = unbounded();
        let thread = std::thread::spawn(move || keep(&wanted, &tell));
        Self { files: Some(files), troubles, thread: Some(thread) }
    }

    /// Has a file replaced soon; of several contents of one file the last counts.
    pub(super) fn store(&self, path: &Path, content: &impl Serialize) {
        let bytes = serde_json::to_vec(content).unwrap_or_else(|e| unreachable!("plain data: {e}"));
        if let Some(files) = &self.files {
            // The thread only ends after this end of the channel.
            let _ = files.send((path.to_owned(), bytes));
        }
    }

    /// What could not be stored, once for every beginning of a trouble.
    pub(super) fn trouble(&self) -> Option<String> {
        self.troubles.try_recv().ok()
    }

    /// Stores what has not been yet.
    pub(super) fn finish(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep(wanted: &Receiver<(PathBuf, Vec<u8>)>, tell: &Sender<String>) {
    let mut pending: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut troubled = Vec::new();
    loop {
        let first = if pending.is_empty() {
            wanted.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            wanted.recv_timeout(RETRY)
        };
        let is_end = first == Err(RecvTimeoutError::Disconnected);
        pending.extend(first.ok());
        pending.extend(wanted.try_iter());
        pending.retain(|path, bytes| match replace_file(path, bytes) {
            Ok(()) => {
                troubled.retain(|other| other != path);
                false
            }
            Err(e) => {
                if !troubled.contains(path) {
                    troubled.push(path.clone());
                    let _ = tell.send(format!("{} is not stored: {e}", path.display()));
                }
                true
            }
        });
        if is_end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_last_content_is_there_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.json");
        let mut keeper = Keeper::start();
        (0..100).for_each(|i| keeper.store(&path, &i));
        keeper.finish();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "99");
        assert_eq!(keeper.trouble(), None);
    }

    #[test]
    fn what_cannot_be_stored_is_told_once_and_tried_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        let keeper = Keeper::start();
        keeper.store(&folder.join("file.json"), &1);
        let until = |is_so: &dyn Fn() -> bool| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !is_so() {
                assert!(Instant::now() < deadline, "it takes too long");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        let told = std::cell::RefCell::new(None);
        until(&|| {
            *told.borrow_mut() = keeper.trouble();
            told.borrow().is_some()
        });
        assert!(told.borrow().as_ref().is_some_and(|text| text.contains("file.json is not stored: ")));
        keeper.store(&folder.join("file.json"), &2);
        std::fs::create_dir(&folder).unwrap();
        until(&|| std::fs::read_to_string(folder.join("file.json")).is_ok_and(|text| text == "2"));
        assert_eq!(keeper.trouble(), None, "told once");
    }
}
