//! The event loop: accepts clients, answers them, and sends market data at its pace.

use super::{
    Channel, Market, Speed, VenueOptions,
    binance::{ClientRole, Exchange, HttpAnswer, Reply},
    connection::{Client, Incoming, Stream},
    faults::FaultKind,
    network::Parcel,
    pace::Pace,
    plan::FaultPlan,
    tls::server_config,
};
use crate::capture::{MarketLine, MarketSource};
use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tickpath_shared::clock::unix_ns_now;

const LISTENER: Token = Token(0);
/// Market lines sent between two looks at the clients.
const BURST: usize = 64;
/// Longest sleep: a stop request is seen that fast.
const TICK: Duration = Duration::from_millis(20);
/// Sleep between two looks at lines that come while they happen.
const LIVE_TICK: Duration = Duration::from_millis(1);

/// What a simulator did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerReport {
    /// Market lines read, snapshots included.
    pub lines: u64,
    /// What went wrong, and how often.
    pub faults: BTreeMap<FaultKind, u64>,
    /// The market came to its end.
    pub is_finished: bool,
}

/// The simulator.
pub struct Server {
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) clients: BTreeMap<usize, Client>,
    next_token: usize,
    pub(super) exchange: Exchange,
    options: VenueOptions,
    source: Box<dyn MarketSource>,
    next: Option<MarketLine>,
    pace: Pace,
    pub(super) plan: FaultPlan<Parcel>,
    pub(super) began: Instant,
    /// Channels whose connections are neither read nor written.
    pub(super) frozen: BTreeSet<Channel>,
    /// Clients that are told that the venue closes: when it does, plan's time.
    pub(super) closing: Vec<(u64, usize)>,
    has_started: bool,
    report: ServerReport,
}

impl Server {
    /// Binds and opens the market data, but sends nothing before clients are subscribed.
    ///
    /// # Errors
    ///
    /// A port in use, a missing capture, unusable TLS files.
    pub fn new(options: VenueOptions) -> Result<Self> {
        let listen = options.listen;
        let mut listener =
            TcpListener::bind(listen).with_context(|| format!("venue simulator: listen on {listen}"))?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let tls = options.tls.as_ref().map(server_config).transpose()?;
        let mut source = options.market.open(now_ms())?;
        let next = source.next_line()?;
        Ok(Self {
            poll,
            listener,
            address,
            tls,
            clients: BTreeMap::new(),
            next_token: 1,
            exchange: Exchange::new(&options.keys, options.limits, options.account, now_ms()),
            pace: Pace::new(options.speed),
            plan: FaultPlan::new(options.faults.clone(), 0),
            began: Instant::now(),
            frozen: BTreeSet::new(),
            closing: Vec::new(),
            options,
            source,
            next,
            has_started: false,
            report: ServerReport::default(),
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `is_stop`, which is told whether the market has come to its end.
    ///
    /// # Errors
    ///
    /// A corrupt line of a capture, or a failing poll.
    pub fn run_with(&mut self, mut is_stop: impl FnMut(bool) -> bool) -> Result<ServerReport> {
        let mut events = Events::with_capacity(256);
        while !is_stop(self.report.is_finished && self.is_drained()) {
            self.exchange.advance(now_ms());
            self.apply_faults();
            if self.exchange.has_output() {
                self.deliver();
            }
            let wait = self.send_market()?.min(self.plan_wait());
            self.flush_all();
            match self.poll.poll(&mut events, Some(wait.min(TICK))) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e).context("venue simulator: poll"),
            }
            let ready: Vec<Token> = events.iter().map(mio::event::Event::token).collect();
            for token in ready {
                if token == LISTENER { self.accept() } else { self.serve(token.0) }
            }
        }
        for (fault, count) in self.plan.counts() {
            *self.report.faults.entry(fault.kind).or_default() += count;
        }
        Ok(self.report.clone())
    }

    fn accept(&mut self) {
        loop {
            let tcp = match self.listener.accept() {
                Ok((tcp, _)) => tcp,
                // One that was gone before it was taken says nothing of those behind it, of which nobody tells again.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(_) => return,
            };
            let Ok(stream) = Stream::new(tcp, self.tls.as_ref()) else { continue };
            let token = self.next_token;
            self.next_token += 1;
            let mut client = Client::new(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let is_registered = client.stream_mut().is_some_and(|stream| {
                self.poll.registry().register(stream.tcp_mut(), Token(token), interest).is_ok()
            });
            if is_registered {
                self.clients.insert(token, client);
                self.serve(token);
            }
        }
    }

    /// Takes everything a client has sent.
    pub(super) fn serve(&mut self, token: usize) {
        while let Some(client) = self.clients.get_mut(&token) {
            if client.is_frozen() {
                return;
            }
            match client.read() {
                Incoming::Nothing => break,
                Incoming::Gone => self.drop_client(token),
                Incoming::Http(request) => {
                    self.on_request(token, &request);
                    break;
                }
                Incoming::Upgrade(target) => self.on_upgrade(token, &target),
                Incoming::Text(text) if text.is_empty() => {}
                Incoming::Text(text) => self.on_text(token, &text),
            }
        }
        self.deliver();
    }

    fn on_upgrade(&mut self, token: usize, target: &str) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        match self.exchange.role_of(target) {
            Some(role) => {
                if client.upgrade(role).is_err() {
                    self.drop_client(token);
                }
            }
            None => {
                client.respond(&HttpAnswer { status: 404, headers: Vec::new(), body: "{}".into() });
                self.flush(token);
            }
        }
        self.note_wanted();
    }

    /// Tells the exchange which streams have subscribers.
    fn note_wanted(&mut self) {
        let streams = self.clients.values().filter_map(|client| match &client.role {
            ClientRole::Streams { streams, .. } => Some(streams),
            _ => None,
        });
        self.exchange.set_wanted(streams.flatten().cloned().collect());
    }

    fn on_text(&mut self, token: usize, text: &str) {
        if self.is_answered_instead(token, text) {
            return;
        }
        let Some(client) = self.clients.get_mut(&token) else { return };
        let reply = self.exchange.on_text(&mut client.role, text);
        match reply {
            Reply::Text(answer) if matches!(client.role, ClientRole::Api(_)) => {
                self.send(Channel::Orders, Parcel::Reply(token, answer));
            }
            Reply::Text(answer) => {
                client.send(&answer);
            }
            Reply::Close(answer) => {
                client.send(&answer);
                self.flush(token);
                self.drop_client(token);
            }
        }
        self.note_wanted();
        self.deliver();
    }

    /// Sends account events to everybody who listens, and answers to those who waited.
    pub(super) fn deliver(&mut self) {
        for event in self.exchange.take_events() {
            self.send(Channel::Account, Parcel::Event(event));
        }
        for (token, body) in self.exchange.take_answers() {
            let answer = HttpAnswer { status: 200, headers: Vec::new(), body };
            self.send(Channel::Rest, Parcel::Answer(token, answer));
        }
        self.flush_all();
    }

    /// Sends the lines that are due, at full speed once every client has taken those before; returns how long to wait. The
    /// market starts with the first client that wants something of it, so that none misses its beginning.
    fn send_market(&mut self) -> Result<Duration> {
        if !self.has_started && !self.source.is_live() {
            if !self.is_subscribed() && !self.exchange.is_awaited() {
                return Ok(TICK);
            }
            self.has_started = true;
            if matches!(self.options.market, Market::Synthetic { .. }) {
                // Its clock starts with its market: what it says happens now happens now.
                self.restart_market()?;
            }
        }
        let is_fastest = self.options.speed == Speed::Max;
        if is_fastest && self.clients.values().any(Client::is_behind) {
            return Ok(TICK);
        }
        for _ in 0..BURST {
            if self.next.is_none() && self.source.is_live() {
                self.next = self.source.next_line()?;
            }
            let Some(line) = &self.next else { return Ok(self.no_line_wait()) };
            let is_live = self.source.is_live();
            let wait = if is_live { Duration::ZERO } else { self.pace.wait(Instant::now(), line.time_ns) };
            if wait > Duration::ZERO {
                return Ok(wait);
            }
            if is_fastest && !self.is_drained() {
                return Ok(Duration::from_millis(1));
            }
            self.send_next()?;
        }
        if is_fastest {
            self.ping_readers();
        }
        Ok(Duration::ZERO)
    }

    /// What a system buffers of small messages is many seconds of a market, of large ones none: without a word from its
    /// readers one connection would run ahead of another, as they do at no other pace.
    fn ping_readers(&mut self) {
        let readers = self.clients.values_mut().filter(|c| matches!(c.role, ClientRole::Streams { .. }));
        readers.for_each(Client::ping);
    }

    fn is_subscribed(&self) -> bool {
        self.clients.values().any(|client| {
            matches!(&client.role, ClientRole::Streams { route, streams, .. } if route == "public" && !streams.is_empty())
        })
    }

    fn send_next(&mut self) -> Result<()> {
        let Some(line) = self.next.take() else { return Ok(()) };
        self.next = self.source.next_line()?;
        if self.next.is_none() && !self.source.is_live() {
            self.on_market_end()?;
        }
        self.report.lines += 1;
        let extra = self.exchange.on_line(&line);
        let lines = std::iter::once(line).filter(|line| !line.is_snapshot()).chain(extra);
        for line in lines {
            let channel = Channel::of_route(super::binance::route_of(&line.stream));
            self.send(channel, Parcel::Line(line));
        }
        if self.exchange.has_output() {
            self.deliver();
        }
        Ok(())
    }

    /// Until there may be a line again.
    fn no_line_wait(&self) -> Duration {
        if self.source.is_live() { LIVE_TICK } else { TICK }
    }

    fn on_market_end(&mut self) -> Result<()> {
        if self.options.is_looped {
            self.restart_market()
        } else {
            self.report.is_finished = true;
            Ok(())
        }
    }

    fn restart_market(&mut self) -> Result<()> {
        self.source = self.options.market.open(now_ms())?;
        self.next = self.source.next_line()?;
        self.pace = Pace::new(self.options.speed);
        Ok(())
    }

    /// Every client's bytes have reached its socket.
    fn is_drained(&mut self) -> bool {
        let tokens: Vec<usize> = self.clients.keys().copied().collect();
        tokens.into_iter().all(|token| self.flush(token)) && !self.plan.is_delivering()
    }

    pub(super) fn flush_all(&mut self) {
        self.is_drained();
    }

    /// Flushes one client; false while bytes wait.
    pub(super) fn flush(&mut self, token: usize) -> bool {
        let Some(client) = self.clients.get_mut(&token) else { return true };
        if client.is_frozen() {
            return true;
        }
        match client.flush() {
            Ok(is_drained) => is_drained,
            Err(()) => {
                self.drop_client(token);
                true
            }
        }
    }

    pub(super) fn drop_client(&mut self, token: usize) {
        if let Some(mut client) = self.clients.remove(&token)
            && let Some(stream) = client.stream_mut()
        {
            let _ = self.poll.registry().deregister(stream.tcp_mut());
        }
    }
}

pub(super) fn now_ms() -> u64 {
    unix_ns_now() / 1_000_000
}
