//! The session thread: everything cold that the hot threads need. It is never pinned and may block for
//! milliseconds, never longer: what can block longer is a job of a worker.
//!
//! It owns the session lane, connects and reconnects, fetches snapshots, reads the account, keeps clocks
//! and keys, takes commands, gives journal segments back and watches the files.

pub mod account;
pub mod connect;
mod day;
mod dead_man;
mod duties;
pub mod jobs;
mod keeper;
mod links;
mod reports;
mod resume;
mod rules;
mod stops;
mod wallet;

pub use resume::ResumeFile;
pub use wallet::{Finding, Wallet};

use crate::{
    live::EventSender,
    message::{AccountMessage, Ask},
    order::OrderName,
    stage::feed::{LinkNews, NewLink},
    venue::MarketDecoder,
};
use crossbeam::channel::Receiver;
use jobs::{Bench, Done, Job, Workshop};
use links::LinkBook;
use rtrb::{Consumer, Producer};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tickpath_shared::{
    Nanos,
    clock::Clock,
    command::{CommandFile, CommandOutcome, Verb},
    config::Config,
    journal::{LaneShared, LaneWriter},
    paths::DataDir,
    record::{Cause, Class, EventCode, Kind, SessionEventRecord, Severity},
    status::{Progress, Status},
    types::InstrumentDefinition,
};
use wallet::WalletFile;
use zerocopy::IntoBytes;

/// Pause of an idle turn.
const PAUSE: Duration = Duration::from_micros(500);

/// Ring ends of the session thread.
pub struct SessionRings {
    /// Snapshots to the engine.
    pub snapshots: EventSender,
    /// Records to the gateway.
    pub account: Producer<AccountMessage>,
    /// What the engine asks for.
    pub engine_asks: Consumer<Ask>,
    /// What the gateway asks for.
    pub gateway_asks: Consumer<Ask>,
    /// Connections to the feed.
    pub feed_links: Producer<NewLink>,
    /// Connections to the gateway.
    pub gateway_links: Producer<NewLink>,
    /// Connections the feed is done with.
    pub feed_dead: Consumer<LinkNews>,
    /// Connections the gateway is done with.
    pub gateway_dead: Consumer<LinkNews>,
}

/// What the session thread is made of.
pub struct SessionParts {
    /// Configuration.
    pub config: Config,
    /// Data directory.
    pub data: DataDir,
    /// The session lane.
    pub lane: LaneWriter,
    /// Every lane, for reclamation.
    pub lanes: Vec<Arc<LaneShared>>,
    /// Status file.
    pub status: Arc<Status>,
    /// Command file.
    pub command: Arc<CommandFile>,
    /// Session clock.
    pub clock: Clock,
    /// What the workers share.
    pub shop: Arc<Workshop>,
    /// Set when a journal file was tampered with.
    pub is_tampered: Arc<AtomicBool>,
    /// The process before did not stop in order: old orders may still be on their way.
    pub is_unclean: bool,
    /// Session id.
    pub session: u64,
}

/// The session thread's state.
pub struct Session {
    parts: SessionParts,
    rings: SessionRings,
    jobs: Bench,
    done: Receiver<Done>,
    decoder: MarketDecoder,
    /// Messages waiting for room in the ring to the gateway, in order.
    outbox: VecDeque<AccountMessage>,
    links: LinkBook,
    dead_man: dead_man::DeadMan,
    resume: ResumeFile,
    wallet: WalletFile,
    keeper: keeper::Keeper,
    day: day::DayFile,
    stops: stops::StopFile,
    schedule: duties::Schedule,
    account: AccountPhase,
    /// Number of the read that counts.
    read_number: u64,
    /// The account was read before.
    has_read: bool,
    /// Arming itself was refused because the account was being read again.
    is_arming: bool,
    /// Session time before which orders of the process before may still arrive.
    settle_ns: Nanos,
    /// Orders that are being asked about.
    asked: HashSet<OrderName>,
    commands_taken: u64,
    command_ids: Vec<u64>,
    answers: u64,
    is_stopping: bool,
    /// The last look at the venue's clock found nobody there.
    is_unreachable: bool,
    has_kept_everything: bool,
    /// Nothing was open when it stopped.
    has_ended_quietly: bool,
    /// Rules in force, by instrument.
    rules: Vec<InstrumentDefinition>,
    fatal: Option<SessionEnd>,
    /// Why the session ends in order by itself.
    ending: Option<SessionEnd>,
}

/// Why a session ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// A person has to look before another one starts.
    Forbidden(String),
    /// The venue's rules need a new session.
    NewRules(String),
}

/// Where reading the account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AccountPhase {
    /// Waits until orders of the process before can no longer arrive.
    NotBefore(Nanos),
    /// A job is out.
    Reading,
    /// Read.
    Done,
}

impl Session {
    /// A session that has not connected yet. `jobs` and `done` lead to and from the workers.
    pub fn new(parts: SessionParts, rings: SessionRings, jobs: Bench, done: Receiver<Done>) -> Self {
        let frame_bytes = parts.config.venue.frame_bytes_max;
        let decoder = MarketDecoder::new(&parts.shop.definitions, frame_bytes);
        // Whatever the process before sent has arrived, or is refused by the venue, after this time.
        let settle_ns =
            if parts.is_unclean { (parts.config.venue.recv_window_ms + 1000) * 1_000_000 } else { 0 };
        let (resume, wallet) = (ResumeFile::load(&parts.data), WalletFile::load(&parts.data));
        let day = day::DayFile::new(&parts.data);
        let stops = stops::StopFile::new(&parts.data);
        let venue = &parts.config.venue;
        let dead_man = dead_man::DeadMan::new(venue.countdown_ms);
        let links = LinkBook::new(1 + venue.line.len(), venue.connection_life_s * 1_000_000_000);
        Self {
            parts,
            rings,
            jobs,
            done,
            decoder,
            outbox: VecDeque::new(),
            links,
            dead_man,
            resume,
            wallet,
            keeper: keeper::Keeper::start(),
            day,
            stops,
            schedule: duties::Schedule::default(),
            account: AccountPhase::NotBefore(settle_ns),
            read_number: 0,
            has_read: false,
            is_arming: false,
            settle_ns,
            asked: HashSet::new(),
            commands_taken: 0,
            command_ids: Vec::new(),
            answers: 0,
            is_stopping: false,
            is_unreachable: false,
            has_kept_everything: true,
            has_ended_quietly: false,
            rules: Vec::new(),
            fatal: None,
            ending: None,
        }
    }

    /// Runs until `is_stop` says so and the gateway has no open order, or a reason forbids to go on.
    ///
    /// # Errors
    ///
    /// The reason, for the operator.
    pub fn run(&mut self, mut is_stop: impl FnMut() -> bool) -> Result<(), SessionEnd> {
        self.record_definitions();
        self.stop_again();
        self.go_on_with_day();
        let mut stop_deadline: Option<Nanos> = None;
        loop {
            let now = self.now();
            self.parts.status.progress(Progress::Session, now);
            if self.turn(now) == 0 {
                std::thread::sleep(PAUSE);
            }
            if let Some(reason) = self.fatal.take() {
                self.keep_rest();
                return Err(reason);
            }
            if stop_deadline.is_none() && (is_stop() || self.is_stopping) {
                self.begin_stop(now);
                stop_deadline = Some(now + 2_000_000_000);
            }
            let is_quiet = stop_deadline.is_some() && self.is_quiet(now);
            self.has_ended_quietly = is_quiet;
            if is_quiet || stop_deadline.is_some_and(|deadline| now > deadline) {
                self.keep_rest();
                return self.ending.take().map_or(Ok(()), Err);
            }
        }
    }

    /// Stores what a restart needs and is not on the disk yet.
    fn keep_rest(&mut self) {
        for trouble in self.keeper.finish() {
            self.has_kept_everything = false;
            self.event(EventCode::Warning, Severity::Error, &trouble);
        }
    }

    /// Whatever a restart needs is on the disk.
    pub fn has_kept_everything(&self) -> bool {
        self.has_kept_everything
    }

    fn now(&self) -> Nanos {
        self.parts.clock.now()
    }

    /// One turn over everything; returns how much was handled.
    fn turn(&mut self, now: Nanos) -> usize {
        let mut handled = self.take_commands(now);
        handled += self.take_asks(now);
        handled += self.take_done(now);
        handled += self.take_dead_links(now);
        handled += self.flush_outbox();
        self.connect_missing(now);
        self.read_account_when_due(now);
        self.run_duties(now);
        self.hold_dead_man(now);
        handled
    }

    /// Appends a record of the session lane.
    fn record(&mut self, kind: Kind, class: Class, parts: &[&[u8]]) -> Cause {
        let now = self.now();
        let sequence = self.parts.lane.append(kind, class, now, Cause::NONE, parts);
        Cause::new(self.parts.lane.lane(), sequence.unwrap_or(0))
    }

    /// Journals something an operator wants to know. Never called with a secret.
    pub fn event(&mut self, code: EventCode, severity: Severity, text: &str) {
        let record = SessionEventRecord { code: code as u16, severity: severity as u16, reserved: 0 };
        self.record(Kind::SessionEvent, Class::Audit, &[record.as_bytes(), text.as_bytes()]);
    }

    /// Journals a record and sends it to the gateway, in order, as soon as there is room; returns where it stands.
    fn tell_gateway(&mut self, kind: Kind, payload: &[u8]) -> Cause {
        let cause = self.record(kind, Class::Audit, &[payload]);
        let Some(message) = AccountMessage::new(cause, kind as u16, payload) else {
            unreachable!("account records fit a message: {kind} has {} bytes", payload.len())
        };
        self.outbox.push_back(message);
        self.flush_outbox();
        cause
    }

    fn flush_outbox(&mut self) -> usize {
        let mut sent = 0;
        while let Some(message) = self.outbox.front() {
            if self.rings.account.push(*message).is_err() {
                break;
            }
            self.outbox.pop_front();
            sent += 1;
        }
        sent
    }

    fn record_definitions(&mut self) {
        let shop = Arc::clone(&self.parts.shop);
        for definition in &shop.definitions {
            self.record(Kind::Definition, Class::Audit, &[definition.as_bytes()]);
            self.parts.status.set_definition(definition);
        }
        self.rules.clone_from(&shop.definitions);
    }

    fn send_job(&mut self, job: Job) {
        self.jobs.send(job);
    }

    fn take_asks(&mut self, now: Nanos) -> usize {
        let mut handled = 0;
        while let Ok(ask) = self.rings.engine_asks.pop().or_else(|_| self.rings.gateway_asks.pop()) {
            handled += 1;
            self.on_ask(now, ask);
        }
        handled
    }

    fn on_ask(&mut self, now: Nanos, ask: Ask) {
        match ask {
            Ask::Snapshot { instrument } => self.send_job(Job::Snapshot { instrument }),
            Ask::Order { instrument, name } => {
                // Asked again while an answer is out, the queue would only grow.
                if self.asked.insert(name) {
                    self.send_job(Job::Order { instrument, name });
                }
            }
            Ask::Stop { instrument, client_order_id } => {
                if self.asked.insert(OrderName::ours(client_order_id)) {
                    self.send_job(Job::Stop { instrument, client_order_id });
                }
            }
            Ask::Cancel { instrument, name } => self.send_job(Job::Cancel { instrument, name }),
            Ask::Adopt => self.schedule.is_adopting = true,
            Ask::Time => self.schedule.ask_time(now),
            Ask::CatchUp => {
                // Whatever is being read began too early.
                self.read_number += 1;
                self.account = AccountPhase::NotBefore(now.max(self.settle_ns));
            }
            Ask::Booked { reading, position } => self.resume.on_booked(reading, position),
            Ask::Renew { connection, why } => self.renew(connection, why),
            Ask::Day(day) => self.keep_day(&day),
            Ask::Tell(notice) => self.on_notice(notice),
            Ask::KillLatch => {
                self.store_latch(true);
                self.forget_flat();
            }
            Ask::Answer { id, verb, outcome } => {
                self.is_arming |= id == 0
                    && verb == Verb::Arm as u16
                    && outcome == CommandOutcome::RefusedNotReconciled as u16;
                self.answer(id, verb, outcome);
                if verb == Verb::Arm as u16 {
                    self.on_armed(id, outcome == CommandOutcome::Done as u16);
                } else {
                    self.on_stopped(id, outcome);
                }
            }
        }
    }

    fn take_done(&mut self, now: Nanos) -> usize {
        let mut handled = 0;
        while let Ok(done) = self.done.try_recv() {
            handled += 1;
            self.on_done(now, done);
        }
        handled
    }

    fn begin_stop(&mut self, now: Nanos) {
        self.is_stopping = true;
        self.links.stop();
        self.event(EventCode::Stopped, Severity::Info, "stopping: working orders are canceled");
        self.send_stop(now);
    }

    /// Nothing is open or waiting: the process may end.
    fn is_quiet(&self, now: Nanos) -> bool {
        self.outbox.is_empty() && self.schedule.is_stop_settled(now) && self.open_orders() == 0
    }

    /// The lane's writer, for the last words after the hot threads have stopped.
    pub fn lane_mut(&mut self) -> &mut LaneWriter {
        &mut self.parts.lane
    }

    /// Drops every connection that the hot threads gave back.
    pub fn drop_dead_links(&mut self) {
        while self.rings.feed_dead.pop().is_ok() {}
        while self.rings.gateway_dead.pop().is_ok() {}
    }
}
