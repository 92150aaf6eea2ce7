//! What goes wrong at the simulator and between it and its clients: a seeded plan, read from a file or told while it
//! runs.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::Path};
use thiserror::Error;

/// Whose messages or connections a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Book streams: diffs, best prices, trades.
    Books,
    /// The other market streams.
    Market,
    /// Account events.
    Account,
    /// The WebSocket API.
    Orders,
    /// REST.
    Rest,
}

impl Channel {
    /// The one of market streams under a route.
    pub(super) fn of_route(route: &str) -> Self {
        if route == "public" { Self::Books } else { Self::Market }
    }

    pub(super) const ALL: [Self; 5] = [Self::Books, Self::Market, Self::Account, Self::Orders, Self::Rest];
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A message is lost; on `orders` and `rest` the answer, after the request was carried out.
    Drop,
    /// A message comes twice.
    Repeat,
    /// A message changes places with the next one of its channel.
    Swap,
    /// A message is late by up to `delay_ms`, and those behind it wait.
    Delay,
    /// A message is late by up to `delay_ms`, and those behind it overtake.
    Late,
    /// A message is cut off at a random place.
    Garble,
    /// A market frame gets blanks that its venue never writes.
    Irregular,
    /// The answer says that the outcome is unknown (-1007); half of these requests are carried out.
    Timeout,
    /// The answer is a page of a proxy with status 502; half of these requests are carried out.
    BadGateway,
    /// Nothing is sent on the channel, while its connections stay alive and answer pings.
    Silence,
    /// The connections of the channel are neither read nor written, as if the network had swallowed the packets.
    HalfOpen,
    /// The connections of the channel are reset.
    Reset,
    /// The connections of the channel are closed in order, as after 24 hours.
    Close,
    /// The venue says that it will close the connections of the channel, and closes them ten seconds later.
    Shutdown,
    /// The listen key dies.
    ListenKey,
    /// The venue's clock is off by `offset_ms` from now on.
    Clock,
    /// `symbol` has another `tick` from now on.
    TickSize,
    /// Trading of `symbol` stops, or starts again.
    Halt,
    /// The server shows a certificate of an authority that nobody knows from now on.
    Certificate,
}

impl FaultKind {
    /// It happens to messages, each with its probability.
    pub const fn is_of_messages(self) -> bool {
        (self as u8) <= Self::BadGateway as u8
    }

    /// It lasts for a while.
    pub const fn is_lasting(self) -> bool {
        matches!(self, Self::Silence | Self::HalfOpen)
    }
}

const fn one() -> f64 {
    1.0
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The name that files use.
        self.serialize(f)
    }
}

/// A fault: what, to whom, how often or when. Times are seconds since the plan began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// To whom; everybody when empty.
    #[serde(default)]
    pub on: BTreeSet<Channel>,
    /// Probability a message.
    #[serde(default = "one")]
    pub probability: f64,
    /// Only messages that contain this.
    #[serde(default)]
    pub contains: String,
    /// When it begins.
    #[serde(default)]
    pub from_s: f64,
    /// How long it lasts; without, for ever. What happens at a moment happens once.
    pub for_s: Option<f64>,
    /// It begins again after so many seconds.
    pub every_s: Option<f64>,
    /// Largest delay, milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Offset of the venue's clock, milliseconds.
    #[serde(default)]
    pub offset_ms: i64,
    /// Symbol of an instrument.
    #[serde(default)]
    pub symbol: String,
    /// Its tick.
    #[serde(default)]
    pub tick: String,
}

impl Fault {
    /// A fault of this kind that concerns everybody all the time.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            on: BTreeSet::new(),
            probability: 1.0,
            contains: String::new(),
            from_s: 0.0,
            for_s: None,
            every_s: None,
            delay_ms: 0,
            offset_ms: 0,
            symbol: String::new(),
            tick: String::new(),
        }
    }

    /// The channels it concerns.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        Channel::ALL.into_iter().filter(|channel| self.concerns(*channel))
    }

    /// It concerns a channel.
    pub fn concerns(&self, channel: Channel) -> bool {
        self.on.is_empty() || self.on.contains(&channel)
    }

    /// It is under way so many milliseconds after the plan began.
    pub fn is_active(&self, now_ms: u64) -> bool {
        let Some(since) = now_ms.checked_sub(ms(self.from_s)) else { return false };
        let since = self.every_s.map_or(since, |every| since % ms(every).max(1));
        self.for_s.is_none_or(|lasts| since < ms(lasts))
    }

    fn check(&self) -> Result<(), String> {
        let kind = self.kind;
        let is_time = |s: f64| (0.0..=TIME_MAX_S).contains(&s);
        let ensure = |holds: bool, text: String| if holds { Ok(()) } else { Err(text) };
        let probability = self.probability;
        ensure((0.0..=1.0).contains(&probability), format!("probability: {probability} is outside 0..=1"))?;
        ensure(is_time(self.from_s), format!("from_s: {} is outside 0..={TIME_MAX_S}", self.from_s))?;
        for (key, value) in [("for_s", self.for_s), ("every_s", self.every_s)] {
            let is_right = value.is_none_or(|s| is_time(s) && s > 0.0);
            ensure(
                is_right,
                format!("{key}: {} is not above 0 and at most {TIME_MAX_S}", value.unwrap_or_default()),
            )?;
        }
        let is_delay = matches!(kind, FaultKind::Delay | FaultKind::Late);
        ensure(is_delay == (self.delay_ms > 0), format!("delay_ms: {} with {kind:?}", self.delay_ms))?;
        ensure(self.delay_ms <= 600_000, format!("delay_ms: {} is above 600000", self.delay_ms))?;
        let is_clock = kind == FaultKind::Clock;
        ensure(is_clock || self.offset_ms == 0, format!("offset_ms: {} with {kind:?}", self.offset_ms))?;
        let names = matches!(kind, FaultKind::TickSize | FaultKind::Halt);
        ensure(names != self.symbol.is_empty(), format!("symbol: {:?} with {kind:?}", self.symbol))?;
        let is_tick = kind == FaultKind::TickSize;
        ensure(is_tick != self.tick.is_empty(), format!("tick: {:?} with {kind:?}", self.tick))
    }
}

/// Latest time of a plan: some years.
const TIME_MAX_S: f64 = 1e8;

/// Whole milliseconds.
pub(super) fn ms(seconds: f64) -> u64 {
    (seconds * 1e3).round() as u64
}

/// A plan as written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultFile {
    /// Seed of whatever is left to chance.
    pub seed: u64,
    /// The faults.
    pub fault: Vec<Fault>,
}

/// Probabilities a market frame, and the seed: the plan that a command line can say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Frame is lost.
    pub drop: f64,
    /// Frame comes twice.
    pub repeat: f64,
    /// Frame changes places with the next one.
    pub swap: f64,
    /// Frame gets blanks that the fast decoder does not expect.
    pub irregular: f64,
    /// Seed.
    pub seed: u64,
}

impl Faults {
    /// The same as a plan.
    pub fn plan(&self) -> FaultFile {
        let odds = [
            (FaultKind::Drop, self.drop),
            (FaultKind::Repeat, self.repeat),
            (FaultKind::Swap, self.swap),
            (FaultKind::Irregular, self.irregular),
        ];
        let on = BTreeSet::from([Channel::Books, Channel::Market]);
        let fault = |(kind, probability)| Fault { probability, on: on.clone(), ..Fault::new(kind) };
        FaultFile {
            seed: self.seed,
            fault: odds.into_iter().filter(|(_, odds)| *odds > 0.0).map(fault).collect(),
        }
    }
}

/// Why a plan cannot be used.
#[derive(Debug, Error)]
pub enum FaultError {
    /// The file cannot be read.
    #[error("faults {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, or not these keys.
    #[error("faults: {0}")]
    Form(#[from] toml::de::Error),
    /// A value that cannot work.
    #[error("faults: fault {number}: {why}")]
    Value {
        /// Which, from 1.
        number: usize,
        /// Key, value and bound.
        why: String,
    },
}

impl FaultFile {
    /// Reads a plan from its text.
    ///
    /// # Errors
    ///
    /// [`FaultError`].
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        let file: Self = toml::from_str(text)?;
        for (number, fault) in (1..).zip(&file.fault) {
            fault.check().map_err(|why| FaultError::Value { number, why })?;
        }
        Ok(file)
    }

    /// Reads a plan from a file.
    ///
    /// # Errors
    ///
    /// [`FaultError`].
    pub fn load(path: &Path) -> Result<Self, FaultError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| FaultError::Io { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_and_what_cannot_work_is_named() {
        let file = FaultFile::parse(
            "seed = 3\n[[fault]]\nkind = \"delay\"\non = [\"books\", \"account\"]\nprobability = 0.5\ndelay_ms = 200\n\
             [[fault]]\nkind = \"half_open\"\nfrom_s = 10\nfor_s = 2.5\nevery_s = 30",
        )
        .unwrap();
        assert_eq!(
            (file.seed, file.fault[0].channels().count(), file.fault[1].channels().count()),
            (3, 2, 5)
        );
        for (text, says) in [
            ("[[fault]]\nkind = \"explode\"", "unknown variant `explode`"),
            ("[[fault]]\nkind = \"drop\"\nodds = 1", "unknown field `odds`"),
            ("[[fault]]\nkind = \"drop\"\nprobability = 1.5", "fault 1: probability: 1.5 is outside 0..=1"),
            ("[[fault]]\nkind = \"delay\"", "delay_ms: 0 with Delay"),
            ("[[fault]]\nkind = \"reset\"\nevery_s = 0", "every_s: 0 is not above 0"),
            ("[[fault]]\nkind = \"tick_size\"\nsymbol = \"BTCUSDT\"", "tick: \"\" with TickSize"),
        ] {
            let error = FaultFile::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_fault_lasts_and_comes_again() {
        let fault =
            Fault { from_s: 10.0, for_s: Some(2.0), every_s: Some(30.0), ..Fault::new(FaultKind::Silence) };
        let active: Vec<u32> = (0..80).filter(|s| fault.is_active(u64::from(*s) * 1000)).collect();
        assert_eq!(active, [10, 11, 40, 41, 70, 71]);
    }
}
