//! The event loop: accepts clients, answers them, and sends market data at its pace.

use super::{
    Speed, VenueOptions,
    binance::{ClientRole, Exchange, HttpAnswer, Reply},
    connection::{Client, Incoming, Stream},
    faults::{FaultCounts, FaultInjector},
    pace::Pace,
    tls::server_config,
};
use crate::capture::{MarketLine, MarketSource};
use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use std::{
    collections::BTreeMap,
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

/// What a simulator did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerReport {
    /// Market lines read, snapshots included.
    pub lines: u64,
    /// Damage done.
    pub faults: FaultCounts,
    /// The market came to its end.
    pub is_finished: bool,
}

/// The simulator.
pub struct Server {
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    clients: BTreeMap<usize, Client>,
    next_token: usize,
    exchange: Exchange,
    options: VenueOptions,
    source: Box<dyn MarketSource>,
    next: Option<MarketLine>,
    pace: Pace,
    injector: FaultInjector,
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
            injector: FaultInjector::new(options.faults),
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
            if self.exchange.has_output() {
                self.deliver();
            }
            let wait = self.send_market()?;
            self.flush_all();
            match self.poll.poll(&mut events, Some(wait.min(TICK))) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e).context("venue simulator: poll"),
            }
            let ready: Vec<Token> = events.iter().map(mio::event::Event::token).collect();
            for token in ready {
                if token == LISTENER { self.accept() } else { self.serve(token.0) }
            }
        }
        self.report.faults = self.injector.counts;
        Ok(self.report)
    }

    fn accept(&mut self) {
        while let Ok((tcp, _)) = self.listener.accept() {
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
    fn serve(&mut self, token: usize) {
        while let Some(client) = self.clients.get_mut(&token) {
            match client.read() {
                Incoming::Nothing => break,
                Incoming::Gone => self.drop_client(token),
                Incoming::Http(request) => {
                    match self.exchange.on_http(&request, token) {
                        Some(answer) => client.respond(&answer),
                        // Answered later, when its snapshot comes by.
                        None => break,
                    }
                    self.flush(token);
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
        let Some(client) = self.clients.get_mut(&token) else { return };
        let reply = self.exchange.on_text(&mut client.role, text);
        match reply {
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
    fn deliver(&mut self) {
        for event in self.exchange.take_events() {
            for client in self.clients.values_mut() {
                if let Some(text) = self.exchange.event_for(&client.role, &event) {
                    client.send(&text);
                }
            }
        }
        for (token, body) in self.exchange.take_answers() {
            if let Some(client) = self.clients.get_mut(&token) {
                client.respond(&HttpAnswer { status: 200, headers: Vec::new(), body });
            }
        }
        self.flush_all();
    }

    /// Sends the lines that are due, unless a client has not drained; returns how long to wait. The market starts
    /// with the first client that wants something of it, so that none misses its beginning.
    fn send_market(&mut self) -> Result<Duration> {
        self.has_started |= self.is_subscribed() || self.exchange.is_awaited();
        if !self.has_started {
            return Ok(TICK);
        }
        for _ in 0..BURST {
            let Some(line) = &self.next else { return Ok(TICK) };
            let wait = self.pace.wait(Instant::now(), line.time_ns);
            if wait > Duration::ZERO {
                return Ok(wait);
            }
            if self.options.speed == Speed::Max && !self.is_drained() {
                return Ok(Duration::from_millis(1));
            }
            self.send_next()?;
        }
        Ok(Duration::ZERO)
    }

    fn is_subscribed(&self) -> bool {
        self.clients.values().any(|client| {
            matches!(&client.role, ClientRole::Streams { route, streams, .. } if route == "public" && !streams.is_empty())
        })
    }

    fn send_next(&mut self) -> Result<()> {
        let Some(line) = self.next.take() else { return Ok(()) };
        self.next = self.source.next_line()?;
        if self.next.is_none() {
            self.on_market_end()?;
        }
        self.report.lines += 1;
        let extra = self.exchange.on_line(&line);
        let clients = &mut self.clients;
        if !line.is_snapshot() {
            self.injector.pass(line, &mut |line| broadcast(clients, &line));
        }
        for line in extra {
            broadcast(clients, &line);
        }
        if self.exchange.has_output() {
            self.deliver();
        }
        Ok(())
    }

    fn on_market_end(&mut self) -> Result<()> {
        if self.options.is_looped {
            self.source = self.options.market.open(now_ms())?;
            self.next = self.source.next_line()?;
            self.pace = Pace::new(self.options.speed);
        } else {
            self.report.is_finished = true;
        }
        Ok(())
    }

    /// Every client's bytes have reached its socket.
    fn is_drained(&mut self) -> bool {
        let tokens: Vec<usize> = self.clients.keys().copied().collect();
        tokens.into_iter().all(|token| self.flush(token))
    }

    fn flush_all(&mut self) {
        self.is_drained();
    }

    /// Flushes one client; false while bytes wait.
    fn flush(&mut self, token: usize) -> bool {
        let Some(client) = self.clients.get_mut(&token) else { return true };
        match client.flush() {
            Ok(is_drained) => is_drained,
            Err(()) => {
                self.drop_client(token);
                true
            }
        }
    }

    fn drop_client(&mut self, token: usize) {
        if let Some(mut client) = self.clients.remove(&token)
            && let Some(stream) = client.stream_mut()
        {
            let _ = self.poll.registry().deregister(stream.tcp_mut());
        }
    }
}

fn now_ms() -> u64 {
    unix_ns_now() / 1_000_000
}

/// Sends a frame to every client subscribed to its stream on the right route.
fn broadcast(clients: &mut BTreeMap<usize, Client>, line: &MarketLine) {
    let route = super::binance::route_of(&line.stream);
    for client in clients.values_mut() {
        let ClientRole::Streams { route: of, is_combined, streams } = &client.role else { continue };
        if of != route || !streams.contains(&line.stream) {
            continue;
        }
        if *is_combined {
            client.send(&line.text);
        } else {
            let data = line.text.split_once("\"data\":").map_or("", |(_, data)| data);
            client.send(data.strip_suffix('}').unwrap_or(data).trim_start());
        }
    }
}
