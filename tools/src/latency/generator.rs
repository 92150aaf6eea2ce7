//! The open-loop generator: every tick has a time at which it is meant to be sent, and its latency counts from
//! then, whether or not the other side, or this one, was late.

use super::{
    frames::server_frame,
    report::Sample,
    wire::{VenueEnd, client_frame},
};
use crate::venue::script;
use anyhow::Result;
use std::collections::VecDeque;
use tickpath_shared::{Nanos, clock::Clock};

/// Ticks on their way beyond which a rate counts as more than can be carried.
const BACKLOG_MAX: usize = 20_000;
/// How long the last orders of a round are waited for.
const PATIENCE_NS: Nanos = 300_000_000;
/// Worst ticks of a round that are kept with their time.
const WORST: usize = 5;

/// The venue's ends of a contender's connections, and where the script stands.
pub(super) struct Link {
    pub(super) market: VenueEnd,
    pub(super) orders: VenueEnd,
    /// Orders are refused, so that they do not stay open: the product keeps count of them.
    pub(super) is_answering: bool,
    /// Number of the next tick.
    pub(super) number: u64,
    /// Length of the last order's frame.
    pub(super) order_bytes: usize,
}

/// When ticks are meant to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two ticks.
    pub(super) gap_ns: Nanos,
    /// How many.
    pub(super) ticks: u64,
}

/// What a round found.
pub(super) struct Round {
    pub(super) sample: Sample,
    /// Latency and session time of the worst ticks, the worst first.
    pub(super) worst: Vec<(Nanos, Nanos)>,
    /// Ticks without an order.
    pub(super) unanswered: u64,
    /// Longest time in which this side did nothing: what it adds to the tail.
    pub(super) own_gap_ns: Nanos,
    /// The rate was more than could be carried; the rest of the round was not sent.
    pub(super) is_saturated: bool,
    /// Ticks sent.
    pub(super) sent: u64,
    /// From the first intended time to the last order.
    pub(super) elapsed_ns: Nanos,
}

/// A tick on its way.
struct Waiting {
    number: u64,
    intended_ns: Nanos,
}

/// One round in progress.
struct Running<'a> {
    clock: &'a Clock,
    link: &'a mut Link,
    waiting: VecDeque<Waiting>,
    round: Round,
    last_look_ns: Nanos,
}

/// Sends ticks at a pace and takes the orders.
///
/// # Errors
///
/// A connection that ends.
pub(super) fn run(clock: &Clock, link: &mut Link, pace: Pace) -> Result<Round> {
    let start = clock.now() + 50_000;
    let round = Round {
        sample: Sample::new(),
        worst: Vec::new(),
        unanswered: 0,
        own_gap_ns: 0,
        is_saturated: false,
        sent: 0,
        elapsed_ns: 0,
    };
    let mut running = Running { clock, link, waiting: VecDeque::new(), round, last_look_ns: start };
    for tick in 0..pace.ticks {
        running.send(start + tick * pace.gap_ns)?;
        if running.waiting.len() > BACKLOG_MAX {
            running.round.is_saturated = true;
            break;
        }
    }
    running.drain(start)
}

impl Running<'_> {
    fn send(&mut self, intended_ns: Nanos) -> Result<()> {
        let number = self.link.number;
        let ms = self.clock.now() / 1_000_000;
        self.link.market.prepare(&server_frame(&script::diff(number, ms)))?;
        self.link.number += 1;
        while self.look()? < intended_ns {}
        self.waiting.push_back(Waiting { number, intended_ns });
        self.link.market.flush()?;
        self.round.sent += 1;
        Ok(())
    }

    /// Takes what has arrived; returns the time.
    fn look(&mut self) -> Result<Nanos> {
        let fresh = self.link.orders.receive()?;
        let now = self.clock.now();
        self.round.own_gap_ns = self.round.own_gap_ns.max(now.saturating_sub(self.last_look_ns));
        if fresh > 0 {
            self.take(fresh, now)?;
        }
        self.last_look_ns = self.clock.now();
        Ok(now)
    }

    fn take(&mut self, fresh: usize, now: Nanos) -> Result<()> {
        let bytes = self.link.orders.take(fresh)?;
        let (mut at, mut requests) = (0, Vec::new());
        while let Some((text, len)) = client_frame(&bytes[at..]) {
            requests.push(text);
            self.link.order_bytes = len;
            at += len;
        }
        self.link.orders.consume(at);
        for request in requests {
            self.on_order(&request, now)?;
        }
        Ok(())
    }

    /// Orders come in the order of their ticks; a tick that is passed over was not answered.
    fn on_order(&mut self, request: &[u8], now: Nanos) -> Result<()> {
        if self.link.is_answering
            && let Some(id) = script::order_id(request).and_then(|id| std::str::from_utf8(id).ok())
        {
            self.link.orders.prepare(&server_frame(&script::refusal(id)))?;
            self.link.orders.flush()?;
        }
        let Some(price) = script::order_price(request) else { return Ok(()) };
        while let Some(tick) = self.waiting.pop_front() {
            if script::price_units(tick.number) == price {
                let latency = now.saturating_sub(tick.intended_ns);
                self.round.sample.record(latency);
                self.note(latency, tick.intended_ns);
                return Ok(());
            }
            self.round.unanswered += 1;
        }
        Ok(())
    }

    fn note(&mut self, latency: Nanos, at: Nanos) {
        let worst = &mut self.round.worst;
        if worst.len() < WORST || worst.last().is_some_and(|w| latency > w.0) {
            let place = worst.partition_point(|w| w.0 >= latency);
            worst.insert(place, (latency, at));
            worst.truncate(WORST);
        }
    }

    fn drain(mut self, start: Nanos) -> Result<Round> {
        let deadline = self.clock.now() + PATIENCE_NS;
        while !self.waiting.is_empty() && self.look()? < deadline {}
        self.round.unanswered += self.waiting.len() as u64;
        self.round.elapsed_ns = self.clock.now().saturating_sub(start);
        Ok(self.round)
    }
}

/// Ticks before those that count: a thread that is just started is late.
pub(super) const ECHO_WARM_UP: u64 = 50;

/// The venue's ends of a pair of sockets behind which bytes are answered with bytes.
pub(super) struct EchoEnds {
    pub(super) market: VenueEnd,
    pub(super) orders: VenueEnd,
    pub(super) frame_bytes: usize,
    pub(super) answer_bytes: usize,
}

/// As [`run`] for a side that only counts bytes, one tick at a time.
///
/// # Errors
///
/// A connection that ends.
pub(super) fn run_echo(clock: &Clock, ends: &mut EchoEnds, pace: Pace) -> Result<Sample> {
    let mut sample = Sample::new();
    let frame = vec![b'x'; ends.frame_bytes];
    let start = clock.now() + ECHO_WARM_UP * pace.gap_ns;
    for tick in 0..ECHO_WARM_UP + pace.ticks {
        let intended_ns = start + tick * pace.gap_ns;
        ends.market.prepare(&frame)?;
        while clock.now() < intended_ns {
            std::hint::spin_loop();
        }
        ends.market.flush()?;
        let mut missing = ends.answer_bytes;
        while missing > 0 {
            missing = missing.saturating_sub(ends.orders.receive()?);
        }
        if tick >= ECHO_WARM_UP {
            sample.record(clock.now().saturating_sub(intended_ns));
        }
    }
    Ok(sample)
}
