//! Everything of a session but its session thread: shared files, lanes, stages and the rings between them.

use super::{
    HotError,
    files::{FileParts, SharedFiles},
};
use crate::{
    live::{EngineStage, EventRing, GatewayLinks, GatewayParts, GatewayStage, OrderSigner, event_ring},
    message::{AccountMessage, Ask, Outcome},
    pages,
    pipeline::{self, Stages},
    session::SessionRings,
    stage::{
        engine::Engine,
        feed::{FeedStage, Links, Patience},
        gateway::{Gateway, OrderIds},
    },
    strategy::{Shipped, Strategy},
    venue::MarketDecoder,
};
use rtrb::{Consumer, Producer, RingBuffer};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};
use tickpath_shared::{
    clock::Clock,
    command::CommandFile,
    config::Config,
    journal::{LaneShared, LaneWriter},
    paths::DataDir,
    record::Severity,
    status::Status,
    types::{InstanceId, InstrumentDefinition},
};

/// What a session is made for.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Data directory.
    pub data: &'a DataDir,
    /// Configuration, checked.
    pub config: &'a Config,
    /// Session id.
    pub session: u64,
    /// Session clock.
    pub clock: &'a Clock,
    /// Instruments, in the order of the configuration.
    pub definitions: &'a [InstrumentDefinition],
    /// The process before did not stop in order.
    pub is_unclean: bool,
}

/// A session ready to run: whoever holds `rings` plays the session thread.
pub struct Assembly<S = Shipped> {
    /// Directory of the shared files.
    pub dir: PathBuf,
    /// Status file.
    pub status: Arc<Status>,
    /// Command file.
    pub command: Arc<CommandFile>,
    /// Every lane, for reclamation.
    pub lanes: Vec<Arc<LaneShared>>,
    /// The session thread's lane.
    pub session_lane: LaneWriter,
    /// The lane of last words.
    pub panic_lane: Option<LaneWriter>,
    /// What was found on the way, for people.
    pub notes: Vec<(Severity, String)>,
    /// The hot stages.
    pub stages: Stages<S>,
    /// The session thread's ends.
    pub rings: SessionRings,
    /// Set when a journal file was tampered with: the gateway halts.
    pub is_tampered: Arc<AtomicBool>,
}

impl<S: Strategy> Assembly<S> {
    /// Creates the shared files and connects the stages. `signer` signs requests of a session without logon.
    ///
    /// # Errors
    ///
    /// Shared memory that cannot be had, or a configuration that does not fit the instruments.
    pub fn create(plan: &Plan<'_>, signer: Option<OrderSigner>) -> Result<Self, HotError> {
        // Before any memory is taken: what does not fit the instruments leaves nothing behind.
        let engine_core = Engine::new(plan.config, plan.definitions).map_err(HotError::Config)?;
        let ids = plan.order_ids()?;
        let files = SharedFiles::create(plan.data, plan.config, plan.session, plan.clock, plan.definitions)?;
        let FileParts { lanes, status, command } = files.parts;
        let shared: Vec<_> = lanes.iter().map(LaneWriter::shared).collect();
        let Ok([session_lane, feed_lane, engine_lane, gateway_lane]) = <[LaneWriter; 4]>::try_from(lanes)
        else {
            unreachable!("four lanes are made")
        };
        let is_tampered = Arc::new(AtomicBool::new(false));
        let Rings { feed, engine, gateway, session } = Rings::new();
        let gateway_parts = GatewayParts {
            lane: gateway_lane,
            status: Arc::clone(&status),
            clock: plan.clock.clone(),
            command: Arc::clone(&command),
            lanes: shared.clone(),
            is_tampered: Arc::clone(&is_tampered),
            signer,
            frame_bytes_max: plan.config.venue.frame_bytes_max,
            silence_ns: plan.config.venue.private_silence_ms * 1_000_000,
        };
        let stages = Stages {
            feed: plan.feed_stage(feed_lane, &status, feed),
            engine: plan.engine_stage(engine_core, engine_lane, &status, engine),
            gateway: GatewayStage::new(plan.gateway_core(ids, &command), gateway_parts, gateway),
        };
        Ok(Self {
            dir: files.dir,
            status,
            command,
            lanes: shared,
            session_lane,
            panic_lane: Some(files.panic_lane),
            notes: files.notes,
            stages,
            rings: session,
            is_tampered,
        })
    }
}

impl Plan<'_> {
    fn feed_stage(&self, lane: LaneWriter, status: &Arc<Status>, links: Links) -> FeedStage {
        let decoder = MarketDecoder::new(self.definitions, self.config.venue.frame_bytes_max);
        let overload = self.config.journal.overload;
        let venue = &self.config.venue;
        let silence_ns = [venue.book_silence_ms, venue.market_silence_ms].map(|ms| ms * 1_000_000);
        let patience = Patience { silence_ns, first_ns: venue.first_message_ms * 1_000_000 };
        FeedStage::new(decoder, lane, links, Arc::clone(status), self.clock.clone(), overload, patience)
    }

    fn engine_stage<S: Strategy>(
        &self,
        core: Engine<S>,
        lane: LaneWriter,
        status: &Arc<Status>,
        rings: EngineRings,
    ) -> EngineStage<S> {
        let (status, clock) = (Arc::clone(status), self.clock.clone());
        EngineStage::new(core, lane, status, clock, rings.snapshots, rings.outcomes, rings.asks)
    }

    fn order_ids(&self) -> Result<OrderIds, HotError> {
        let instance =
            InstanceId::new(&self.config.instance.id).map_err(|e| HotError::Config(e.to_string()))?;
        Ok(OrderIds { instance, epoch: self.session })
    }

    fn gateway_core(&self, ids: OrderIds, command: &CommandFile) -> Gateway {
        let is_killed = command.kill_word() != 0;
        Gateway::new(self.config, self.definitions, ids, self.is_unclean, is_killed)
    }
}

/// Ring ends of every part but those between the hot threads, which `pipeline` makes.
struct Rings {
    feed: Links,
    engine: EngineRings,
    gateway: GatewayLinks,
    session: SessionRings,
}

struct EngineRings {
    snapshots: EventRing,
    outcomes: Consumer<Outcome>,
    asks: Producer<Ask>,
}

impl Rings {
    fn new() -> Self {
        let (snapshots, snapshot_ring) = event_ring();
        let (outcomes, outcomes_taken) = pages::ring(pipeline::OUTCOMES, Outcome::default());
        let (account, account_taken) = pages::ring(pipeline::ACCOUNT_MESSAGES, AccountMessage::default());
        let (engine_asks, engine_asked) = pages::ring(pipeline::ASKS, Ask::CatchUp);
        let (gateway_asks, gateway_asked) = pages::ring(pipeline::ASKS, Ask::CatchUp);
        let (feed_links, feed_incoming) = RingBuffer::new(pipeline::LINKS);
        let (feed_outgoing, feed_dead) = RingBuffer::new(pipeline::LINKS);
        let (gateway_links, gateway_incoming) = RingBuffer::new(pipeline::LINKS);
        let (gateway_outgoing, gateway_dead) = RingBuffer::new(pipeline::LINKS);
        Self {
            feed: Links { incoming: feed_incoming, outgoing: feed_outgoing },
            engine: EngineRings { snapshots: snapshot_ring, outcomes: outcomes_taken, asks: engine_asks },
            gateway: GatewayLinks {
                links: Links { incoming: gateway_incoming, outgoing: gateway_outgoing },
                account: account_taken,
                outcomes,
                asks: gateway_asks,
            },
            session: SessionRings {
                snapshots,
                account,
                engine_asks: engine_asked,
                gateway_asks: gateway_asked,
                feed_links,
                gateway_links,
                feed_dead,
                gateway_dead,
            },
        }
    }
}
