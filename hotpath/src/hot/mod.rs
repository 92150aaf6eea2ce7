//! The hot process: start-up in order, the session thread's loop, and an ordered end.

mod account;
mod assembly;
mod files;

pub use assembly::{Assembly, Plan};
pub use files::build_text;

use files::install_panic_hook;

use crate::{
    guard,
    live::OrderSigner,
    net::{
        affinity,
        settings::{self, Setting},
    },
    pipeline::HotThreads,
    session::{Session, SessionEnd, SessionParts, connect::Roots, jobs::Workshop},
    strategy::Strategy,
    venue::{self, Credentials, KIND, Rest, Secret},
    wire::simd::Isa,
};
use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{Resource, getrlimit},
};
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
    command::set_kill_switch,
    config::{Config, Host, KeyKind},
    memory::{MemoryError, install_sigbus_handler},
    paths::{CurrentSession, DataDir, read_private, remove_synced, replace_file},
    record::{EventCode, Severity},
    status::Status,
    types::{EpochError, EpochFile, InstrumentDefinition},
};

/// Last event of a session that ended as it should: all of its records are there.
pub const STOPPED_IN_ORDER: &str = "stopped in order";

/// Exit code of an ordered end after which the next session is to start at once.
pub const RESTART_CODE: u8 = 7;

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
    /// The venue's rules need a new session: start again.
    #[error("{0}")]
    NewRules(String),
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
    /// Exit code: 3 configuration, 4 risk or latch, 5 venue, 6 environment, 7 to be started again.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 3,
            Self::Forbidden(_) => 4,
            Self::Venue(_) => 5,
            Self::NewRules(_) => RESTART_CODE,
            Self::Environment(_) | Self::Memory(_) | Self::Epoch(_) | Self::Io(_) => 6,
        }
    }
}

/// Runs the hot process on a data directory until `is_stop` or a stop command.
///
/// # Errors
///
/// [`HotError`].
pub fn run<S: Strategy>(
    data: &DataDir,
    config: &Config,
    is_stop: impl FnMut() -> bool,
) -> Result<(), HotError> {
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
    let prepared = account::prepare(config, &rest, roots.rest(), &credentials)?;
    let signer = signer(config)?;
    let plan = Plan { data, config, session, clock: &clock, definitions: &definitions, is_unclean };
    let mut assembly = Assembly::<S>::create(&plan, signer)?;
    if let Some(lane) = assembly.panic_lane.take() {
        install_panic_hook(lane, clock.clone());
    }
    replace_file(&data.unclean_marker(), b"set while a hot process runs\n")?;
    data.set_current_session(&CurrentSession { session, shared_dir: assembly.dir.clone() })?;
    let shop = Arc::new(Workshop {
        config: config.clone(),
        definitions,
        credentials,
        roots,
        rest,
        clock: clock.clone(),
        venue_epoch_ns: AtomicU64::new(0),
    });
    let hot = Hot { data, config, session, clock, shop, is_unclean, prepared };
    hot.run(assembly, is_stop)
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
    let text = read_private(path);
    text.map(zeroize::Zeroizing::new)
        .map_err(|e| HotError::Config(format!("secret file {}: {e}", path.display())))
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
    let http = venue::Http::new(&config.venue.rest_url, roots.rest(), Duration::from_secs(10));
    let rest = Rest::new(Arc::new(http), Arc::clone(credentials), config.venue.recv_window_ms);
    Ok((roots, rest))
}

fn fetch_definitions(config: &Config, rest: &Rest) -> Result<Vec<InstrumentDefinition>, HotError> {
    let symbols: Vec<&str> = config.instrument.iter().map(|i| i.symbol.as_str()).collect();
    ask_venue("definitions", || rest.definitions(&symbols))
}

/// Asks until the venue answers: it may be starting too.
fn ask_venue<T>(what: &str, ask: impl Fn() -> Result<T, venue::RestError>) -> Result<T, HotError> {
    let deadline = std::time::Instant::now() + VENUE_PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(
                e @ (venue::RestError::Malformed { .. }
                | venue::RestError::Refused { status: 400 | 401 | 403, .. }),
            ) => return Err(HotError::Venue(e.to_string())),
            Err(e) if std::time::Instant::now() > deadline => {
                return Err(HotError::Venue(format!("no {what} within {VENUE_PATIENCE:?}: {e}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn unix_ms() -> u64 {
    unix_ns_now() / 1_000_000
}

struct Hot<'a> {
    data: &'a DataDir,
    config: &'a Config,
    session: u64,
    clock: Clock,
    shop: Arc<Workshop>,
    is_unclean: bool,
    /// What was checked and set on the account.
    prepared: Vec<String>,
}

impl Hot<'_> {
    fn run<S: Strategy>(self, assembly: Assembly<S>, is_stop: impl FnMut() -> bool) -> Result<(), HotError> {
        let status = Arc::clone(&assembly.status);
        // Workers first: threads inherit the affinity of the one that spawns them.
        let (done_sent, done) = crossbeam::channel::unbounded();
        let crew = self.shop.start(&done_sent)?;
        let parts = SessionParts {
            config: self.config.clone(),
            data: self.data.clone(),
            lane: assembly.session_lane,
            lanes: assembly.lanes,
            status: assembly.status,
            command: assembly.command,
            clock: self.clock.clone(),
            shop: Arc::clone(&self.shop),
            is_tampered: assembly.is_tampered,
            is_unclean: self.is_unclean,
            session: self.session,
        };
        let mut session = Session::new(parts, assembly.rings, crew.bench(), done);
        for (severity, text) in &assembly.notes {
            session.event(EventCode::Setting, *severity, text);
        }
        for text in &self.prepared {
            session.event(EventCode::Setting, Severity::Info, text);
        }
        let memory = [lock_memory(&self.config.host)];
        session.event(EventCode::Setting, settings::severity(&memory), &settings::line(&memory));
        let threads = HotThreads::start(&self.config.thread, assembly.stages, &self.clock)?;
        for (severity, line) in &threads.report {
            session.event(EventCode::Setting, *severity, line);
        }
        session.event(EventCode::Started, Severity::Info, &build_text());
        let outcome = session.run(is_stop);
        threads.stop();
        session.drop_dead_links();
        crew.quit();
        session.release_dead_man();
        self.finish(&mut session, &status, outcome)
    }

    fn finish(
        &self,
        session: &mut Session,
        status: &Status,
        outcome: Result<(), SessionEnd>,
    ) -> Result<(), HotError> {
        match outcome {
            Ok(()) | Err(SessionEnd::NewRules(_)) => {
                session.event(EventCode::Stopped, Severity::Info, STOPPED_IN_ORDER);
                status.set_stopped();
                // Without what a restart needs the next process begins as after a crash.
                if session.has_kept_everything() {
                    remove_synced(&self.data.unclean_marker())?;
                }
                match outcome {
                    Err(SessionEnd::NewRules(why)) => Err(HotError::NewRules(why)),
                    _ => Ok(()),
                }
            }
            Err(SessionEnd::Forbidden(reason)) => {
                session.event(EventCode::Stopped, Severity::Error, &reason);
                status.set_stopped();
                Err(HotError::Forbidden(reason))
            }
        }
    }
}

/// Keeps every page of the process in memory; what it gets later only where no limit can refuse it then.
fn lock_memory(host: &Host) -> Setting {
    let is_unlimited = getrlimit(Resource::Memlock).current.is_none();
    let (name, flags) = match is_unlimited {
        true => ("mlockall, now and later", MlockAllFlags::CURRENT | MlockAllFlags::FUTURE),
        false => ("mlockall, now (later pages need an unlimited memlock)", MlockAllFlags::CURRENT),
    };
    Setting::ask(name, host.lock_memory, || mlockall(flags))
}

/// Keys that cannot log a session on sign every request.
fn signer(config: &Config) -> Result<Option<OrderSigner>, HotError> {
    if config.venue.key_kind != KeyKind::Hmac {
        return Ok(None);
    }
    let Credentials { api_key, secret, .. } = load_credentials(config)?;
    Ok(Some(OrderSigner { api_key, secret }))
}

/// Runs until SIGTERM or SIGINT. SIGUSR1 sets the kill latch.
///
/// # Errors
///
/// As [`run`].
pub fn run_until_signal<S: Strategy>(data: &DataDir, config: &Config) -> Result<(), HotError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let kill = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&kill))?;
    run::<S>(data, config, || {
        if kill.swap(false, Ordering::Relaxed)
            && let Err(e) = set_kill_switch(data, "SIGUSR1")
        {
            // The word is set; there is no lane here to tell that the latch is not.
            eprintln!("kill latch: {e}");
        }
        stop.load(Ordering::Relaxed)
    })
}
