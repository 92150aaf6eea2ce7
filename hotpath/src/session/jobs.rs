//! Blocking work of the session, done by worker threads so that the session thread never waits: REST calls
//! and connecting.

use super::{
    account::{AccountRead, AccountReader, OrderRead, ResumeFrom},
    connect::{ConnectError, Established, Roots, connect},
};
use crate::{
    order::OrderName,
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
    config::{Config, Line, Venue},
    record::StopReportRecord,
    types::{ClientOrderId, InstrumentDefinition},
};

/// Longest wait at the end for requests that take risk away.
const QUIT_PATIENCE: Duration = Duration::from_millis(500);

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

/// A connection of a session: market streams may have several lines, connections to the same streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId {
    /// What for.
    pub kind: LinkKind,
    /// Which line, from 0.
    pub line: usize,
}

impl std::fmt::Display for LinkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(self.kind.label()),
            line => write!(f, "{} line {}", self.kind.label(), line + 1),
        }
    }
}

/// Work for a worker.
#[derive(Clone, Debug)]
pub enum Job {
    /// Establish a connection.
    Connect(LinkId),
    /// Fetch a book.
    Snapshot {
        /// Instrument index.
        instrument: u32,
    },
    /// Compare clocks.
    Time,
    /// Read the rules of the instruments again.
    Definitions,
    /// Read orders, trades and positions. Orders are listed too when `with_orders`.
    Account {
        /// Where to start.
        from: ResumeFrom,
        /// Read the orders themselves, to learn how those of an earlier session ended.
        with_orders: bool,
        /// Number of the read.
        number: u64,
    },
    /// Ask about one order.
    Order {
        /// Instrument index.
        instrument: u32,
        /// The order.
        name: OrderName,
    },
    /// Ask about one stop.
    Stop {
        /// Instrument index.
        instrument: u32,
        /// The stop.
        client_order_id: ClientOrderId,
    },
    /// Cancel one order.
    Cancel {
        /// Instrument index.
        instrument: u32,
        /// The order.
        name: OrderName,
    },
    /// Let the venue wait again before it cancels everything.
    CountDown,
    /// Extend the account stream.
    KeepListenKey,
    /// End of the worker.
    Quit,
}

/// What a worker brings back.
pub enum Done {
    /// A connection.
    Connected(LinkId, Established),
    /// No connection.
    ConnectFailed(LinkId, ConnectError),
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
    Account {
        /// As read.
        read: Box<AccountRead>,
        /// Session time before it was asked for.
        asked_ns: Nanos,
        /// Number of the read.
        number: u64,
    },
    /// An order and its trades.
    Order {
        /// What the venue knows.
        read: OrderRead,
        /// How it was asked.
        name: OrderName,
        /// Session time before it was asked.
        asked_ns: Nanos,
    },
    /// A stop, and the session time before it was asked about.
    Stop(StopReportRecord, Nanos),
    /// The rules of the instruments.
    Definitions(Vec<InstrumentDefinition>),
    /// The venue waits again.
    CountingDown,
    /// Carried out, nothing to tell.
    Nothing,
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

impl Job {
    /// Who does it: what takes risk away has workers of its own, so that no slow reading is ahead of it, and the
    /// countdown, which asks for every instrument in turn, is ahead of no cancel.
    const fn bench(&self) -> usize {
        match self {
            Self::Cancel { .. } => CANCELS,
            Self::CountDown => COUNTDOWN,
            _ => ORDINARY,
        }
    }
}

const ORDINARY: usize = 0;
const CANCELS: usize = 1;
const COUNTDOWN: usize = 2;
/// Names and numbers of the workers.
const WORKERS: [(&str, usize); 3] = [("worker", 3), ("cancels", 2), ("countdown", 1)];

/// The way to the workers.
#[derive(Clone)]
pub struct Bench([Sender<Job>; WORKERS.len()]);

impl Bench {
    /// Hands a job to whoever does its kind.
    pub fn send(&self, job: Job) {
        // Workers live until the session ends; a closed channel means that it has.
        let _ = self.0[job.bench()].send(job);
    }
}

/// Workers at work.
pub struct Crew {
    bench: Bench,
    threads: Vec<Vec<JoinHandle<()>>>,
}

impl Crew {
    /// The way to them.
    pub fn bench(&self) -> Bench {
        self.bench.clone()
    }

    /// Ends them, and waits a while for what takes risk away; readings end with the process.
    pub fn quit(self) {
        for (sender, threads) in self.bench.0.iter().zip(&self.threads) {
            threads.iter().for_each(|_| drop(sender.send(Job::Quit)));
        }
        let deadline = Instant::now() + QUIT_PATIENCE;
        let urgent = || self.threads[CANCELS..].iter().flatten();
        while !urgent().all(JoinHandle::is_finished) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Workshop {
    /// The venue's time now, in unix milliseconds.
    pub fn venue_ms(&self) -> u64 {
        (self.venue_epoch_ns.load(Ordering::Relaxed) + self.clock.now()) / 1_000_000
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub fn start(self: &Arc<Self>, done: &Sender<Done>) -> std::io::Result<Crew> {
        let channels = WORKERS.map(|_| crossbeam::channel::unbounded());
        let hired: std::io::Result<Vec<_>> = WORKERS
            .iter()
            .zip(&channels)
            .map(|((name, count), (_, taken))| self.hire(name, *count, taken, done))
            .collect();
        Ok(Crew { threads: hired?, bench: Bench(channels.map(|(sender, _)| sender)) })
    }

    fn hire(
        self: &Arc<Self>,
        name: &str,
        count: usize,
        jobs: &Receiver<Job>,
        done: &Sender<Done>,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        let spawn = |i| {
            let (shop, jobs, done) = (Arc::clone(self), jobs.clone(), done.clone());
            std::thread::Builder::new().name(format!("session-{name}-{i}")).spawn(move || {
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
            Job::Connect(id) => {
                return match self.connect(*id) {
                    Ok(established) => Done::Connected(*id, established),
                    Err(e) => Done::ConnectFailed(*id, e),
                };
            }
            Job::Snapshot { instrument } => self.snapshot(*instrument),
            Job::Time => self.time(),
            Job::Definitions => {
                let symbols: Vec<&str> = self.definitions.iter().map(|d| d.symbol.as_str()).collect();
                self.rest.definitions(&symbols).map(Done::Definitions)
            }
            Job::Account { from, with_orders, number } => {
                let asked_ns = self.clock.now();
                let read = self.reader(&|| self.venue_ms()).read(from, *with_orders);
                read.map(|read| Done::Account { read: Box::new(read), asked_ns, number: *number })
            }
            Job::Order { instrument, name } => {
                let asked_ns = self.clock.now();
                let read = self.reader(&|| self.venue_ms()).order(*instrument, name);
                read.map(|read| Done::Order { read, name: *name, asked_ns })
            }
            Job::Stop { instrument, client_order_id } => {
                let asked_ns = self.clock.now();
                let read = self.reader(&|| self.venue_ms()).stop(*instrument, client_order_id);
                read.map(|report| Done::Stop(report, asked_ns))
            }
            Job::Cancel { instrument, name } => {
                let definition = &self.definitions[*instrument as usize];
                self.rest.cancel(definition, name, self.venue_ms()).map(|()| Done::Nothing)
            }
            Job::CountDown => self.count_down(self.config.venue.countdown_ms).map(|()| Done::CountingDown),
            Job::KeepListenKey | Job::Quit => self.rest.keep_listen_key().map(|()| Done::Nothing),
        };
        outcome.unwrap_or_else(|e| Done::Failed(job, e))
    }

    /// Lets the venue cancel every order of every instrument after `ms` milliseconds; 0 stops the countdown.
    ///
    /// # Errors
    ///
    /// [`RestError`] of the first instrument that failed.
    pub fn count_down(&self, ms: u64) -> Result<(), RestError> {
        let each =
            self.definitions.iter().map(|d| self.rest.count_down(d.symbol.as_str(), ms, self.venue_ms()));
        // One that fails keeps no other from being refreshed.
        each.collect::<Vec<_>>().into_iter().collect()
    }

    fn connect(&self, id: LinkId) -> Result<Established, ConnectError> {
        let (venue, host) = (&self.config.venue, &self.config.host);
        let frame_bytes = venue.frame_bytes_max;
        let caps = Caps { frame_bytes, message_bytes: 4 * frame_bytes, utf8: Utf8::Checked };
        // The feed's decoder takes nothing but UTF-8 anyway.
        let feed_caps = Caps { utf8: Utf8::LeftToReader, ..caps };
        match id.kind {
            LinkKind::Books => {
                let base = line_url(&venue.public_url, id.line, |line| &line.public_url, venue);
                let url = format!("{base}/stream?streams={}", self.book_streams());
                connect(&url, &self.roots, feed_caps, host, None)
            }
            LinkKind::Market => {
                let names = streams(&self.definitions, MARKET_STREAMS);
                let base = line_url(&venue.market_url, id.line, |line| &line.market_url, venue);
                let url = format!("{base}/stream?streams={names}");
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

    fn reader<'a>(&'a self, venue_ms: &'a dyn Fn() -> u64) -> AccountReader<'a> {
        AccountReader { rest: &self.rest, definitions: &self.definitions, venue_ms }
    }
}

/// Address of a line's streams; further lines share the first one's unless they have their own.
fn line_url<'a>(first: &'a str, line: usize, own: fn(&Line) -> &str, venue: &'a Venue) -> &'a str {
    let further = line.checked_sub(1).and_then(|at| venue.line.get(at)).map(own);
    further.filter(|url| !url.is_empty()).unwrap_or(first)
}
