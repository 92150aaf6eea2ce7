//! The result of a day: what was realised since it began, and how far open positions have moved since.

use serde::{Deserialize, Serialize};
use tickpath_shared::record::DayRecord;

const DAY_MS: u64 = 86_400_000;

/// A day's result, quote x 10^8, after fees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayResult {
    /// Realised.
    pub realized_e8: i128,
    /// Realised and open.
    pub all_e8: i128,
    /// Fall from the best that it was.
    pub drawdown_e8: i128,
}

/// The day under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// When a day begins, milliseconds after midnight UTC.
    start_ms: u64,
    /// Days since 1970 at its beginning; `None` before the first look.
    number: Option<u64>,
    realized_e8: i128,
    /// Open profit when it began.
    open_e8: Option<i128>,
    /// Best result so far.
    peak_e8: i128,
    /// Positions closed with a loss, one after another.
    losses: u32,
    /// What the open position of an instrument has realised so far.
    trades_e8: Vec<i128>,
    /// The last fundings told, so that one told twice counts once.
    fundings: [Funding; FUNDINGS],
    fundings_told: usize,
    /// Funding of a day that has not begun here yet.
    early_e8: i128,
}

/// Fundings remembered: those of one moment come within seconds.
const FUNDINGS: usize = 32;

/// Funding of an instrument as the venue told it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    /// Instrument index, `None` when the venue does not say which.
    pub instrument: Option<u32>,
    /// Venue's time of it, unix milliseconds.
    pub venue_ms: u64,
    /// Received (negative: paid), quote x 10^8.
    pub received_e8: i64,
}

impl Day {
    /// Before the first look; days begin so many minutes after midnight UTC.
    pub fn new(instruments: usize, start_minutes: u64) -> Self {
        Self { start_ms: start_minutes * 60_000, trades_e8: vec![0; instruments], ..Self::default() }
    }

    /// A fill of an instrument realised this, after its fee, and left the position so.
    pub fn on_fill(&mut self, instrument: u32, realized_e8: i128, before: i64, after: i64) {
        self.realized_e8 += realized_e8;
        let trade = &mut self.trades_e8[instrument as usize];
        *trade += realized_e8;
        if before != 0 && after.signum() != before.signum() {
            self.losses = if *trade < 0 { self.losses + 1 } else { 0 };
            *trade = 0;
        }
    }

    /// Funding was exchanged. Told twice it counts once, and in its own day, which may begin a moment later here.
    pub fn on_funding(&mut self, funding: Funding) {
        if self.fundings.contains(&funding) {
            return;
        }
        self.fundings[self.fundings_told % FUNDINGS] = funding;
        self.fundings_told += 1;
        let is_early = self.number.is_some_and(|known| self.number_at(funding.venue_ms) > known);
        let sum = if is_early { &mut self.early_e8 } else { &mut self.realized_e8 };
        *sum += i128::from(funding.received_e8);
    }

    /// Days since 1970 at a moment.
    fn number_at(&self, venue_ms: u64) -> u64 {
        venue_ms.saturating_sub(self.start_ms) / DAY_MS
    }

    /// A look at `venue_ms` with so much open profit; true when a day began with it.
    pub fn look(&mut self, venue_ms: u64, open_e8: i128) -> bool {
        let number = self.number_at(venue_ms);
        let is_new = self.number.is_some_and(|known| number > known);
        if is_new {
            let early_e8 = std::mem::take(&mut self.early_e8);
            (self.realized_e8, self.peak_e8, self.open_e8) = (early_e8, 0, None);
            self.losses = 0;
        }
        // The venue's clock may be set back; a day does not come again.
        self.number = Some(self.number.map_or(number, |known| known.max(number)));
        self.open_e8.get_or_insert(open_e8);
        self.peak_e8 = self.peak_e8.max(self.result(open_e8).all_e8);
        is_new
    }

    /// The result with so much open profit.
    pub fn result(&self, open_e8: i128) -> DayResult {
        let all_e8 = self.realized_e8 + open_e8 - self.open_e8.unwrap_or(open_e8);
        DayResult { realized_e8: self.realized_e8, all_e8, drawdown_e8: self.peak_e8 - all_e8 }
    }

    /// Positions closed with a loss, one after another.
    pub fn losses(&self) -> u32 {
        self.losses
    }

    /// A person has seen the losses: the next one is the first again.
    pub fn forget_losses(&mut self) {
        self.losses = 0;
    }

    /// What a restart must not forget, with the breakers that hold. Its number is 0 before the first look.
    pub fn record(&self, latched: u64) -> DayRecord {
        let narrow = |e8: i128| e8.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        DayRecord {
            number: self.number.unwrap_or(0),
            realized_e8: narrow(self.realized_e8),
            open_e8: narrow(self.open_e8.unwrap_or(0)),
            peak_e8: narrow(self.peak_e8),
            latched,
            losses: self.losses,
            reserved: 0,
        }
    }

    /// Goes on with a day of the process before. Whether it is over the next look will tell.
    pub fn restore(&mut self, record: &DayRecord) {
        if record.number == 0 {
            return;
        }
        self.number = Some(record.number);
        // Fills that were reported before this count too.
        self.realized_e8 += i128::from(record.realized_e8);
        self.open_e8 = Some(record.open_e8.into());
        self.peak_e8 = record.peak_e8.into();
        self.losses = record.losses;
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let open = self.open_e8.map_or(u64::MAX, |e8| e8 as u64);
        let own = [self.number.unwrap_or(0), self.realized_e8 as u64, open, self.peak_e8 as u64];
        let fundings = self.fundings.iter().flat_map(|f| [f.venue_ms, f.received_e8 as u64]);
        own.into_iter()
            .chain([self.losses.into(), self.fundings_told as u64, self.early_e8 as u64])
            .chain(self.trades_e8.iter().map(|e8| *e8 as u64))
            .chain(fundings)
    }
}
