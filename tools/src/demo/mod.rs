//! The demo: simulator, hot process and control process under the supervisor in a run directory, armed in
//! simulation, with a screen or one JSON object at the end.

mod screen;
mod summary;

pub use summary::Summary;

use crate::{
    supervisor::{ChildSpec, Ended, Supervisor, standard_specs},
    template::{self, Simulation},
    venue::{self, Faults, Limits},
};
use anyhow::{Context, Result, bail, ensure};
use screen::Screen;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tickpath_control::auth::{NewToken, Role, TokenFile};
use tickpath_hotpath::net::affinity;
use tickpath_shared::{
    clock::unix_ns_now,
    command::CommandSender,
    config::{self, KeyKind},
    counters::Counter,
    paths::{DataDir, replace_file},
    status::StatusReader,
    types::decimal,
};

/// Name of the demo's own token.
const DEMO_TOKEN: &str = "demo";
/// Ports the control process is offered, in order.
const CONTROL_PORTS: std::ops::RangeInclusive<u16> = 8080..=8084;
const REFRESH: Duration = Duration::from_millis(250);
/// A market that came to its end is over when no frame has arrived for this long.
const QUIET: Duration = Duration::from_millis(700);

/// What the demo was asked for.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Captures; empty for the synthetic market.
    pub captures: Vec<PathBuf>,
    /// Pace as on the command line.
    pub speed: String,
    /// End after this time.
    pub duration: Option<Duration>,
    /// Run directory; a temporary one when absent.
    pub dir: Option<PathBuf>,
    /// No screen, one JSON object at the end.
    pub is_json: bool,
    /// Seed of the synthetic market and of the faults.
    pub seed: u64,
    /// Hot threads: 1 or 3.
    pub threads: usize,
    /// Damage to the market data.
    pub faults: Faults,
    /// Kind of key.
    pub key_kind: KeyKind,
    /// TLS on every connection.
    pub is_tls: bool,
    /// Hot process with strategies of one's own.
    pub hot: Option<PathBuf>,
}

/// Runs the demo until its duration, its capture's end, or `is_stop`.
///
/// # Errors
///
/// What keeps it from starting, or the process that ended for good.
pub fn run(program: &Path, options: &DemoOptions, is_stop: &AtomicBool) -> Result<Summary> {
    let (dir, is_temporary) = run_dir(options)?;
    let data = DataDir::open(&dir).with_context(|| format!("run directory {}", dir.display()))?;
    let _lock = data
        .try_lock("demo.lock")?
        .with_context(|| format!("another instance runs in {}", data.root().display()))?;
    let setup = Setup::prepare(&data, options)?;
    let config = config::load(&data, config::environment())?;
    let log = Arc::new(Mutex::new(Vec::new()));
    let is_done = AtomicBool::new(false);
    let mut specs = vec![setup.venue_spec(program, &data, options, &config.simulation)];
    specs.extend(standard_specs(program, options.hot.as_deref(), &data));
    let started = Instant::now();
    let (outcome, view) = std::thread::scope(|scope| {
        let lines = Arc::clone(&log);
        let log_file = data.root().join("logs").join("supervisor.log");
        let mut supervisor = Supervisor::new(&data, &config, specs, move |line| {
            append_line(&log_file, line);
            if let Ok(mut lines) = lines.lock() {
                lines.push(line.to_owned());
            }
        });
        let done = &is_done;
        let watched = scope.spawn(move || supervisor.run(|| done.load(Ordering::Relaxed)));
        let mut view = View {
            data: &data,
            options,
            setup: &setup,
            log: &log,
            status: None,
            command: None,
            screen: Screen::default(),
        };
        view.watch(started, is_stop, || watched.is_finished());
        is_done.store(true, Ordering::Relaxed);
        let outcome = watched.join();
        (outcome, view.status)
    });
    judge(outcome, &data, &log)?;
    let summary = Summary::collect(&data, &config, view.as_ref(), started.elapsed(), &setup.notes)?;
    if is_temporary {
        let _ = std::fs::remove_dir_all(&dir);
    }
    Ok(summary)
}

/// How the supervised processes ended, as an error unless in order.
fn judge(
    outcome: std::thread::Result<Result<(), Ended>>,
    data: &DataDir,
    log: &Mutex<Vec<String>>,
) -> Result<()> {
    match outcome {
        Ok(Ok(()) | Err(Ended { code: 0, .. })) => Ok(()),
        Ok(Err(Ended { process, code })) => {
            bail!("{process} ended with code {code}: {}", last_line(data, &process))
        }
        Err(_) => {
            let lines = log.lock().map(|lines| lines.clone()).unwrap_or_default();
            bail!("the supervisor panicked: {}", lines.join("; "))
        }
    }
}

/// A log that cannot be written does not stop what it tells of.
fn append_line(path: &Path, line: &str) {
    use std::io::Write;
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
        let _ = writeln!(file, "{line}");
    }
}

/// The last thing a process said.
fn last_line(data: &DataDir, process: &str) -> String {
    let text =
        std::fs::read_to_string(data.root().join("logs").join(format!("{process}.log"))).unwrap_or_default();
    text.lines().last().unwrap_or("no output").to_owned()
}

fn run_dir(options: &DemoOptions) -> Result<(PathBuf, bool)> {
    if let Some(dir) = &options.dir {
        return Ok((dir.clone(), false));
    }
    let dir = std::env::temp_dir().join(format!("tickpath-demo-{}", std::process::id()));
    Ok((dir, true))
}

/// A token of every right for a day: the account of a demo is not worth more care.
fn demo_token(data: &DataDir) -> Result<String> {
    let (file, now) = (TokenFile::new(data), unix_ns_now() / 1_000_000_000);
    if file.list()?.iter().any(|token| token.name == DEMO_TOKEN) {
        file.revoke(DEMO_TOKEN)?;
    }
    let new = NewToken { name: DEMO_TOKEN, role: Role::Admin, expires_unix_s: Some(now + 86_400) };
    Ok(file.create(&new, now)?)
}

/// Files and addresses of a demo.
struct Setup {
    venue: SocketAddr,
    keys: PathBuf,
    tls: Option<venue::TlsFiles>,
    notes: Vec<String>,
}

impl Setup {
    fn prepare(data: &DataDir, options: &DemoOptions) -> Result<Self> {
        let _: venue::Speed = options.speed.parse().map_err(anyhow::Error::msg)?;
        for capture in &options.captures {
            std::fs::metadata(capture).with_context(|| format!("capture {}", capture.display()))?;
        }
        // The demo's venue listens at an address of its own each time: what another one wrote cannot name it.
        ensure!(
            !data.config().exists() || is_ours(&data.config()),
            "{}: is no configuration of a simulation; choose another --dir",
            data.config().display()
        );
        let venue = free_address(0..=0)?;
        let control = free_address(CONTROL_PORTS).or_else(|_| free_address(0..=0))?;
        let keys = template::generate_keys(data, options.key_kind)?;
        let tls =
            if options.is_tls { Some(venue::generate_tls(&data.root().join("secrets"))?) } else { None };
        let (threads, note) = template::threads_text(options.threads, &affinity::allowed_cores());
        let is_offline = options.speed == "max";
        let simulation = Simulation {
            venue,
            control,
            threads,
            overload: if is_offline { "stall" } else { "shed" },
            key_kind: options.key_kind,
            authority: tls.as_ref().map(|files| files.authority.clone()),
            order_rate_max: if is_offline { 100_000 } else { 200 },
            leg_timeout_ms: if is_offline { 20 } else { 2000 },
            // Recorded data carries the time of its recording, and a market at another speed no time of ours.
            book_venue_age_ms_max: if options.captures.is_empty() && !is_offline { 3000 } else { 0 },
        };
        replace_file(&data.config(), template::config_text(data, &simulation).as_bytes())?;
        let _ = std::fs::remove_file(done_file(data));
        let notes = vec![
            format!("run directory: {}", data.root().display()),
            format!("threads: {note}"),
            format!("page: http://{control}/#token={}", demo_token(data)?),
            format!("HTTP: http://{control}/docs, /health/state and /metrics"),
        ];
        Ok(Self { venue, keys, tls, notes })
    }

    fn venue_spec(
        &self,
        program: &Path,
        data: &DataDir,
        options: &DemoOptions,
        account: &config::Simulation,
    ) -> ChildSpec {
        let mut arguments: Vec<String> = ["venue", "--listen"].map(str::to_owned).into();
        arguments.push(self.venue.to_string());
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--keys", self.keys.display().to_string());
        add("--speed", options.speed.clone());
        add("--seed", options.seed.to_string());
        add("--done-file", done_file(data).display().to_string());
        // A market that runs faster than time brings as many orders in less of it.
        let limits = Limits::at(options.speed.parse().unwrap_or(venue::Speed::Max));
        for (name, value_e8) in [
            ("--balance", account.balance),
            ("--maker-fee", account.maker_fee),
            ("--taker-fee", account.taker_fee),
            ("--slippage", account.slippage),
        ] {
            add(name, decimal::to_text(value_e8, 8));
        }
        add("--weight-1m", limits.weight_1m.to_string());
        add("--orders-10s", limits.orders_10s.to_string());
        add("--orders-1m", limits.orders_1m.to_string());
        let faults = &options.faults;
        let odds = [
            ("--drop", faults.drop),
            ("--repeat", faults.repeat),
            ("--swap", faults.swap),
            ("--irregular", faults.irregular),
        ];
        for (name, probability) in odds {
            add(name, probability.to_string());
        }
        for capture in &options.captures {
            add("--capture", capture.display().to_string());
        }
        if let Some(tls) = &self.tls {
            add("--certificate", tls.certificate.display().to_string());
            add("--key", tls.key.display().to_string());
        }
        ChildSpec::new(program, "venue", arguments, data)
    }
}

fn is_ours(config: &Path) -> bool {
    std::fs::read_to_string(config).is_ok_and(|text| text.starts_with("# Simulation against the built-in"))
}

fn done_file(data: &DataDir) -> PathBuf {
    data.run().join("venue.done")
}

/// A loopback address whose port was free a moment ago.
fn free_address(ports: std::ops::RangeInclusive<u16>) -> Result<SocketAddr> {
    for port in ports.clone() {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no free port among {ports:?} on 127.0.0.1")
}

/// Watches the run and shows it.
struct View<'a> {
    data: &'a DataDir,
    options: &'a DemoOptions,
    setup: &'a Setup,
    log: &'a Mutex<Vec<String>>,
    status: Option<StatusReader>,
    command: Option<CommandSender>,
    screen: Screen,
}

impl View<'_> {
    fn watch(&mut self, started: Instant, is_stop: &AtomicBool, is_over: impl Fn() -> bool) {
        let mut quiet_since: Option<(u64, Instant)> = None;
        let is_timely = |elapsed: Duration| self.options.duration.is_none_or(|d| elapsed < d);
        while !is_stop.load(Ordering::Relaxed) && !is_over() && is_timely(started.elapsed()) {
            std::thread::sleep(REFRESH);
            self.refresh_status();
            if self.is_market_over(&mut quiet_since) {
                break;
            }
            if !self.options.is_json {
                let lines = self.log.lock().map(|l| l.clone()).unwrap_or_default();
                let session = self.status.as_ref().zip(self.command.as_ref());
                self.screen.show(session, &self.setup.notes, &lines, started.elapsed());
            }
        }
        if !self.options.is_json {
            self.screen.close();
        }
    }

    fn refresh_status(&mut self) {
        let Ok(Some(current)) = self.data.current_session() else { return };
        let is_known = self.status.as_ref().is_some_and(|s| s.identity().session == current.session);
        if !is_known && let Ok(status) = StatusReader::open(&current.shared_dir.join("status")) {
            self.status = Some(status);
            self.command = CommandSender::open(&current.shared_dir.join("command")).ok();
        }
    }

    /// The capture has been sent and the hot process has taken all of it.
    fn is_market_over(&self, quiet_since: &mut Option<(u64, Instant)>) -> bool {
        if !done_file(self.data).exists() {
            return false;
        }
        let frames = self.status.as_ref().map_or(0, |s| s.counter(Counter::Frames));
        match quiet_since {
            Some((seen, since)) if *seen == frames => since.elapsed() > QUIET,
            _ => {
                *quiet_since = Some((frames, Instant::now()));
                false
            }
        }
    }
}
