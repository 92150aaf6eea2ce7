//! The HTTP interface: a gate that lets only clean requests pass, tiny_http behind it on a Unix socket, and
//! the routes.

mod alerts;
mod fields;
mod gate;
mod health;
mod history;
mod latency;
mod listing;
mod metrics;
mod openapi;
mod records;
mod routes;
mod steer;
mod stream;

pub use gate::{Gate, GateError};
pub use routes::{Method, ROUTES, Route};

use crate::{
    archive::ArchiveGauges,
    audit::AuditLog,
    auth::{Door, JwtKeys, TokenFile},
    store::StoreGauges,
    webhook::Webhooks,
};
use std::{
    io::{self, Read},
    sync::{Arc, Mutex},
};
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
    door: Door,
    audit: Arc<Mutex<AuditLog>>,
    webhooks: Webhooks,
    pending: Mutex<Vec<steer::Pending>>,
    history: Mutex<history::History>,
    streams: Arc<stream::StreamGauges>,
}

/// A name that nobody can guess: 64 random bits in hexadecimal.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(crate::auth::hex(&bytes))
}

impl Shared {
    /// Everything the routes need.
    pub(crate) fn new(
        data: DataDir,
        config: Config,
        archive: Arc<ArchiveGauges>,
        store: Arc<StoreGauges>,
        audit: Arc<Mutex<AuditLog>>,
        webhooks: Webhooks,
        jwt: JwtKeys,
    ) -> Arc<Self> {
        let door = Door::new(TokenFile::new(&data), jwt, config.control.open_reads);
        Arc::new(Self {
            data,
            config,
            archive,
            store,
            status: Mutex::new(None),
            door,
            audit,
            webhooks,
            pending: Mutex::default(),
            history: Mutex::default(),
            streams: Arc::default(),
        })
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
