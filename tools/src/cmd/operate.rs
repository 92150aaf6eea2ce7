//! The operator's verbs, through the command file.

use super::{print, process::DirArguments};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use tickpath_shared::{
    command::{CommandOutcome, CommandSender, Verb, set_kill_switch},
    counters::Counter,
    paths::DataDir,
    status::StatusReader,
};

/// How long a command may wait before it must not be carried out.
const VALID: Duration = Duration::from_secs(2);

/// Arguments of `arm`.
#[derive(Debug, Args)]
pub(super) struct ArmArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Release the kill latch first
    #[arg(long)]
    clear_kill: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// A running session.
struct Session {
    status: StatusReader,
    sender: CommandSender,
}

impl Session {
    fn open(data: &DataDir) -> Result<Self> {
        let current =
            data.current_session()?.with_context(|| format!("no session in {}", data.root().display()))?;
        let open = || -> Result<Self> {
            Ok(Self {
                status: StatusReader::open(&current.shared_dir.join("status"))?,
                sender: CommandSender::open(&current.shared_dir.join("command"))?,
            })
        };
        let session = open().with_context(|| format!("session {} is over", current.session))?;
        let pid = session.status.identity().pid;
        if session.status.is_stopped() || !Path::new(&format!("/proc/{pid}")).exists() {
            bail!("session {} is over: hot process {pid} does not run", current.session);
        }
        Ok(session)
    }

    fn send(&self, data: &DataDir, verb: Verb) -> Result<()> {
        let id = self.sender.send(data, self.status.commands_taken(), verb, VALID)?;
        let deadline = Instant::now() + VALID + Duration::from_millis(500);
        while Instant::now() < deadline {
            if let Some(outcome) = self.status.answer_to(id) {
                return match CommandOutcome::from_repr(outcome) {
                    Some(CommandOutcome::Done) => Ok(()),
                    Some(other) => bail!("{verb}: {}", other.meaning()),
                    None => bail!("{verb}: outcome {outcome} of a later build"),
                };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!(
            "{verb}: no answer of the hot process within {} ms",
            deadline.elapsed().as_millis() + VALID.as_millis()
        )
    }
}

/// Sets word and latch. The word comes first: a slow disk, or a full one, must not stand in its way.
pub(super) fn kill(arguments: &DirArguments) -> Result<ExitCode> {
    let data = arguments.open()?;
    set_kill_switch(&data, "tickpath kill")?;
    match Session::open(&data) {
        Ok(session) => {
            // A process that started in between has a word of its own.
            session.sender.kill();
            let deadline = Instant::now() + VALID;
            while session.status.kill_seen().is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            let seen = if session.status.kill_seen().is_some() {
                "seen by the gateway"
            } else {
                "NOT YET SEEN by the gateway"
            };
            print(&format!("kill word set, {seen}; latched until `tickpath arm --clear-kill`\n"));
        }
        Err(e) => print(&format!("kill latch set; {e:#}\n")),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn arm(arguments: &ArmArguments) -> Result<ExitCode> {
    let data = arguments.dir.open()?;
    if arguments.clear_kill {
        clear_kill(&data)?;
    }
    let Ok(session) = Session::open(&data) else {
        if arguments.clear_kill {
            print("kill latch released; no hot process runs\n");
            return Ok(ExitCode::SUCCESS);
        }
        bail!("no hot process runs on {}", data.root().display());
    };
    if let Err(e) = session.send(&data, Verb::Arm) {
        eprintln!("tickpath: {e:#}");
        return Ok(ExitCode::from(4));
    }
    print("armed\n");
    Ok(ExitCode::SUCCESS)
}

fn clear_kill(data: &DataDir) -> Result<()> {
    match Session::open(data) {
        Ok(session) => {
            session.send(data, Verb::ClearKill)?;
            let deadline = Instant::now() + VALID;
            while session.status.kill_seen().is_some() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Err(_) => data.clear_kill_latch()?,
    }
    Ok(())
}

pub(super) fn disarm(arguments: &DirArguments) -> Result<ExitCode> {
    let data = arguments.open()?;
    Session::open(&data)?.send(&data, Verb::Disarm)?;
    print("disarmed\n");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn status(arguments: &StatusArguments) -> Result<ExitCode> {
    let data = arguments.dir.open()?;
    let session = Session::open(&data)?;
    let s = &session.status;
    if arguments.json {
        let counters: serde_json::Map<String, serde_json::Value> =
            Counter::ALL.iter().map(|c| (c.label().to_owned(), json!(s.counter(*c)))).collect();
        let value = json!({
            "session": s.identity().session,
            "pid": s.identity().pid,
            "build": s.identity().build,
            "trading_state": s.trading_state().label(),
            "kill": s.kill_seen().is_some(),
            "reconciled": s.is_reconciled(),
            "counters": counters,
        });
        print(&format!("{value}\n"));
    } else {
        print(&format!(
            "session {} (process {}, {})\nstate {}, kill {}, account {}\nframes {}, orders {}, fills {}, refused {}\n",
            s.identity().session,
            s.identity().pid,
            s.identity().build,
            s.trading_state(),
            if s.kill_seen().is_some() { "SET" } else { "clear" },
            if s.is_reconciled() { "reconciled" } else { "not reconciled" },
            s.counter(Counter::Frames),
            s.counter(Counter::OrdersSent),
            s.counter(Counter::Fills),
            s.counter(Counter::Refusals),
        ));
    }
    Ok(ExitCode::SUCCESS)
}
