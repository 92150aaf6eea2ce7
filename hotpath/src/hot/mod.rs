//! The hot process: start-up in order, the session thread's loop, and an ordered end.

mod files;

pub use files::build_text;

use files::{FileParts, SharedFiles, install_panic_hook};

use crate::{
    guard,
    live::{EngineStage, EventRing, GatewayLinks, GatewayParts, GatewayStage, OrderSigner, event_ring},
    message::{AccountMessage, Ask, Outcome},
    net::affinity,
    pages,
    pipeline::{self, HotThreads, Stages},
    session::{
        Session, SessionParts, SessionRings,
        connect::Roots,
        jobs::{Done, Job, Workshop},
    },
    stage::{
        engine::Engine,
        feed::{FeedStage, Links},
        gateway::{Gateway, OrderIds},
    },
    venue::{self, Credentials, KIND, MarketDecoder, Rest, Secret},
    wire::simd::Isa,
};
use crossbeam::channel::{Receiver, Sender};
use rtrb::{Consumer, Producer, RingBuffer};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use tickpath_shared::{
    clock::{Clock, unix_ns_now},
    command::CommandFile,
    config::{Config, KeyKind},
    journal::LaneWriter,
    memory::{MemoryError, install_sigbus_handler},
    paths::{CurrentSession, DataDir, open_private, remove_synced, replace_file},
    record::{EventCode, Severity},
    status::Status,
    types::{EpochError, EpochFile, InstanceId, InstrumentDefinition},
};

/// How long the venue may take to answer at the start.
const VENUE_PATIENCE: Duration = Duration::from_secs(20);

/// Why the hot process did not start or had to stop. Exit codes are those of the command line.
#[derive(Debug, Error)]
pub enum HotError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// A guard, a latch or another process forbids it.
    #[error("{0}")]
    Forbidden(String),
    /// The venue did not answer or not as documented.
    #[error("venue: {0}")]
    Venue(String),
    /// The host lacks something.
    #[error("{0}")]
    Environment(String),
    /// Shared memory could not be had.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Client order ids could not be made unique.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The file system refused.
    #[error("data directory: {0}")]
    Io(#[from] std::io::Error),
}

impl HotError {
    /// Exit code: 3 configuration, 4 risk or latch, 5 venue, 6 environment.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 3,
            Self::Forbidden(_) => 4,
            Self::Venue(_) => 5,
            Self::Environment(_) | Self::Memory(_) | Self::Epoch(_) | Self::Io(_) => 6,
        }
    }
}

/// Runs the hot process on a data directory until `is_stop` or a stop command.
///
/// # Errors
///
/// [`HotError`].
pub fn run(data: &DataDir, config: &Config, is_stop: impl FnMut() -> bool) -> Result<(), HotError> {
    install_sigbus_handler();
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let _lock = data.try_lock("hot.lock")?.ok_or_else(|| {
        HotError::Environment(format!("another hot process runs on {}", data.root().display()))
    })?;
    check_cores(config)?;
    Isa::choose().map_err(HotError::Environment)?;
    let credentials = Arc::new(load_credentials(config)?);
    let approval = std::env::var(guard::APPROVAL_VARIABLE).ok();
    guard::check(config, approval.as_deref(), &credentials.api_key)
        .map_err(|failures| HotError::Forbidden(failures.join("; ")))?;
    let is_unclean = data.unclean_marker().exists();
    let session = EpochFile::new(data.root()).claim(unix_ns_now() / 1_000_000_000)?;
    let clock = Clock::start();
    let (roots, rest) = open_rest(config, &credentials)?;
    let definitions = fetch_definitions(config, &rest)?;
    let files = SharedFiles::create(data, config, session, &clock, &definitions)?;
    install_panic_hook(files.panic_lane, clock.clone());
    replace_file(&data.unclean_marker(), b"set while a hot process runs\n")?;
    data.set_current_session(&CurrentSession { session, shared_dir: files.dir.clone() })?;
    let shop = Arc::new(Workshop {
        config: config.clone(),
        definitions,
        credentials,
        roots,
        rest,
        clock: clock.clone(),
        venue_epoch_ns: AtomicU64::new(0),
    });
    let hot = Hot { data, config, session, clock, shop, is_unclean };
    hot.run(files.parts, &files.notes, is_stop)
}

/// Cores are checked here, because the crate that pins aborts on a core beyond the mask.
fn check_cores(config: &Config) -> Result<(), HotError> {
    let allowed = affinity::allowed_cores();
    for core in config.thread.iter().filter_map(|t| t.core) {
        affinity::check_core(core, &allowed).map_err(HotError::Config)?;
    }
    Ok(())
}

/// Reads key and secret from 0600 files named by the configuration or by `*_FILE` variables.
///
/// # Errors
///
/// [`HotError::Config`] naming the file, never its content.
pub fn load_credentials(config: &Config) -> Result<Credentials, HotError> {
    let file = |variable: &str, configured: &Path| {
        std::env::var_os(variable).map_or_else(|| configured.to_owned(), PathBuf::from)
    };
    let api_key = read_secret(&file("TICKPATH_API_KEY_FILE", &config.venue.api_key_file))?;
    let path = file("TICKPATH_API_SECRET_FILE", &config.venue.api_secret_file);
    let text = read_secret(&path)?;
    let secret = match config.venue.key_kind {
        KeyKind::Hmac => Secret::hmac(text.trim()),
        KeyKind::Ed25519 => Secret::ed25519_pem(&text),
    };
    let secret = secret.map_err(|e| HotError::Config(format!("secret file {}: {e}", path.display())))?;
    Ok(Credentials { api_key: api_key.trim().to_owned(), secret, kind: config.venue.key_kind })
}

fn read_secret(path: &Path) -> Result<zeroize::Zeroizing<String>, HotError> {
    use std::{io::Read, os::unix::fs::PermissionsExt};
    let fail = |why: String| HotError::Config(format!("secret file {}: {why}", path.display()));
    let mut file =
        open_private(path, std::fs::OpenOptions::new().read(true)).map_err(|e| fail(e.to_string()))?;
    let mode = file.metadata().map_err(|e| fail(e.to_string()))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(fail(format!("mode {mode:o} lets others read it, must be 600")));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(|e| fail(e.to_string()))?;
    Ok(text)
}

/// Opens the REST client of a configuration, for the hot process and for the supervisor's kill road.
///
/// # Errors
///
/// [`HotError::Config`].
pub fn open_rest(config: &Config, credentials: &Arc<Credentials>) -> Result<(Roots, Rest), HotError> {
    if config.venue.kind != KIND {
        return Err(HotError::Config(format!("venue.kind: {:?} is not {KIND:?}", config.venue.kind)));
    }
    let roots = Roots::load(&config.venue.ca_file).map_err(|e| HotError::Config(e.to_string()))?;
    let agent = venue::agent(roots.rest(), Duration::from_secs(10));
    let rest = Rest::new(agent, &config.venue.rest_url, Arc::clone(credentials), config.venue.recv_window_ms);
    Ok((roots, rest))
}

/// Asks until the venue answers: it may be starting too.
fn fetch_definitions(config: &Config, rest: &Rest) -> Result<Vec<InstrumentDefinition>, HotError> {
    let symbols: Vec<&str> = config.instrument.iter().map(|i| i.symbol.as_str()).collect();
    let deadline = std::time::Instant::now() + VENUE_PATIENCE;
    loop {
        match rest.definitions(&symbols) {
            Ok(definitions) => return Ok(definitions),
            Err(e @ venue::RestError::Malformed { .. }) => return Err(HotError::Venue(e.to_string())),
            Err(e) if std::time::Instant::now() > deadline => {
                return Err(HotError::Venue(format!("no definitions within {VENUE_PATIENCE:?}: {e}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Ring ends of every part but those between the hot threads, which `pipeline` makes.
struct Rings {
    feed: Links,
    engine: EngineRings,
    gateway: GatewayLinks,
    session: SessionRings,
}

struct EngineRings {
    snapshots: EventRing,
    outcomes: Consumer<Outcome>,
    asks: Producer<Ask>,
}

impl Rings {
    fn new() -> Self {
        let (snapshots, snapshot_ring) = event_ring();
        let (outcomes, outcomes_taken) = pages::ring(pipeline::OUTCOMES, Outcome::default());
        let (account, account_taken) = pages::ring(pipeline::ACCOUNT_MESSAGES, AccountMessage::default());
        let (engine_asks, engine_asked) = pages::ring(pipeline::ASKS, Ask::CatchUp);
        let (gateway_asks, gateway_asked) = pages::ring(pipeline::ASKS, Ask::CatchUp);
        let (feed_links, feed_incoming) = RingBuffer::new(pipeline::LINKS);
        let (feed_outgoing, feed_dead) = RingBuffer::new(pipeline::LINKS);
        let (gateway_links, gateway_incoming) = RingBuffer::new(pipeline::LINKS);
        let (gateway_outgoing, gateway_dead) = RingBuffer::new(pipeline::LINKS);
        Self {
            feed: Links { incoming: feed_incoming, outgoing: feed_outgoing },
            engine: EngineRings { snapshots: snapshot_ring, outcomes: outcomes_taken, asks: engine_asks },
            gateway: GatewayLinks {
                links: Links { incoming: gateway_incoming, outgoing: gateway_outgoing },
                account: account_taken,
                outcomes,
                asks: gateway_asks,
            },
            session: SessionRings {
                snapshots,
                account,
                engine_asks: engine_asked,
                gateway_asks: gateway_asked,
                feed_links,
                gateway_links,
                feed_dead,
                gateway_dead,
            },
        }
    }
}

struct Hot<'a> {
    data: &'a DataDir,
    config: &'a Config,
    session: u64,
    clock: Clock,
    shop: Arc<Workshop>,
    is_unclean: bool,
}

impl Hot<'_> {
    fn run(
        self,
        parts: FileParts,
        notes: &[(Severity, String)],
        is_stop: impl FnMut() -> bool,
    ) -> Result<(), HotError> {
        let status = Arc::clone(&parts.status);
        // Workers first: threads inherit the affinity of the one that spawns them.
        let (jobs, jobs_taken) = crossbeam::channel::unbounded();
        let (done_sent, done) = crossbeam::channel::unbounded();
        let workers = self.shop.start(3, &jobs_taken, &done_sent)?;
        let (stages, mut session) = self.assemble(parts, jobs.clone(), done)?;
        for (severity, text) in notes {
            session.event(EventCode::Setting, *severity, text);
        }
        let threads = HotThreads::start(&self.config.thread, stages)?;
        for line in &threads.report {
            session.event(EventCode::Setting, Severity::Info, line);
        }
        session.event(EventCode::Started, Severity::Info, &build_text());
        let outcome = session.run(is_stop);
        threads.stop();
        session.drop_dead_links();
        for _ in &workers {
            let _ = jobs.send(Job::Quit);
        }
        self.finish(&mut session, &status, outcome)
    }

    fn finish(
        &self,
        session: &mut Session,
        status: &Status,
        outcome: Result<(), String>,
    ) -> Result<(), HotError> {
        match outcome {
            Ok(()) => {
                session.event(EventCode::Stopped, Severity::Info, "stopped in order");
                status.set_stopped();
                remove_synced(&self.data.unclean_marker())?;
                Ok(())
            }
            Err(reason) => {
                session.event(EventCode::Stopped, Severity::Error, &reason);
                status.set_stopped();
                Err(HotError::Forbidden(reason))
            }
        }
    }

    /// Cores, stages, rings.
    fn assemble(
        &self,
        parts: FileParts,
        jobs: Sender<Job>,
        done: Receiver<Done>,
    ) -> Result<(Stages, Session), HotError> {
        let FileParts { lanes, status, command } = parts;
        let shared: Vec<_> = lanes.iter().map(LaneWriter::shared).collect();
        let Ok([session_lane, feed_lane, engine_lane, gateway_lane]) = <[LaneWriter; 4]>::try_from(lanes)
        else {
            unreachable!("four lanes are made")
        };
        let is_tampered = Arc::new(AtomicBool::new(false));
        let Rings { feed, engine, gateway, session } = Rings::new();
        let gateway_parts = GatewayParts {
            lane: gateway_lane,
            status: Arc::clone(&status),
            clock: self.clock.clone(),
            command: Arc::clone(&command),
            lanes: shared.clone(),
            is_tampered: Arc::clone(&is_tampered),
            signer: self.signer()?,
            frame_bytes_max: self.config.venue.frame_bytes_max,
        };
        let stages = Stages {
            feed: self.feed_stage(feed_lane, &status, feed),
            engine: self.engine_stage(engine_lane, &status, engine)?,
            gateway: GatewayStage::new(self.gateway_core(&command)?, gateway_parts, gateway),
        };
        let session_parts = SessionParts {
            config: self.config.clone(),
            data: self.data.clone(),
            lane: session_lane,
            lanes: shared,
            status,
            command,
            clock: self.clock.clone(),
            shop: Arc::clone(&self.shop),
            is_tampered,
            is_unclean: self.is_unclean,
            session: self.session,
        };
        Ok((stages, Session::new(session_parts, session, jobs, done)))
    }

    fn feed_stage(&self, lane: LaneWriter, status: &Arc<Status>, links: Links) -> FeedStage {
        let decoder = MarketDecoder::new(&self.shop.definitions, self.config.venue.frame_bytes_max);
        let overload = self.config.journal.overload;
        FeedStage::new(decoder, lane, links, Arc::clone(status), self.clock.clone(), overload)
    }

    fn engine_stage(
        &self,
        lane: LaneWriter,
        status: &Arc<Status>,
        rings: EngineRings,
    ) -> Result<EngineStage, HotError> {
        let core = Engine::new(self.config, &self.shop.definitions).map_err(HotError::Config)?;
        let (status, clock) = (Arc::clone(status), self.clock.clone());
        Ok(EngineStage::new(core, lane, status, clock, rings.snapshots, rings.outcomes, rings.asks))
    }

    fn gateway_core(&self, command: &CommandFile) -> Result<Gateway, HotError> {
        let instance =
            InstanceId::new(&self.config.instance.id).map_err(|e| HotError::Config(e.to_string()))?;
        let ids = OrderIds { instance, epoch: self.session };
        let is_killed = command.kill_word() != 0;
        Ok(Gateway::new(self.config, &self.shop.definitions, ids, self.is_unclean, is_killed))
    }

    /// Keys that cannot log a session on sign every request.
    fn signer(&self) -> Result<Option<OrderSigner>, HotError> {
        if self.config.venue.key_kind != KeyKind::Hmac {
            return Ok(None);
        }
        let Credentials { api_key, secret, .. } = load_credentials(self.config)?;
        Ok(Some(OrderSigner { api_key, secret }))
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// As [`run`].
pub fn run_until_signal(data: &DataDir, config: &Config) -> Result<(), HotError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    run(data, config, || stop.load(Ordering::Relaxed))
}
