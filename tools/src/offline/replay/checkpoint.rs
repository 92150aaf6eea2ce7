//! Checkpoints of a replay: the state of both cores between two records, as JSON below the data directory.
//!
//! A checkpoint is derived from the archive and may be deleted at any time. Whether it is true shows in the
//! replay that starts from it: every digest and every order after it is compared as always.

use super::Replay;
use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tickpath_hotpath::{
    digest::STATE_VERSION,
    message::{EngineMessage, Outcome},
    stage::{engine::Engine, gateway::Gateway},
    strategy::Strategy,
};
use tickpath_shared::{
    Nanos,
    paths::{DataDir, create_private_dir, replace_file},
};

/// What a file holds; the states are borrowed where it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct Checkpoint<E = Engine, G = Gateway> {
    state_version: u32,
    /// Version of the program whose state this is: another may keep different state.
    version: String,
    session: u64,
    time_ns: Nanos,
    /// Next record of the feed's, the engine's and the gateway's lane.
    next: [u64; 3],
    engine: E,
    gateway: G,
    /// Messages under way between the two.
    messages: Vec<EngineMessage>,
    outcomes: Vec<Outcome>,
}

impl<S: Strategy> Checkpoint<Engine<S>> {
    /// The last checkpoint of a session at or before a session time.
    ///
    /// # Errors
    ///
    /// None is there, or it was written by another version.
    pub(super) fn find(data: &DataDir, session: u64, from_ns: Nanos) -> Result<Self> {
        let dir = directory(data, session);
        let (_, path) = list(&dir)?.into_iter().rfind(|(time_ns, _)| *time_ns <= from_ns).with_context(|| {
            format!(
                "no checkpoint at or before {:.3} s in {}: `tickpath replay --checkpoints SECONDS` writes them",
                from_ns as f64 / 1e9,
                dir.display()
            )
        })?;
        let named = || format!("checkpoint {}", path.display());
        let text = fs::read_to_string(&path).with_context(named)?;
        // A state of another build may not even have the shape of ours.
        let checkpoint: Self = serde_json::from_str(&text)
            .with_context(|| format!("{}: of another build? delete it and write it again", named()))?;
        let is_ours =
            checkpoint.state_version == STATE_VERSION && checkpoint.version == env!("CARGO_PKG_VERSION");
        ensure!(
            is_ours && checkpoint.session == session,
            "{}: state {} of version {}, session {}; delete it and write it again",
            named(),
            checkpoint.state_version,
            checkpoint.version,
            checkpoint.session
        );
        Ok(checkpoint)
    }
}

impl<S: Strategy> Replay<S> {
    /// Continues from a checkpoint instead of the beginning.
    pub(super) fn resume(&mut self, checkpoint: Checkpoint<Engine<S>>) -> Result<()> {
        let cursors = [&mut self.feed, &mut self.engine_lane, &mut self.gateway_lane];
        for (cursor, sequence) in cursors.into_iter().zip(checkpoint.next) {
            cursor.skip_to(sequence)?;
        }
        self.report.from_ns = checkpoint.time_ns;
        self.engine = checkpoint.engine;
        self.gateway = checkpoint.gateway;
        self.made.messages = checkpoint.messages.into_iter().map(|m| (m.number, m)).collect();
        self.made.outcomes = checkpoint.outcomes.into_iter().map(|o| (o.number, o)).collect();
        Ok(())
    }

    /// Everything the cores made has been compared with its record: nothing is lost by stopping here.
    fn is_balanced(&self) -> bool {
        let digests = |core: usize| self.made.digests[core].len() == self.recorded.digests[core].len();
        digests(0) && digests(1) && self.made.orders.len() == self.recorded.orders.len()
    }
}

/// Writes checkpoints as a replay goes on.
pub(super) struct Keeper {
    dir: PathBuf,
    session: u64,
    every_ns: Nanos,
    next_ns: Nanos,
}

impl Keeper {
    pub(super) fn new(data: &DataDir, session: u64, every_ns: Nanos) -> Self {
        Self { dir: directory(data, session), session, every_ns, next_ns: every_ns }
    }

    /// Writes one when it is due and the replay stands between two records. True when one was written.
    pub(super) fn offer<S: Strategy>(&mut self, replay: &Replay<S>) -> Result<bool> {
        let ahead = [&replay.engine_lane, &replay.gateway_lane].map(|c| c.peek().map(|r| r.header.time));
        let Some(time_ns) = ahead.into_iter().flatten().min() else { return Ok(false) };
        if time_ns < self.next_ns || !replay.is_balanced() {
            return Ok(false);
        }
        self.next_ns = time_ns + self.every_ns;
        let path = self.dir.join(format!("{time_ns}.json"));
        create_private_dir(&self.dir)
            .and_then(|()| replace_file(&path, text(replay, self.session, time_ns)?.as_bytes()))
            .with_context(|| format!("checkpoint {}", path.display()))?;
        Ok(true)
    }
}

fn text<S: Strategy>(replay: &Replay<S>, session: u64, time_ns: Nanos) -> std::io::Result<String> {
    let checkpoint = Checkpoint {
        state_version: STATE_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        session,
        time_ns,
        next: [&replay.feed, &replay.engine_lane, &replay.gateway_lane].map(|cursor| cursor.sequence()),
        engine: &replay.engine,
        gateway: &replay.gateway,
        messages: replay.made.messages.values().copied().collect(),
        outcomes: replay.made.outcomes.values().copied().collect(),
    };
    Ok(serde_json::to_string(&checkpoint)?)
}

fn directory(data: &DataDir, session: u64) -> PathBuf {
    data.root().join("checkpoints").join(session.to_string())
}

/// Checkpoints by their time.
fn list(dir: &Path) -> Result<Vec<(Nanos, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(anyhow!(e).context(dir.display().to_string())),
    };
    let time = |path: PathBuf| Some((path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()?, path));
    let mut found: Vec<_> = entries.flatten().filter_map(|e| time(e.path())).collect();
    found.sort_unstable();
    Ok(found)
}
