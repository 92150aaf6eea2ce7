//! The engine under rings, lane and clock.

use super::rings::EventRing;
use crate::{
    book::Top,
    market::{Level, MarketEvent, MarketHeader},
    message::{Ask, EngineMessage, Outcome},
    port::{EnginePort, Port},
    stage::{
        TIMER_NS,
        engine::{Engine, EngineEvent},
        feed::EventSink,
    },
    strategy::{Shipped, Strategy},
};
use rtrb::{Consumer, Producer};
use std::sync::Arc;
use tickpath_shared::{
    Nanos,
    clock::Clock,
    counters::{Counter, Stage},
    journal::{LaneWriter, Pressure},
    record::{Cause, Class, Kind},
    status::{Progress, Ring, Status},
};

/// Events handled in one turn before other inputs get theirs.
const BATCH_MAX: usize = 64;

/// Takes the engine's messages: a ring, or the gateway itself when fused.
pub trait MessageSink {
    /// Takes a message, or returns false when there is no room.
    fn send(&mut self, message: &EngineMessage) -> bool;
}

impl MessageSink for Producer<EngineMessage> {
    fn send(&mut self, message: &EngineMessage) -> bool {
        self.push(*message).is_ok()
    }
}

/// The engine stage.
pub struct EngineStage<S = Shipped> {
    core: Engine<S>,
    io: Io,
    snapshots: EventRing,
    outcomes: Consumer<Outcome>,
    next_timer_ns: Nanos,
}

/// What the engine's port writes to.
struct Io {
    lane: LaneWriter,
    status: Arc<Status>,
    clock: Clock,
    asks: Producer<Ask>,
    stamps: Stamps,
}

/// Latency stamps of the event in hand.
#[derive(Default)]
struct Stamps {
    read_ns: Nanos,
    taken_ns: Nanos,
    booked_ns: Nanos,
    /// Of the first message sent, 0 before it.
    decided_ns: Nanos,
}

struct LivePort<'a, M> {
    io: &'a mut Io,
    sink: &'a mut M,
}

impl<S: Strategy> EngineStage<S> {
    /// The stage around a core.
    pub fn new(
        core: Engine<S>,
        lane: LaneWriter,
        status: Arc<Status>,
        clock: Clock,
        snapshots: EventRing,
        outcomes: Consumer<Outcome>,
        asks: Producer<Ask>,
    ) -> Self {
        let io = Io { lane, status, clock, asks, stamps: Stamps::default() };
        Self { core, io, snapshots, outcomes, next_timer_ns: 0 }
    }

    /// One turn at about `now` over everything but a fused feed's events; returns how much was handled.
    pub fn poll(&mut self, now: Nanos, frames: Option<&mut EventRing>, sink: &mut impl MessageSink) -> usize {
        self.io.status.progress(Progress::Engine, now);
        let mut handled = 0;
        while let Ok(outcome) = self.outcomes.pop() {
            handled += 1;
            let cause = Cause::new(crate::pipeline::lane::GATEWAY, outcome.number);
            consume(&mut self.core, &mut self.io, None, cause, EngineEvent::Outcome(outcome), sink);
        }
        handled += self.poll_snapshots(sink);
        if let Some(frames) = frames {
            handled += self.poll_frames(frames, sink);
        }
        if now >= self.next_timer_ns {
            self.next_timer_ns = now + TIMER_NS;
            self.on_timer(sink);
        }
        handled
    }

    fn poll_snapshots(&mut self, sink: &mut impl MessageSink) -> usize {
        let Self { core, io, snapshots, .. } = self;
        let Some(event) = snapshots.pop() else { return 0 };
        consume(core, io, None, Cause(event.header.cause), EngineEvent::Market(event), sink);
        1
    }

    fn poll_frames(&mut self, frames: &mut EventRing, sink: &mut impl MessageSink) -> usize {
        let (capacity, occupied) = frames.occupancy();
        self.io.status.set_ring(Ring::Frames, capacity, occupied);
        for handled in 0..BATCH_MAX {
            let Some(event) = frames.pop() else { return handled };
            let cause = Cause(event.header.cause);
            consume(&mut self.core, &mut self.io, None, cause, EngineEvent::Market(event), sink);
        }
        BATCH_MAX
    }

    fn on_timer(&mut self, sink: &mut impl MessageSink) {
        let now = self.io.clock.now();
        self.io.lane.report(&self.io.status);
        if self.io.lane.append(Kind::Timer, Class::Input, now, Cause::NONE, &[]).is_ok() {
            let Self { core, io, .. } = self;
            core.on_event(now, Cause::NONE, EngineEvent::Timer, &mut LivePort { io, sink });
        }
    }
}

/// Journals that an input is taken, then lets the core take it. An input whose record is skipped for want
/// of segments is not taken either, so that replay and run agree. `now` is known when a fused feed has just
/// read or stamped the event; anything else has waited.
#[inline]
fn consume<S: Strategy>(
    core: &mut Engine<S>,
    io: &mut Io,
    now: Option<Nanos>,
    cause: Cause,
    event: EngineEvent<'_>,
    sink: &mut impl MessageSink,
) {
    let is_fused = now.is_some();
    let now = now.unwrap_or_else(|| io.clock.now());
    if let EngineEvent::Market(market) = &event {
        let MarketHeader { read_ns, decoded_ns, .. } = *market.header;
        io.stamps = Stamps { read_ns, taken_ns: now, booked_ns: now, decided_ns: 0 };
        if decoded_ns != 0 && !is_fused {
            io.status.histogram(Stage::Hop).record(now.saturating_sub(decoded_ns));
        }
    }
    // What became of orders is taken to the last segment, as orders are: no position is told a second time.
    let class = if matches!(event, EngineEvent::Outcome(_)) { Class::Audit } else { Class::Input };
    if io.lane.append(Kind::Consumed, class, now, cause, &[]).is_ok() {
        core.on_event(now, cause, event, &mut LivePort { io, sink });
    }
}

impl<M: MessageSink> Port for LivePort<'_, M> {
    #[inline(always)]
    fn record(&mut self, kind: Kind, class: Class, now: Nanos, cause: Cause, parts: &[&[u8]]) {
        // Telemetry may be dropped (counted by the lane); audit fails only when the lane is exhausted,
        // which the gateway sees as pressure and halts on.
        let _ = self.io.lane.append(kind, class, now, cause, parts);
    }

    fn count(&mut self, counter: Counter, by: u64) {
        self.io.status.add(counter, by);
    }
}

impl<M: MessageSink> EnginePort for LivePort<'_, M> {
    #[inline(always)]
    fn decide(&mut self) -> Nanos {
        let now = self.io.clock.now();
        if self.io.stamps.decided_ns == 0 {
            self.io.stamps.decided_ns = now;
        }
        now
    }

    fn send(&mut self, message: &EngineMessage) {
        if !self.sink.send(message) {
            self.io.status.add(Counter::IntentsRingFull, 1);
        }
    }

    fn ask_snapshot(&mut self, instrument: u32) {
        // A full ring: the engine asks again after its patience.
        let _ = self.io.asks.push(Ask::Snapshot { instrument });
    }

    fn on_book_updated(&mut self) {
        let now = self.io.clock.now();
        self.io.stamps.booked_ns = now;
        self.io.status.histogram(Stage::Book).record(now - self.io.stamps.taken_ns);
    }

    fn on_decided(&mut self) {
        // A fused gateway has carried a message out by now: the decision was before it was sent.
        let now = match self.io.stamps.decided_ns {
            0 => self.io.clock.now(),
            sent_ns => sent_ns,
        };
        self.io.status.histogram(Stage::Decide).record(now.saturating_sub(self.io.stamps.booked_ns));
        if self.io.stamps.read_ns != 0 {
            self.io
                .status
                .histogram(Stage::TickToDecision)
                .record(now.saturating_sub(self.io.stamps.read_ns));
        }
    }

    #[inline]
    fn on_top(&mut self, instrument: u32, top: Top, is_valid: bool, now: Nanos) {
        let Top { bid, ask } = top;
        let gauges = [bid.price, bid.qty, ask.price, ask.qty, is_valid.into(), now as i64];
        self.io.status.set_top(instrument, gauges);
    }
}

/// A fused feed's sink: the engine itself.
pub(crate) struct FusedEngine<'a, M, S> {
    pub(crate) engine: &'a mut EngineStage<S>,
    pub(crate) sink: &'a mut M,
}

impl<M: MessageSink, S: Strategy> EventSink for FusedEngine<'_, M, S> {
    const IS_APART: bool = false;

    fn has_room(&self) -> bool {
        // A stalled offline run must not lose the engine's inputs either.
        self.engine.io.lane.pressure() < Pressure::NoNewRisk
    }

    fn push(&mut self, header: &MarketHeader, levels: &[Level]) -> bool {
        let EngineStage { core, io, .. } = &mut *self.engine;
        let event = EngineEvent::Market(MarketEvent { header, levels });
        let now = header.read_ns.max(header.decoded_ns);
        consume(core, io, Some(now), Cause(header.cause), event, self.sink);
        true
    }
}
