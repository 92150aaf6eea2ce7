//! Reading the account: what the venue shows, in an order in which it proves itself.

use super::wallet::{AGE_MS_MAX, FUNDING_LAG_MS};
use crate::{
    order::OrderName,
    venue::{Funding, Rest, RestError},
};
use tickpath_shared::{
    causes::chain,
    record::{
        BalanceRecord, FillRecord, Kind, OpenOrderRecord, OrderReportRecord, PositionRecord,
        ReconciledRecord, StopReportRecord,
    },
    types::{ClientOrderId, InstrumentDefinition},
};
use zerocopy::IntoBytes;

/// Attempts to read an account while it stands still: each costs the address about a twentieth of a minute's weight.
const ATTEMPTS: usize = 6;

/// Trade and order ids from which the account is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumeFrom {
    /// First trade id, by instrument.
    pub trades: Vec<u64>,
    /// First order id, by instrument.
    pub orders: Vec<u64>,
    /// From when on funding is listed, unix milliseconds by the venue's clock; 0 for what may be late only.
    pub funding_from_ms: u64,
}

/// The account as read.
#[derive(Clone, Debug, Default)]
pub struct AccountRead {
    /// Orders of earlier sessions and how they stand.
    pub reports: Vec<OrderReportRecord>,
    /// Trades, oldest first.
    pub trades: Vec<FillRecord>,
    /// Positions that contain exactly these trades.
    pub positions: Vec<PositionRecord>,
    /// Open orders.
    pub open_orders: Vec<OpenOrderRecord>,
    /// Stops that rest at the venue.
    pub stops: Vec<StopReportRecord>,
    /// Assets, after exactly these trades, too. They are for people to look at: nothing is decided on them.
    pub balances: Vec<BalanceRecord>,
    /// Funding, as far as it was asked for; `None` when it is not known.
    pub funding: Option<Vec<Funding>>,
    /// Why one of these two is not known, if a request failed.
    pub no_money: Option<String>,
}

impl AccountRead {
    /// The records for a gateway; `age_ms` is how long ago the venue was first asked. Their order matters: trades before
    /// the position that contains them, everything before the word that all is known.
    pub fn records(&self, age_ms: u32) -> Vec<(Kind, Vec<u8>)> {
        let (open_orders, trades) = (self.open_orders.len() as u32, self.trades.len() as u32);
        let reconciled = ReconciledRecord { open_orders, trades };
        let trades = self.trades.iter().map(|r| (Kind::VenueTrade, r.as_bytes().to_vec()));
        let reports = self.reports.iter().map(|r| OrderReportRecord { age_ms, ..*r });
        let reports = reports.map(|r| (Kind::OrderReport, r.as_bytes().to_vec()));
        let positions = self.positions.iter().map(|r| (Kind::StartPosition, r.as_bytes().to_vec()));
        let open = self.open_orders.iter().map(|r| (Kind::OpenOrder, r.as_bytes().to_vec()));
        let stops = self.stops.iter().map(|r| StopReportRecord { age_ms, ..*r });
        let stops = stops.map(|r| (Kind::StopReport, r.as_bytes().to_vec()));
        let last = std::iter::once((Kind::Reconciled, reconciled.as_bytes().to_vec()));
        trades.chain(reports).chain(positions).chain(open).chain(stops).chain(last).collect()
    }
}

/// What the venue knows about one order.
#[derive(Clone, Debug)]
pub struct OrderRead {
    /// Its state.
    pub report: OrderReportRecord,
    /// Its trades.
    pub trades: Vec<FillRecord>,
}

impl OrderRead {
    /// The records for a gateway, trades first; `age_ms` is how long ago the venue was asked.
    pub fn records(&self, age_ms: u32) -> Vec<(Kind, Vec<u8>)> {
        // A list that lags behind the report proves nothing yet; the gateway asks again.
        let listed: i64 = self.trades.iter().map(|trade| trade.qty).sum();
        let is_proven = u8::from(listed >= self.report.filled);
        let report = OrderReportRecord { age_ms, is_proven, ..self.report };
        let trades = self.trades.iter().map(|r| (Kind::VenueTrade, r.as_bytes().to_vec()));
        trades.chain(std::iter::once((Kind::OrderReport, report.as_bytes().to_vec()))).collect()
    }
}

/// Reads an account over REST.
pub struct AccountReader<'a> {
    /// The client.
    pub rest: &'a Rest,
    /// Definitions in force.
    pub definitions: &'a [InstrumentDefinition],
    /// The venue's time now, unix milliseconds.
    pub venue_ms: &'a dyn Fn() -> u64,
}

impl AccountReader<'_> {
    fn now(&self) -> u64 {
        (self.venue_ms)()
    }

    /// Reads trades, positions and trades again until nothing happened in between, so that the positions contain
    /// exactly the trades listed. Orders are listed too when `with_orders`.
    ///
    /// # Errors
    ///
    /// [`RestError`]; [`RestError::Unquiet`] when something happened at every attempt: a position between two lists of
    /// trades contains nobody knows which.
    pub fn read(&self, from: &ResumeFrom, with_orders: bool) -> Result<AccountRead, RestError> {
        let mut before = self.all_trades(from)?;
        for _ in 0..ATTEMPTS {
            let mut positions = self.rest.positions(self.definitions, self.now())?;
            let open_orders = self.rest.open_orders(self.definitions, self.now())?;
            let stops = self.rest.open_stops(self.definitions, self.now())?;
            let balances = self.rest.balances(self.now());
            let trades = self.all_trades(from)?;
            if trades.len() != before.len() {
                before = trades;
                continue;
            }
            for position in &mut positions {
                let of = trades.iter().filter(|t| t.instrument == position.instrument);
                position.through_trade_id = of.map(|t| t.trade_id).max().unwrap_or(0);
            }
            let reports = if with_orders { self.all_reports(from)? } else { Vec::new() };
            // What is not known of the money keeps nothing else from being known.
            let funding = self.funding(from).map(Some);
            let no_money = balances.as_ref().err().or(funding.as_ref().err()).map(|why| chain(why));
            let (balances, funding) = (balances.unwrap_or_default(), funding.unwrap_or_default());
            return Ok(AccountRead {
                reports,
                trades,
                positions,
                open_orders,
                stops,
                balances,
                funding,
                no_money,
            });
        }
        Err(RestError::Unquiet { attempts: ATTEMPTS })
    }

    fn funding(&self, from: &ResumeFrom) -> Result<Vec<Funding>, RestError> {
        let now = self.now();
        let from_ms = match from.funding_from_ms {
            0 => now.saturating_sub(FUNDING_LAG_MS),
            from_ms => from_ms.max(now.saturating_sub(AGE_MS_MAX)),
        };
        self.rest.funding(from_ms, now)
    }

    /// Asks about one order.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn order(&self, instrument: u32, name: &OrderName) -> Result<OrderRead, RestError> {
        let definition = &self.definitions[instrument as usize];
        let report = self.rest.order(definition, name, self.now())?;
        // After the report: it must not claim an end whose trades the list does not show.
        let trades = match report.venue_order_id {
            0 => Vec::new(),
            venue_id => self.rest.trades_of(definition, venue_id, self.now())?,
        };
        Ok(OrderRead { report, trades })
    }

    /// Asks about one stop.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub fn stop(&self, instrument: u32, id: &ClientOrderId) -> Result<StopReportRecord, RestError> {
        self.rest.stop(&self.definitions[instrument as usize], id, self.now())
    }

    fn trades(&self, definition: &InstrumentDefinition, mut from: u64) -> Result<Vec<FillRecord>, RestError> {
        let mut all = Vec::new();
        loop {
            let page = self.rest.trades(definition, from, self.now())?;
            let Some(last) = page.last() else { return Ok(all) };
            from = last.trade_id + 1;
            all.extend(page);
        }
    }

    fn reports(
        &self,
        definition: &InstrumentDefinition,
        mut from: u64,
    ) -> Result<Vec<OrderReportRecord>, RestError> {
        let mut all = Vec::new();
        loop {
            let page = self.rest.orders(definition, from, self.now())?;
            let Some(last) = page.last() else { return Ok(all) };
            from = last.venue_order_id + 1;
            all.extend(page);
        }
    }

    fn all_trades(&self, from: &ResumeFrom) -> Result<Vec<FillRecord>, RestError> {
        let of =
            |(d, i): (&InstrumentDefinition, usize)| self.trades(d, from.trades.get(i).copied().unwrap_or(0));
        let lists: Result<Vec<_>, _> = self.definitions.iter().zip(0..).map(of).collect();
        Ok(lists?.concat())
    }

    fn all_reports(&self, from: &ResumeFrom) -> Result<Vec<OrderReportRecord>, RestError> {
        let of = |(d, i): (&InstrumentDefinition, usize)| {
            self.reports(d, from.orders.get(i).copied().unwrap_or(0))
        };
        let lists: Result<Vec<_>, _> = self.definitions.iter().zip(0..).map(of).collect();
        Ok(lists?.concat())
    }
}
