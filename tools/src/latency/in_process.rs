//! The program alone: from a frame's bytes to its order's bytes, on one thread without sockets.

use super::{
    frames::Frames,
    memory::{MarketStream, OrderStream, Seen, Silence},
    report::{Sample, Series},
    rig::{Rig, Strategy},
};
use anyhow::{Context, Result, ensure};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};
use tickpath_hotpath::net::connection::Transport;
use tickpath_shared::{
    Nanos,
    clock::Clock,
    config::Wait,
    counters::{Counter, Stage},
    histogram::HistogramCopy,
};

/// Frames between two changes of turn.
const CHUNK: usize = 2_048;
/// Memory walked between two frames to empty the caches.
const COLD_BYTES: usize = 4 << 20;
/// A chunk of a run with cold caches is this much shorter: the walk takes far longer than the frame.
const COLD_SHARE: usize = 8;

/// Something that answers frames with orders.
pub(super) trait Contender {
    /// Name in the report.
    fn name(&self) -> &'static str;
    /// Takes a book that arrives before the next frame.
    ///
    /// # Errors
    ///
    /// A body that is no snapshot.
    fn snapshot(&mut self, symbol: &str, body: &str) -> Result<()>;
    /// Takes a frame; returns how long it took to its order's bytes, if it made one.
    fn tick(&mut self, frame: usize) -> Option<Nanos>;
    /// Between two rounds.
    fn rest(&mut self) {}
    /// Of the ticks since the last call: until everything that follows the order was done too, where it tells.
    fn turns(&mut self) -> Option<Sample> {
        None
    }
    /// What each of its stages took, where it tells.
    fn stages(&self) -> Vec<(&'static str, HistogramCopy)> {
        Vec::new()
    }
}

/// The product: framing, decoding, book, probe, limits, order text, journal, stamps and histograms.
pub(super) struct Ours {
    rig: Rig,
    clock: Clock,
    frames: Arc<Frames>,
    readable: Arc<AtomicUsize>,
    seen: Arc<Seen>,
    /// Whole turns: the frame's copy into the journal and the stamps of the write come after the order.
    turns: Sample,
}

impl Ours {
    /// The stages over streams in memory.
    ///
    /// # Errors
    ///
    /// Shared memory that cannot be had.
    pub(super) fn new(frames: &Arc<Frames>) -> Result<Self> {
        let mut rig = Rig::new(Strategy::Probe, Wait::Spin)?;
        let clock = rig.hands.clock.clone();
        let (market, readable) = MarketStream::new(Arc::clone(frames));
        let (orders, seen) = OrderStream::new(clock.clone(), rig.hands.first_order_id()?);
        let local = |stream| Transport::Local(stream);
        rig.hands.open(local(Box::new(market)), local(Box::new(orders)), local(Box::new(Silence)))?;
        rig.poll();
        rig.hands.mark(frames.mark().context("no best prices among the frames")?)?;
        rig.poll();
        Ok(Self { rig, clock, frames: Arc::clone(frames), readable, seen, turns: Sample::new() })
    }
}

impl Ours {
    /// One turn of the stages in which a frame is there; apart, so that a profiler finds it.
    #[inline(never)]
    fn receive(&mut self, frame: usize, now: Nanos) {
        self.readable.store(self.frames.end(frame), Ordering::Relaxed);
        self.rig.poll_at(now);
    }
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        "tickpath"
    }

    fn snapshot(&mut self, symbol: &str, body: &str) -> Result<()> {
        self.rig.hands.snapshot(symbol, body)?;
        self.rig.poll();
        Ok(())
    }

    fn tick(&mut self, frame: usize) -> Option<Nanos> {
        let orders = self.seen.orders.load(Ordering::Relaxed);
        let start = self.clock.now();
        self.receive(frame, start);
        let end = self.clock.now();
        let written_ns = self.seen.written_ns.load(Ordering::Relaxed);
        if self.seen.orders.load(Ordering::Relaxed) == orders {
            return None;
        }
        self.turns.record(end - start);
        // Outside of the time: the venue answers, so that the next order finds a free slot.
        self.seen.may_answer.store(true, Ordering::Relaxed);
        let answered = orders + 1;
        while self.seen.answered.load(Ordering::Relaxed) < answered {
            self.rig.poll();
        }
        self.seen.may_answer.store(false, Ordering::Relaxed);
        Some(written_ns.saturating_sub(start))
    }

    fn rest(&mut self) {
        self.rig.hands.reclaim();
    }

    fn turns(&mut self) -> Option<Sample> {
        Some(std::mem::replace(&mut self.turns, Sample::new()))
    }

    fn stages(&self) -> Vec<(&'static str, HistogramCopy)> {
        Stage::ALL.iter().map(|stage| (stage.label(), self.rig.hands.reader.histogram(*stage))).collect()
    }
}

/// The way of a thousand ticks to their orders, to be counted instruction by instruction.
pub struct Rehearsal {
    ours: Ours,
    frames: usize,
    is_reclaimed: bool,
}

impl Rehearsal {
    /// The stages on a scripted market, warmed up. `is_reclaimed`: segments of the journal are given back as they are
    /// when a control process archives them; without it nobody does.
    ///
    /// # Errors
    ///
    /// Shared memory that cannot be had, or ticks without an order.
    pub fn new(is_reclaimed: bool) -> Result<Self> {
        const WARM_UP: usize = 50;
        let frames = Arc::new(Frames::scripted(WARM_UP as u64 + 1_000));
        let mut rehearsal = Self { ours: Ours::new(&frames)?, frames: WARM_UP, is_reclaimed };
        for (symbol, body) in frames.snapshots_before(0) {
            rehearsal.ours.snapshot(symbol, body)?;
        }
        let answered = (0..WARM_UP).filter_map(|frame| rehearsal.ours.tick(frame)).count();
        ensure!(answered + 1 >= WARM_UP, "{answered} of {WARM_UP} ticks were answered");
        Ok(rehearsal)
    }

    /// Takes a thousand ticks; returns how many orders were sent.
    pub fn run(&mut self) -> usize {
        let ticks = self.frames..self.frames + 1_000;
        self.frames = ticks.end;
        let mut orders = 0;
        for frame in ticks {
            orders += usize::from(self.ours.tick(frame).is_some());
            if self.is_reclaimed && frame % 100 == 0 {
                self.ours.rest();
            }
        }
        orders
    }
}

/// Lets the contenders take turns over the frames, chunk by chunk.
///
/// # Errors
///
/// A snapshot that cannot be used.
pub(super) fn run(
    frames: &Frames,
    contenders: &mut [Box<dyn Contender>],
    is_cold: bool,
    stop: &AtomicBool,
) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = contenders.iter().map(|c| Series::new(c.name())).collect();
    let mut walk = vec![0_u64; COLD_BYTES / 8];
    let share = if is_cold { COLD_SHARE } else { 1 };
    let mut first = 0;
    while first < frames.len() && !stop.load(Ordering::Relaxed) {
        let chunk = first..frames.len().min(first + CHUNK);
        for (contender, series) in contenders.iter_mut().zip(&mut series) {
            contender.rest();
            let mut sample = Sample::new();
            for frame in chunk.clone() {
                for (symbol, body) in frames.snapshots_before(frame) {
                    contender.snapshot(symbol, body)?;
                }
                let is_measured = (frame - chunk.start) < CHUNK / share;
                if !is_cold {
                    frames.touch(frame);
                } else if is_measured {
                    walk.iter_mut().for_each(|word| *word = word.wrapping_add(1));
                    std::hint::black_box(&mut walk);
                }
                if let Some(ns) = contender.tick(frame)
                    && is_measured
                {
                    sample.record(ns);
                }
            }
            series.add(sample);
        }
        first = chunk.end;
    }
    Ok(series)
}

/// What the stages carried when nothing held the frames back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Throughput {
    /// Frames a pass.
    pub(super) frames: u64,
    /// Passes.
    pub(super) passes: usize,
    /// Frames a second, median of the passes.
    pub(super) median_per_second: f64,
    /// The slowest pass.
    pub(super) least_per_second: f64,
    /// Frames that were received but neither decoded nor counted as ignored, refused or of an unknown symbol.
    pub(super) unaccounted: u64,
    /// Records of the journal that were skipped or dropped.
    pub(super) lost_records: u64,
}

impl Throughput {
    /// For people.
    pub(super) fn text(&self) -> String {
        format!(
            "throughput, everything but the probe: {} frames a pass, {} passes, median {:.2} million frames/s, slowest \
             {:.2}; {} frames unaccounted, {} journal records lost\n",
            self.frames,
            self.passes,
            self.median_per_second / 1e6,
            self.least_per_second / 1e6,
            self.unaccounted,
            self.lost_records
        )
    }
}

/// Sends all frames through feed, engine and gateway on one core, as fast as they are taken.
///
/// # Errors
///
/// Shared memory that cannot be had, or frames that got lost.
pub(super) fn throughput(frames: &Arc<Frames>, passes: usize, stop: &AtomicBool) -> Result<Throughput> {
    let mut rates = Vec::new();
    let (mut unaccounted, mut lost_records) = (0, 0);
    for _ in 0..passes {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let pass = Pass::run(frames)?;
        rates.push(frames.len() as f64 / pass.seconds);
        unaccounted += pass.unaccounted;
        lost_records += pass.lost_records;
    }
    ensure!(!rates.is_empty(), "stopped before the first pass was over");
    rates.sort_by(f64::total_cmp);
    Ok(Throughput {
        frames: frames.len() as u64,
        passes: rates.len(),
        median_per_second: rates[rates.len() / 2],
        least_per_second: rates[0],
        unaccounted,
        lost_records,
    })
}

struct Pass {
    seconds: f64,
    unaccounted: u64,
    lost_records: u64,
}

impl Pass {
    fn run(frames: &Arc<Frames>) -> Result<Self> {
        let mut rig = Rig::new(Strategy::Pairs, Wait::Spin)?;
        let (market, readable) = MarketStream::new(Arc::clone(frames));
        let local = |stream| Transport::Local(stream);
        rig.hands.open(local(Box::new(market)), local(Box::new(Silence)), local(Box::new(Silence)))?;
        rig.poll();
        let mut seconds = 0.0;
        let mut first = 0;
        while first < frames.len() {
            for (symbol, body) in frames.snapshots_before(first) {
                rig.hands.snapshot(symbol, body)?;
            }
            let last = frames.next_snapshot(first).unwrap_or(frames.len()).min(first + CHUNK);
            // As in `run`, a chunk at once, some 600 KB in the mean.
            (first..last).for_each(|frame| frames.touch(frame));
            let start = Instant::now();
            readable.store(frames.end(last - 1), Ordering::Relaxed);
            // A turn without a frame may only have been between two reads; two of them are the end.
            while rig.poll() > 0 || rig.poll() > 0 {}
            seconds += start.elapsed().as_secs_f64();
            first = last;
        }
        let count = |counter| rig.hands.reader.counter(counter);
        let kinds = [
            Counter::DepthFrames,
            Counter::TickerFrames,
            Counter::TradeFrames,
            Counter::MarkFrames,
            Counter::IgnoredFrames,
            Counter::UnknownSymbols,
        ];
        let accounted: u64 = kinds.into_iter().map(count).sum();
        ensure!(count(Counter::Frames) == frames.len() as u64, "{} frames received", count(Counter::Frames));
        Ok(Self {
            seconds,
            unaccounted: frames.len() as u64 - accounted,
            lost_records: rig.hands.lost_records(),
        })
    }
}
