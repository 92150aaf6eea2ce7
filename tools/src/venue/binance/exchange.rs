//! State of the simulated venue, and what its clock does to it. Whoever drives it says what time it is.

use super::{
    super::{
        AccountKey, definitions,
        options::{AccountStart, Limits},
    },
    account::{Receipt, SimAccount},
    algo::AlgoBook,
    events,
    filters::Filters,
    limits::Usage,
    refused::Refused,
    streams::Derived,
};
use std::collections::BTreeSet;
use tickpath_hotpath::{
    book::Top,
    market::{Level, MarketHeader},
    sim::{End, LedgerTrade, Matcher, SimOutcome},
    venue::MarketDecoder,
};
use tickpath_shared::types::{InstrumentDefinition, PositionSide, decimal};

/// Levels a side that the simulator's book keeps.
const BOOK_LEVELS: usize = 65_536;
/// A listen key lives so long after it was asked for or extended.
const LISTEN_KEY_MS: u64 = 60 * 60 * 1000;

/// One instrument.
pub(super) struct Instrument {
    pub(super) filters: Filters,
    pub(super) matcher: Matcher,
    /// Last update id of the book; `None` before its snapshot.
    pub(super) update_id: Option<u64>,
    /// Diffs that arrived before their snapshot.
    pub(super) early: Vec<(MarketHeader, Vec<Level>)>,
    /// Venue's time of the last line, unix milliseconds.
    pub(super) venue_ms: u64,
    /// Last mark price x 10^8, 0 before the first.
    pub(super) mark_e8: i64,
    /// Price of the last trade, 0 before the first.
    pub(super) last_price: i64,
    /// Funding rate x 10^8 and when it is due next, unix milliseconds.
    pub(super) funding: (i64, u64),
    pub(super) has_marks: bool,
    pub(super) next_mark_ns: u64,
    /// Clients whose snapshot request waits for the capture's snapshot, with their limits.
    pub(super) waiting: Vec<(usize, usize)>,
    /// Unix milliseconds at which all orders are canceled, 0 for never.
    pub(super) countdown_ms: u64,
}

impl Instrument {
    fn new(definition: &InstrumentDefinition, slippage_e8: i64) -> Self {
        Self {
            filters: Filters::new(*definition),
            matcher: Matcher::new(definition.tick, BOOK_LEVELS).with_slippage(slippage_e8),
            update_id: None,
            early: Vec::new(),
            venue_ms: 0,
            mark_e8: 0,
            last_price: 0,
            funding: (10_000, 0),
            has_marks: false,
            next_mark_ns: 0,
            waiting: Vec::new(),
            countdown_ms: 0,
        }
    }

    pub(super) fn definition(&self) -> &InstrumentDefinition {
        &self.filters.definition
    }

    pub(super) fn symbol(&self) -> &str {
        self.filters.definition.symbol.as_str()
    }

    /// Mark price x 10^8, the middle of the book before the first.
    pub(super) fn mark_e8(&self) -> i64 {
        match self.mark_e8 {
            0 => (self.definition().price_to_e8(self.matcher.top().mid_halves()) / 2) as i64,
            mark => mark,
        }
    }
}

/// An account stream's key.
#[derive(Clone, Debug)]
pub(super) struct ListenKey {
    pub(super) key: String,
    pub(super) expires_ms: u64,
}

/// The venue.
pub struct Exchange {
    pub(super) instruments: Vec<Instrument>,
    pub(super) account: SimAccount,
    pub(super) algos: AlgoBook,
    pub(super) keys: Vec<AccountKey>,
    pub(super) usage: Usage,
    pub(super) decoder: MarketDecoder,
    pub(super) derived: Derived,
    /// Streams that somebody is subscribed to.
    pub(super) wanted: BTreeSet<String>,
    /// The venue's clock, unix milliseconds.
    pub(super) now_ms: u64,
    pub(super) events: Vec<String>,
    pub(super) answers: Vec<(usize, String)>,
    pub(super) listen: Option<ListenKey>,
    listen_keys: u64,
    next_due_ms: u64,
    /// What the clock that requests are judged by is ahead of the true one, milliseconds.
    skew_ms: i64,
}

impl Exchange {
    /// A venue without books, orders or positions at `now_ms`, unix milliseconds, and its one account.
    pub fn new(keys: &[AccountKey], limits: Limits, account: AccountStart, now_ms: u64) -> Self {
        let definitions = definitions();
        Self {
            instruments: definitions.iter().map(|d| Instrument::new(d, account.slippage_e8)).collect(),
            account: SimAccount::new(&definitions, account),
            algos: AlgoBook::default(),
            keys: keys.to_vec(),
            usage: Usage::new(limits),
            decoder: MarketDecoder::new(&definitions, 1 << 20),
            derived: Derived::default(),
            wanted: BTreeSet::new(),
            now_ms,
            events: Vec::new(),
            answers: Vec::new(),
            listen: None,
            listen_keys: 0,
            next_due_ms: 0,
            skew_ms: 0,
        }
    }

    /// Moves the clock, never back, and does what has become due.
    pub fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.now_ms < self.next_due_ms {
            return;
        }
        // Nothing here is due more often than the venue itself looks.
        self.next_due_ms = self.now_ms + 10;
        self.expire_listen_key();
        for index in 0..self.instruments.len() {
            self.expire_orders(index);
            self.count_down(index);
            self.fund(index);
        }
    }

    fn expire_listen_key(&mut self) {
        if let Some(listen) = self.listen.take_if(|listen| listen.expires_ms <= self.now_ms) {
            self.events.push(events::key_expired(&listen.key, self.now_ms));
        }
    }

    fn expire_orders(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let is_over = |at: u64| at != 0 && at <= now_ms;
        let over: Vec<u64> = self
            .account
            .open()
            .filter(|row| row.instrument == index && is_over(row.ticket.good_till_ms))
            .map(|row| row.order.submit.id)
            .collect();
        self.end_orders(index, &over, End::GoodTill);
    }

    fn count_down(&mut self, index: usize) {
        let instrument = &mut self.instruments[index];
        if instrument.countdown_ms != 0 && instrument.countdown_ms <= self.now_ms {
            instrument.countdown_ms = 0;
            let open = self.account.open_of(index);
            self.end_orders(index, &open, End::Canceled);
        }
    }

    fn fund(&mut self, index: usize) {
        let instrument = &mut self.instruments[index];
        let (rate_e8, due_ms) = instrument.funding;
        if due_ms == 0 || due_ms > self.now_ms {
            return;
        }
        instrument.funding.1 = super::market::next_funding_ms(self.now_ms);
        let mark_e8 = instrument.mark_e8();
        let received = self.account.ledger.fund(index, mark_e8, rate_e8);
        if received != 0 {
            self.account.receipts.push(Receipt {
                kind: "FUNDING_FEE".into(),
                instrument: Some(index),
                amount_e8: received,
                venue_ms: self.now_ms,
            });
            let (wallet, funding) =
                (self.account.ledger.wallet_e8(), Some((self.instruments[index].definition(), received)));
            self.events.push(events::account_update("FUNDING_FEE", wallet, funding, &[], self.now_ms));
        }
    }

    /// Ends resting orders for one reason; how many did rest.
    pub(super) fn end_orders(&mut self, index: usize, ids: &[u64], why: End) -> usize {
        let mut outcomes = Vec::new();
        let is_ended = |id: &&u64| self.instruments[index].matcher.end(**id, why, &mut outcomes);
        let ended = ids.iter().filter(is_ended).count();
        self.book_outcomes(index, &outcomes);
        ended
    }

    /// The venue's clock, unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The clock that requests are judged by and that is told to those who ask.
    pub(super) fn clock_ms(&self) -> u64 {
        self.now_ms.saturating_add_signed(self.skew_ms)
    }

    /// Puts that clock ahead or back.
    pub fn set_skew(&mut self, skew_ms: i64) {
        self.skew_ms = skew_ms;
    }

    /// The listen key is gone before its time.
    pub fn kill_listen_key(&mut self) {
        if let Some(listen) = &mut self.listen {
            listen.expires_ms = 0;
        }
        self.next_due_ms = 0;
    }

    /// Another tick size from now on; what rests keeps its price.
    ///
    /// # Errors
    ///
    /// An unknown symbol, or a tick that cannot be.
    pub fn set_tick(&mut self, symbol: &str, tick: &str) -> Result<(), String> {
        let index = self.find(symbol).ok_or_else(|| format!("symbol {symbol:?} is not traded here"))?;
        let definition = &mut self.instruments[index].filters.definition;
        let step = decimal::parse(tick.as_bytes(), definition.price_scale)
            .map_err(|e| format!("tick {tick:?} of {symbol}: {e}"))?;
        if step <= 0 {
            return Err(format!("tick {tick:?} of {symbol}: must be above 0"));
        }
        (definition.tick, definition.price_min) = (step, step);
        Ok(())
    }

    /// Stops trading of a symbol, or lets it go on.
    ///
    /// # Errors
    ///
    /// An unknown symbol.
    pub fn toggle_trading(&mut self, symbol: &str) -> Result<(), String> {
        let index = self.find(symbol).ok_or_else(|| format!("symbol {symbol:?} is not traded here"))?;
        self.instruments[index].filters.definition.is_trading ^= 1;
        Ok(())
    }

    /// Index of a symbol.
    pub(super) fn find(&self, symbol: &str) -> Option<usize> {
        self.instruments.iter().position(|i| i.symbol() == symbol)
    }

    /// Mark prices x 10^8 by instrument.
    pub(super) fn marks_e8(&self) -> Vec<i64> {
        self.instruments.iter().map(Instrument::mark_e8).collect()
    }

    /// Rules by instrument.
    pub(super) fn all_filters(&self) -> Vec<Filters> {
        self.instruments.iter().map(|i| i.filters).collect()
    }

    /// Turns outcomes of matching into account state and events. The venue tells of the bare fills first, then of
    /// the new order, of the account, and of each execution: all within one millisecond.
    pub(super) fn book_outcomes(&mut self, index: usize, outcomes: &[SimOutcome]) {
        let definition = *self.instruments[index].definition();
        let (ms, mut lites, mut updates, mut trades) = (self.now_ms, Vec::new(), Vec::new(), Vec::new());
        let mut touched = BTreeSet::new();
        for outcome in outcomes {
            match outcome {
                SimOutcome::Accepted(order) => {
                    let row = self.account.update(order, None, ms);
                    updates.extend(row.map(|row| events::order_update(&definition, row, "NEW", None, ms)));
                }
                SimOutcome::Amended(order) => {
                    let row = self.account.update(order, None, ms);
                    let text = |row: &mut _| events::order_update(&definition, row, "AMENDMENT", None, ms);
                    updates.extend(row.map(text));
                }
                SimOutcome::Executed(order, execution) => {
                    let trade = self.account.ledger.book(index, *order, *execution, ms);
                    let Some(row) = self.account.update(order, None, ms) else { continue };
                    row.quote_e8 += definition.notional_e8(execution.price, execution.qty);
                    touched.insert(order.submit.position);
                    lites.push(events::trade_lite(&definition, row, &trade, ms));
                    trades.push(events::order_update(&definition, row, "TRADE", Some(&trade), ms));
                }
                SimOutcome::Ended(order, end) => {
                    let Some(row) = self.account.update(order, Some(*end), ms) else { continue };
                    let kind = events::execution_type(*end);
                    trades.push(events::order_update(&definition, row, kind, None, ms));
                }
                // Synchronous refusals: no event, not in the history.
                SimOutcome::Refused(_) => {}
            }
        }
        self.events.extend(lites);
        self.events.extend(updates);
        if !touched.is_empty() {
            let text = self.account_update(index, &touched);
            self.events.push(text);
        }
        self.events.extend(trades);
        if !touched.is_empty() {
            self.cut_reduce_only(index);
        }
    }

    fn account_update(&self, index: usize, touched: &BTreeSet<PositionSide>) -> String {
        let (instrument, ledger) = (&self.instruments[index], &self.account.ledger);
        let row = |side: &PositionSide| {
            (instrument.definition(), *side, ledger.position(index, *side), instrument.mark_e8())
        };
        let rows: Vec<_> = touched.iter().map(row).collect();
        events::account_update("ORDER", ledger.wallet_e8(), None, &rows, self.now_ms)
    }

    /// Reduce-only orders never rest beyond the position they may reduce.
    fn cut_reduce_only(&mut self, index: usize) {
        let mut outcomes = Vec::new();
        let rows: Vec<_> = self.account.open().filter(|row| row.instrument == index).cloned().collect();
        for row in rows.iter().filter(|row| row.order.submit.is_reduce_only) {
            let submit = &row.order.submit;
            let reducible = self.account.ledger.reducible(index, submit.position, submit.side);
            if row.order.remaining() > reducible {
                self.instruments[index].matcher.cut(submit.id, reducible, &mut outcomes);
            }
        }
        if !outcomes.is_empty() {
            self.book_outcomes(index, &outcomes);
        }
    }

    /// The active listen key, made if there is none, extended either way.
    pub(super) fn start_listening(&mut self) -> String {
        let expires_ms = self.now_ms + LISTEN_KEY_MS;
        if self.listen.is_none() {
            self.listen_keys += 1;
            let key = format!("sim{:x}k{}", self.now_ms, self.listen_keys);
            self.listen = Some(ListenKey { key, expires_ms });
        }
        self.keep_listening().unwrap_or_default()
    }

    /// Extends the active listen key.
    pub(super) fn keep_listening(&mut self) -> Result<String, Refused> {
        let expires_ms = self.now_ms + LISTEN_KEY_MS;
        let listen =
            self.listen.as_mut().ok_or_else(|| Refused::new(-1125, "This listenKey does not exist."))?;
        listen.expires_ms = expires_ms;
        Ok(listen.key.clone())
    }

    /// The active listen key.
    pub fn listen_key(&self) -> Option<&str> {
        self.listen.as_ref().map(|listen| listen.key.as_str())
    }

    /// Says which streams anybody is subscribed to: derived ones are made only then.
    pub fn set_wanted(&mut self, wanted: BTreeSet<String>) {
        self.wanted = wanted;
    }

    /// Account events since the last call.
    pub fn take_events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    /// Answers to requests that had to wait: client and body.
    pub fn take_answers(&mut self) -> Vec<(usize, String)> {
        std::mem::take(&mut self.answers)
    }

    /// A client waits for a book that is not there yet.
    pub fn is_awaited(&self) -> bool {
        self.instruments.iter().any(|instrument| !instrument.waiting.is_empty())
    }

    /// Events or answers wait to be sent.
    pub fn has_output(&self) -> bool {
        !self.events.is_empty() || !self.answers.is_empty()
    }

    /// Every trade of the account, oldest first.
    pub fn trades(&self) -> &[LedgerTrade] {
        self.account.ledger.trades()
    }

    /// Wallet balance of the account x 10^8.
    pub fn wallet_e8(&self) -> i128 {
        self.account.ledger.wallet_e8()
    }

    /// Request weight used in the current minute.
    pub fn used_weight(&mut self) -> u64 {
        self.usage.headers(self.now_ms)[0].1
    }

    /// Orders accepted so far.
    pub fn orders_count(&self) -> usize {
        self.account.orders_count()
    }

    /// Orders that are open.
    pub fn open_orders_count(&self) -> usize {
        self.account.open().count()
    }

    /// Best bid and ask of an instrument.
    pub fn top(&self, instrument: usize) -> Top {
        self.instruments[instrument].matcher.top()
    }

    /// Mark price of an instrument x 10^8.
    pub fn mark_price_e8(&self, instrument: usize) -> i64 {
        self.instruments[instrument].mark_e8()
    }

    /// Signed position of an instrument over all sides.
    pub fn net_position(&self, instrument: usize) -> i64 {
        self.account.ledger.net(instrument)
    }
}
