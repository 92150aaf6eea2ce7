//! Over sockets: ticks from a generator on one core, orders from the hot path on another, in turns with what sends
//! the same bytes back at once and with what a user would otherwise write.

use super::{
    evidence::{Evidence, Window},
    frames::MARKED,
    generator::{self, EchoEnds, Link, Pace, Round},
    placement,
    report::{Sample, Series},
    rig::{Hands, Rig, Strategy},
    wire::{VenueEnd, connect, pair},
};
use crate::venue::{TlsFiles, script};
use anyhow::{Result, bail, ensure};
use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tickpath_hotpath::{
    net::{affinity::pin, socket::Socket, wait::Waiter},
    pipeline::Fused,
};
use tickpath_shared::{
    Nanos,
    clock::Clock,
    config::{Host, Wait},
    counters::{Counter, Stage},
    histogram::HistogramCopy,
    types::TradingState,
};

/// The hot stages while no thread runs them.
struct Hot {
    fused: Fused,
    waiter: Waiter,
    clock: Clock,
}

/// The hot stages on their thread.
struct HotThread {
    handle: JoinHandle<Hot>,
    stop: Arc<AtomicBool>,
    tid: i32,
}

impl HotThread {
    fn start(mut hot: Hot, core: usize) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let (tell, told) = mpsc::channel();
        let handle = std::thread::Builder::new().name("hot".into()).spawn(move || {
            pin(Some(core));
            let _ = tell.send(rustix::thread::gettid().as_raw_nonzero().get());
            // Relaxed: a late look at the flag costs one turn.
            while !is_over.load(Ordering::Relaxed) {
                let work = hot.fused.poll(hot.clock.now(), &mut hot.waiter);
                hot.waiter.after(work);
            }
            hot
        })?;
        Ok(Self { handle, stop, tid: told.recv()? })
    }

    fn stop(self) -> Result<Hot> {
        self.stop.store(true, Ordering::Relaxed);
        match self.handle.join() {
            Ok(hot) => Ok(hot),
            Err(_) => bail!("the hot thread panicked"),
        }
    }
}

/// The product over sockets.
pub(super) struct Product {
    hot: Option<Hot>,
    hands: Hands,
    link: Link,
    core: usize,
    generator_core: usize,
    /// Nothing is ever sent on it, but it must stay open.
    _events: VenueEnd,
}

/// A round with what the system did meanwhile and what each stage took.
pub(super) struct Observed {
    pub(super) round: Round,
    pub(super) window: Window,
    pub(super) stages: Vec<(&'static str, HistogramCopy)>,
}

impl Product {
    /// A session whose connections lead here.
    ///
    /// # Errors
    ///
    /// When loopback, the handshake or shared memory fails.
    pub(super) fn new(desk: &Desk<'_>) -> Result<Self> {
        let Desk { cores: [generator_core, core], wait, tls, host } = *desk;
        let mut rig = Rig::new(Strategy::Probe, wait)?;
        let (market_ours, market) = connect(tls, host)?;
        let (orders_ours, orders) = connect(tls, host)?;
        let (events_ours, events) = connect(tls, host)?;
        rig.hands.open(market_ours, orders_ours, events_ours)?;
        let Rig { fused, waiter, hands } = rig;
        let hot = Hot { fused, waiter, clock: hands.clock.clone() };
        let link = Link { market, orders, is_answering: true, number: 0, order_bytes: 0 };
        Ok(Self { hot: Some(hot), hands, link, core, generator_core, _events: events })
    }

    pub(super) fn clock(&self) -> Clock {
        self.hands.clock.clone()
    }

    /// One round: the hot thread runs only for as long as it takes.
    ///
    /// # Errors
    ///
    /// A session that does not come up, or a connection that ends.
    pub(super) fn round(&mut self, pace: Pace) -> Result<Observed> {
        let Some(hot) = self.hot.take() else { bail!("an earlier round failed") };
        self.hands.reclaim();
        let thread = HotThread::start(hot, self.core)?;
        let observed = self.prepare().and_then(|()| self.observe(thread.tid, pace));
        self.hot = Some(thread.stop()?);
        observed
    }

    /// Armed, with a mark price and a book: a pause between rounds has made both stale.
    fn prepare(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.hands.reader.trading_state() != TradingState::Armed {
            ensure!(Instant::now() < deadline, "the session did not arm: {}", self.hands.notes().join("; "));
            std::thread::sleep(Duration::from_millis(1));
        }
        // Two timers of the engine: the pause is noticed.
        std::thread::sleep(Duration::from_millis(25));
        self.hands.mark(&script::mark(&script::price_of(0), 1))?;
        self.hands.snapshot(MARKED, &script::snapshot(self.link.number))?;
        std::thread::sleep(Duration::from_millis(5));
        let warm_up = Pace { gap_ns: 200_000, ticks: 50 };
        let round = generator::run(&self.hands.clock, &mut self.link, warm_up)?;
        let count = |counter| self.hands.reader.counter(counter);
        ensure!(
            !round.sample.histogram().is_empty(),
            "no tick of the warm-up was answered: {} frames received, {} decoded as diffs, {} applied, {} refused \
             intents, {} orders sent",
            count(Counter::Frames),
            count(Counter::DepthFrames),
            count(Counter::DepthApplied),
            count(Counter::Refusals),
            count(Counter::OrdersSent)
        );
        Ok(())
    }

    fn observe(&mut self, tid: i32, pace: Pace) -> Result<Observed> {
        let cores = [self.generator_core, self.core];
        let stages_before: Vec<HistogramCopy> =
            Stage::ALL.iter().map(|stage| self.hands.reader.histogram(*stage)).collect();
        let before = Evidence::look(tid, &cores, &self.hands.reader);
        let round = generator::run(&self.hands.clock, &mut self.link, pace)?;
        let window = Evidence::look(tid, &cores, &self.hands.reader).since(&before, round.own_gap_ns);
        let stages = Stage::ALL
            .iter()
            .zip(&stages_before)
            .map(|(stage, before)| (stage.label(), self.hands.reader.histogram(*stage).since(before)))
            .collect();
        Ok(Observed { round, window, stages })
    }
}

/// Sends the bytes of an order for the bytes of a tick, from one socket to the other as the product does, and knows
/// nothing else: what the system alone takes.
struct Echo {
    ends: EchoEnds,
    ours: Option<[Socket; 2]>,
    core: usize,
}

impl Echo {
    fn new(core: usize, host: &Host, frame_bytes: usize, answer_bytes: usize) -> Result<Self> {
        let ((market_ours, market), (orders_ours, orders)) = (pair()?, pair()?);
        let ours = [market_ours, orders_ours].map(|tcp| Socket::tuned(tcp, host).0);
        for socket in &ours {
            socket.tcp().set_nonblocking(true)?;
        }
        let ends = EchoEnds {
            market: VenueEnd::plain(market)?,
            orders: VenueEnd::plain(orders)?,
            frame_bytes,
            answer_bytes,
        };
        Ok(Self { ends, ours: Some(ours), core })
    }

    fn round(&mut self, clock: &Clock, pace: Pace) -> Result<Sample> {
        let Some([mut market, mut orders]) = self.ours.take() else { bail!("an earlier round failed") };
        let (frame_bytes, answer_bytes, core) = (self.ends.frame_bytes, self.ends.answer_bytes, self.core);
        let handle = std::thread::spawn(move || -> io::Result<[Socket; 2]> {
            pin(Some(core));
            let (mut buffer, answer) = (vec![0; 1 << 16], vec![b'y'; answer_bytes]);
            for _ in 0..generator::ECHO_WARM_UP + pace.ticks {
                let mut missing = frame_bytes;
                while missing > 0 {
                    match market.read(&mut buffer) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(bytes) => missing = missing.saturating_sub(bytes),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(e) => return Err(e),
                    }
                }
                orders.write_all(&answer)?;
            }
            Ok([market, orders])
        });
        let sample = generator::run_echo(clock, &mut self.ends, pace)?;
        match handle.join() {
            Ok(ours) => self.ours = Some(ours?),
            Err(_) => bail!("the echo panicked"),
        }
        Ok(sample)
    }
}

/// Cores, waiting and sockets of a measurement.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    /// Of the generator and of the hot path.
    pub(super) cores: [usize; 2],
    pub(super) wait: Wait,
    pub(super) tls: Option<&'a TlsFiles>,
    pub(super) host: &'a Host,
}

/// What a comparison over sockets was asked for.
pub(super) struct Comparison<'a> {
    pub(super) desk: Desk<'a>,
    pub(super) rounds: usize,
    pub(super) pace: Pace,
    pub(super) is_baseline: bool,
}

/// Rounds of one kind of placement.
pub(super) struct Compared {
    /// One-way time of a cache line, a round each.
    pub(super) hops_ns: Vec<f64>,
    pub(super) series: Vec<Series>,
}

/// Lets product, echo and, if asked for, the user's pipeline take turns; near rounds first, far ones second.
///
/// # Errors
///
/// What keeps a contender from answering.
pub(super) fn compare(plan: &Comparison<'_>, stop: &AtomicBool) -> Result<[Compared; 2]> {
    let mut product = Product::new(&plan.desk)?;
    let clock = product.clock();
    let frame_bytes = super::frames::server_frame(&script::diff(1, 1_000_000)).len();
    // The first round tells how long an order is, and warms up.
    product.round(plan.pace)?;
    let mut echo = Echo::new(plan.desk.cores[1], plan.desk.host, frame_bytes, product.link.order_bytes)?;
    let mut user = Baseline::new(plan)?;
    let names: Vec<String> = ["tickpath".to_owned(), "raw TCP, same sizes and sockets".to_owned()]
        .into_iter()
        .chain(user.as_ref().map(|_| "(i) tokio-tungstenite, serde_json".to_owned()))
        .collect();
    let empty = || Compared { hops_ns: Vec::new(), series: names.iter().map(|n| Series::new(n)).collect() };
    let mut found = [empty(), empty()];
    for _ in 0..plan.rounds {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let hop = placement::hop_ns(plan.desk.cores[1]);
        let ours = product.round(plan.pace)?.round.sample;
        let raw = echo.round(&clock, plan.pace)?;
        let theirs = user.as_mut().map(|user| user.round(&clock, plan.pace)).transpose()?;
        let hop_after = placement::hop_ns(plan.desk.cores[1]);
        // Near only if it was so before and after.
        let compared = &mut found[usize::from(hop.max(hop_after) >= placement::NEAR_NS)];
        compared.hops_ns.push(hop.max(hop_after));
        for (series, sample) in
            compared.series.iter_mut().zip([Some(ours), Some(raw), theirs].into_iter().flatten())
        {
            series.add(sample);
        }
    }
    Ok(found)
}

#[cfg(feature = "baseline")]
use super::peer::Baseline;

/// Without the feature there is none.
#[cfg(not(feature = "baseline"))]
struct Baseline;

#[cfg(not(feature = "baseline"))]
impl Baseline {
    fn new(plan: &Comparison<'_>) -> Result<Option<Self>> {
        ensure!(!plan.is_baseline, super::NO_BASELINE);
        Ok(None)
    }

    fn round(&mut self, _clock: &Clock, _pace: Pace) -> Result<Sample> {
        bail!(super::NO_BASELINE)
    }
}

/// One rate of a curve.
pub(super) struct Point {
    pub(super) per_second: u64,
    pub(super) sample: Sample,
    pub(super) unanswered: u64,
    pub(super) sent: u64,
    pub(super) is_saturated: bool,
    /// Ticks answered a second.
    pub(super) carried_per_second: f64,
    pub(super) stages: Vec<(&'static str, HistogramCopy)>,
    pub(super) outliers: Vec<Outlier>,
    pub(super) hop_ns: f64,
}

/// One of the worst ticks of a rate.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Outlier {
    pub(super) latency_ns: Nanos,
    /// Session time at which the tick was meant to be sent.
    pub(super) at_ns: Nanos,
    pub(super) window: Window,
}

/// Time of a window: short enough to name an outlier's reasons, long enough to be undisturbed inside.
const WINDOW_NS: u64 = 100_000_000;
/// Outliers kept of a rate.
const OUTLIERS: usize = 8;

/// Latency against offered load: each rate for `duration`, up to the first that cannot be carried.
///
/// # Errors
///
/// What keeps the product from answering.
pub(super) fn curve(
    desk: &Desk<'_>,
    rates: &[u64],
    duration: Duration,
    stop: &AtomicBool,
    mut tell: impl FnMut(&Point),
) -> Result<Vec<Point>> {
    let mut product = Product::new(desk)?;
    let mut points = Vec::new();
    for &per_second in rates {
        let point = rate(&mut product, per_second, duration, stop)?;
        tell(&point);
        let is_last = point.is_saturated || stop.load(Ordering::Relaxed);
        points.push(point);
        if is_last {
            break;
        }
    }
    Ok(points)
}

fn rate(product: &mut Product, per_second: u64, duration: Duration, stop: &AtomicBool) -> Result<Point> {
    let gap_ns = 1_000_000_000 / per_second.max(1);
    let pace = Pace { gap_ns, ticks: (WINDOW_NS / gap_ns).max(20) };
    let mut point = Point {
        per_second,
        sample: Sample::new(),
        unanswered: 0,
        sent: 0,
        is_saturated: false,
        carried_per_second: 0.0,
        stages: Stage::ALL.iter().map(|stage| (stage.label(), HistogramCopy::default())).collect(),
        outliers: Vec::new(),
        hop_ns: placement::hop_ns(product.core),
    };
    let (mut elapsed_ns, begun) = (0, Instant::now());
    while begun.elapsed() < duration && !stop.load(Ordering::Relaxed) && !point.is_saturated {
        let Observed { round, window, stages } = product.round(pace)?;
        elapsed_ns += round.elapsed_ns;
        point.take(&round, window, &stages);
        // What takes a tenth longer than it should, and a pause of the host besides, will never keep up.
        point.is_saturated |= round.elapsed_ns > pace.ticks * gap_ns * 11 / 10 + 10_000_000;
    }
    let answered = point.sample.histogram().len() as f64;
    point.carried_per_second = answered / (elapsed_ns as f64 / 1e9);
    // Over the whole rate the ends of the windows count little, and ticks that were never answered count.
    point.is_saturated |= point.carried_per_second < 0.95 * per_second as f64;
    Ok(point)
}

impl Point {
    fn take(&mut self, round: &Round, window: Window, stages: &[(&'static str, HistogramCopy)]) {
        self.sample.merge(&round.sample);
        self.unanswered += round.unanswered;
        self.sent += round.sent;
        self.is_saturated |= round.is_saturated;
        for ((_, all), (_, new)) in self.stages.iter_mut().zip(stages) {
            all.merge(new);
        }
        let new = round.worst.iter().map(|&(latency_ns, at_ns)| Outlier { latency_ns, at_ns, window });
        self.outliers.extend(new);
        self.outliers.sort_by_key(|o| std::cmp::Reverse(o.latency_ns));
        self.outliers.truncate(OUTLIERS);
    }
}
