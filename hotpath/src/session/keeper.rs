//! Small files that a restart needs, stored by a thread of their own: a slow disk stands in nobody's way.

use serde::Serialize;
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tickpath_shared::paths::replace_file;

/// Pause before what could not be stored is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The thread, until [`Self::finish`].
pub(super) struct Keeper {
    shelf: Arc<Shelf>,
    thread: Option<JoinHandle<()>>,
}

/// Where contents wait for the thread, one a file.
#[derive(Default)]
struct Shelf {
    work: Mutex<Work>,
    has_more: Condvar,
}

#[derive(Default)]
struct Work {
    wanted: BTreeMap<PathBuf, Vec<u8>>,
    /// What could not be stored at the last attempt, by file, and whether that was told.
    troubles: BTreeMap<PathBuf, (String, bool)>,
    is_over: bool,
}

impl Shelf {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    pub(super) fn start() -> Self {
        let shelf = Arc::new(Shelf::default());
        let theirs = Arc::clone(&shelf);
        let thread = match std::thread::Builder::new().name("keeper".into()).spawn(move || keep(&theirs)) {
            Ok(thread) => Some(thread),
            Err(e) => {
                let text =
                    format!("no thread for the files of a restart, which are stored at the end only: {e}");
                shelf.work().troubles.insert(PathBuf::new(), (text, false));
                None
            }
        };
        Self { shelf, thread }
    }

    /// Has a file replaced soon; of several contents of one file the last counts.
    pub(super) fn store(&self, path: &Path, content: &impl Serialize) {
        let bytes = serde_json::to_vec(content).unwrap_or_else(|e| unreachable!("plain data: {e}"));
        self.shelf.work().wanted.insert(path.to_owned(), bytes);
        self.shelf.has_more.notify_one();
    }

    /// What could not be stored, once for every beginning of a trouble.
    pub(super) fn trouble(&self) -> Option<String> {
        let mut work = self.shelf.work();
        let (text, is_told) = work.troubles.values_mut().find(|(_, is_told)| !is_told)?;
        *is_told = true;
        Some(text.clone())
    }

    /// Ends the thread and stores what is not on the disk yet; returns what could not be stored, a text a file.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.shelf.work().is_over = true;
        self.shelf.has_more.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let wanted = std::mem::take(&mut self.shelf.work().wanted);
        wanted.iter().filter_map(|(path, bytes)| store(path, bytes).err()).collect()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn store(path: &Path, bytes: &[u8]) -> Result<(), String> {
    replace_file(path, bytes).map_err(|e| format!("{} is not stored: {e}", path.display()))
}

fn keep(shelf: &Shelf) {
    let mut last = PathBuf::new();
    loop {
        let mut work = shelf.work();
        while work.wanted.is_empty() && !work.is_over {
            work = shelf.has_more.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        if work.is_over {
            return;
        }
        // In turns: a file that cannot be stored stands in no other's way.
        let after = work.wanted.range::<PathBuf, _>((Excluded(&last), Unbounded)).next();
        let Some(path) = after.or(work.wanted.first_key_value()).map(|(path, _)| path.clone()) else {
            continue;
        };
        let Some(bytes) = work.wanted.remove(&path) else { continue };
        drop(work);
        last.clone_from(&path);
        let outcome = store(&path, &bytes);
        let mut work = shelf.work();
        match outcome {
            Ok(()) => _ = work.troubles.remove(&path),
            Err(text) => {
                work.troubles.entry(path.clone()).or_insert((text, false));
                // A later content takes its place.
                work.wanted.entry(path).or_insert(bytes);
                let pause = shelf.has_more.wait_timeout_while(work, RETRY, |work| !work.is_over);
                drop(pause);
            }
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
        assert_eq!(keeper.finish(), Vec::<String>::new());
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

    #[test]
    fn a_file_that_cannot_be_stored_stands_in_no_others_way() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::start();
        keeper.store(&dir.path().join("absent").join("a.json"), &1);
        let good = dir.path().join("b.json");
        keeper.store(&good, &2);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !good.exists() {
            assert!(Instant::now() < deadline, "it takes too long");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn what_is_not_stored_at_the_end_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::start();
        keeper.store(&dir.path().join("folder").join("file.json"), &1);
        let left = keeper.finish();
        assert!(left.len() == 1 && left[0].contains("file.json is not stored: "), "{left:?}");
    }
}
