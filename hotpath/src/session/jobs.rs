//! Blocking work of the session, done by worker threads so that the session thread never waits: REST calls
//! and connecting.

use super::connect::{ConnectError, Established, Roots, connect};
use crate::{
    venue::{
        BOOK_STREAMS, Credentials, MARKET_STREAMS, Rest, RestError, is_logged_on, logon_request, streams,
    },
    wire::ws::{Caps, Utf8},
};
use crossbeam::channel::{Receiver, Sender};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tickpath_shared::{
    Nanos,
    clock::Clock,
    config::Config,
    record::{FillRecord, OpenOrderRecord, OrderReportRecord, PositionRecord},
    types::{ClientOrderId, InstrumentDefinition},
};

/// Connections of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Book streams, to the feed.
    Books,
    /// Other market streams, to the feed.
    Market,
    /// Order entry, to the gateway.
    Orders,
    /// Account events, to the gateway.
    Events,
}

impl LinkKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Books, Self::Market, Self::Orders, Self::Events];

    /// Name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Books => "books",
            Self::Market => "market",
            Self::Orders => "orders",
            Self::Events => "events",
        }
    }
}

/// Trade and order ids from which the account is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumeFrom {
    /// First trade id, by instrument.
    pub trades: Vec<u64>,
    /// First order id, by instrument.
    pub orders: Vec<u64>,
}

/// Work for a worker.
#[derive(Clone, Debug)]
pub enum Job {
    /// Establish a connection.
    Connect(LinkKind),
    /// Fetch a book.
    Snapshot {
        /// Instrument index.
        instrument: u32,
    },
    /// Compare clocks.
    Time,
    /// Read orders, trades and positions. Orders are listed too when `with_orders`.
    Account {
        /// Where to start.
        from: ResumeFrom,
        /// Read the orders themselves, to learn how those of an earlier session ended.
        with_orders: bool,
    },
    /// Ask about one order.
    Order {
        /// Instrument index.
        instrument: u32,
        /// The order.
        client_order_id: ClientOrderId,
        /// First trade id of interest.
        trades_from: u64,
    },
    /// Extend the account stream.
    KeepListenKey,
    /// End of the worker.
    Quit,
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
}

/// What a worker brings back.
pub enum Done {
    /// A connection.
    Connected(LinkKind, Established),
    /// No connection.
    ConnectFailed(LinkKind, ConnectError),
    /// A book as received.
    Snapshot {
        /// Instrument index.
        instrument: u32,
        /// Session time of the request.
        requested_ns: Nanos,
        /// The answer.
        body: Vec<u8>,
    },
    /// The venue's clock.
    Time {
        /// Unix time in nanoseconds at session time zero, by the venue's clock.
        venue_epoch_ns: u64,
        /// Bound of its error.
        error_bound_ns: u64,
    },
    /// The account.
    Account(Box<AccountRead>),
    /// An order and trades of its instrument.
    Order {
        /// What the venue knows.
        report: OrderReportRecord,
        /// Instrument index.
        instrument: u32,
        /// Trades of the instrument.
        trades: Vec<FillRecord>,
    },
    /// The account stream was extended.
    Kept,
    /// A job without an answer.
    Failed(Job, RestError),
}

/// What workers share.
pub struct Workshop {
    /// Configuration.
    pub config: Config,
    /// Definitions in force.
    pub definitions: Vec<InstrumentDefinition>,
    /// Identity.
    pub credentials: Arc<Credentials>,
    /// Roots of trust.
    pub roots: Roots,
    /// REST client.
    pub rest: Rest,
    /// Session clock.
    pub clock: Clock,
    /// Unix time in nanoseconds at session time zero, by the venue's clock.
    pub venue_epoch_ns: AtomicU64,
}

impl Workshop {
    /// The venue's time now, in unix milliseconds.
    pub fn venue_ms(&self) -> u64 {
        (self.venue_epoch_ns.load(Ordering::Relaxed) + self.clock.now()) / 1_000_000
    }

    /// Starts `count` workers.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub fn start(
        self: &Arc<Self>,
        count: usize,
        jobs: &Receiver<Job>,
        done: &Sender<Done>,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let spawn = |i| {
            let (shop, jobs, done) = (Arc::clone(self), jobs.clone(), done.clone());
            std::thread::Builder::new().name(format!("session-worker-{i}")).spawn(move || {
                while let Ok(job) = jobs.recv() {
                    if matches!(job, Job::Quit) || done.send(shop.run(job)).is_err() {
                        return;
                    }
                }
            })
        };
        (0..count).map(spawn).collect()
    }

    fn run(&self, job: Job) -> Done {
        let outcome = match &job {
            Job::Connect(kind) => {
                return match self.connect(*kind) {
                    Ok(established) => Done::Connected(*kind, established),
                    Err(e) => Done::ConnectFailed(*kind, e),
                };
            }
            Job::Snapshot { instrument } => self.snapshot(*instrument),
            Job::Time => self.time(),
            Job::Account { from, with_orders } => self.account(from, *with_orders),
            Job::Order { instrument, client_order_id, trades_from } => {
                self.order(*instrument, client_order_id, *trades_from)
            }
            Job::KeepListenKey | Job::Quit => self.rest.keep_listen_key().map(|()| Done::Kept),
        };
        outcome.unwrap_or_else(|e| Done::Failed(job, e))
    }

    fn connect(&self, kind: LinkKind) -> Result<Established, ConnectError> {
        let (venue, host) = (&self.config.venue, &self.config.host);
        let frame_bytes = venue.frame_bytes_max;
        let caps = Caps { frame_bytes, message_bytes: 4 * frame_bytes, utf8: Utf8::Checked };
        // The feed's decoder takes nothing but UTF-8 anyway.
        let feed_caps = Caps { utf8: Utf8::LeftToReader, ..caps };
        match kind {
            LinkKind::Books => {
                let url = format!("{}/stream?streams={}", venue.public_url, self.book_streams());
                connect(&url, &self.roots, feed_caps, host, None)
            }
            LinkKind::Market => {
                let names = streams(&self.definitions, MARKET_STREAMS);
                let url = format!("{}/stream?streams={names}", venue.market_url);
                connect(&url, &self.roots, feed_caps, host, None)
            }
            LinkKind::Events => {
                let key = self
                    .rest
                    .listen_key()
                    .map_err(|e| ConnectError::Logon { host: venue.rest_url.clone(), why: e.to_string() })?;
                connect(&format!("{}/ws/{key}", venue.private_url), &self.roots, caps, host, None)
            }
            LinkKind::Orders => {
                let request = logon_request(&self.credentials, self.venue_ms());
                let logon = request.as_deref().map(|r| (r, is_logged_on as fn(&[u8]) -> bool));
                connect(&venue.order_url, &self.roots, caps, host, logon)
            }
        }
    }

    fn book_streams(&self) -> String {
        let of = |(definition, instrument): (&InstrumentDefinition, &tickpath_shared::config::Instrument)| {
            let names: Vec<&str> = std::iter::once(instrument.depth_stream.as_str())
                .chain(BOOK_STREAMS.iter().copied())
                .collect();
            streams(std::slice::from_ref(definition), &names)
        };
        self.definitions.iter().zip(&self.config.instrument).map(of).collect::<Vec<_>>().join("/")
    }

    fn snapshot(&self, instrument: u32) -> Result<Done, RestError> {
        let requested_ns = self.clock.now();
        let body = self.rest.snapshot(self.definitions[instrument as usize].symbol.as_str())?;
        Ok(Done::Snapshot { instrument, requested_ns, body })
    }

    /// Best of five round trips: the true offset lies within half of the shortest.
    fn time(&self) -> Result<Done, RestError> {
        let mut best = (0, u64::MAX);
        for _ in 0..5 {
            let before = self.clock.now();
            let venue_ns = self.rest.server_time()? * 1_000_000;
            let after = self.clock.now();
            let middle = before + (after - before) / 2;
            // The venue's clock is read in whole milliseconds.
            let error = (after - before) / 2 + 1_000_000;
            let epoch = venue_ns.saturating_sub(middle) + 500_000;
            if error < best.1 {
                best = (epoch, error);
            }
        }
        Ok(Done::Time { venue_epoch_ns: best.0, error_bound_ns: best.1 })
    }

    fn order(&self, instrument: u32, id: &ClientOrderId, from: u64) -> Result<Done, RestError> {
        let definition = &self.definitions[instrument as usize];
        let report = self.rest.order(definition, id, self.venue_ms())?;
        // After the report: it must not claim an end whose trades the list does not show.
        let trades = self.trades(definition, from)?;
        Ok(Done::Order { report, instrument, trades })
    }

    fn trades(&self, definition: &InstrumentDefinition, mut from: u64) -> Result<Vec<FillRecord>, RestError> {
        let mut all = Vec::new();
        loop {
            let page = self.rest.trades(definition, from, self.venue_ms())?;
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
            let page = self.rest.orders(definition, from, self.venue_ms())?;
            let Some(last) = page.last() else { return Ok(all) };
            from = last.venue_order_id + 1;
            all.extend(page);
        }
    }

    /// Reads trades, positions and trades again until nothing happened in between, so that the positions
    /// contain exactly the trades listed.
    fn account(&self, from: &ResumeFrom, with_orders: bool) -> Result<Done, RestError> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let before = self.all_trades(from)?;
            let mut positions = self.rest.positions(&self.definitions, self.venue_ms())?;
            let open_orders = self.rest.open_orders(&self.definitions, self.venue_ms())?;
            let trades = self.all_trades(from)?;
            if trades.len() != before.len() && Instant::now() < deadline {
                continue;
            }
            for position in &mut positions {
                let of = trades.iter().filter(|t| t.instrument == position.instrument);
                position.through_trade_id = of.map(|t| t.trade_id).max().unwrap_or(0);
            }
            let reports = if with_orders { self.all_reports(from)? } else { Vec::new() };
            let read = AccountRead { reports, trades, positions, open_orders };
            return Ok(Done::Account(Box::new(read)));
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
