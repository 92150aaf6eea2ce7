//! Typed configuration. Layers, later wins: defaults, `config.toml`, `.env`, environment (`TICKPATH__SECTION__KEY`, and
//! well-known names of others). Unknown keys are refused with a suggestion.

mod check;
mod check_strategy;
mod control;
mod live;
mod load;
mod origin;
mod strategy;
mod variables;

pub use control::{Alert, AlertSeverity, Control, LogLevel, Notify, Supervisor};
pub use live::LiveParameters;
pub use load::{ConfigError, Loaded, environment, load, load_layers};
pub use origin::{Origin, Origins};
pub use strategy::{MarketMaker, Orb, Pairs, Probe, SignalFollow, Smc, TaCombo, TradeRules};
pub use variables::{ALIASES, Alias};

use crate::types::{BreakerAction, BreakerMetric, BreakerRelease, decimal};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// What can be configured as a JSON Schema (draft 2020-12), made from the types below.
pub const SCHEMA: &str = include_str!("schema.json");

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who we are and what is at stake.
    pub instance: Instance,
    /// The venue and the account.
    pub venue: Venue,
    /// What is traded; the order is the instrument index.
    pub instrument: Vec<Instrument>,
    /// Hot threads.
    pub thread: Vec<Thread>,
    /// What is asked of the operating system.
    pub host: Host,
    /// The pairs strategy.
    pub pairs: Pairs,
    /// The market maker.
    pub market_maker: MarketMaker,
    /// Votes of classic indicators.
    pub ta_combo: TaCombo,
    /// Opening range breakout.
    pub orb: Orb,
    /// Smart-money concepts.
    pub smc: Smc,
    /// Signals from outside.
    pub signal_follow: SignalFollow,
    /// The probe that latency is measured with; simulation only.
    pub probe: Probe,
    /// Numbers for strategies of your own, by names of their choice.
    pub parameters: BTreeMap<String, f64>,
    /// Limits, checked in the gateway.
    pub risk: Risk,
    /// Limits over time, at most 32.
    pub breaker: Vec<Breaker>,
    /// Lanes and archive.
    pub journal: Journal,
    /// The control process.
    pub control: Control,
    /// When people are told.
    pub alert: Alert,
    /// Who is told.
    pub notify: Notify,
    /// The supervisor.
    pub supervisor: Supervisor,
    /// The account that the simulator of `tickpath demo` gives.
    pub simulation: Simulation,
}

/// Largest commission or slippage x 10^8: a tenth, whatever is more is a slip of the pen.
pub const SHARE_E8_MAX: i64 = 10_000_000;

/// An account of the simulator: what it holds and what trading costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Simulation {
    /// Wallet balance at the start, quote currency.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub balance: i64,
    /// Commission of an order that rested, as a share, -0.1 to 0.1.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub maker_fee: i64,
    /// Commission of an order that took, as a share, -0.1 to 0.1.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub taker_fee: i64,
    /// Share of the displayed price by which what an order takes is dearer, within its limit, 0 to 0.1.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub slippage: i64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self { balance: 100_000 * 100_000_000, maker_fee: 20_000, taker_fee: 50_000, slippage: 0 }
    }
}

/// Trading mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Orders go to a simulator.
    #[default]
    Simulation,
    /// Orders go to a live host, if every guard is satisfied.
    Live,
}

impl Mode {
    /// Lower-case name, used in file names and labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Simulation => "simulation",
            Self::Live => "live",
        }
    }
}

/// Who we are and what is at stake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Instance {
    /// Three base-36 digits, unique among the programs that trade the account.
    pub id: String,
    /// `simulation` or `live`.
    pub mode: Mode,
    /// Arms itself after a reconciled start; simulation only.
    pub arm_at_start: bool,
    /// Live only: set to `true` after reading the limits of this file.
    pub limits_confirmed: bool,
}

impl Default for Instance {
    fn default() -> Self {
        Self { id: "001".into(), mode: Mode::Simulation, arm_at_start: false, limits_confirmed: false }
    }
}

/// The venue and the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Venue {
    /// Protocol family.
    pub kind: String,
    /// Base of REST requests, without a path.
    pub rest_url: String,
    /// Streams of book data, with the path prefix.
    pub public_url: String,
    /// Other market streams, with the path prefix.
    pub market_url: String,
    /// Account events, with the path prefix.
    pub private_url: String,
    /// Order entry, whole URL.
    pub order_url: String,
    /// PEM file of an additional certificate authority; empty for the built-in roots alone.
    pub ca_file: PathBuf,
    /// `ed25519` (logs the session on once) or `hmac` (signs every request).
    pub key_kind: KeyKind,
    /// File (mode 0600) with the API key; `TICKPATH_API_KEY_FILE` overrides.
    pub api_key_file: PathBuf,
    /// File (mode 0600) with the secret: HMAC text, or Ed25519 PKCS#8 PEM; `TICKPATH_API_SECRET_FILE` overrides.
    pub api_secret_file: PathBuf,
    /// Milliseconds an order may travel before the venue must refuse it, 100..=2000.
    pub recv_window_ms: u64,
    /// Milliseconds without an answer after which an order's outcome is unknown.
    pub answer_timeout_ms: u64,
    /// Largest frame accepted, bytes.
    pub frame_bytes_max: usize,
    /// What happens to orders and fills of the account that are not ours.
    pub foreign_orders: ForeignOrders,
    /// Milliseconds without book data after which its connection is made anew, 500..=60000; 0 for never.
    pub book_silence_ms: u64,
    /// The same for other market data, which comes once a second.
    pub market_silence_ms: u64,
    /// The same for the private connections, which are asked for a sign of life when they are silent.
    pub private_silence_ms: u64,
    /// Longest wait for the first diff and the first mark price of every instrument on a new connection, milliseconds, 0
    /// for ever.
    pub first_message_ms: u64,
    /// Seconds between two looks at the venue's rules, 1..=86400.
    pub definitions_every_s: u64,
    /// Seconds that orders, fills and positions may stay unproven before a person is told, 1..=86400. Nothing new is
    /// opened before they are.
    pub proof_deadline_s: u64,
    /// Dead man's switch: milliseconds after which the venue cancels all orders of our instruments unless it is told to
    /// wait again, 5000..=600000; 0 for none.
    pub countdown_ms: u64,
    /// Address at which the rights of the key are asked for, without a path. Live trading needs it, and a key that
    /// may not withdraw.
    pub rights_url: String,
    /// Seconds after which a connection is replaced, 3..=86100: the venue ends it after a day.
    pub connection_life_s: u64,
    /// Further lines of market data, at most three: connections to the same streams, of which the first copy of an
    /// update counts.
    pub line: Vec<Line>,
}

/// Orders and fills by hand or of another program. Fills always count for the position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ForeignOrders {
    /// Open orders count for the limits and are canceled with ours; a person is told.
    #[default]
    Adopt,
    /// Open orders are left alone.
    Ignore,
    /// As adopt, and nothing is opened any more until a person arms again.
    Block,
}

/// A further line of market data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Line {
    /// Streams of book data; empty for the first line's.
    pub public_url: String,
    /// Other market streams; empty for the first line's.
    pub market_url: String,
}

/// Kind of API key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// One signature a session.
    #[default]
    Ed25519,
    /// One signature a request.
    Hmac,
}

impl Default for Venue {
    fn default() -> Self {
        Self {
            kind: String::new(),
            rest_url: String::new(),
            public_url: String::new(),
            market_url: String::new(),
            private_url: String::new(),
            order_url: String::new(),
            ca_file: PathBuf::new(),
            key_kind: KeyKind::Ed25519,
            api_key_file: PathBuf::new(),
            api_secret_file: PathBuf::new(),
            recv_window_ms: 2000,
            answer_timeout_ms: 1000,
            frame_bytes_max: 1 << 20,
            foreign_orders: ForeignOrders::Adopt,
            book_silence_ms: 3_000,
            first_message_ms: 30_000,
            definitions_every_s: 300,
            proof_deadline_s: 30,
            market_silence_ms: 5_000,
            private_silence_ms: 8_000,
            countdown_ms: 60_000,
            rights_url: String::new(),
            connection_life_s: 82_800,
            line: Vec::new(),
        }
    }
}

/// One instrument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    /// Venue symbol, upper case.
    pub symbol: String,
    /// Name of the diff stream after the `@`.
    #[serde(default = "default_depth_stream")]
    pub depth_stream: String,
    /// Levels a side that the book keeps before it drops the farthest.
    #[serde(default = "default_book_levels")]
    pub book_levels_max: usize,
    /// Leverage that the account must have on it, set at the start if it has another; absent: left as it is.
    #[serde(default)]
    pub leverage: Option<u32>,
}

fn default_depth_stream() -> String {
    "depth@100ms".into()
}

fn default_book_levels() -> usize {
    16_384
}

/// Parts of the hot path that a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum StageName {
    /// Receives and decodes market data.
    Feed,
    /// Books, signals, strategies.
    Engine,
    /// Limits, orders, private sockets.
    Gateway,
}

/// What a hot thread does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Polls without a pause: lowest latency, one core.
    Spin,
    /// Polls, then gives the core to others: for shared cores.
    #[default]
    Yield,
    /// Sleeps until a socket is readable, at most a millisecond: least energy.
    Park,
}

/// One hot thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Thread {
    /// Core to pin to; absent: not pinned.
    #[serde(default)]
    pub core: Option<usize>,
    /// Neighbouring stages in the order feed, engine, gateway.
    pub stages: Vec<StageName>,
    /// Wait strategy.
    #[serde(default)]
    pub wait: Wait,
    /// Priority under SCHED_FIFO, 1..=49; absent: the system's usual scheduling. A spinning real-time thread needs
    /// a core of its own and loses time to the kernel's real-time throttling unless that is raised.
    #[serde(default)]
    pub realtime_priority: Option<u8>,
}

/// What is asked of the operating system; the start report says what was taken and what was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Microseconds that a read may poll the network card's queue, 0..=1000; 0 asks for nothing.
    pub busy_poll_us: u32,
    /// Start connections with delayed acknowledgements, so that a read does not send one: sooner here, later for a
    /// peer that waits for them. The kernel may leave this mode by itself.
    pub delay_acks: bool,
    /// The kernel's time of arrival beside every read; it costs a longer call.
    pub receive_stamps: bool,
    /// Lock all memory of the hot process, now and later.
    pub lock_memory: bool,
    /// Huge pages below the lanes are wanted: the mount option of /dev/shm gives them, the start report says whether.
    pub huge_pages: bool,
}

/// Limits, checked in the gateway, the last hop before the venue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Risk {
    /// Largest distance of a price from the mark price, basis points, 1..=5000.
    pub collar_bps: i64,
    /// Oldest mark price accepted, milliseconds.
    pub mark_age_ms_max: u64,
    /// Oldest book update accepted, milliseconds.
    pub book_age_ms_max: u64,
    /// Oldest book update accepted by the venue's own clock, milliseconds, 0 to accept any: recorded data is as old as
    /// its recording.
    pub book_venue_age_ms_max: u64,
    /// Longest way of an intent to the gateway, milliseconds.
    pub intent_age_ms_max: u64,
    /// Largest notional of an order, quote currency.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub order_notional_max: i64,
    /// Largest notional of position and orders in flight of an instrument, quote currency.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub position_notional_max: i64,
    /// Largest gross notional of the account: positions at their marks, orders in flight and the new one at their
    /// prices, quote currency.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub gross_notional_max: i64,
    /// The same for single strategies; one that is not named has the account's.
    pub budget: Vec<Budget>,
    /// Instruments that may be held or entered at once, 1..=32.
    pub positions_max: usize,
    /// Instruments that may be traded; empty for all.
    pub symbols: Vec<String>,
    /// Most that an order with a stop may lose at it, quote currency; 0 for no bound.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub trade_risk_max: i64,
    /// Least distance of the target over that of the stop of an order that has both; 0 for no bound.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub reward_ratio_min: i64,
    /// Largest quantity of an order in lots of the instrument.
    pub order_lots_max: i64,
    /// Orders in any window of `order_rate_window_ms`.
    pub order_rate_max: usize,
    /// Share of them that is kept for orders that only reduce a position, percent, 0..=90.
    pub reduce_share_percent: usize,
    /// Orders, changes and cancels in a window; cancels are sent whatever it says.
    pub message_rate_max: usize,
    /// Orders without a price of their own (market, price match) may be sent: what they fill at only the venue bounds.
    pub market_orders: bool,
    /// Distance from a position's average entry at which a stop rests at the venue that closes it, also while no process
    /// of ours runs: basis points, 10..=5000, or 0 for none.
    pub resting_stop_bps: i64,
    /// Orders that open more than `confirm_notional_over` wait for a person.
    pub confirm: bool,
    /// Largest notional of an order that needs no person, quote currency.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub confirm_notional_over: i64,
    /// How long an order waits for a person, milliseconds, 1000 to 45000.
    pub confirm_within_ms: u64,
    /// When the day of the breakers begins, minutes after midnight UTC, 0..=1439.
    pub day_start_minutes: u64,
    /// Width of the window.
    pub order_rate_window_ms: u64,
    /// Open orders that may agree in instrument, side, price and quantity.
    pub identical_orders_max: usize,
    /// Orders refused as too many, doubled or against own ones in a window, after which nothing is opened any more
    /// until a person arms again.
    pub throttled_max: usize,
    /// Orders that may be open at once.
    pub open_orders_max: usize,
    /// Largest error bound of the venue's clock accepted, milliseconds.
    pub clock_error_ms_max: u64,
}

impl Default for Risk {
    fn default() -> Self {
        Self {
            collar_bps: 100,
            mark_age_ms_max: 10_000,
            book_age_ms_max: 2_000,
            book_venue_age_ms_max: 3_000,
            intent_age_ms_max: 500,
            order_notional_max: 2_000 * 100_000_000,
            position_notional_max: 5_000 * 100_000_000,
            gross_notional_max: 20_000 * 100_000_000,
            budget: Vec::new(),
            positions_max: 8,
            symbols: Vec::new(),
            trade_risk_max: 0,
            reward_ratio_min: 0,
            order_lots_max: 100_000,
            order_rate_max: 200,
            reduce_share_percent: 10,
            message_rate_max: 500,
            market_orders: false,
            confirm: false,
            confirm_notional_over: 0,
            confirm_within_ms: 30_000,
            day_start_minutes: 0,
            resting_stop_bps: 0,
            order_rate_window_ms: 10_000,
            identical_orders_max: 2,
            throttled_max: 1_000,
            open_orders_max: 64,
            clock_error_ms_max: 500,
        }
    }
}

/// Longest time for which an order may wait for a person, milliseconds: strategies forget an order of which nothing was
/// heard for a minute.
pub const CONFIRM_WITHIN_MS_MAX: u64 = 45_000;

/// A limit over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// What is watched.
    #[serde(with = "metric_label")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub metric: BreakerMetric,
    /// The largest value that is no reason, in the metric's unit.
    pub threshold: f64,
    /// Seconds in a row for which it must be passed, 1..=3600; the same to recover.
    #[serde(default = "default_samples")]
    pub samples: u32,
    /// What is done.
    #[serde(default)]
    pub action: BreakerAction,
    /// When it lets go.
    #[serde(default)]
    pub release: BreakerRelease,
}

fn default_samples() -> u32 {
    1
}

/// Metrics are written by their labels.
mod metric_label {
    use crate::types::BreakerMetric;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(metric: &BreakerMetric, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(metric.label())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BreakerMetric, D::Error> {
        let text = String::deserialize(from)?;
        BreakerMetric::from_label(&text).ok_or_else(|| {
            let known: Vec<_> = BreakerMetric::ALL.iter().map(|metric| metric.label()).collect();
            D::Error::custom(format!("breaker.metric: {text:?} is none of {}", known.join(", ")))
        })
    }
}

/// What a strategy may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name, or its number.
    pub strategy: String,
    /// Largest gross notional of its positions and orders in flight, quote currency.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub notional_max: i64,
}

/// What happens when lanes run short of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Overload {
    /// Live: telemetry is dropped, risk stops, inputs are skipped with a gap mark.
    #[default]
    Shed,
    /// Offline runs: the source is held back instead, nothing is lost.
    Stall,
}

/// Lanes and archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Where lanes live: `auto` takes /dev/shm and falls back to the data directory with a warning,
    /// `shm` insists on /dev/shm, anything else is a directory.
    pub dir: String,
    /// Mebibytes of the feed lane's pool.
    pub feed_mib: usize,
    /// Mebibytes of the engine lane's pool.
    pub engine_mib: usize,
    /// Mebibytes of the gateway lane's pool.
    pub gateway_mib: usize,
    /// Mebibytes of the session lane's pool.
    pub session_mib: usize,
    /// Mebibytes of a segment; it must hold the largest frame.
    pub segment_mib: usize,
    /// What happens when lanes run short of segments.
    pub overload: Overload,
    /// Ask the system to lock the lanes in memory.
    pub lock: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            dir: "auto".into(),
            feed_mib: 128,
            engine_mib: 64,
            gateway_mib: 32,
            session_mib: 32,
            segment_mib: 2,
            overload: Overload::Shed,
            lock: true,
        }
    }
}
