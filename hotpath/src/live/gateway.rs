//! The gateway under rings, lane, clock and private sockets.

use super::engine::MessageSink;
use crate::{
    message::{AccountMessage, Ask, EngineMessage, Outcome},
    net::{
        connection::{Connection, LinkError},
        silence::{Need, Silence},
        wait::Waiter,
    },
    port::Port,
    stage::{
        TIMER_NS,
        feed::{DeadLink, LinkNews, Links, NewLink},
        gateway::{Gateway, GatewayEvent, GatewayPort, Outgoing, connection},
    },
    venue::{KEY_EXPIRED, REQUEST_BYTES_MAX, Secret, is_secret, sign_request},
};
use rtrb::{Consumer, Producer};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tickpath_shared::{
    Nanos,
    clock::Clock,
    command::CommandFile,
    counters::{Counter, Stage},
    journal::{LaneShared, LaneWriter, Pressure},
    record::{
        Cause, Class, FrameMeta, KillRecord, Kind, LinkRecord, OrderWrittenRecord, PressureRecord,
        StateReason,
    },
    status::{InstrumentWord, Progress, Status},
    types::ClientOrderId,
};
use zerocopy::IntoBytes;

/// Turns of a thread that receives market data too in which every private socket is looked at once.
const TURNS: usize = 4;

const _: () = assert!(TURNS >= connection::COUNT);

/// Signs requests when the session is not logged on.
pub struct OrderSigner {
    /// API key.
    pub api_key: String,
    /// Shared secret.
    pub secret: Secret,
}

/// Rings and channels of a gateway.
pub struct GatewayLinks {
    /// Sockets from and to the session thread.
    pub links: Links,
    /// Records of the session thread.
    pub account: Consumer<AccountMessage>,
    /// To the engine.
    pub outcomes: Producer<Outcome>,
    /// To the session thread.
    pub asks: Producer<Ask>,
}

/// What a gateway is made of besides its core.
pub struct GatewayParts {
    /// Its lane.
    pub lane: LaneWriter,
    /// Status file.
    pub status: Arc<Status>,
    /// Session clock.
    pub clock: Clock,
    /// Command file, for the kill word.
    pub command: Arc<CommandFile>,
    /// Every lane, for the pressure.
    pub lanes: Vec<Arc<LaneShared>>,
    /// Set by the session thread when a journal file was tampered with.
    pub is_tampered: Arc<AtomicBool>,
    /// `None` when the order session is logged on.
    pub signer: Option<OrderSigner>,
    /// Largest frame of a private socket.
    pub frame_bytes_max: usize,
    /// How long a private socket may be silent, pings answered; 0 for ever.
    pub silence_ns: Nanos,
}

/// The gateway stage.
pub struct GatewayStage {
    core: Gateway,
    io: Io,
    connections: [Option<Box<Connection>>; connection::COUNT],
    silence: [Silence; connection::COUNT],
    silence_ns: Nanos,
    links: Links,
    account: Consumer<AccountMessage>,
    command: Arc<CommandFile>,
    lanes: Vec<Arc<LaneShared>>,
    is_tampered: Arc<AtomicBool>,
    kill_word: u64,
    pressure: Pressure,
    next_timer_ns: Nanos,
    is_halted_for_tampering: bool,
    has_backlog: bool,
    turn: usize,
    /// Turns in which every private socket is looked at once.
    turns: usize,
    /// The last turn found something on a private socket: more of it may be there.
    is_busy: bool,
    /// The frame in hand, copied out of its connection.
    frame: Vec<u8>,
}

struct Io {
    lane: LaneWriter,
    status: Arc<Status>,
    clock: Clock,
    outcomes: Producer<Outcome>,
    asks: Producer<Ask>,
    signer: Option<OrderSigner>,
    signed: Vec<u8>,
    /// The order socket, while the core may write to it.
    orders: Option<Box<Connection>>,
    /// A write failed: the socket is over.
    write_error: Option<LinkError>,
    risk_passed_ns: Nanos,
    encoded_ns: Nanos,
    is_outcome_lost: bool,
}

impl GatewayStage {
    /// The stage around a core. Its lane starts with the definitions, so that it can be read alone.
    pub fn new(core: Gateway, mut parts: GatewayParts, rings: GatewayLinks) -> Self {
        let now = parts.clock.now();
        for definition in core.definitions() {
            let _ =
                parts.lane.append(Kind::Definition, Class::Audit, now, Cause::NONE, &[definition.as_bytes()]);
        }
        let io = Io {
            lane: parts.lane,
            status: parts.status,
            clock: parts.clock,
            outcomes: rings.outcomes,
            asks: rings.asks,
            signer: parts.signer,
            signed: Vec::with_capacity(REQUEST_BYTES_MAX),
            orders: None,
            write_error: None,
            risk_passed_ns: 0,
            encoded_ns: 0,
            is_outcome_lost: false,
        };
        Self {
            core,
            io,
            connections: [None, None],
            silence: [Silence::default(); connection::COUNT],
            silence_ns: parts.silence_ns,
            links: rings.links,
            account: rings.account,
            command: parts.command,
            lanes: parts.lanes,
            is_tampered: parts.is_tampered,
            kill_word: 0,
            pressure: Pressure::Low,
            next_timer_ns: 0,
            is_halted_for_tampering: false,
            has_backlog: false,
            turn: 0,
            turns: 1,
            is_busy: false,
            frame: Vec::with_capacity(parts.frame_bytes_max),
        }
    }

    /// The thread receives market data too, whose reads are not to wait for looks at private sockets.
    pub(crate) fn share_thread_with_feed(&mut self) {
        self.turns = TURNS;
    }

    /// One turn at about `now` over everything but a fused engine's messages; returns how much was handled.
    pub fn poll(
        &mut self,
        now: Nanos,
        messages: Option<&mut Consumer<EngineMessage>>,
        waiter: &mut Waiter,
    ) -> usize {
        self.io.status.progress(Progress::Gateway, now);
        self.check_kill();
        self.take_links(waiter);
        let mut handled = 0;
        while let Ok(message) = self.account.pop() {
            handled += 1;
            self.consume(self.io.clock.now(), message.cause, GatewayEvent::Account(&message));
        }
        handled += self.poll_connections();
        if let Some(messages) = messages {
            while let Ok(message) = messages.pop() {
                handled += 1;
                self.on_message(self.io.clock.now(), &message);
            }
        }
        if now >= self.next_timer_ns {
            self.next_timer_ns = now + TIMER_NS;
            self.on_timer();
        }
        handled
    }

    /// Looks at the private sockets: all of them, or on a thread that receives market data too each in its turn, until
    /// one has something. An empty look is a system call that a tick would have to wait for.
    fn poll_connections(&mut self) -> usize {
        let was_backlog = std::mem::take(&mut self.has_backlog);
        self.turn = self.turn.wrapping_add(1);
        let due = self.turn % self.turns;
        let mut handled = 0;
        for index in 0..connection::COUNT {
            if was_backlog || self.is_busy || due == index % self.turns {
                handled += self.poll_connection(index, was_backlog);
            }
        }
        self.is_busy = handled > 0;
        handled
    }

    /// Takes one message of the engine, from the ring or straight from a fused engine. The kill word is
    /// looked at before every one, since it may become an order.
    #[inline]
    fn on_message(&mut self, now: Nanos, message: &EngineMessage) {
        self.check_kill();
        let cause = Cause::new(crate::pipeline::lane::ENGINE, message.number);
        self.consume(now, cause, GatewayEvent::Engine(message));
    }

    #[inline]
    fn consume(&mut self, now: Nanos, cause: Cause, event: GatewayEvent<'_>) {
        // Failing is as with `record`.
        let _ = self.io.lane.append(Kind::Consumed, Class::Audit, now, cause, &[]);
        self.deliver(now, cause, event);
    }

    fn record(&mut self, kind: Kind, now: Nanos, cause: Cause, parts: &[&[u8]]) -> Cause {
        // Exhaustion shows as pressure at the next timer, and halts.
        let sequence = self.io.lane.append(kind, Class::Audit, now, cause, parts);
        Cause::new(self.io.lane.lane(), sequence.unwrap_or(0))
    }

    fn deliver(&mut self, now: Nanos, cause: Cause, event: GatewayEvent<'_>) {
        self.react(|core, io| core.on_event(now, cause, event, io));
        if std::mem::take(&mut self.io.is_outcome_lost) {
            self.halt(StateReason::OutcomesLost);
        }
    }

    fn halt(&mut self, reason: StateReason) {
        let now = self.io.clock.now();
        self.react(|core, io| core.halt(now, reason, io));
    }

    /// Lends the order socket for the time of a reaction: a write may be part of any.
    #[inline(always)]
    fn react(&mut self, reaction: impl FnOnce(&mut Gateway, &mut Io)) {
        self.io.orders = self.connections[usize::from(connection::ORDERS)].take();
        reaction(&mut self.core, &mut self.io);
        self.connections[usize::from(connection::ORDERS)] = self.io.orders.take();
        if let Some(error) = self.io.write_error.take() {
            self.drop_link(usize::from(connection::ORDERS), error);
        }
    }

    #[inline]
    fn check_kill(&mut self) {
        let word = self.command.kill_word();
        if word != self.kill_word {
            self.on_kill_word(self.io.clock.now(), word);
        }
    }

    #[cold]
    fn on_kill_word(&mut self, seen_ns: Nanos, word: u64) {
        let is_edge = (word != 0) != (self.kill_word != 0);
        self.kill_word = word;
        self.io.status.set_kill_seen(if word == 0 { 0 } else { seen_ns.max(1) });
        if !is_edge {
            return;
        }
        let record = KillRecord {
            stored_ns: self.io.clock.from_host_ns(word),
            seen_ns,
            is_set: u8::from(word != 0),
            reserved: [0; 7],
        };
        let cause = self.record(Kind::Kill, seen_ns, Cause::NONE, &[record.as_bytes()]);
        self.deliver(seen_ns, cause, GatewayEvent::Kill { is_set: word != 0 });
    }

    fn take_links(&mut self, waiter: &mut Waiter) {
        while let Ok(NewLink { index, connection, .. }) = self.links.incoming.pop() {
            waiter.watch(connection.fd());
            if let Some(old) = self.connections[index].replace(connection) {
                // Whatever it still brings comes on the new one too, or is asked about.
                let dead = DeadLink { index, connection: old, error: LinkError::Replaced };
                let _ = self.links.outgoing.push(LinkNews::Dead(dead));
            }
            self.silence[index] = Silence::new(self.silence_ns, self.io.clock.now());
            self.has_backlog = true;
            self.on_link(index, true);
        }
    }

    fn on_link(&mut self, index: usize, is_up: bool) {
        let now = self.io.clock.now();
        let record = LinkRecord { connection: index as u16, is_up: is_up.into(), reserved: [0; 5] };
        let cause = self.record(Kind::Link, now, Cause::NONE, &[record.as_bytes()]);
        self.deliver(now, cause, GatewayEvent::Link { connection: index as u16, is_up });
    }

    fn poll_connection(&mut self, index: usize, was_backlog: bool) -> usize {
        let Some(connection) = &mut self.connections[index] else { return 0 };
        match connection.receive() {
            Ok(false) if !was_backlog => 0,
            Ok(is_heard) => {
                if is_heard {
                    self.silence[index].heard(self.io.clock.now());
                }
                self.drain(index)
            }
            Err(error) => {
                self.drop_link(index, error);
                1
            }
        }
    }

    /// Takes every whole frame of a connection, which may end under us: reactions write to it.
    fn drain(&mut self, index: usize) -> usize {
        let read_ns = self.io.clock.now();
        let mut handled = 0;
        while let Some(connection) = &mut self.connections[index] {
            match connection.next_text() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    self.frame.clear();
                    self.frame.extend_from_slice(frame.as_bytes());
                }
                Err(error) => {
                    self.drop_link(index, error);
                    break;
                }
            }
            handled += 1;
            self.on_private(index, read_ns);
        }
        handled
    }

    fn on_private(&mut self, index: usize, read_ns: Nanos) {
        let frame = std::mem::take(&mut self.frame);
        let meta = FrameMeta { read_ns, connection: index as u16, reserved: [0; 3] };
        // A frame that names a secret is journalled as the event it is, not as its text.
        let text: &[u8] = if is_secret(&frame) { KEY_EXPIRED } else { &frame };
        let cause = self.record(Kind::PrivateFrame, read_ns, Cause::NONE, &[meta.as_bytes(), text]);
        self.deliver(read_ns, cause, GatewayEvent::Private { connection: index as u16, frame: text });
        self.frame = frame;
    }

    /// Asks silent private sockets for a sign of life, and ends those that give none.
    fn watch_silence(&mut self, now: Nanos) {
        for index in 0..connection::COUNT {
            let Some(connection) = &mut self.connections[index] else { continue };
            let result = match self.silence[index].need(now) {
                Need::Nothing => Ok(()),
                Need::Probe => connection.send_ping(),
                Need::End => Err(LinkError::Silent),
            };
            if let Err(error) = result {
                self.drop_link(index, error);
            }
        }
    }

    fn on_timer(&mut self) {
        let now = self.io.clock.now();
        self.watch_silence(now);
        self.io.lane.report(&self.io.status);
        self.check_pressure(now);
        if self.is_tampered.load(Ordering::Relaxed) && !self.is_halted_for_tampering {
            self.is_halted_for_tampering = true;
            self.halt(StateReason::Tampering);
        }
        let cause = self.record(Kind::Timer, now, Cause::NONE, &[]);
        self.deliver(now, cause, GatewayEvent::Timer);
    }

    fn check_pressure(&mut self, now: Nanos) {
        let others = self.lanes.iter().map(|lane| lane.pressure()).max().unwrap_or(Pressure::Low);
        let level = others.max(self.io.lane.pressure());
        if level != self.pressure {
            self.pressure = level;
            let record = PressureRecord { level: level as u8, reserved: [0; 7] };
            let cause = self.record(Kind::Pressure, now, Cause::NONE, &[record.as_bytes()]);
            self.deliver(now, cause, GatewayEvent::Pressure(level));
        }
    }

    fn drop_link(&mut self, index: usize, error: LinkError) {
        let Some(connection) = self.connections[index].take() else { return };
        // A full ring would need more dead connections than the session thread ever made.
        let _ = self.links.outgoing.push(LinkNews::Dead(DeadLink { index, connection, error }));
        self.on_link(index, false);
    }
}

impl MessageSink for GatewayStage {
    fn send(&mut self, message: &EngineMessage) -> bool {
        // Decided a moment ago on this very thread: that is the time.
        self.on_message(message.decided_ns, message);
        true
    }
}

impl Port for Io {
    #[inline(always)]
    fn record(&mut self, kind: Kind, class: Class, now: Nanos, cause: Cause, parts: &[&[u8]]) {
        let _ = self.lane.append(kind, class, now, cause, parts);
    }

    fn count(&mut self, counter: Counter, by: u64) {
        self.status.add(counter, by);
    }
}

impl GatewayPort for Io {
    fn send(&mut self, now: Nanos, request: &Outgoing<'_>) {
        let text = match &self.signer {
            None => request.text,
            Some(signer) => {
                sign_request(request.text, &signer.api_key, &signer.secret, &mut self.signed);
                self.encoded_ns = self.clock.now();
                &self.signed
            }
        };
        let encoded_ns = self.encoded_ns;
        let result = match &mut self.orders {
            Some(connection) => connection.send_text(text),
            None => return,
        };
        let returned_ns = self.clock.now();
        if let Err(error) = result {
            self.write_error = Some(error);
        }
        if request.is_order {
            self.stamp(now, request, encoded_ns, returned_ns);
        }
        self.record_written(request.client_order_id, request.read_ns, encoded_ns, returned_ns);
    }

    fn tell(&mut self, outcome: Outcome) {
        if self.outcomes.push(outcome).is_err() {
            self.status.add(Counter::OutcomesRingFull, 1);
            self.is_outcome_lost = true;
        }
    }

    fn ask(&mut self, ask: Ask) {
        // A full ring: whatever still matters is asked again by a timer.
        let _ = self.asks.push(ask);
    }

    fn on_booked(&mut self, reading: Cause) {
        self.ask(Ask::Booked { reading, position: self.lane.position() });
    }

    #[inline(always)]
    fn on_risk_passed(&mut self) {
        self.risk_passed_ns = self.clock.now();
    }

    #[inline(always)]
    fn on_encoded(&mut self) {
        // What is to be signed is not ready yet.
        if self.signer.is_none() {
            self.encoded_ns = self.clock.now();
        }
    }

    fn on_gauges(&mut self, gateway: &Gateway) {
        self.status.set_trading_state(gateway.state());
        self.status.set_reconciled(gateway.is_reconciled());
        let links = gateway.links();
        self.status.set_links(u64::from(links[0]) | u64::from(links[1]) << 1);
        for definition in gateway.definitions() {
            let (index, position) = (definition.instrument, gateway.positions().get(definition.instrument));
            let put = |word, value| self.status.set_instrument(index, word, value);
            put(InstrumentWord::Position, position.qty);
            put(InstrumentWord::EntryPriceE8, position.entry_price_e8(definition));
            put(InstrumentWord::RealizedE8, position.realized_e8 as i64);
            put(InstrumentWord::FeesE8, position.fees_e8 as i64);
            put(InstrumentWord::OpenOrders, gateway.orders().open_of(index) as i64);
            put(InstrumentWord::MarkPrice, gateway.marks()[index as usize].price_e8);
        }
    }

    fn on_open_orders(&mut self, instrument: u32, open: usize) {
        self.status.set_instrument(instrument, InstrumentWord::OpenOrders, open as i64);
    }

    fn on_order_event(&mut self, placed_ns: Nanos, is_fill: bool, now: Nanos) {
        let stage = if is_fill { Stage::OrderToFill } else { Stage::OrderToAck };
        self.status.histogram(stage).record(now.saturating_sub(placed_ns));
    }
}

impl Io {
    fn stamp(&self, now: Nanos, request: &Outgoing<'_>, encoded_ns: Nanos, returned_ns: Nanos) {
        let record = |stage, from: Nanos, to: Nanos| {
            if from != 0 {
                self.status.histogram(stage).record(to.saturating_sub(from));
            }
        };
        record(Stage::Risk, request.decided_ns, self.risk_passed_ns.max(now));
        record(Stage::Encode, self.risk_passed_ns, encoded_ns);
        record(Stage::Write, encoded_ns, returned_ns);
        record(Stage::TickToTrade, request.read_ns, returned_ns);
    }

    fn record_written(&mut self, id: ClientOrderId, read_ns: Nanos, begun_ns: Nanos, returned_ns: Nanos) {
        let record = OrderWrittenRecord { client_order_id: id, begun_ns, returned_ns, read_ns };
        let _ = self.lane.append(
            Kind::OrderWritten,
            Class::Audit,
            returned_ns,
            Cause::NONE,
            &[record.as_bytes()],
        );
    }
}
