//! Stages, rings and threads: which thread runs what is configuration, the picture is here.
//!
//! ```text
//!           events (EVENT_RING_SLOTS, full: dropped whole, the chain of ids shows it)
//!   feed ────────────────► engine ───────────────► gateway
//!                          ▲   ▲    messages (MESSAGES, full: dropped, a late order is worse than none)
//!              snapshots ──┘   └────── outcomes (OUTCOMES, full: trading halts)
//!   session thread: snapshots ► engine, account ► gateway, asks ◄ engine and gateway, links ◄► feed and gateway
//! ```

use crate::{
    live::{EngineStage, EventRing, EventSender, FusedEngine, GatewayStage},
    message::EngineMessage,
    net::{
        affinity::{self, Pinning},
        cores,
        wait::Waiter,
    },
    pages,
    stage::feed::FeedStage,
    strategy::{Shipped, Strategy},
};
use rtrb::{Consumer, Producer};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};
pub use tickpath_shared::journal::lane;
use tickpath_shared::{
    Nanos,
    clock::Clock,
    config::{StageName, Thread},
    record::Severity,
};

/// Slots of the ring of engine messages.
pub const MESSAGES: usize = 4096;
/// Slots of the ring of outcomes: more than every order slot reporting its whole life at once.
pub const OUTCOMES: usize = 4096;
/// Slots of the ring of account messages.
pub const ACCOUNT_MESSAGES: usize = 4096;
/// Slots of a ring of asks.
pub const ASKS: usize = 1024;
/// Slots of a ring of connections.
pub const LINKS: usize = 16;

const _: () = assert!(OUTCOMES >= 8 * crate::order::ORDERS_MAX);

/// The stages, before they are spread over threads.
pub struct Stages<S = Shipped> {
    /// Feed.
    pub feed: FeedStage,
    /// Engine.
    pub engine: EngineStage<S>,
    /// Gateway.
    pub gateway: GatewayStage,
}

#[expect(clippy::large_enum_variant, reason = "a handful exist, made once at start")]
/// The stages that one thread runs, with the ring ends they need towards other threads.
enum Body<S> {
    Feed(FeedStage, EventSender),
    Engine(EngineStage<S>, EventRing, Producer<EngineMessage>),
    Gateway(GatewayStage, Consumer<EngineMessage>),
    FeedEngine(FeedStage, EngineStage<S>, Producer<EngineMessage>),
    EngineGateway(EngineStage<S>, EventRing, GatewayStage),
    All(Fused<S>),
}

/// All stages on one thread, each calling the next.
pub struct Fused<S = Shipped> {
    stages: Stages<S>,
}

impl<S: Strategy> Fused<S> {
    /// The stages fused.
    pub fn new(mut stages: Stages<S>) -> Self {
        stages.gateway.share_thread_with_feed();
        Self { stages }
    }

    /// One turn of every stage at about `now`; returns how much was handled.
    pub fn poll(&mut self, now: Nanos, waiter: &mut Waiter) -> usize {
        let Stages { feed, engine, gateway } = &mut self.stages;
        let work = feed.poll(now, &mut FusedEngine { engine, sink: gateway }, waiter);
        work + engine.poll(now, None, gateway) + gateway.poll(now, None, waiter)
    }
}

impl<S: Strategy> Body<S> {
    /// One turn of every stage of the thread at about `now`, which gauges and timers go by: whatever is received
    /// gets a stamp of its own.
    fn poll(&mut self, now: Nanos, waiter: &mut Waiter) -> usize {
        match self {
            Self::Feed(feed, events) => feed.poll(now, events, waiter),
            Self::Engine(engine, events, messages) => engine.poll(now, Some(events), messages),
            Self::Gateway(gateway, messages) => gateway.poll(now, Some(messages), waiter),
            Self::FeedEngine(feed, engine, messages) => {
                let work = feed.poll(now, &mut FusedEngine { engine, sink: messages }, waiter);
                work + engine.poll(now, None, messages)
            }
            Self::EngineGateway(engine, events, gateway) => {
                engine.poll(now, Some(events), gateway) + gateway.poll(now, None, waiter)
            }
            Self::All(fused) => fused.poll(now, waiter),
        }
    }
}

/// The running hot threads.
pub struct HotThreads {
    handles: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// How each thread was pinned and scheduled, for the start report.
    pub report: Vec<(Severity, String)>,
}

impl HotThreads {
    /// Starts the threads as configured; the configuration has been checked.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a descriptor.
    pub fn start<S: Strategy>(config: &[Thread], stages: Stages<S>, clock: &Clock) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Self { handles: Vec::new(), stop, report: Vec::new() };
        for (thread, body) in spread(config, stages) {
            threads.spawn(&thread, body, clock.clone())?;
        }
        Ok(threads)
    }

    fn spawn<S: Strategy>(&mut self, config: &Thread, mut body: Body<S>, clock: Clock) -> io::Result<()> {
        let names: Vec<&str> = config.stages.iter().map(|s| stage_name(*s)).collect();
        let name = names.join("+");
        let (core, priority, stop) = (config.core, config.realtime_priority, Arc::clone(&self.stop));
        let mut waiter = Waiter::new(config.wait)?;
        let (report, pinned) = std::sync::mpsc::channel();
        let handle = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let _ = report.send((affinity::pin(core), cores::schedule(priority)));
            tickpath_shared::memory::touch_stack();
            // Relaxed: a late look at the flag costs one turn.
            while !stop.load(Ordering::Relaxed) {
                let work = body.poll(clock.now(), &mut waiter);
                waiter.after(work);
            }
        })?;
        self.handles.push(handle);
        if let Ok((pinning, schedule)) = pinned.recv() {
            let facts = core.map_or(String::new(), |core| format!(" ({})", cores::describe(core)));
            let text = format!("thread {name}: {pinning}{facts}, wait {:?}, {schedule}", config.wait);
            let is_refused = schedule.is_refused() || matches!(pinning, Pinning::Refused(_));
            self.report.push((if is_refused { Severity::Warning } else { Severity::Info }, text));
        }
        Ok(())
    }

    /// Stops and joins every thread.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for handle in self.handles {
            // A panicked hot thread has aborted the process before.
            let _ = handle.join();
        }
    }
}

const fn stage_name(stage: StageName) -> &'static str {
    match stage {
        StageName::Feed => "feed",
        StageName::Engine => "engine",
        StageName::Gateway => "gateway",
    }
}

/// Gives every configured thread its stages and makes the rings between threads.
fn spread<S: Strategy>(config: &[Thread], stages: Stages<S>) -> Vec<(Thread, Body<S>)> {
    use StageName::{Engine, Feed, Gateway};
    let (mut feed, mut engine, mut gateway) = (Some(stages.feed), Some(stages.engine), Some(stages.gateway));
    let (sender, ring) = crate::live::event_ring();
    let (mut sender, mut ring) = (Some(sender), Some(ring));
    let (producer, consumer) = pages::ring(MESSAGES, EngineMessage::default());
    let (mut producer, mut consumer) = (Some(producer), Some(consumer));
    let body = |thread: &Thread| {
        Some(match thread.stages.as_slice() {
            [Feed] => Body::Feed(feed.take()?, sender.take()?),
            [Engine] => Body::Engine(engine.take()?, ring.take()?, producer.take()?),
            [Gateway] => Body::Gateway(gateway.take()?, consumer.take()?),
            [Feed, Engine] => Body::FeedEngine(feed.take()?, engine.take()?, producer.take()?),
            [Engine, Gateway] => Body::EngineGateway(engine.take()?, ring.take()?, gateway.take()?),
            [Feed, Engine, Gateway] => Body::All(Fused::new(Stages {
                feed: feed.take()?,
                engine: engine.take()?,
                gateway: gateway.take()?,
            })),
            _ => return None,
        })
    };
    let bodies: Vec<Option<Body<S>>> = config.iter().map(body).collect();
    let paired = config.iter().cloned().zip(bodies);
    paired.filter_map(|(thread, body)| body.map(|body| (thread, body))).collect()
}
