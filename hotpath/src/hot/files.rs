//! The shared files of a session: where they lie, what describes them, and the lane of last words.

use super::HotError;
use crate::{
    digest,
    net::settings::{self, Setting},
    pipeline::lane,
    strategy,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};
use tickpath_shared::{
    clock::Clock,
    command::CommandFile,
    config::{Config, Mode},
    journal::{Lane, LaneSpec, LaneWriter, SEGMENTS_MIN},
    memory::free_bytes,
    paths::{DataDir, create_private_dir},
    record::{Cause, Class, EventCode, Kind, SessionEventRecord, Severity},
    status::{Identity, Status},
    types::InstrumentDefinition,
};
use zerocopy::IntoBytes;

/// Lane of last words.
const PANIC_LANE: u16 = 4;
const PANIC_SEGMENT_BYTES: usize = 64 * 1024;

/// Everything of a session that lies in shared memory.
pub(super) struct SharedFiles {
    pub(super) dir: PathBuf,
    pub(super) panic_lane: LaneWriter,
    pub(super) parts: FileParts,
    pub(super) notes: Vec<(Severity, String)>,
}

/// What the stages take.
pub(super) struct FileParts {
    pub(super) lanes: Vec<LaneWriter>,
    pub(super) status: Arc<Status>,
    pub(super) command: Arc<CommandFile>,
}

impl SharedFiles {
    pub(super) fn create(
        data: &DataDir,
        config: &Config,
        session: u64,
        clock: &Clock,
        definitions: &[InstrumentDefinition],
    ) -> Result<Self, HotError> {
        let mut notes = Vec::new();
        let dir = choose_dir(data, config, session, &mut notes)?;
        let start =
            StartState { is_unclean: data.unclean_marker().exists(), is_killed: data.kill_latch().exists() };
        let metadata = metadata(config, session, clock, definitions, start);
        match Self::fill(&dir, data, config, session, clock, &metadata, &mut notes) {
            Ok((panic_lane, parts)) => Ok(Self { dir, panic_lane, parts, notes }),
            Err(e) => {
                // A half-made session must not keep the memory it got.
                let _ = std::fs::remove_dir_all(&dir);
                Err(e)
            }
        }
    }

    fn fill(
        dir: &Path,
        data: &DataDir,
        config: &Config,
        session: u64,
        clock: &Clock,
        metadata: &str,
        notes: &mut Vec<(Severity, String)>,
    ) -> Result<(LaneWriter, FileParts), HotError> {
        let mut lanes = Vec::new();
        for spec in lane_specs(config, session) {
            let writer = Lane::create(dir, spec, metadata)?;
            notes.push(lane_note(config, &writer));
            lanes.push(writer);
        }
        let panic_spec = LaneSpec {
            session,
            lane: PANIC_LANE,
            name: "panic".into(),
            segment_bytes: PANIC_SEGMENT_BYTES,
            segments: SEGMENTS_MIN,
        };
        let panic_lane = Lane::create(dir, panic_spec, metadata)?;
        let identity = Identity {
            session,
            pid: std::process::id(),
            start_unix_ns: clock.start_unix_ns(),
            start_host_ns: clock.start_host_ns(),
            is_live: config.instance.mode == Mode::Live,
            build: build_text(),
        };
        let status = Arc::new(Status::create(&dir.join("status"), &identity)?);
        let is_killed = data.kill_latch().exists();
        let command = Arc::new(CommandFile::create(&dir.join("command"), session, is_killed)?);
        Ok((panic_lane, FileParts { lanes, status, command }))
    }
}

fn lane_specs(config: &Config, session: u64) -> Vec<LaneSpec> {
    let journal = &config.journal;
    let mib = [journal.session_mib, journal.feed_mib, journal.engine_mib, journal.gateway_mib];
    let spec = |(lane, mib): (u16, usize)| LaneSpec {
        session,
        lane,
        name: lane::NAMES[usize::from(lane)].into(),
        segment_bytes: journal.segment_mib << 20,
        segments: mib / journal.segment_mib,
    };
    (0..).zip(mib).map(spec).collect()
}

/// How the memory of a lane was had.
fn lane_note(config: &Config, writer: &LaneWriter) -> (Severity, String) {
    let shared = writer.shared();
    let (name, mib) = (&shared.spec().name, shared.spec().file_bytes() >> 20);
    let file = shared.file();
    let settings = [
        Setting::ask("lock in memory", config.journal.lock, || file.lock()),
        Setting::ask("huge pages", config.host.huge_pages, || file.has_huge_pages()),
    ];
    (settings::severity(&settings), format!("lane {name}: {mib} MiB, {}", settings::line(&settings)))
}

/// Shared memory by default; the data directory, with a warning, where shared memory is too small.
fn choose_dir(
    data: &DataDir,
    config: &Config,
    session: u64,
    notes: &mut Vec<(Severity, String)>,
) -> Result<PathBuf, HotError> {
    let needed: u64 = lane_specs(config, session).iter().map(LaneSpec::file_bytes).sum::<u64>() + (4 << 20);
    let shm = Path::new("/dev/shm");
    let on_disk = data.root().join("journal");
    let free = free_bytes(shm);
    let base = match config.journal.dir.as_str() {
        "auto" if free >= needed => shm_dir(data),
        "auto" => {
            let text = format!(
                "/dev/shm has {} MiB free, the lanes need {}: they go to {}, where write-back may stall a \
                 store; make /dev/shm larger (docker: shm_size) or the pools smaller (journal.*_mib)",
                free >> 20,
                needed >> 20,
                on_disk.display()
            );
            notes.push((Severity::Warning, text));
            on_disk
        }
        "shm" if free < needed => {
            return Err(HotError::Environment(format!(
                "journal.dir is \"shm\", but /dev/shm has {} MiB free and the lanes need {}; make it larger \
                 (docker: shm_size) or the pools smaller (journal.*_mib)",
                free >> 20,
                needed >> 20
            )));
        }
        "shm" => shm_dir(data),
        other => PathBuf::from(other),
    };
    let dir = base.join(session.to_string());
    create_private_dir(&dir)?;
    Ok(dir)
}

/// One folder a data directory, told apart by a checksum of its path.
fn shm_dir(data: &DataDir) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let path = data.root().as_os_str().as_bytes();
    let tag = path
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    Path::new("/dev/shm").join(format!("tickpath-{}-{tag:016x}", rustix::process::geteuid().as_raw()))
}

/// Version and profile.
pub fn build_text() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!("{} {profile} {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)
}

/// What the gateway knew before its first event; replay starts from the same.
#[derive(Clone, Copy)]
struct StartState {
    is_unclean: bool,
    is_killed: bool,
}

/// What makes a lane self-describing. Holds file names of secrets, never their content.
fn metadata(
    config: &Config,
    session: u64,
    clock: &Clock,
    definitions: &[InstrumentDefinition],
    start: StartState,
) -> String {
    let definitions: Vec<_> = definitions
        .iter()
        .map(|d| {
            serde_json::json!({"symbol": d.symbol.as_str(), "instrument": d.instrument, "price_scale": d.price_scale,
                "qty_scale": d.qty_scale, "tick": d.tick, "lot": d.lot})
        })
        .collect();
    let kinds: Vec<_> = Kind::ALL.iter().map(|k| (*k as u16, k.label())).collect();
    serde_json::json!({
        "build": build_text(),
        "session": session,
        "state_version": digest::STATE_VERSION,
        "strategy_version": strategy::VERSION,
        "is_unclean": start.is_unclean,
        "is_killed": start.is_killed,
        "start_unix_ns": clock.start_unix_ns(),
        "clock": clock.source(),
        "record_layout": tickpath_shared::record::LAYOUT,
        "kinds": kinds,
        "definitions": definitions,
        "config": config,
    })
    .to_string()
}

/// Lane for the last words of a panic; locked by nobody else.
static LAST_WORDS: OnceLock<Mutex<LaneWriter>> = OnceLock::new();

pub(super) fn install_panic_hook(lane: LaneWriter, clock: Clock) {
    let _ = LAST_WORDS.set(Mutex::new(lane));
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if let Some(lane) = LAST_WORDS.get()
            && let Ok(mut lane) = lane.lock()
        {
            let record = SessionEventRecord {
                code: EventCode::Panic as u16,
                severity: Severity::Error as u16,
                reserved: 0,
            };
            let text = info.to_string();
            let _ = lane.append(
                Kind::SessionEvent,
                Class::Audit,
                clock.now(),
                Cause::NONE,
                &[record.as_bytes(), text.as_bytes()],
            );
        }
        default(info);
        std::process::abort();
    }));
}
