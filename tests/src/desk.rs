//! A desk for tests: a data directory, the simulator and the supervisor as real processes.

use anyhow::{Context, Result, bail};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tickpath_hotpath::{hot, venue::Rest};
use tickpath_shared::{
    config::{self, Config, KeyKind},
    counters::Counter,
    paths::DataDir,
    record::{FillRecord, OpenOrderRecord},
    status::StatusReader,
    types::InstrumentDefinition,
};
use tickpath_tools::{
    template::{self, Simulation},
    venue::{Limits, TlsFiles},
};

/// A loopback address whose port was free a moment ago.
///
/// # Panics
///
/// When the host has no free port.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    listener.unwrap_or_else(|e| panic!("no free port: {e}"))
}

/// A process that is killed when the test ends.
pub struct Process(Child);

impl Process {
    /// Starts the program with its output in a file.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        let out = std::fs::OpenOptions::new().append(true).create(true).open(log)?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {} {arguments:?}", program.display()))?;
        Ok(Self(child))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends SIGTERM and waits.
    ///
    /// # Errors
    ///
    /// When the process does not end within forty seconds.
    pub fn terminate(&mut self) -> Result<i32> {
        signal(self.pid(), rustix::process::Signal::TERM);
        self.wait(Duration::from_secs(40))
    }

    /// Waits for the end; returns the exit code, -1 after a signal.
    ///
    /// # Errors
    ///
    /// When `patience` is over.
    pub fn wait(&mut self, patience: Duration) -> Result<i32> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(exit) = self.0.try_wait()? {
                return Ok(exit.code().unwrap_or(-1));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("process {} did not end within {patience:?}", self.pid())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A number that the system tells of a process in `/proc/PID/status`, as `VmRSS:` or `Threads:`.
///
/// # Panics
///
/// When the process is gone, or there is no such line.
pub fn status_line(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let number = line.split_whitespace().next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("process {pid}: no {name}"))
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Process ids of the children of a process that run the sub-command.
pub fn child_of(parent: u32, sub_command: &str) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let rest = stat.rsplit_once(')')?.1;
        let ppid: u32 = rest.split_whitespace().nth(1)?.parse().ok()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let is_command = line.split(|b| *b == 0).nth(1) == Some(sub_command.as_bytes());
        (ppid == parent && is_command).then_some(pid)
    })
}

/// A desk in a directory.
pub struct Desk {
    /// Its data directory.
    pub data: DataDir,
    /// Where its simulator listens.
    pub venue: SocketAddr,
    /// Where its control process listens.
    pub control: SocketAddr,
    /// Environment of its processes.
    pub environment: Vec<(String, String)>,
    program: PathBuf,
    keys: PathBuf,
    venue_process: Option<Process>,
    supervisor: Option<Process>,
}

impl Desk {
    /// A configured desk; nothing runs yet. `environment` overrides the configuration.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn new(dir: &Path, program: &str, environment: &[(&str, &str)]) -> Result<Self> {
        Self::make(dir, program, environment, None)
    }

    /// As [`Self::new`], with a simulator that is spoken to over TLS.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn with_tls(dir: &Path, program: &str, environment: &[(&str, &str)], tls: &TlsFiles) -> Result<Self> {
        Self::make(dir, program, environment, Some(tls.authority.clone()))
    }

    fn make(
        dir: &Path,
        program: &str,
        environment: &[(&str, &str)],
        authority: Option<PathBuf>,
    ) -> Result<Self> {
        let data = DataDir::open(dir)?;
        let (venue, control) = (free_address(), free_address());
        let keys = template::generate_keys(&data, KeyKind::Ed25519)?;
        let simulation = Simulation {
            venue,
            control,
            threads: template::threads_text(1, &[0]).0,
            overload: "shed",
            key_kind: KeyKind::Ed25519,
            authority,
            order_rate_max: 100_000,
            leg_timeout_ms: 100,
            book_venue_age_ms_max: 3000,
        };
        std::fs::write(data.config(), template::config_text(&data, &simulation))?;
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Ok(Self {
            data,
            venue,
            control,
            environment,
            program: PathBuf::from(program),
            keys,
            venue_process: None,
            supervisor: None,
        })
    }

    /// Overrides that make the pairs strategy trade many times a second.
    pub fn busy() -> Vec<(&'static str, &'static str)> {
        vec![
            ("TICKPATH__PAIRS__WINDOW", "10"),
            ("TICKPATH__PAIRS__SAMPLE_MS", "25"),
            ("TICKPATH__PAIRS__ENTRY_Z", "0.6"),
            ("TICKPATH__PAIRS__EXIT_Z", "0.3"),
            ("TICKPATH__PAIRS__LEG_TIMEOUT_MS", "100"),
            // After an opening that was refused or cut off it tries again soon.
            ("TICKPATH__PAIRS__REST_MS", "200"),
            ("TICKPATH__SUPERVISOR__CRASHES_MAX", "100000"),
            ("TICKPATH__SUPERVISOR__BACKOFF_MS", "50"),
            ("TICKPATH__SUPERVISOR__BACKOFF_MS_MAX", "100"),
            ("TICKPATH__VENUE__RECV_WINDOW_MS", "500"),
        ]
    }

    /// Starts the simulator with further arguments.
    ///
    /// # Errors
    ///
    /// When it does not listen within ten seconds.
    pub fn start_venue(&mut self, arguments: &[&str]) -> Result<()> {
        let (listen, keys) = (self.venue.to_string(), self.keys.display().to_string());
        // Tests order faster than an account may; those of the limits set their own, and later ones win.
        let many = Limits::NONE.orders_1m.to_string();
        let mut all = vec!["venue", "--listen", &listen, "--keys", &keys];
        all.extend(["--weight-1m", &many, "--orders-10s", &many, "--orders-1m", &many]);
        all.extend(["--balance", "10000000"]);
        all.extend_from_slice(arguments);
        if arguments.contains(&"--capture") {
            // Recorded data is as old as its recording.
            self.environment.push(("TICKPATH__RISK__BOOK_VENUE_AGE_MS_MAX".into(), "0".into()));
        }
        let log = self.data.root().join("venue.log");
        self.venue_process = Some(Process::start(&self.program, &all, &self.environment, &log)?);
        wait_for("the simulator", || std::net::TcpStream::connect(self.venue).is_ok())
    }

    /// Process id of the simulator, while it runs.
    pub fn venue_pid(&self) -> Option<u32> {
        self.venue_process.as_ref().map(Process::pid)
    }

    /// Ends the simulator: the venue is gone.
    pub fn stop_venue(&mut self) {
        // A process that is dropped is killed.
        self.venue_process = None;
    }

    /// Starts the supervisor.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        self.supervisor = Some(self.spawn("run")?);
        Ok(())
    }

    /// Starts a sub-command on the desk's directory.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(&self, sub_command: &str) -> Result<Process> {
        let dir = self.data.root().display().to_string();
        let log = self.data.root().join(format!("{sub_command}.out"));
        Process::start(&self.program, &[sub_command, "--dir", &dir], &self.environment, &log)
    }

    /// Runs a sub-command to its end; returns exit code and output.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let out =
            Command::new(&self.program).args(arguments).envs(self.environment.iter().cloned()).output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        Ok((out.status.code().unwrap_or(-1), text))
    }

    /// As [`Self::run`], with `--dir` of the desk appended.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run_here(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let dir = self.data.root().display().to_string();
        self.run(&[arguments, &["--dir", &dir]].concat())
    }

    /// Process id of a supervised process.
    pub fn child(&self, name: &str) -> Option<u32> {
        child_of(self.supervisor.as_ref()?.pid(), name)
    }

    /// Kills a supervised process without asking, and waits until another one runs in its place.
    ///
    /// # Errors
    ///
    /// When it is not restarted within ten seconds.
    pub fn kill_child(&self, name: &str) -> Result<()> {
        let pid = self.child(name).with_context(|| format!("{name} does not run"))?;
        signal(pid, rustix::process::Signal::KILL);
        wait_for(name, || self.child(name).is_some_and(|next| next != pid))
    }

    /// Stops the supervisor and everything below it.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<i32> {
        match self.supervisor.take() {
            Some(mut supervisor) => supervisor.terminate(),
            None => Ok(0),
        }
    }

    /// Status file of the current session.
    ///
    /// # Errors
    ///
    /// While there is none.
    pub fn status(&self) -> Result<StatusReader> {
        let current = self.data.current_session()?.context("no session")?;
        Ok(StatusReader::open(&current.shared_dir.join("status"))?)
    }

    /// Value of a counter of the current session, 0 while there is none.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.status().map_or(0, |s| s.counter(counter))
    }

    /// Waits until a counter of the current session has reached a value.
    ///
    /// # Errors
    ///
    /// When a minute is over.
    pub fn wait_for_counter(&self, counter: Counter, value: u64) -> Result<()> {
        wait_for(counter.label(), || self.counter(counter) >= value)
    }

    /// The configuration as the processes see it.
    ///
    /// # Errors
    ///
    /// When it does not load.
    pub fn config(&self) -> Result<Config> {
        Ok(config::load(&self.data, self.environment.iter().cloned())?)
    }

    /// A REST client with the desk's keys.
    ///
    /// # Errors
    ///
    /// When the keys cannot be read.
    pub fn rest(&self) -> Result<Rest> {
        let config = self.config()?;
        let credentials = Arc::new(hot::load_credentials(&config)?);
        Ok(hot::open_rest(&config, &credentials)?.1)
    }

    /// Every trade and open order that the venue shows.
    ///
    /// # Errors
    ///
    /// When the venue does not answer.
    pub fn venue_truth(&self) -> Result<VenueTruth> {
        let rest = self.rest()?;
        let definitions = rest.definitions(&["BTCUSDT", "ETHUSDT"])?;
        let mut trades = Vec::new();
        for definition in &definitions {
            let mut from = 0;
            loop {
                let page = rest.trades(definition, from, rest.server_time()?)?;
                let Some(last) = page.last() else { break };
                from = last.trade_id + 1;
                trades.extend(page);
            }
        }
        let open_orders = rest.open_orders(&definitions, rest.server_time()?)?;
        let positions = rest.positions(&definitions, rest.server_time()?)?;
        let positions = positions.into_iter().map(|p| p.qty).collect();
        Ok(VenueTruth { definitions, trades, open_orders, positions })
    }
}

impl Drop for Desk {
    /// Ends what still runs and frees the shared memory of sessions that no control process has sealed.
    fn drop(&mut self) {
        let _ = self.stop();
        if let Ok(Some(current)) = self.data.current_session()
            && let Some(base) = current.shared_dir.parent().filter(|base| base.starts_with("/dev/shm"))
        {
            let _ = std::fs::remove_dir_all(base);
        }
    }
}

/// What the venue shows of an account.
pub struct VenueTruth {
    /// Definitions.
    pub definitions: Vec<InstrumentDefinition>,
    /// Every trade.
    pub trades: Vec<FillRecord>,
    /// Open orders.
    pub open_orders: Vec<OpenOrderRecord>,
    /// Signed positions by instrument.
    pub positions: Vec<i64>,
}

/// Waits until something holds.
///
/// # Errors
///
/// When a minute is over.
pub fn wait_for(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if holds() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("waited a minute for {what}")
}
