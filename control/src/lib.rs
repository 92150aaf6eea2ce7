//! The control process: archives the journal, folds it into the store, serves HTTP and hands on what operators want. It
//! may crash, hang or be upgraded while the hot process trades on; it never writes anything the hot path waits for.

pub mod alert;
pub mod api;
pub mod archive;
pub mod audit;
pub mod auth;
pub mod fit;
pub mod held;
mod refit;
mod sessions;
pub mod sink;
pub mod store;
mod telemetry;
pub mod webhook;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use thiserror::Error;
use tickpath_shared::{
    config::{self, Config},
    memory::install_sigbus_handler,
    paths::DataDir,
};

/// Why the control process did not start or had to stop.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Another control process owns the directory.
    #[error("another control process runs on {0}")]
    Locked(String),
    /// The HTTP interface could not be opened.
    #[error(transparent)]
    Gate(#[from] api::GateError),
    /// Alerts could not be taken.
    #[error(transparent)]
    Webhook(#[from] webhook::WebhookError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The file system refused.
    #[error("data directory: {0}")]
    Io(#[from] std::io::Error),
    /// A part did not come to its end in time; what was durable before is durable.
    #[error("stopped without {0}, which did not end within {1:?}")]
    Stuck(&'static str, Duration),
    /// A part panicked while it was ended.
    #[error("{0} broke while it was stopped; what comes after it was not ended in order")]
    Broken(&'static str),
}

/// Runs the control process on a data directory until `is_stop`.
///
/// # Errors
///
/// [`ControlError`].
pub fn run(data: &DataDir, config: &Config, is_stop: impl Fn() -> bool) -> Result<(), ControlError> {
    install_sigbus_handler();
    let _lock = data
        .try_lock("control.lock")?
        .ok_or_else(|| ControlError::Locked(data.root().display().to_string()))?;
    let running = Running::start(data, config)?;
    tracing::info!(address = %running.gate.address(), "control process ready");
    while !is_stop() {
        std::thread::sleep(Duration::from_millis(20));
    }
    running.stop(Duration::from_secs(config.control.stop_s))
}

/// A thread and what ends it.
struct Stoppable(JoinHandle<()>, Arc<AtomicBool>);

impl Stoppable {
    fn stop(self) {
        self.1.store(true, Ordering::Relaxed);
        if self.0.join().is_err() {
            tracing::error!("a thread panicked");
        }
    }
}

/// The parts of the process.
struct Running {
    archiver: archive::Archiver,
    stop_archiver: Arc<AtomicBool>,
    store: sink::SinkThread,
    export: Option<sink::SinkThread>,
    stop_store: Arc<AtomicBool>,
    alerts: Stoppable,
    refits: Option<Stoppable>,
    gate: api::Gate,
    telemetry: Stoppable,
}

impl Running {
    fn start(data: &DataDir, config: &Config) -> Result<Self, ControlError> {
        let lines = telemetry::install(config);
        let (flag, mode) = (|| Arc::new(AtomicBool::new(false)), config.instance.mode.label());
        let (stop_archiver, stop_store) = (flag(), flag());
        let archiver = archive::Archiver::start(data.clone(), Arc::clone(&stop_archiver));
        let store = store::start(data.clone(), mode, Arc::clone(&stop_store))?;
        let audit = Arc::new(Mutex::new(audit::AuditLog::open(&data.audit(mode))?));
        // Nothing that can be done without keeps the journal from being copied.
        let mut missing = Vec::new();
        let webhooks =
            |config: &config::Control| webhook::Webhooks::start(data, config, mode, Arc::clone(&audit));
        let webhooks = webhooks(&config.control).or_else(|e| {
            missing.push(e.to_string());
            webhooks(&config::Control { webhook_secret_file: PathBuf::new(), ..config.control.clone() })
        })?;
        let jwt = auth::JwtKeys::load(data, &config.control).unwrap_or_else(|e| {
            missing.push(e.to_string());
            auth::JwtKeys::none(data)
        });
        let stop = flag();
        let export = export(data, config, &stop_store).unwrap_or_else(|why| {
            missing.push(why);
            None
        });
        let (telemetry, without) = telemetry::start(data, config, lines, Arc::clone(&stop));
        let telemetry = Stoppable(telemetry, stop);
        missing.extend(without);
        missing.iter().for_each(|what| tracing::error!(what, "done without"));
        let (archived, stored, stop) = (archiver.gauges(), store.gauges(), flag());
        let sources = alert::Sources {
            data: data.clone(),
            config: config.clone(),
            archive: Arc::clone(&archived),
            store: Arc::clone(&stored),
            export: export.as_ref().map(sink::SinkThread::gauges),
            missing,
        };
        let (alerts, alerting) = alert::start(sources, Arc::clone(&stop));
        let alerting = Stoppable(alerting, stop);
        let parts = api::Parts { archive: archived, store: stored, audit, webhooks, jwt, alerts };
        let shared = api::Shared::new(data.clone(), config.clone(), parts);
        let stop = flag();
        let refits = refit::start(data.clone(), &config.pairs, Arc::clone(&stop));
        let refits = refits.map(|thread| Stoppable(thread, stop));
        let gate = api::Gate::start(&config.control, shared, flag())?;
        Ok(Self {
            archiver,
            stop_archiver,
            store,
            stop_store,
            export,
            alerts: alerting,
            refits,
            gate,
            telemetry,
        })
    }

    fn stop(self, within: Duration) -> Result<(), ControlError> {
        let Self { alerts, refits, archiver, stop_archiver, store, stop_store, export, gate, telemetry } =
            self;
        let parts: Vec<Part> = vec![
            ("alerts", Box::new(|| alerts.stop())),
            ("refits", Box::new(|| refits.map_or((), Stoppable::stop))),
            // Archive first, then the store, so that what was archived last is stored too.
            (
                "archive",
                Box::new(move || {
                    stop_archiver.store(true, Ordering::Relaxed);
                    archiver.join();
                }),
            ),
            (
                "store",
                Box::new(move || {
                    stop_store.store(true, Ordering::Relaxed);
                    store.join();
                }),
            ),
            ("export", Box::new(|| export.map_or((), sink::SinkThread::join))),
            ("http", Box::new(|| drop(gate))),
            ("telemetry", Box::new(|| telemetry.stop())),
        ];
        end_in_order(parts, within)
    }
}

/// What is wrong with the files that a configuration names for the control process; nothing is started.
pub fn check_files(data: &DataDir, config: &Config) -> Vec<String> {
    let keys = auth::JwtKeys::load(data, &config.control).err().map(|e| e.to_string());
    let secret = webhook::configured_secret(data, &config.control).err().map(|e| e.to_string());
    [keys, secret, alert::check(data, config)].into_iter().flatten().collect()
}

/// A part of the process by its name, and what ends it.
type Part = (&'static str, Box<dyn FnOnce() + Send>);

/// Ends parts one after another; whatever hangs (a disk that does not answer, say) must not keep the process from being
/// replaced.
fn end_in_order(parts: Vec<Part>, within: Duration) -> Result<(), ControlError> {
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for (name, end) in parts {
            // Nobody listens any more after the deadline.
            let _ = told.send(Some(name));
            end();
        }
        let _ = told.send(None);
    });
    let deadline = Instant::now() + within;
    let mut ending = "its first part";
    loop {
        match heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Some(name)) => ending = name,
            Ok(None) => return Ok(()),
            // It panicked: what comes after it was not ended.
            Err(RecvTimeoutError::Disconnected) => return Err(ControlError::Broken(ending)),
            Err(RecvTimeoutError::Timeout) => return Err(ControlError::Stuck(ending, within)),
        }
    }
}

/// The thread that writes lines for other programs, where the configuration asks for them.
fn export(
    data: &DataDir,
    config: &Config,
    stop: &Arc<AtomicBool>,
) -> Result<Option<sink::SinkThread>, String> {
    let file = &config.control.export_file;
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let path = data.root().join(file);
    let sink = sink::LineSink::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Some(sink::SinkThread::start("the export", sink, data.clone(), Arc::clone(stop))))
}

/// Main function of the control process: runs on the data directory `dir` until a signal, errors to stderr.
pub fn main_with_args(dir: Option<String>) -> ExitCode {
    let Some(dir) = dir else {
        eprintln!("usage: tickpath-control DIR");
        return ExitCode::from(2);
    };
    let opened = DataDir::open(&PathBuf::from(&dir));
    let data = match opened {
        Ok(data) => data,
        Err(e) => return fail(&format!("{dir}: {e}"), 6),
    };
    let config = match config::load(&data, config::environment()) {
        Ok(config) => config,
        Err(e) => return fail(&e.to_string(), 3),
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        if let Err(e) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            return fail(&e.to_string(), 6);
        }
    }
    match run(&data, &config, || stop.load(Ordering::Relaxed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e.to_string(), 6),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("tickpath-control: {message}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_named_and_what_comes_before_it_has_ended() {
        let (ended, hear) = mpsc::channel();
        let quick = ended.clone();
        let parts: Vec<Part> = vec![
            ("quick", Box::new(move || quick.send("quick").unwrap())),
            ("slow", Box::new(|| std::thread::sleep(Duration::from_secs(60)))),
            ("last", Box::new(move || ended.send("last").unwrap())),
        ];
        let start = Instant::now();
        let result = end_in_order(parts, Duration::from_millis(300));
        assert!(matches!(result, Err(ControlError::Stuck("slow", _))), "{result:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(hear.try_iter().collect::<Vec<_>>(), ["quick"]);
        assert!(end_in_order(Vec::new(), Duration::from_secs(60)).is_ok());
        let parts: Vec<Part> = vec![("broken", Box::new(|| panic!("on purpose"))), ("last", Box::new(|| ()))];
        let result = end_in_order(parts, Duration::from_secs(60));
        assert!(matches!(result, Err(ControlError::Broken("broken"))), "{result:?}");
    }
}
