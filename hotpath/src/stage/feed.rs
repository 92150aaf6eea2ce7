//! The feed: receives frames, journals them, decodes them in place and hands the events on.
//!
//! Book streams and other market streams each have one to four lines, connections to the same streams, and a spare
//! slot in which a connection is replaced before it ends. Updates that arrive on several are used once.

mod first;
pub mod lines;

use crate::{
    market::{Level, MarketHeader, MarketKind},
    net::connection::{Connection, LinkError},
    net::silence::{Need, Silence},
    net::wait::Waiter,
    venue::{DecodeError, Decoded, MarketDecoder},
    wire::{text::Text, ws::FrameError},
};
use first::FirstMessages;
use lines::{LINES_MAX, Lines, MARKET, SLOTS, Verdict};
use rtrb::{Consumer, Producer};
use std::sync::Arc;
use tickpath_shared::{
    Nanos,
    clock::Clock,
    config::Overload,
    counters::{Counter, Stage},
    journal::{LaneWriter, Pressure},
    record::{Cause, Class, FrameMeta, Kind, LinkRecord},
    status::{Progress, Status},
};
use zerocopy::IntoBytes;

/// Messages handled in one turn before others get theirs.
const BATCH_MAX: usize = 64;

/// Takes decoded events: a ring, or the engine itself when fused.
pub trait EventSink {
    /// Another thread takes the events: when they were decoded tells how long they are under way to it.
    const IS_APART: bool;
    /// True when the largest event fits.
    fn has_room(&self) -> bool;
    /// Takes an event whole, or returns false and takes nothing.
    fn push(&mut self, header: &MarketHeader, levels: &[Level]) -> bool;
}

/// A connection handed over by the session thread.
pub struct NewLink {
    /// Index of the connection within its stage.
    pub index: usize,
    /// Line that it is of, from 0.
    pub line: usize,
    /// The connection.
    pub connection: Box<Connection>,
    /// Index of the connection that it takes over from, which ends once this one misses nothing.
    pub replaces: Option<usize>,
}

/// A connection that is over, on its way back to be dropped by the session thread.
pub struct DeadLink {
    /// Index of the connection within its stage.
    pub index: usize,
    /// The connection.
    pub connection: Box<Connection>,
    /// Why it ended.
    pub error: LinkError,
}

/// What a hot stage tells of its connections.
pub enum LinkNews {
    /// One is over.
    Dead(DeadLink),
    /// The venue will close the one with this index.
    Closing(usize),
}

/// Channels of connections between a hot stage and the session thread.
pub struct Links {
    /// Connections to use.
    pub incoming: Consumer<NewLink>,
    /// What becomes of them.
    pub outgoing: Producer<LinkNews>,
}

/// How long connections may bring nothing, nanoseconds; 0 for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// Of book streams and of the others, at any time.
    pub silence_ns: [Nanos; 2],
    /// Of every stream, at its beginning.
    pub first_ns: Nanos,
}

/// The feed stage.
pub struct FeedStage {
    connections: [Option<Box<Connection>>; SLOTS],
    lines: Lines,
    /// Line of each slot.
    line_of: [usize; SLOTS],
    /// Streams of each slot that have brought something.
    first: [FirstMessages; SLOTS],
    /// A connection may owe something yet.
    is_owed: bool,
    /// Instruments for whose book streams, and other streams, a connection was ended already, a bit each.
    mute: [u32; 2],
    /// How long a stream may take to bring something.
    first_ns: Nanos,
    instruments: usize,
    /// By slot; pings do not count, a stream that is subscribed to in vain answers them too.
    silence: [Silence; SLOTS],
    /// Limits of books and of other streams.
    silence_ns: [Nanos; 2],
    links: Links,
    decoder: MarketDecoder,
    lane: LaneWriter,
    status: Arc<Status>,
    clock: Clock,
    overload: Overload,
    fallbacks: u64,
    next_report_ns: Nanos,
    next_silence_ns: Nanos,
    /// Connections whose buffer may hold whole frames: they are drained before more is received.
    has_backlog: [bool; SLOTS],
    /// The frame in hand is the first of its read, whose time is its own.
    is_first_of_read: bool,
}

/// How far ahead the lines' updates were of the next copy.
const LEADS: [Stage; LINES_MAX] = [Stage::LeadA, Stage::LeadB, Stage::LeadC, Stage::LeadD];

/// Session time between two publications of the lane's gauges.
const REPORT_NS: Nanos = 50_000_000;

impl FeedStage {
    /// A feed without connections.
    pub fn new(
        decoder: MarketDecoder,
        lane: LaneWriter,
        links: Links,
        status: Arc<Status>,
        clock: Clock,
        overload: Overload,
        patience: Patience,
    ) -> Self {
        Self {
            connections: [const { None }; SLOTS],
            lines: Lines::default(),
            line_of: [0; SLOTS],
            first: [FirstMessages::default(); SLOTS],
            is_owed: false,
            mute: [0; 2],
            first_ns: patience.first_ns,
            instruments: decoder.instruments(),
            silence: [Silence::default(); SLOTS],
            silence_ns: patience.silence_ns,
            links,
            decoder,
            lane,
            status,
            clock,
            overload,
            fallbacks: 0,
            next_report_ns: 0,
            next_silence_ns: 0,
            has_backlog: [false; SLOTS],
            is_first_of_read: false,
        }
    }

    /// One turn at about `now`; returns how many frames were handled.
    pub fn poll(&mut self, now: Nanos, sink: &mut impl EventSink, waiter: &mut Waiter) -> usize {
        self.status.progress(Progress::Feed, now);
        self.report(now);
        self.take_links(now, waiter);
        if self.must_stall(sink) {
            self.status.add(Counter::FeedStalls, 1);
            return 0;
        }
        let mut handled = 0;
        // From the last: a connection that ends leaves its place to one that was looked at.
        for at in (0..self.lines.active().len()).rev() {
            handled += self.poll_connection(now, self.lines.active()[at], sink);
        }
        // After the look: what came during a pause of ours was not silence.
        if now >= self.next_silence_ns {
            self.next_silence_ns = now + REPORT_NS;
            self.end_silent(now, sink);
        }
        handled
    }

    /// An offline run holds its source back instead of losing anything.
    fn must_stall(&self, sink: &impl EventSink) -> bool {
        self.overload == Overload::Stall && (self.lane.pressure() >= Pressure::NoNewRisk || !sink.has_room())
    }

    /// A stream of the connection owes its first message, and none was ended for it before: an instrument that does not
    /// trade is silent for good, and must not cost the others their books over and over.
    fn is_mute(&mut self, slot: usize, now: Nanos) -> bool {
        let overdue = self.first[slot].overdue(now, self.instruments);
        let known = &mut self.mute[usize::from(slot >= MARKET)];
        let is_new = overdue & !*known != 0;
        *known |= overdue;
        is_new
    }

    /// Ends connections that have been silent for too long.
    fn end_silent(&mut self, now: Nanos, sink: &mut impl EventSink) {
        self.is_owed = self.lines.active().iter().any(|slot| self.first[*slot].is_owing());
        for at in (0..self.lines.active().len()).rev() {
            let slot = self.lines.active()[at];
            let error = if self.silence[slot].need(now) == Need::End {
                LinkError::Silent
            } else if self.is_mute(slot, now) {
                LinkError::Mute
            } else {
                continue;
            };
            if let Some(connection) = self.connections[slot].take() {
                self.drop_link(slot, connection, error, sink);
            }
        }
    }

    fn report(&mut self, now: Nanos) {
        if now >= self.next_report_ns {
            self.next_report_ns = now + REPORT_NS;
            self.lane.report(&self.status);
            let fallbacks = self.decoder.fallbacks();
            self.status.add(Counter::FallbackFrames, fallbacks - self.fallbacks);
            self.fallbacks = fallbacks;
        }
    }

    fn take_links(&mut self, now: Nanos, waiter: &mut Waiter) {
        while let Ok(NewLink { index, line, connection, replaces }) = self.links.incoming.pop() {
            waiter.watch(connection.fd());
            self.lines.open(index, replaces, now);
            self.line_of[index] = line;
            self.first[index] = FirstMessages::new(self.first_ns, now);
            self.is_owed = self.first_ns != 0;
            self.silence[index] = Silence::new(self.silence_ns[usize::from(index >= MARKET)], now);
            self.connections[index] = Some(connection);
            self.has_backlog[index] = true;
            self.record_link(now, index, true);
        }
    }

    fn record_link(&mut self, now: Nanos, index: usize, is_up: bool) -> Cause {
        let record = LinkRecord { connection: index as u16, is_up: is_up.into(), reserved: [0; 5] };
        let sequence = self.lane.append(Kind::Link, Class::Audit, now, Cause::NONE, &[record.as_bytes()]);
        Cause::new(self.lane.lane(), sequence.unwrap_or(0))
    }

    fn poll_connection(&mut self, now: Nanos, index: usize, sink: &mut impl EventSink) -> usize {
        let Some(mut connection) = self.connections[index].take() else { return 0 };
        let is_waiting = std::mem::take(&mut self.has_backlog[index]);
        let received = if is_waiting { Ok(true) } else { connection.receive() };
        let result = match received {
            Ok(false) => Ok(0),
            Ok(true) => self.drain(index, &mut connection, sink),
            Err(e) => Err(e),
        };
        match result {
            Ok(handled) => {
                self.connections[index] = Some(connection);
                if handled > 0 {
                    self.silence[index].heard(now);
                    if self.lines.is_replacing(index) {
                        self.retire_replaced(index, sink);
                    }
                }
                handled
            }
            Err(error) => {
                self.drop_link(index, connection, error, sink);
                1
            }
        }
    }

    /// Ends the connection that a slot takes over from, once the slot misses nothing.
    fn retire_replaced(&mut self, slot: usize, sink: &mut impl EventSink) {
        if let Some(old) = self.lines.retire(slot, self.clock.now())
            && let Some(connection) = self.connections[old].take()
        {
            self.drop_link(old, connection, LinkError::Replaced, sink);
        }
    }

    fn drain(
        &mut self,
        index: usize,
        connection: &mut Connection,
        sink: &mut impl EventSink,
    ) -> Result<usize, LinkError> {
        let read_ns = self.clock.now();
        self.note_kernel(connection.take_stamp(), read_ns);
        let mut handled = 0;
        while handled < BATCH_MAX && !(handled > 0 && self.must_stall(sink)) {
            let Some(frame) = connection.next_text()? else { return Ok(handled) };
            self.is_first_of_read = handled == 0;
            handled += 1;
            let bytes = frame.len() as u64;
            let is_text = self.on_frame(index, read_ns, frame, sink);
            // After the order that the frame may have led to.
            self.status.add(Counter::Frames, 1);
            self.status.add(Counter::FrameBytes, bytes);
            if !is_text {
                return Err(connection.refuse(FrameError::Utf8));
            }
        }
        self.has_backlog[index] = true;
        Ok(handled)
    }

    /// How long the bytes waited in the kernel; stamps are of the wall clock, which runs as fast as ours.
    #[inline]
    fn note_kernel(&self, stamp_unix_ns: u64, read_ns: Nanos) {
        if stamp_unix_ns != 0 {
            let read_unix_ns = self.clock.start_unix_ns() + read_ns;
            self.status.histogram(Stage::Kernel).record(read_unix_ns.saturating_sub(stamp_unix_ns));
        }
    }

    /// Decodes the frame, hands the event on and journals the frame: its place in the lane is reserved first, its
    /// bytes follow in the same turn, after the order they may lead to. False when the text is no UTF-8, which
    /// ends a connection (RFC 6455, section 8.1); only what cannot be decoded has to be looked at for that.
    fn on_frame(&mut self, index: usize, read_ns: Nanos, text: Text<'_>, sink: &mut impl EventSink) -> bool {
        let frame = text.as_bytes();
        let decoded = if self.lines.is_merging(index) {
            let decoded = self.decoder.decode(text);
            if decoded == Ok(Decoded::Event) && !self.is_first(index, read_ns) {
                self.first[index].heard(self.decoder.header());
                return true;
            }
            Some(decoded)
        } else {
            None
        };
        let meta = FrameMeta { read_ns, connection: index as u16, reserved: [0; 3] };
        let payload_bytes = size_of::<FrameMeta>() + frame.len();
        // An input that cannot be journalled is not consumed: the next diff shows the gap.
        let Ok(reserved) = self.lane.reserve(Class::Input, read_ns, payload_bytes) else { return true };
        let cause = Cause::new(self.lane.lane(), reserved.sequence());
        let is_text = self.pass_on(index, read_ns, cause, text, decoded, sink);
        let parts = [meta.as_bytes(), frame];
        self.lane.fill(reserved, Kind::Frame, Class::Input, read_ns, Cause::NONE, &parts);
        is_text
    }

    /// The decoded event is the first copy of its update. What is not is not journalled either.
    #[cold]
    fn is_first(&mut self, slot: usize, read_ns: Nanos) -> bool {
        match self.lines.judge(slot, self.decoder.header(), read_ns) {
            Verdict::First => true,
            Verdict::Copy(lead) => {
                self.status.add(Counter::LineCopies, 1);
                if let Some((first, lead_ns)) = lead {
                    self.status.histogram(LEADS[self.line_of[first] % LINES_MAX]).record(lead_ns);
                }
                false
            }
            Verdict::Early => {
                self.status.add(Counter::LineEarly, 1);
                false
            }
        }
    }

    #[inline(always)]
    fn pass_on<S: EventSink>(
        &mut self,
        index: usize,
        read_ns: Nanos,
        cause: Cause,
        text: Text<'_>,
        decoded: Option<Result<Decoded, DecodeError>>,
        sink: &mut S,
    ) -> bool {
        let decoded = match decoded {
            Some(decoded) => decoded,
            None => self.decoder.decode(text),
        };
        match decoded {
            Ok(Decoded::Event) => {
                if self.is_owed {
                    self.first[index].heard(self.decoder.header());
                }
                let header = self.decoder.header_mut();
                header.cause = cause.0;
                header.read_ns = read_ns;
                let kind = header.market_kind();
                // A look at the clock waits for whatever is under way, which takes as long as decoding anything else. What
                // comes after other frames may have waited, as long as they took.
                let is_stamped = S::IS_APART || kind == MarketKind::Depth || !self.is_first_of_read;
                header.decoded_ns = if is_stamped { self.clock.now() } else { 0 };
                let decoded_ns = header.decoded_ns;
                if !sink.push(self.decoder.header(), self.decoder.levels()) {
                    self.status.add(Counter::FramesRingFull, 1);
                }
                if is_stamped {
                    self.status.histogram(Stage::Decode).record(decoded_ns - read_ns);
                }
                self.status.add(counter_of(kind), 1);
            }
            Ok(Decoded::Ignored) => self.status.add(Counter::IgnoredFrames, 1),
            Ok(Decoded::Closing) => {
                // A full ring would need more news than there are connections.
                let _ = self.links.outgoing.push(LinkNews::Closing(index));
            }
            Ok(Decoded::UnknownSymbol) => self.status.add(Counter::UnknownSymbols, 1),
            Err(_) => {
                self.status.add(Counter::DecodeErrors, 1);
                return std::str::from_utf8(text.as_bytes()).is_ok();
            }
        }
        true
    }

    fn drop_link(
        &mut self,
        index: usize,
        connection: Box<Connection>,
        error: LinkError,
        sink: &mut impl EventSink,
    ) {
        let now = self.clock.now();
        let cause = self.record_link(now, index, false);
        self.has_backlog[index] = false;
        let left = self.lines.close(index, now);
        if left > 0 {
            self.status.add(Counter::LinesLost, u64::from(!matches!(error, LinkError::Replaced)));
        } else if index < MARKET {
            let header = link_down(cause, now);
            if !sink.push(&header, &[]) {
                self.status.add(Counter::FramesRingFull, 1);
            }
        }
        // A full ring would need more dead connections than the session thread ever made.
        let _ = self.links.outgoing.push(LinkNews::Dead(DeadLink { index, connection, error }));
    }
}

/// The event that invalidates every book.
pub fn link_down(cause: Cause, now: Nanos) -> MarketHeader {
    MarketHeader {
        kind: MarketKind::LinkDown as u16,
        cause: cause.0,
        read_ns: now,
        decoded_ns: now,
        ..MarketHeader::default()
    }
}

fn counter_of(kind: MarketKind) -> Counter {
    match kind {
        MarketKind::Depth => Counter::DepthFrames,
        MarketKind::Ticker => Counter::TickerFrames,
        MarketKind::Trade => Counter::TradeFrames,
        MarketKind::Mark => Counter::MarkFrames,
        MarketKind::Snapshot | MarketKind::LinkDown => Counter::IgnoredFrames,
    }
}
