//! The HTTP interface: a gate that lets only clean requests pass, tiny_http behind it on a Unix socket, and
//! the routes.

mod gate;
mod health;
mod latency;
mod metrics;
mod routes;

pub use gate::{Gate, GateError};
pub use routes::ROUTES;

use crate::{archive::ArchiveGauges, store::StoreGauges};
use std::sync::{Arc, Mutex};
use tickpath_shared::{
    config::Config,
    paths::{CurrentSession, DataDir},
    status::StatusReader,
};

/// What every route may look at.
pub struct Shared {
    data: DataDir,
    config: Config,
    archive: Arc<ArchiveGauges>,
    store: Arc<StoreGauges>,
    status: Mutex<Option<(CurrentSession, Arc<StatusReader>)>>,
}

impl Shared {
    /// Everything the routes need.
    pub fn new(
        data: DataDir,
        config: Config,
        archive: Arc<ArchiveGauges>,
        store: Arc<StoreGauges>,
    ) -> Arc<Self> {
        Arc::new(Self { data, config, archive, store, status: Mutex::new(None) })
    }

    /// The status file of the current session; `None` while there is none.
    fn status(&self) -> Option<Arc<StatusReader>> {
        let current = self.data.current_session().ok().flatten()?;
        let mut held = self.status.lock().ok()?;
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
