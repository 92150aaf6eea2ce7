//! The status file of the current session, opened once a session.

use std::sync::{Arc, Mutex, PoisonError};
use tickpath_shared::{
    paths::{CurrentSession, DataDir},
    status::StatusReader,
};

/// Opens the status file of whatever session is the current one.
pub(crate) struct CurrentStatus {
    data: DataDir,
    held: Mutex<Option<(CurrentSession, Arc<StatusReader>)>>,
}

impl CurrentStatus {
    pub(crate) fn new(data: DataDir) -> Self {
        Self { data, held: Mutex::new(None) }
    }

    /// The status of the current session; `None` while there is none.
    pub(crate) fn get(&self) -> Option<Arc<StatusReader>> {
        let current = self.data.current_session().ok().flatten()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((session, reader)) = held.as_ref()
            && *session == current
        {
            return Some(Arc::clone(reader));
        }
        let reader = Arc::new(StatusReader::open(&current.shared_dir.join("status")).ok()?);
        *held = Some((current, Arc::clone(&reader)));
        Some(reader)
    }
}
