//! Replay of a session: the engine and the gateway run again on the recorded inputs and must make the same
//! orders, byte for byte, without looking at a recorded decision before they have made their own.
//!
//! Each stage's lane says in which order it consumed what. The engine is fed from raw frames and snapshots,
//! the gateway from private frames and account records; what the two say to each other is made anew.
//! Checkpoints keep the state of both between two records, so that a later replay can start there.

mod checkpoint;
mod lost;

use super::journal::choose_session;
use anyhow::{Context, Result, anyhow, bail, ensure};
use checkpoint::{Checkpoint, Keeper};
use serde::Serialize;
use std::collections::HashMap;
use tickpath_hotpath::{
    digest::STATE_VERSION,
    market::{MarketEvent, MarketHeader},
    message::{AccountMessage, Ask, EngineMessage, Outcome},
    pipeline::lane,
    port::{EnginePort, Port},
    stage::{
        engine::{Engine, EngineEvent},
        feed::link_down,
        gateway::{Gateway, GatewayEvent, GatewayPort, OrderIds, Outgoing},
    },
    strategy::{self, Shipped, Strategy},
    venue::{Decoded, MarketDecoder},
};
use tickpath_shared::{
    Nanos,
    config::Config,
    counters::Counter,
    journal::{LaneStream, Pressure, RecordBuf, open_session},
    paths::DataDir,
    record::{
        Cause, Class, DigestRecord, FrameMeta, GapRecord, KillRecord, Kind, LinkRecord, OrderRecord,
        PressureRecord, Record, SnapshotMeta, StateReason, TradingStateRecord,
    },
    types::{InstanceId, InstrumentDefinition},
};
use zerocopy::FromBytes;

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Session replayed.
    pub session: u64,
    /// Session time of the checkpoint it started from, 0 for the beginning.
    pub from_ns: Nanos,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Inputs that the engine consumed.
    pub engine_events: u64,
    /// Inputs that the gateway consumed.
    pub gateway_events: u64,
    /// Orders and cancels in the journal.
    pub orders_recorded: u64,
    /// Orders and cancels made by the replay.
    pub orders_replayed: u64,
    /// The session was killed after it had decided on the frame of this number and before the frame was in its
    /// lane: what was decided on it cannot be made again.
    pub lost_frame: Option<u64>,
    /// Orders that were decided on the lost frame.
    pub orders_on_lost_frame: u64,
    /// Digests compared.
    pub digests: u64,
    /// Digests that another version of the state made: they cannot be compared, orders can.
    pub digests_of_other_version: u64,
    /// The first order that differs, for people.
    pub first_difference: Option<String>,
    /// The first digest that differs, for people.
    pub first_state_difference: Option<String>,
    /// Canonical texts made by the replay.
    #[serde(skip)]
    pub orders: Vec<String>,
}

impl ReplayReport {
    /// Every order and every state was the same.
    pub fn is_identical(&self) -> bool {
        self.first_difference.is_none() && self.first_state_difference.is_none()
    }
}

/// What to replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayPlan {
    /// Session; the newest when `None`.
    pub session: Option<u64>,
    /// Start at the last checkpoint at or before this session time instead of the beginning.
    pub from_ns: Option<Nanos>,
    /// Write a checkpoint every so much session time.
    pub checkpoint_every_ns: Option<Nanos>,
}

/// Replays a session.
///
/// # Errors
///
/// A record that is not sound, inputs that were skipped, a session of another layout, or no checkpoint
/// where one was asked for.
pub fn replay(data: &DataDir, plan: &ReplayPlan) -> Result<ReplayReport> {
    replay_with::<Shipped>(data, plan)
}

/// Replays a session that strategies of one's own have decided.
///
/// # Errors
///
/// As [`replay`].
pub fn replay_with<S: Strategy>(data: &DataDir, plan: &ReplayPlan) -> Result<ReplayReport> {
    let session = choose_session(data, plan.session)?;
    let mut replay = Replay::<S>::open(data, session)?;
    if let Some(from_ns) = plan.from_ns {
        replay.resume(Checkpoint::find(data, session, from_ns)?)?;
    }
    let keeper = plan.checkpoint_every_ns.map(|every_ns| Keeper::new(data, session, every_ns));
    replay.run(keeper)?;
    Ok(replay.finish())
}

/// A lane read one record ahead.
struct Cursor {
    stream: LaneStream,
    buf: RecordBuf,
    has_record: bool,
    /// Of the last record that was ahead, also when none is any more.
    last_sequence: u64,
}

impl Cursor {
    fn new(stream: LaneStream) -> Result<Self> {
        let mut cursor = Self { stream, buf: RecordBuf::default(), has_record: false, last_sequence: 0 };
        cursor.advance()?;
        Ok(cursor)
    }

    fn peek(&self) -> Option<Record<'_>> {
        self.has_record.then(|| self.buf.record())
    }

    fn advance(&mut self) -> Result<()> {
        self.has_record = self.stream.next_into(&mut self.buf)?.is_some();
        if self.has_record {
            self.last_sequence = self.buf.record().header.sequence;
        }
        Ok(())
    }

    /// Sequence of the record ahead; `u64::MAX` at the end.
    fn sequence(&self) -> u64 {
        self.peek().map_or(u64::MAX, |record| record.header.sequence)
    }

    /// Reads, and so verifies, up to a record.
    fn skip_to(&mut self, sequence: u64) -> Result<()> {
        while self.sequence() < sequence {
            self.advance()?;
        }
        Ok(())
    }
}

struct Replay<S = Shipped> {
    report: ReplayReport,
    feed: Cursor,
    engine_lane: Cursor,
    gateway_lane: Cursor,
    /// Records of the session lane, by sequence.
    session: HashMap<u64, RecordBuf>,
    decoder: MarketDecoder,
    engine: Engine<S>,
    gateway: Gateway,
    made: Made,
    recorded: Recorded,
    /// Of the recorded digests; sessions before it was written have the first.
    state_version: u32,
}

/// What the cores make in the replay.
#[derive(Default)]
struct Made {
    messages: HashMap<u64, EngineMessage>,
    outcomes: HashMap<u64, Outcome>,
    orders: Vec<(String, String)>,
    digests: [Vec<DigestRecord>; 2],
    /// Which core is running: 0 engine, 1 gateway.
    core: usize,
}

/// What the journal says they made.
#[derive(Default)]
struct Recorded {
    orders: Vec<(String, String)>,
    digests: [Vec<(u64, DigestRecord)>; 2],
}

impl<S: Strategy> Replay<S> {
    fn open(data: &DataDir, session: u64) -> Result<Self> {
        let mut streams: HashMap<u16, LaneStream> =
            open_session(data, session)?.into_iter().map(|s| (s.lane(), s)).collect();
        let mut take = |number: u16| {
            let name = lane::NAMES[usize::from(number)];
            streams
                .remove(&number)
                .with_context(|| format!("session {session} has no lane {number} ({name})"))
        };
        let session_stream = take(lane::SESSION)?;
        let metadata: serde_json::Value =
            serde_json::from_str(session_stream.metadata()).context("lane metadata")?;
        let mut config: Config =
            serde_json::from_value(metadata["config"].clone()).context("configuration in metadata")?;
        if metadata["config"]["risk"]["book_venue_age_ms_max"].is_null() {
            // Sessions of builds that did not know this limit traded without it.
            config.risk.book_venue_age_ms_max = 0;
        }
        let strategy_version = metadata["strategy_version"].as_u64().unwrap_or(1);
        ensure!(
            strategy_version == u64::from(strategy::VERSION),
            "session {session} was decided by strategies of version {strategy_version}, this build has those of version {}: \
             it can be read and verified, its decisions cannot be made again",
            strategy::VERSION
        );
        let records = load(session_stream)?;
        let definitions = definitions(&records);
        let ids = OrderIds { instance: InstanceId::new(&config.instance.id)?, epoch: session };
        let flag = |key: &str| metadata[key].as_bool().unwrap_or(false);
        let gateway = Gateway::new(&config, &definitions, ids, flag("is_unclean"), flag("is_killed"));
        Ok(Self {
            report: ReplayReport { session, ..ReplayReport::default() },
            feed: Cursor::new(take(lane::FEED)?)?,
            engine_lane: Cursor::new(take(lane::ENGINE)?)?,
            gateway_lane: Cursor::new(take(lane::GATEWAY)?)?,
            session: records,
            decoder: MarketDecoder::new(&definitions, config.venue.frame_bytes_max),
            engine: Engine::new(&config, &definitions).map_err(|e| anyhow!(e))?,
            gateway,
            made: Made::default(),
            recorded: Recorded::default(),
            state_version: metadata["state_version"].as_u64().map_or(1, |version| version as u32),
        })
    }

    /// Advances both stages by the time of their records; each waits for what the other still has to say.
    fn run(&mut self, mut keeper: Option<Keeper>) -> Result<()> {
        let time = |cursor: &Cursor| cursor.peek().map_or(Nanos::MAX, |record| record.header.time);
        loop {
            let engine_first = time(&self.engine_lane) <= time(&self.gateway_lane);
            let moved =
                (engine_first && self.step_engine()?) || self.step_gateway()? || self.step_engine()?;
            if !moved {
                return self.check_ends();
            }
            if let Some(keeper) = &mut keeper {
                self.report.checkpoints += u64::from(keeper.offer(self)?);
            }
        }
    }

    /// A stage that waits for a message that the other never made: the decision is missing. The orders that the
    /// journal has from there on are missing with it, and the first of them says most.
    fn check_ends(&mut self) -> Result<()> {
        if self.report.lost_frame.is_some() {
            return self.count_orders_on_lost_frame();
        }
        for (name, cursor) in [("engine", &self.engine_lane), ("gateway", &self.gateway_lane)] {
            if let Some(record) = cursor.peek() {
                let cause = record.cause();
                let text = format!(
                    "{name} stops at record {}, which consumed message {} of lane {} that the replay did not make",
                    record.header.sequence,
                    cause.number(),
                    cause.lane()
                );
                self.report.first_difference.get_or_insert(text);
            }
        }
        while let Some(record) = self.gateway_lane.peek() {
            if let Some(Kind::Order | Kind::Cancel | Kind::Amend) = record.kind() {
                self.note_order()?;
            }
            self.gateway_lane.advance()?;
        }
        Ok(())
    }

    fn step_engine(&mut self) -> Result<bool> {
        if self.report.lost_frame.is_some() {
            return Ok(false);
        }
        let Some(record) = self.engine_lane.peek() else { return Ok(false) };
        let (now, cause) = (record.header.time, record.cause());
        if record.kind() == Some(Kind::Consumed) {
            return Ok(self.consume_engine(now, cause)? && self.engine_lane.advance().map(|()| true)?);
        }
        match record.kind() {
            Some(Kind::Timer) => self.run_engine(now, Cause::NONE, EngineEvent::Timer),
            Some(Kind::Digest) => self.note_digest(0)?,
            Some(Kind::Gap) => return Err(skipped("engine", &record)),
            _ => {}
        }
        self.engine_lane.advance()?;
        Ok(true)
    }

    fn run_engine(&mut self, now: Nanos, cause: Cause, event: EngineEvent<'_>) {
        self.report.engine_events += 1;
        self.made.core = 0;
        self.engine.on_event(now, cause, event, &mut self.made);
    }

    /// False while the input is not there yet.
    fn consume_engine(&mut self, now: Nanos, cause: Cause) -> Result<bool> {
        match cause.lane() {
            lane::GATEWAY => {
                let Some(outcome) = self.made.outcomes.remove(&cause.number()) else {
                    return Ok(false);
                };
                self.run_engine(now, cause, EngineEvent::Outcome(outcome));
            }
            lane::SESSION => self.consume_snapshot(now, cause)?,
            _ if self.is_lost(cause)? => return Ok(false),
            _ => self.consume_frame(now, cause)?,
        }
        Ok(true)
    }

    fn consume_snapshot(&mut self, now: Nanos, cause: Cause) -> Result<()> {
        let buf = self
            .session
            .get(&cause.number())
            .with_context(|| format!("session lane has no record {}", cause.number()))?;
        let record = buf.record();
        let meta: SnapshotMeta = record.body().context("snapshot record is cut")?;
        let header =
            self.decoder.decode_snapshot(record.text_after::<SnapshotMeta>(), meta.instrument as usize)?;
        let header = MarketHeader { cause: cause.0, ..header };
        let event = MarketEvent { header: &header, levels: self.decoder.levels() };
        self.report.engine_events += 1;
        self.made.core = 0;
        self.engine.on_event(now, cause, EngineEvent::Market(event), &mut self.made);
        Ok(())
    }

    fn consume_frame(&mut self, now: Nanos, cause: Cause) -> Result<()> {
        // Frames are consumed in their order, so one pass over the lane finds them all.
        let record =
            self.feed.peek().with_context(|| format!("feed lane has no record {}", cause.number()))?;
        let mut header = match record.kind() {
            Some(Kind::Link) => link_down(cause, record.header.time),
            _ => {
                let frame = record.text_after::<FrameMeta>();
                match self.decoder.decode_bytes(frame) {
                    Ok(Decoded::Event) => *self.decoder.header(),
                    other => {
                        bail!("feed record {}: consumed as an event, decodes to {other:?}", cause.number())
                    }
                }
            }
        };
        if let Some(meta) = record.body::<FrameMeta>().filter(|_| record.kind() == Some(Kind::Frame)) {
            (header.cause, header.read_ns) = (cause.0, meta.read_ns);
        }
        let levels = if record.kind() == Some(Kind::Link) { &[][..] } else { self.decoder.levels() };
        let event = MarketEvent { header: &header, levels };
        self.report.engine_events += 1;
        self.made.core = 0;
        self.engine.on_event(now, cause, EngineEvent::Market(event), &mut self.made);
        Ok(())
    }

    fn step_gateway(&mut self) -> Result<bool> {
        let Some(record) = self.gateway_lane.peek() else { return Ok(false) };
        let (now, cause) = (record.header.time, record.cause());
        let own = Cause::new(lane::GATEWAY, record.header.sequence);
        if record.kind() == Some(Kind::Consumed) {
            return Ok(self.consume_gateway(now, cause)? && self.gateway_lane.advance().map(|()| true)?);
        }
        match record.kind() {
            Some(Kind::PrivateFrame) => {
                let meta: FrameMeta = record.body().context("private frame record is cut")?;
                let frame = record.text_after::<FrameMeta>().to_vec();
                let event = GatewayEvent::Private { connection: meta.connection, frame: &frame };
                self.run_gateway(now, own, event);
            }
            Some(Kind::Timer) => self.run_gateway(now, own, GatewayEvent::Timer),
            Some(Kind::Link) => {
                let link: LinkRecord = record.body().context("link record is cut")?;
                let event = GatewayEvent::Link { connection: link.connection, is_up: link.is_up == 1 };
                self.run_gateway(now, own, event);
            }
            Some(Kind::Kill) => {
                let kill: KillRecord = record.body().context("kill record is cut")?;
                self.run_gateway(now, own, GatewayEvent::Kill { is_set: kill.is_set == 1 });
            }
            Some(Kind::Pressure) => {
                let pressure: PressureRecord = record.body().context("pressure record is cut")?;
                let level = Pressure::from_repr(pressure.level).context("unknown pressure")?;
                self.run_gateway(now, own, GatewayEvent::Pressure(level));
            }
            Some(Kind::TradingState) => self.replay_halt(now)?,
            Some(Kind::Digest) => self.note_digest(1)?,
            Some(Kind::Order | Kind::Cancel | Kind::Amend) => self.note_order()?,
            Some(Kind::Gap) => return Err(skipped("gateway", &record)),
            _ => {}
        }
        self.gateway_lane.advance()?;
        Ok(true)
    }

    /// Halts found outside of the core are inputs that show as the change of state they cause.
    fn replay_halt(&mut self, now: Nanos) -> Result<()> {
        let record = self.gateway_lane.peek().context("peeked before")?;
        let state: TradingStateRecord = record.body().context("trading state record is cut")?;
        let reason = StateReason::from_repr(state.reason);
        if let Some(reason @ (StateReason::Tampering | StateReason::OutcomesLost)) = reason {
            self.made.core = 1;
            self.gateway.halt(now, reason, &mut self.made);
        }
        Ok(())
    }

    fn run_gateway(&mut self, now: Nanos, cause: Cause, event: GatewayEvent<'_>) {
        self.report.gateway_events += 1;
        self.made.core = 1;
        self.gateway.on_event(now, cause, event, &mut self.made);
    }

    fn consume_gateway(&mut self, now: Nanos, cause: Cause) -> Result<bool> {
        if cause.lane() == lane::ENGINE {
            let Some(message) = self.made.messages.remove(&cause.number()) else { return Ok(false) };
            self.run_gateway(now, cause, GatewayEvent::Engine(&message));
            return Ok(true);
        }
        let buf = self
            .session
            .get(&cause.number())
            .with_context(|| format!("session lane has no record {}", cause.number()))?;
        let record = buf.record();
        let message = AccountMessage::new(cause, record.header.kind, record.payload)
            .context("account record is too large")?;
        self.run_gateway(now, cause, GatewayEvent::Account(&message));
        Ok(true)
    }

    fn note_digest(&mut self, core: usize) -> Result<()> {
        let cursor = if core == 0 { &self.engine_lane } else { &self.gateway_lane };
        let record = cursor.peek().context("peeked before")?;
        let digest: DigestRecord = record.body().context("digest record is cut")?;
        self.recorded.digests[core].push((record.header.sequence, digest));
        Ok(())
    }

    fn note_order(&mut self) -> Result<()> {
        let record = self.gateway_lane.peek().context("peeked before")?;
        let order: OrderRecord = record.body().context("order record is cut")?;
        let text = String::from_utf8_lossy(record.text_after::<OrderRecord>()).into_owned();
        self.recorded.orders.push((order.client_order_id.as_str().to_owned(), text));
        Ok(())
    }

    fn finish(self) -> ReplayReport {
        let mut report = self.report;
        report.orders_recorded = self.recorded.orders.len() as u64 + report.orders_on_lost_frame;
        report.orders_replayed = self.made.orders.len() as u64;
        let order = first_order_difference(&self.recorded.orders, &self.made.orders);
        report.first_difference = order.or(report.first_difference);
        for core in 0..2 {
            let name = ["engine", "gateway"][core];
            let count = self.recorded.digests[core].len() as u64;
            if self.state_version != STATE_VERSION {
                report.digests_of_other_version += count;
                continue;
            }
            report.digests += count;
            let differs =
                self.recorded.digests[core].iter().zip(&self.made.digests[core]).find(|((_, a), b)| a != *b);
            let found =
                differs.map(|((sequence, _), _)| format!("{name} state differs at digest record {sequence}"));
            report.first_state_difference = report.first_state_difference.or(found);
        }
        report.orders = self.made.orders.into_iter().map(|(_, text)| text).collect();
        report
    }
}

fn skipped(name: &str, record: &Record<'_>) -> anyhow::Error {
    let skipped = record.body::<GapRecord>().map_or(0, |gap| gap.skipped);
    anyhow!(
        "{name} lane record {}: {skipped} inputs were skipped here, replay cannot go past",
        record.header.sequence
    )
}

fn load(mut stream: LaneStream) -> Result<HashMap<u64, RecordBuf>> {
    let mut records = HashMap::new();
    let mut buf = RecordBuf::default();
    while stream.next_into(&mut buf)?.is_some() {
        records.insert(buf.record().header.sequence, buf.clone());
    }
    Ok(records)
}

fn definitions(records: &HashMap<u64, RecordBuf>) -> Vec<InstrumentDefinition> {
    let mut found: Vec<InstrumentDefinition> = records
        .values()
        .map(RecordBuf::record)
        .filter(|record| record.kind() == Some(Kind::Definition))
        .filter_map(|record| record.body::<InstrumentDefinition>())
        // Later ones reach the gateway like everything else the session says.
        .filter(|definition| definition.version == 1)
        .collect();
    found.sort_by_key(|d| d.instrument);
    found
}

fn first_order_difference(recorded: &[(String, String)], made: &[(String, String)]) -> Option<String> {
    let number = recorded.iter().zip(made).position(|(a, b)| a != b);
    if let Some(at) = number {
        let ((id, old), (_, new)) = (&recorded[at], &made[at]);
        return Some(format!("order {} ({id}) differs: recorded {old}, replayed {new}", at + 1));
    }
    match recorded.len().cmp(&made.len()) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => {
            let (id, text) = &recorded[made.len()];
            Some(format!("order {} ({id}) was not made again: {text}", made.len() + 1))
        }
        std::cmp::Ordering::Less => {
            let (id, text) = &made[recorded.len()];
            Some(format!("order {} ({id}) was made and is not in the journal: {text}", recorded.len() + 1))
        }
    }
}

impl Port for Made {
    fn record(&mut self, kind: Kind, _class: Class, _now: Nanos, _cause: Cause, parts: &[&[u8]]) {
        match kind {
            Kind::Order | Kind::Cancel | Kind::Amend => {
                let id = OrderRecord::read_from_prefix(parts[0])
                    .map(|(o, _)| o.client_order_id.as_str().to_owned());
                let text = parts.get(1).map(|t| String::from_utf8_lossy(t).into_owned()).unwrap_or_default();
                self.orders.push((id.unwrap_or_default(), text));
            }
            Kind::Digest => {
                if let Ok((digest, _)) = DigestRecord::read_from_prefix(parts[0]) {
                    self.digests[self.core].push(digest);
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, _counter: Counter, _by: u64) {}
}

impl EnginePort for Made {
    fn send(&mut self, message: &EngineMessage) {
        self.messages.insert(message.number, *message);
    }

    fn ask_snapshot(&mut self, _instrument: u32) {}
}

impl GatewayPort for Made {
    fn send(&mut self, _now: Nanos, _request: &Outgoing<'_>) {}

    fn tell(&mut self, outcome: Outcome) {
        self.outcomes.insert(outcome.number, outcome);
    }

    fn ask(&mut self, _ask: Ask) {}
}
