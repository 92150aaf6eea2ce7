//! The HTTP interface: a gate that lets only clean requests pass, tiny_http behind it on a Unix socket, and
//! the routes.

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
mod series;
mod steer;
mod stream;
mod webhook;

pub use gate::{Gate, GateError};
pub use routes::{Method, ROUTES, Route};

use crate::{
    alert::Alerts,
    archive::ArchiveGauges,
    audit::AuditLog,
    auth::{Door, JwtKeys, TokenFile},
    held::HeldOrders,
    sessions::CurrentStatus,
    sink::SinkGauges,
    webhook::Webhooks,
};
use std::{
    io::{self, Read},
    sync::{Arc, Mutex},
};
use tickpath_shared::{config::Config, paths::DataDir, status::StatusReader};

/// What every route may look at.
pub struct Shared {
    data: DataDir,
    config: Config,
    archive: Arc<ArchiveGauges>,
    store: Arc<SinkGauges>,
    status: CurrentStatus,
    door: Door,
    audit: Arc<Mutex<AuditLog>>,
    webhooks: Webhooks,
    alerts: Arc<Alerts>,
    pending: Mutex<Vec<steer::Pending>>,
    history: Mutex<history::History>,
    held: Mutex<HeldOrders>,
    streams: Arc<stream::StreamGauges>,
}

/// What other parts of the process share with the routes.
pub(crate) struct Parts {
    pub(crate) archive: Arc<ArchiveGauges>,
    pub(crate) store: Arc<SinkGauges>,
    pub(crate) audit: Arc<Mutex<AuditLog>>,
    pub(crate) webhooks: Webhooks,
    pub(crate) jwt: JwtKeys,
    pub(crate) alerts: Arc<Alerts>,
}

/// A name that nobody can guess: 64 random bits in hexadecimal.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(crate::auth::hex(&bytes))
}

impl Shared {
    /// Everything the routes need.
    pub(crate) fn new(data: DataDir, config: Config, parts: Parts) -> Arc<Self> {
        let Parts { archive, store, audit, webhooks, jwt, alerts } = parts;
        let door = Door::new(TokenFile::new(&data), jwt, config.control.open_reads);
        Arc::new(Self {
            status: CurrentStatus::new(data.clone()),
            data,
            config,
            archive,
            store,
            door,
            audit,
            webhooks,
            alerts,
            pending: Mutex::default(),
            history: Mutex::default(),
            held: Mutex::default(),
            streams: Arc::default(),
        })
    }

    /// The status file of the current session; `None` while there is none.
    fn status(&self) -> Option<Arc<StatusReader>> {
        self.status.get()
    }
}
