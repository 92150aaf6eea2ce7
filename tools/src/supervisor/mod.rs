//! The supervisor: starts the processes, watches them, restarts them with back-off, and holds a kill road of
//! its own. It serves no HTTP and knows nothing of trading but how to stop it.

mod child;
mod kill_road;
mod service;

pub use child::ChildSpec;

use child::Child;
use kill_road::KillRoad;
use service::ServiceManager;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tickpath_hotpath::hot::RESTART_CODE;
use tickpath_shared::{
    clock::host_ns_now,
    config::Config,
    paths::DataDir,
    status::{Progress, StatusReader},
};

const PAUSE: Duration = Duration::from_millis(20);
/// Time the hot process has for an ordered stop.
const HOT_STOP: Duration = Duration::from_millis(3000);
/// Time the control process has: it copies and syncs what is left of the journal, which a busy disk may take long for.
const CONTROL_STOP: Duration = Duration::from_secs(30);
/// Time every other process has.
const STOP: Duration = Duration::from_millis(3000);
/// Window in which crashes of the hot process are counted.
const CRASH_WINDOW: Duration = Duration::from_secs(600);
/// Pause before a kill road is walked again that did not lead to the end.
const WALK_PAUSE: Duration = Duration::from_secs(5);
/// Time a fresh session has before its stages must make turns.
const START_GRACE: Duration = Duration::from_secs(30);

/// Exit codes after which a restart changes nothing: usage, configuration, risk or latch.
const FINAL_CODES: [i32; 3] = [2, 3, 4];

/// Watches the processes of one data directory.
pub struct Supervisor<'a> {
    data: &'a DataDir,
    config: &'a Config,
    children: Vec<Child>,
    log: Box<dyn FnMut(&str) + Send + 'a>,
    crashes: Vec<Instant>,
    hot_since: Instant,
    is_latched: bool,
    /// When a kill road that did not lead to the end is walked again; `None` when it did.
    walk_again: Option<Instant>,
    /// What that said last.
    walked: Vec<String>,
}

/// Why the supervisor ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Name of the process.
    pub process: String,
    /// Its exit code.
    pub code: u8,
}

impl<'a> Supervisor<'a> {
    /// A supervisor of `specs`, of which one is called `hot`. `log` gets a line for everything it does.
    pub fn new(
        data: &'a DataDir,
        config: &'a Config,
        specs: Vec<ChildSpec>,
        log: impl FnMut(&str) + Send + 'a,
    ) -> Self {
        let backoff = Duration::from_millis(config.supervisor.backoff_ms);
        let backoff_max = Duration::from_millis(config.supervisor.backoff_ms_max);
        let children = specs.into_iter().map(|spec| Child::new(spec, backoff, backoff_max)).collect();
        Self {
            data,
            config,
            children,
            log: Box::new(log),
            crashes: Vec::new(),
            hot_since: Instant::now(),
            is_latched: false,
            walk_again: None,
            walked: Vec::new(),
        }
    }

    /// Runs until `is_stop`, then stops every process in order: hot first, so that its last records are
    /// archived.
    ///
    /// # Errors
    ///
    /// [`Ended`] when a process ended in a way that a restart does not mend.
    pub fn run(&mut self, is_stop: impl Fn() -> bool) -> Result<(), Ended> {
        let mut manager = ServiceManager::of_environment();
        let mut outcome = Ok(());
        while !is_stop() && outcome.is_ok() {
            outcome = self.turn();
            manager.turn(|| self.is_up(), Instant::now());
            std::thread::sleep(PAUSE);
        }
        manager.stopping();
        self.stop();
        outcome
    }

    fn turn(&mut self) -> Result<(), Ended> {
        for index in 0..self.children.len() {
            self.watch(index)?;
        }
        self.check_progress();
        Ok(())
    }

    fn watch(&mut self, index: usize) -> Result<(), Ended> {
        let child = &mut self.children[index];
        let is_hot = child.name() == "hot";
        if is_hot && self.is_latched {
            return Ok(());
        }
        if let Some(exit) = child.poll_exit() {
            let name = child.name().to_owned();
            (self.log)(&format!("{name} ended: {exit}"));
            let code = exit.code().unwrap_or(-1);
            if exit.success() && name == "hot" {
                // An ordered stop by command: everything else follows.
                return Err(Ended { process: name, code: 0 });
            }
            if is_hot && FINAL_CODES.contains(&code) {
                return Err(Ended { process: name, code: code as u8 });
            }
            if is_hot && code != i32::from(RESTART_CODE) {
                self.on_hot_crash();
            }
        }
        let child = &mut self.children[index];
        if child.is_due() && !(is_hot && self.is_latched) {
            match child.start() {
                Ok(pid) => {
                    let line = format!("{} started, process {pid}", child.name());
                    if is_hot {
                        self.hot_since = Instant::now();
                    }
                    (self.log)(&line);
                }
                Err(e) => {
                    let line = format!("{} could not be started: {e}", child.name());
                    (self.log)(&line);
                }
            }
        }
        Ok(())
    }

    /// A process that keeps crashing is left down with the kill latch set; a person decides.
    fn on_hot_crash(&mut self) {
        let now = Instant::now();
        self.crashes.retain(|at| now.duration_since(*at) < CRASH_WINDOW);
        self.crashes.push(now);
        if self.crashes.len() < self.config.supervisor.crashes_max {
            return;
        }
        self.is_latched = true;
        (self.log)(&format!(
            "hot crashed {} times within {} s: it stays down, the kill latch is set; release it with \
             `tickpath arm --clear-kill` after a restart",
            self.crashes.len(),
            CRASH_WINDOW.as_secs()
        ));
        if let Err(e) = self.data.set_kill_latch("crash loop of the hot process") {
            (self.log)(&format!("kill latch could not be stored: {e}"));
        }
        self.take_kill_road("crash loop");
    }

    /// With the hot process down for good nobody else cancels what is open: the venue may answer again later.
    fn walk_again(&mut self) {
        if self.walk_again.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let walk = KillRoad::new(self.data, self.config).go_on();
        self.walk_again = (!walk.is_clear).then(|| Instant::now() + WALK_PAUSE);
        // Told once as long as nothing changes.
        if walk.report != self.walked {
            walk.report.iter().for_each(|line| (self.log)(line));
            self.walked = walk.report;
        }
    }

    /// Engine and gateway must make turns; a hung process is killed after the venue was cleared.
    fn check_progress(&mut self) {
        let is_going = self.children.iter().any(|child| child.name() == "hot" && child.is_killed());
        if self.is_latched {
            return self.walk_again();
        }
        if is_going || self.hot_since.elapsed() < Duration::from_millis(self.config.supervisor.stall_ms) {
            return;
        }
        let Some(status) = self.open_status() else { return };
        if status.is_stopped() || !self.is_current(&status) {
            return;
        }
        let now = host_ns_now().saturating_sub(status.identity().start_host_ns);
        let stall_ns = self.config.supervisor.stall_ms * 1_000_000;
        let stalled = [Progress::Engine, Progress::Gateway].into_iter().find(|part| {
            let (turns, last) = status.progress(*part);
            let grace = if turns == 0 { START_GRACE.as_nanos() as u64 } else { stall_ns };
            now.saturating_sub(last) > grace
        });
        let Some(part) = stalled else { return };
        (self.log)(&format!(
            "{part} made no turn for {} ms: taking the kill road",
            self.config.supervisor.stall_ms
        ));
        self.take_kill_road("stalled");
        if let Some(hot) = self.children.iter_mut().find(|child| child.name() == "hot") {
            hot.kill();
        }
    }

    /// The hot process that we started has made its first turns.
    fn is_up(&self) -> bool {
        let has_turned = |status: &StatusReader| status.progress(Progress::Gateway).0 > 0;
        self.open_status().is_some_and(|status| self.is_current(&status) && has_turned(&status))
    }

    fn open_status(&self) -> Option<StatusReader> {
        let current = self.data.current_session().ok().flatten()?;
        StatusReader::open(&current.shared_dir.join("status")).ok()
    }

    /// The status file is that of the process we started, not of one before it.
    fn is_current(&self, status: &StatusReader) -> bool {
        let hot = self.children.iter().find(|child| child.name() == "hot");
        hot.and_then(Child::pid) == Some(status.identity().pid)
    }

    fn take_kill_road(&mut self, why: &str) {
        let walk = KillRoad::new(self.data, self.config).take(why);
        walk.report.iter().for_each(|line| (self.log)(line));
        self.walk_again = (!walk.is_clear).then(|| Instant::now() + WALK_PAUSE);
    }

    fn stop(&mut self) {
        let rank = |child: &Child| match child.name() {
            "hot" => (0, HOT_STOP),
            "control" => (1, CONTROL_STOP),
            _ => (2, STOP),
        };
        self.children.sort_by_key(|child| rank(child).0);
        for child in &mut self.children {
            let patience = rank(child).1;
            if !child.stop(patience) {
                (self.log)(&format!("{} did not end within {patience:?} and was killed", child.name()));
            }
        }
        (self.log)("stopped");
    }
}

/// The two processes of every data directory, sub-commands of `program`; the hot process may be a program of its own,
/// which is told the directory.
pub fn standard_specs(program: &Path, hot: Option<&Path>, data: &DataDir) -> Vec<ChildSpec> {
    let dir = || vec![data.root().display().to_string()];
    let hot = hot.map_or_else(
        || ChildSpec::of_program(program, "hot", data),
        |hot| ChildSpec::new(hot, "hot", dir(), data),
    );
    vec![hot, ChildSpec::of_program(program, "control", data)]
}
