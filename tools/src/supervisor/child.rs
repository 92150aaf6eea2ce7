//! One supervised process: started with its output in a log file, restarted with back-off, stopped in order.

#![expect(unsafe_code, reason = "the parent-death signal is set between fork and exec")]

use std::{
    fs::OpenOptions,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tickpath_shared::paths::{DataDir, create_private_dir};

/// A process that ran this long starts its back-off afresh.
const SETTLED: Duration = Duration::from_secs(30);

/// How to start a process.
#[derive(Clone, Debug)]
pub struct ChildSpec {
    /// Name, also of the log file.
    pub name: String,
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Where output goes.
    pub log: PathBuf,
}

impl ChildSpec {
    /// A sub-command of `program` on the data directory.
    pub fn of_program(program: &Path, name: &str, data: &DataDir) -> Self {
        let arguments = vec![name.to_owned(), "--dir".to_owned(), data.root().display().to_string()];
        Self::new(program, name, arguments, data)
    }

    /// A process with its log in the data directory.
    pub fn new(program: &Path, name: &str, arguments: Vec<String>, data: &DataDir) -> Self {
        let log = data.root().join("logs").join(format!("{name}.log"));
        Self { name: name.to_owned(), program: program.to_owned(), arguments, log }
    }
}

pub(super) struct Child {
    spec: ChildSpec,
    process: Option<std::process::Child>,
    /// It was killed and takes its time to go.
    is_killed: bool,
    started: Instant,
    next_start: Instant,
    backoff_min: Duration,
    backoff_max: Duration,
    backoff: Duration,
}

impl Child {
    pub(super) fn new(spec: ChildSpec, backoff_min: Duration, backoff_max: Duration) -> Self {
        let now = Instant::now();
        Self {
            spec,
            process: None,
            is_killed: false,
            started: now,
            next_start: now,
            backoff_min,
            backoff_max,
            backoff: backoff_min,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(std::process::Child::id)
    }

    pub(super) fn is_due(&self) -> bool {
        self.process.is_none() && Instant::now() >= self.next_start
    }

    pub(super) fn start(&mut self) -> io::Result<u32> {
        // A failed start counts as a crash too.
        self.next_start = Instant::now() + self.backoff;
        if let Some(dir) = self.spec.log.parent() {
            create_private_dir(dir)?;
        }
        let log = tickpath_shared::paths::open_private(
            &self.spec.log,
            OpenOptions::new().append(true).create(true),
        )?;
        let mut command = Command::new(&self.spec.program);
        command.args(&self.spec.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: prctl is async-signal-safe; it only asks for a signal when the parent ends.
        unsafe { command.pre_exec(end_with_parent) };
        let process = command.spawn()?;
        let pid = process.id();
        self.process = Some(process);
        self.is_killed = false;
        self.started = Instant::now();
        Ok(pid)
    }

    /// How the process ended, once; sets the time of the next start.
    pub(super) fn poll_exit(&mut self) -> Option<ExitStatus> {
        let exit = self.process.as_mut()?.try_wait().ok().flatten()?;
        self.process = None;
        if self.started.elapsed() > SETTLED {
            self.backoff = self.backoff_min;
        }
        self.next_start = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(self.backoff_max);
        Some(exit)
    }

    /// Ends the process without asking.
    pub(super) fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            self.is_killed = true;
        }
    }

    pub(super) fn is_killed(&self) -> bool {
        self.is_killed
    }

    /// Asks the process to end, waits, and ends it after `patience`; whether it ended by itself.
    pub(super) fn stop(&mut self, patience: Duration) -> bool {
        let Some(process) = &mut self.process else { return true };
        if let Some(pid) = rustix::process::Pid::from_raw(process.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if process.try_wait().is_ok_and(|exit| exit.is_some()) {
                self.process = None;
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        let _ = process.wait();
        self.process = None;
        false
    }
}

/// A supervisor that is killed takes its processes with it, in order: they get a SIGTERM.
fn end_with_parent() -> io::Result<()> {
    // SAFETY: a plain system call without pointers.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
