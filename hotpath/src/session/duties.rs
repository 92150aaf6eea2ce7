//! Regular duties of the session thread: reclamation, clocks, files, keys, commands.

use super::{AccountPhase, Session, jobs::Job};
use crate::pipeline::lane;
use std::sync::atomic::Ordering;
use tickpath_shared::{
    Nanos,
    clock::host_ns_now,
    command::{Command, CommandOutcome, SLOTS, Scope, Verb},
    config::Mode,
    counters::Counter,
    record::{Class, CommandRecord, CommandResultRecord, EventCode, Kind, Severity},
    status::InstrumentWord,
};
use zerocopy::IntoBytes;

const RECLAIM_NS: Nanos = 5_000_000;
const LATCH_NS: Nanos = 20_000_000;
const SECOND_NS: Nanos = 1_000_000_000;
/// Pause between two readings of the account because of orders of others: each costs the address much weight.
const ADOPT_PAUSE_NS: Nanos = 5 * SECOND_NS;
/// Time after which lists have what wallets show, as a rule.
const DOUBT_PAUSE_NS: Nanos = 10 * SECOND_NS;
const TIME_SYNC_NS: Nanos = 10 * SECOND_NS;
const KEEP_KEY_NS: Nanos = 30 * 60 * SECOND_NS;
/// Time for the gateway to take the stop command and send its cancels.
const STOP_SETTLE_NS: Nanos = 100_000_000;
/// Command ids remembered against repetition.
const IDS_MAX: usize = 4096;

/// When what is due next.
#[derive(Default)]
pub(super) struct Schedule {
    next_reclaim_ns: Nanos,
    next_second_ns: Nanos,
    next_latch_ns: Nanos,
    /// Somebody else has opened an order since the account was last read, and when that was.
    pub(super) is_adopting: bool,
    /// When a reading found money moved that another one has to confirm.
    pub(super) doubted_ns: Option<Nanos>,
    read_ns: Nanos,
    time_asked_ns: Nanos,
    /// When the account was last seen proven, and whether a person was told that it has not been for long.
    proven_ns: Nanos,
    is_overdue: bool,
    next_rules_ns: Nanos,
    pub(super) next_time_ns: Nanos,
    pub(super) next_key_ns: Nanos,
    stop_sent_ns: Option<Nanos>,
    pub(super) last_drift_ns: i64,
}

impl Schedule {
    /// The venue's clock is compared now, but not over and over: a request that is late every time stays late.
    pub(super) fn ask_time(&mut self, now: Nanos) {
        if self.time_asked_ns == 0 || now.saturating_sub(self.time_asked_ns) > SECOND_NS / 4 {
            (self.time_asked_ns, self.next_time_ns) = (now, now);
        }
    }

    pub(super) fn is_stop_settled(&self, now: Nanos) -> bool {
        self.stop_sent_ns.is_some_and(|sent| now > sent + STOP_SETTLE_NS)
    }
}

impl Session {
    pub(super) fn run_duties(&mut self, now: Nanos) {
        if now >= self.schedule.next_reclaim_ns {
            self.schedule.next_reclaim_ns = now + RECLAIM_NS;
            self.reclaim();
        }
        if now >= self.schedule.next_latch_ns {
            self.schedule.next_latch_ns = now + LATCH_NS;
            self.look_at_latch();
        }
        if now >= self.schedule.next_second_ns {
            self.schedule.next_second_ns = now + SECOND_NS;
            self.every_second();
        }
        if now >= self.schedule.next_time_ns {
            self.schedule.next_time_ns = now + TIME_SYNC_NS;
            self.send_job(Job::Time);
        }
        if self.schedule.next_rules_ns == 0 || now >= self.schedule.next_rules_ns {
            if self.schedule.next_rules_ns != 0 {
                self.send_job(Job::Definitions);
            }
            self.schedule.next_rules_ns = now + self.parts.config.venue.definitions_every_s * SECOND_NS;
        }
        if self.schedule.next_key_ns == 0 {
            self.schedule.next_key_ns = now + KEEP_KEY_NS;
        } else if now >= self.schedule.next_key_ns {
            self.schedule.next_key_ns = now + KEEP_KEY_NS;
            self.send_job(Job::KeepListenKey);
        }
    }

    /// Gives acknowledged segments back to the writers.
    fn reclaim(&mut self) {
        for lane in &self.parts.lanes {
            let acknowledged = self.parts.command.acknowledged(lane.spec().lane);
            if !lane.reclaim(acknowledged) {
                self.parts.status.add(Counter::AckViolations, 1);
            }
        }
        self.resume.on_archived(self.parts.command.acknowledged(lane::GATEWAY), &self.keeper);
        self.parts.lane.report(&self.parts.status);
    }

    fn every_second(&mut self) {
        let discipline = self.parts.clock.discipline();
        self.schedule.last_drift_ns = discipline.drift_ns;
        if discipline.is_jump {
            self.parts.status.add(Counter::ClockJumps, 1);
            let text = format!("clock jumped by {} ns against the host's", discipline.drift_ns);
            self.event(EventCode::Warning, Severity::Warning, &text);
            self.schedule.next_time_ns = 0;
        }
        self.watch_proof();
        while let Some(trouble) = self.keeper.trouble() {
            self.event(EventCode::Warning, Severity::Error, &trouble);
        }
        if !self.parts.is_tampered.load(Ordering::Relaxed) {
            let found = self.parts.lanes.iter().find_map(|lane| lane.file().tampering());
            if let Some(why) = found {
                self.parts.is_tampered.store(true, Ordering::Relaxed);
                self.event(
                    EventCode::Tampering,
                    Severity::Error,
                    &format!("journal file {why}; trading halts"),
                );
            }
        }
    }

    /// Orders, fills and positions that stay unproven for long need a person: nothing new is opened meanwhile.
    fn watch_proof(&mut self) {
        let now = self.now();
        if self.parts.status.is_reconciled() || self.is_stopping {
            self.schedule.proven_ns = now;
            self.schedule.is_overdue = false;
            return;
        }
        let deadline_s = self.parts.config.venue.proof_deadline_s;
        if !self.schedule.is_overdue && now.saturating_sub(self.schedule.proven_ns) > deadline_s * SECOND_NS {
            self.schedule.is_overdue = true;
            let text = format!("the account has not been proven for {deadline_s} s: nothing new is opened");
            self.event(EventCode::Reconciliation, Severity::Error, &text);
        }
    }

    /// The latch is a file that anybody may create: a person with `touch`, a script, a signal's handler.
    fn look_at_latch(&self) {
        if self.parts.command.kill_word() == 0 && self.parts.data.kill_latch().exists() {
            self.parts.command.set_kill();
        }
    }

    /// Reads the account when it is time and nobody else does.
    pub(super) fn read_account_when_due(&mut self, now: Nanos) {
        let is_adopting_due =
            self.schedule.is_adopting && now.saturating_sub(self.schedule.read_ns) > ADOPT_PAUSE_NS;
        let is_doubt_due = self.schedule.doubted_ns.is_some_and(|at| now.saturating_sub(at) > DOUBT_PAUSE_NS);
        if self.account == AccountPhase::Done && (is_adopting_due || is_doubt_due) {
            self.account = AccountPhase::NotBefore(now);
        }
        let AccountPhase::NotBefore(due) = self.account else { return };
        let has_clock = self.parts.shop.venue_epoch_ns.load(Ordering::Relaxed) != 0;
        if now >= due && has_clock && !self.is_stopping {
            self.account = AccountPhase::Reading;
            (self.schedule.is_adopting, self.schedule.read_ns) = (false, now);
            self.schedule.doubted_ns = None;
            let from = self.resume.start_ids(&self.parts.shop.definitions, self.wallet.wallet());
            self.send_job(Job::Account { from, with_orders: true, number: self.read_number });
        }
    }

    pub(super) fn open_orders(&self) -> i64 {
        (0..self.parts.shop.definitions.len())
            .map(|i| self.parts.status.instrument(i as u32, InstrumentWord::OpenOrders))
            .sum()
    }

    pub(super) fn store_latch(&mut self, is_set: bool) {
        let data = &self.parts.data;
        let result = if is_set { data.set_kill_latch("kill word set") } else { data.clear_kill_latch() };
        let text = if is_set { "kill latch set" } else { "kill latch released" };
        match result {
            Ok(()) => self.event(EventCode::KillLatch, Severity::Warning, text),
            Err(e) => self.event(EventCode::KillLatch, Severity::Error, &format!("{text}, not stored: {e}")),
        }
    }

    /// Simulation arms itself, journalled like any other command, never against the latch.
    pub(super) fn arm_at_start(&mut self) {
        let instance = &self.parts.config.instance;
        if !instance.arm_at_start || instance.mode != Mode::Simulation || self.parts.command.kill_word() != 0
        {
            return;
        }
        // Once the venue's countdown runs again.
        self.is_arming = self.dead_man.is_lost();
        if !self.is_arming {
            self.command_gateway(0, Verb::Arm);
        }
    }

    /// The account was read since it was last in doubt.
    pub(super) fn has_proof(&self) -> bool {
        self.account == AccountPhase::Done
    }

    pub(super) fn send_stop(&mut self, now: Nanos) {
        self.schedule.stop_sent_ns = Some(now);
        self.command_gateway(0, Verb::Stop);
    }

    pub(super) fn command_gateway(&mut self, id: u64, verb: Verb) {
        self.tell_gateway(Kind::Command, CommandRecord::of(id, verb).as_bytes());
    }

    pub(super) fn take_commands(&mut self, _now: Nanos) -> usize {
        let lost = self.parts.command.lost_after(self.commands_taken);
        if lost > 0 {
            self.commands_taken += lost;
            self.parts.status.add(Counter::CommandsRefused, 1);
        }
        // No more than there are slots: whatever else this thread sees to is not to wait for a damaged file.
        for handled in 0..SLOTS {
            match self.parts.command.next_after(self.commands_taken) {
                Ok(None) => return handled,
                Ok(Some(command)) => {
                    self.commands_taken += 1;
                    self.on_command(&command);
                }
                Err(_) => {
                    self.commands_taken += 1;
                    self.parts.status.add(Counter::CommandsRefused, 1);
                }
            }
        }
        SLOTS
    }

    fn on_command(&mut self, command: &Command) {
        match self.judge(command) {
            Ok(Verb::ClearKill) => self.clear_kill(command),
            Ok(verb) => {
                self.is_stopping |= verb == Verb::Stop;
                // Whoever disarms is not overruled by a start that is still under way.
                self.is_arming &= verb != Verb::Disarm;
                // The gateway first: a slow disk stands in nobody's way.
                self.tell_gateway(Kind::Command, record_of(command).as_bytes());
                if let Some(scope) = Scope::from_parts(command.scope, command.target) {
                    self.keep_stop(command.id, verb, scope);
                }
            }
            Err(outcome) => {
                self.parts.status.add(Counter::CommandsRefused, 1);
                self.answer(command.id, command.verb, outcome as u16);
            }
        }
    }

    /// A command is carried out once, in its session and in time.
    fn judge(&mut self, command: &Command) -> Result<Verb, CommandOutcome> {
        let verb = command.verb().ok_or(CommandOutcome::UnknownVerb)?;
        if command.session != self.parts.session {
            return Err(CommandOutcome::WrongSession);
        }
        if host_ns_now() > command.deadline_host_ns {
            return Err(CommandOutcome::Expired);
        }
        if verb == Verb::Arm && self.dead_man.is_lost() {
            return Err(CommandOutcome::RefusedCountdown);
        }
        if self.command_ids.contains(&command.id) {
            return Err(CommandOutcome::Repeated);
        }
        if self.command_ids.len() == IDS_MAX {
            self.command_ids.remove(0);
        }
        self.command_ids.push(command.id);
        Ok(verb)
    }

    /// The word is the hot process's to clear; the gateway sees the change by itself.
    fn clear_kill(&mut self, command: &Command) {
        self.record(Kind::Command, Class::Audit, &[record_of(command).as_bytes()]);
        self.store_latch(false);
        self.parts.command.clear_kill();
        self.answer(command.id, command.verb, CommandOutcome::Done as u16);
    }

    pub(super) fn answer(&mut self, id: u64, verb: u16, outcome: u16) {
        let record = CommandResultRecord { id, verb, outcome, reserved: 0 };
        self.record(Kind::CommandResult, Class::Audit, &[record.as_bytes()]);
        self.answers += 1;
        self.parts.status.answer(self.commands_taken, self.answers, id, outcome);
    }
}

fn record_of(command: &Command) -> CommandRecord {
    let Command { id, verb, scope, target, parameter, value_bits, price, qty, client_order_id, .. } =
        *command;
    let Command { side, time_in_force, is_reduce_only, order_type, price_match, good_till_ms, .. } = *command;
    CommandRecord {
        id,
        verb,
        scope,
        target,
        parameter,
        value_bits,
        price,
        qty,
        client_order_id,
        side,
        time_in_force,
        is_reduce_only,
        order_type,
        price_match,
        reserved: [0; 3],
        good_till_ms,
    }
}
