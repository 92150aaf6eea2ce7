//! The hot stages of a session as the hot process makes them, with this program in the place of the session
//! thread: it hands over connections, proves an empty account and gives journal segments back.

use anyhow::{Context, Result, anyhow};
use std::{path::PathBuf, sync::Arc};
use tickpath_hotpath::{
    hot::{Assembly, Plan},
    message::AccountMessage,
    net::{
        connection::{Connection, Transport},
        wait::Waiter,
    },
    pipeline::Fused,
    session::SessionRings,
    stage::{
        feed::{self, EventSink, NewLink},
        gateway::connection,
    },
    venue::{Decoded, KIND, MarketDecoder},
    wire::ws::{Caps, Utf8},
};
use tickpath_shared::{
    Nanos,
    clock::Clock,
    command::Verb,
    config::{self, Config, StageName, Wait},
    journal::LaneShared,
    paths::DataDir,
    record::{Cause, CommandRecord, Kind, PositionRecord, ReconciledRecord, TimeRecord},
    status::{LaneWord, StatusReader},
    types::{ClientOrderId, InstanceId, InstrumentDefinition},
};
use zerocopy::IntoBytes;

/// Session id of a rig: it makes order ids, nothing else.
const SESSION: u64 = 1_700_000_000;

/// What the stages decide with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// One order for every tick.
    Probe,
    /// The pairs strategy, which seldom trades: what a desk's engine does between its orders.
    Pairs,
}

/// The stages, fused, and what stands around them.
pub(super) struct Rig {
    pub(super) fused: Fused,
    pub(super) waiter: Waiter,
    pub(super) hands: Hands,
}

/// What the session thread would hold.
pub(super) struct Hands {
    pub(super) reader: StatusReader,
    pub(super) clock: Clock,
    rings: SessionRings,
    lanes: Vec<Arc<LaneShared>>,
    decoder: MarketDecoder,
    definitions: Vec<InstrumentDefinition>,
    notes: Vec<String>,
    // The files live as long as whoever reads them.
    _dir: Scratch,
}

/// A directory that goes away, with the shared memory that belongs to it.
struct Scratch {
    root: PathBuf,
    shared: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.shared);
        if let Some(parent) = self.shared.parent() {
            let _ = std::fs::remove_dir(parent);
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Caps of the rig's connections: those of a default configuration.
pub(super) const CAPS: Caps = Caps { frame_bytes: 1 << 20, message_bytes: 4 << 20, utf8: Utf8::LeftToReader };

fn venue() -> config::Venue {
    config::Venue {
        kind: KIND.into(),
        answer_timeout_ms: 60_000,
        // Between two rates nothing is sent.
        book_silence_ms: 0,
        first_message_ms: 0,
        market_silence_ms: 0,
        private_silence_ms: 0,
        ..config::Venue::default()
    }
}

/// Wide, but all of them checked: nothing of a measured order's way is left out.
fn risk() -> config::Risk {
    config::Risk {
        // Of any age, the frames are recorded; the comparison is made all the same.
        book_venue_age_ms_max: i64::MAX as u64,
        collar_bps: 5000,
        mark_age_ms_max: 3_600_000,
        order_notional_max: i64::MAX,
        position_notional_max: i64::MAX,
        gross_notional_max: i64::MAX,
        message_rate_max: 1_000,
        identical_orders_max: 256,
        order_lots_max: i64::MAX,
        order_rate_max: 1_000,
        order_rate_window_ms: 1,
        open_orders_max: 256,
        ..config::Risk::default()
    }
}

fn config(strategy: Strategy) -> Config {
    let instrument = |symbol: &str| config::Instrument {
        symbol: symbol.into(),
        depth_stream: "depth@0ms".into(),
        book_levels_max: 65_536,
        leverage: None,
    };
    Config {
        venue: venue(),
        instrument: vec![instrument("BTCUSDT"), instrument("ETHUSDT")],
        probe: config::Probe {
            is_enabled: strategy == Strategy::Probe,
            symbol: "BTCUSDT".into(),
            qty: "0.014".into(),
        },
        pairs: config::Pairs {
            is_enabled: strategy == Strategy::Pairs,
            base: "ETHUSDT".into(),
            hedge: "BTCUSDT".into(),
            ..config::Pairs::default()
        },
        thread: vec![config::Thread {
            core: None,
            stages: vec![StageName::Feed, StageName::Engine, StageName::Gateway],
            wait: Wait::Spin,
            realtime_priority: None,
        }],
        risk: risk(),
        journal: config::Journal {
            feed_mib: 256,
            engine_mib: 128,
            gateway_mib: 128,
            session_mib: 16,
            ..config::Journal::default()
        },
        ..Config::default()
    }
}

impl Rig {
    /// A session that is reconciled and armed as soon as its order and account connections are there.
    ///
    /// # Errors
    ///
    /// Shared memory that cannot be had.
    pub(super) fn new(strategy: Strategy, wait: Wait) -> Result<Self> {
        let config = config(strategy);
        config.check()?;
        let definitions = crate::venue::definitions();
        let root = std::env::temp_dir().join(format!("tickpath-latency-{}-{strategy:?}", std::process::id()));
        let data = DataDir::open(&root).with_context(|| format!("scratch directory {}", root.display()))?;
        let clock = Clock::start();
        let plan = Plan {
            data: &data,
            config: &config,
            session: SESSION,
            clock: &clock,
            definitions: &definitions,
            is_unclean: false,
        };
        let assembly = Assembly::create(&plan, None)?;
        let dir = Scratch { root, shared: assembly.dir.clone() };
        let reader = StatusReader::open(&assembly.dir.join("status"))?;
        let hands = Hands {
            reader,
            clock,
            rings: assembly.rings,
            lanes: assembly.lanes,
            decoder: MarketDecoder::new(&definitions, 1 << 20),
            definitions,
            notes: assembly.notes.into_iter().map(|(_, text)| text).collect(),
            _dir: dir,
        };
        Ok(Self { fused: Fused::new(assembly.stages), waiter: Waiter::new(wait)?, hands })
    }

    /// One turn of all stages at about `now`.
    pub(super) fn poll_at(&mut self, now: Nanos) -> usize {
        self.fused.poll(now, &mut self.waiter)
    }

    /// One turn of all stages.
    pub(super) fn poll(&mut self) -> usize {
        self.poll_at(self.hands.clock.now())
    }
}

impl Hands {
    /// Hands the connections over and proves the account: empty, reconciled, armed.
    ///
    /// # Errors
    ///
    /// Never with the rings of a new session.
    pub(super) fn open(&mut self, market: Transport, orders: Transport, events: Transport) -> Result<()> {
        let link = |index, transport| NewLink {
            line: 0,
            index,
            connection: Box::new(Connection::new(transport, &[], CAPS, 0x9e37_79b9_7f4a_7c15)),
            replaces: None,
        };
        let full = |_| anyhow!("a new session's rings are full");
        self.rings.feed_links.push(link(feed::lines::BOOKS, market)).map_err(full)?;
        self.rings.gateway_links.push(link(connection::ORDERS.into(), orders)).map_err(full)?;
        self.rings.gateway_links.push(link(connection::EVENTS.into(), events)).map_err(full)?;
        let venue_epoch_ns = self.clock.start_unix_ns();
        let time = TimeRecord { venue_epoch_ns, error_bound_ns: 1_000_000, drift_ns: 0 };
        self.account(Kind::Time, time.as_bytes())?;
        for instrument in 0..self.definitions.len() as u32 {
            let flat =
                PositionRecord { instrument, reserved: 0, qty: 0, entry_price_e8: 0, through_trade_id: 0 };
            self.account(Kind::StartPosition, flat.as_bytes())?;
        }
        self.account(Kind::Reconciled, ReconciledRecord { open_orders: 0, trades: 0 }.as_bytes())?;
        let command = CommandRecord::of(1, Verb::Arm);
        self.account(Kind::Command, command.as_bytes())
    }

    fn account(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        let message = AccountMessage::new(Cause::NONE, kind as u16, payload).context("account record")?;
        self.rings.account.push(message).map_err(|_| anyhow!("the account ring is full"))
    }

    /// Gives the engine a mark price, which reaches the gateway on its usual way.
    ///
    /// # Errors
    ///
    /// A frame that is no mark price.
    pub(super) fn mark(&mut self, frame: &str) -> Result<()> {
        let decoded = self.decoder.decode_bytes(frame.as_bytes());
        anyhow::ensure!(decoded == Ok(Decoded::Event), "mark price {frame}: {decoded:?}");
        anyhow::ensure!(
            self.rings.snapshots.push(self.decoder.header(), self.decoder.levels()),
            "the ring of snapshots is full"
        );
        Ok(())
    }

    /// Gives the engine a full book.
    ///
    /// # Errors
    ///
    /// A body that is no snapshot.
    pub(super) fn snapshot(&mut self, symbol: &str, body: &str) -> Result<()> {
        let index = self.definitions.iter().position(|d| d.symbol.as_str() == symbol);
        let index = index.with_context(|| format!("snapshot of {symbol:?}, which is not traded here"))?;
        let header = self.decoder.decode_snapshot(body.as_bytes(), index)?;
        let is_taken = self.rings.snapshots.push(&header, self.decoder.levels());
        anyhow::ensure!(is_taken, "the ring of snapshots is full");
        Ok(())
    }

    /// Gives back every segment that is written full, as the session thread does when all of it is archived.
    pub(super) fn reclaim(&mut self) {
        for lane in &self.lanes {
            let position = self.reader.lane(lane.spec().lane, LaneWord::Position);
            lane.reclaim(position);
        }
        while self.rings.engine_asks.pop().is_ok() || self.rings.gateway_asks.pop().is_ok() {}
    }

    /// Id of the first order the session will send.
    ///
    /// # Errors
    ///
    /// Never with the default instance.
    pub(super) fn first_order_id(&self) -> Result<ClientOrderId> {
        Ok(ClientOrderId::new(InstanceId::new(&config::Instance::default().id)?, SESSION, 1))
    }

    /// Records that did not find room, all lanes.
    pub(super) fn lost_records(&self) -> u64 {
        let words = [LaneWord::Dropped, LaneWord::Skipped];
        let of =
            |lane: &Arc<LaneShared>| words.map(|w| self.reader.lane(lane.spec().lane, w)).iter().sum::<u64>();
        self.lanes.iter().map(of).sum()
    }

    /// How memory for the lanes was had, for people.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }
}
