//! Commands of people: who may trade, what is canceled, what is closed, for the account, a strategy or an instrument.

use super::{Gateway, GatewayPort};
use crate::{
    message::{Ask, OutcomeBody},
    order::Order,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::{CommandOutcome, Scope, Verb},
    config::Risk,
    record::{Cause, Class, CommandRecord, IntentRecord, Kind, ParameterRecord, StateReason},
    types::{ClientOrderId, Parameter, TradingState},
};
use zerocopy::IntoBytes;

/// Least time in which a cancel is not sent again.
const CANCEL_PATIENCE_NS: Nanos = 1_000_000_000;
/// Strategies that may be stopped one by one; more than that are stopped with the account.
const STOPPED_MAX: usize = 16;

/// What a person stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stops {
    account: bool,
    instruments: u32,
    strategies: Vec<u16>,
    /// Strategies whose positions are to be closed, also those of instruments that are not known to be theirs yet.
    flat: Vec<u16>,
}

impl Stops {
    pub(super) fn new() -> Self {
        let strategies = || Vec::with_capacity(STOPPED_MAX);
        Self { account: false, instruments: 0, strategies: strategies(), flat: strategies() }
    }

    #[inline]
    pub(super) fn holds(&self, intent: &IntentRecord) -> bool {
        self.account
            || self.instruments >> intent.instrument & 1 == 1
            || self.strategies.contains(&intent.strategy)
    }

    pub(super) fn set(&mut self, scope: Scope) {
        match scope {
            Scope::Instrument(i) => self.instruments |= 1 << i,
            Scope::Strategy(s) if self.strategies.contains(&s) => {}
            Scope::Strategy(s) if self.strategies.len() < STOPPED_MAX => self.strategies.push(s),
            Scope::Account | Scope::Strategy(_) => self.account = true,
        }
    }

    fn clear(&mut self, scope: Scope) {
        match scope {
            Scope::Instrument(i) => self.instruments &= !(1 << i),
            Scope::Strategy(s) => {
                self.strategies.retain(|stopped| *stopped != s);
                self.flat.retain(|stopped| *stopped != s);
            }
            Scope::Account => {
                (self.account, self.instruments) = (false, 0);
                self.strategies.clear();
                self.flat.clear();
            }
        }
    }

    /// The state as words, for digests.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let own = [u64::from(self.account), self.instruments.into()];
        own.into_iter().chain(self.strategies.iter().chain(&self.flat).map(|s| u64::from(*s)))
    }
}

impl Gateway {
    pub(super) fn on_command(
        &mut self,
        now: Nanos,
        cause: Cause,
        command: &CommandRecord,
        port: &mut impl GatewayPort,
    ) {
        let verdict = match (Verb::from_repr(command.verb), self.scope_of(command)) {
            (None, _) => CommandOutcome::UnknownVerb.into(),
            (_, None) => CommandOutcome::UnknownScope.into(),
            // The engine answers.
            (Some(Verb::Set), Some(Scope::Strategy(strategy))) => {
                let CommandRecord { id, parameter, value_bits, .. } = *command;
                return self.tell(0, OutcomeBody::Set { id, value_bits, strategy, parameter }, port);
            }
            (Some(Verb::Set), Some(Scope::Account)) => self.set_limit(now, cause, command, port).into(),
            (Some(Verb::Approve), _) => self.approve(now, cause, command.value_bits, port),
            (Some(Verb::Deny), _) => self.deny(now, cause, command.value_bits, port).into(),
            (Some(Verb::Place), Some(Scope::Instrument(instrument))) => match command.ticket() {
                // The engine knows the book, and sends it back as an intent.
                Some(ticket) => {
                    let body = OutcomeBody::Place { id: command.id, ticket };
                    return self.tell(instrument.into(), body, port);
                }
                None => CommandOutcome::UnknownTicket.into(),
            },
            (Some(Verb::Cancel), _) => self.cancel_named(now, cause, &command.client_order_id, port).into(),
            // Who arms at a start releases nothing that a person stopped.
            (Some(Verb::Arm), Some(scope)) => self.arm(now, cause, scope, command.id != 0, port).into(),
            (Some(verb), Some(scope)) => self.carry_out(now, cause, verb, scope, port).into(),
        };
        port.ask(Ask::Answer { id: command.id, verb: command.verb, outcome: verdict.code() });
    }

    fn carry_out(
        &mut self,
        now: Nanos,
        cause: Cause,
        verb: Verb,
        scope: Scope,
        port: &mut impl GatewayPort,
    ) -> CommandOutcome {
        match verb {
            Verb::Disarm | Verb::Stop => {
                if self.state != TradingState::Halted {
                    self.set_state(now, cause, TradingState::Disarmed, StateReason::Command, port);
                }
                self.end_flattening();
                self.cancel_all(now, cause, port);
            }
            Verb::CancelAll => self.cancel_of(now, cause, self.instruments_of(scope), port),
            Verb::StopOpening => {
                self.withdraw_held(now, cause, self.instruments_of(scope), port);
                self.stops.set(scope);
            }
            Verb::Flatten => {
                self.withdraw_held(now, cause, self.instruments_of(scope), port);
                return self.close_scope(scope);
            }
            Verb::ReleaseBreakers => self.release_breakers(now, port),
            // Seen to above, for the scopes that they have.
            Verb::Arm | Verb::Set | Verb::Approve | Verb::Deny | Verb::Place | Verb::Cancel => {
                return CommandOutcome::UnknownScope;
            }
            // The session thread clears the word; the gateway sees it like everybody else.
            Verb::ClearKill => {}
        }
        CommandOutcome::Done
    }

    /// Tightens a limit, or loosens it again as far as the configuration goes.
    fn set_limit(
        &mut self,
        now: Nanos,
        cause: Cause,
        command: &CommandRecord,
        port: &mut impl GatewayPort,
    ) -> CommandOutcome {
        let CommandRecord { parameter, value_bits, .. } = *command;
        let known = Parameter::from_repr(parameter).ok_or(CommandOutcome::UnknownParameter);
        let value = f64::from_bits(value_bits);
        let taken = known.and_then(|parameter| self.limits.set(&self.configured, parameter, value));
        let (strategy, is_taken) = (Order::NOBODY, taken.is_ok().into());
        let record = ParameterRecord { value_bits, strategy, parameter, is_taken, reserved: [0; 3] };
        port.record(Kind::Parameter, Class::Audit, now, cause, &[record.as_bytes()]);
        taken.err().unwrap_or(CommandOutcome::Done)
    }

    /// Limits that are not as configured, for digests.
    pub(super) fn changed_limits(&self) -> impl Iterator<Item = u64> + use<> {
        let of = |risk: &Risk| {
            let Risk {
                order_notional_max, position_notional_max, gross_notional_max, order_lots_max, ..
            } = *risk;
            let counts = [risk.positions_max, risk.open_orders_max].map(|count| count as u64);
            let amounts = [order_notional_max, position_notional_max, gross_notional_max, order_lots_max];
            let [a, b, c, d] = amounts.map(|amount| amount as u64);
            [a, b, c, d, counts[0], counts[1]]
        };
        let both = (0_u64..).zip(of(&self.limits).into_iter().zip(of(&self.configured)));
        both.filter(|(_, (now, configured))| now != configured).flat_map(|(at, (now, _))| [at, now])
    }

    fn scope_of(&self, command: &CommandRecord) -> Option<Scope> {
        let scope = Scope::from_parts(command.scope, command.target)?;
        let is_known = match scope {
            Scope::Account => true,
            Scope::Instrument(index) => usize::from(index) < self.definitions.len(),
            // What was stopped before the start may be told before the strategies are known. Of positions nobody knows
            // which were opened by hand, but orders of people can be stopped and armed like a strategy's.
            Scope::Strategy(Order::MANUAL) => {
                matches!(Verb::from_repr(command.verb), Some(Verb::StopOpening | Verb::Arm))
            }
            Scope::Strategy(strategy) => command.id == 0 || self.owners.contains(&strategy),
        };
        is_known.then_some(scope)
    }

    /// A strategy says that it trades an instrument.
    pub(super) fn on_owner(&mut self, instrument: u32, strategy: u16) {
        self.owners[instrument as usize] = strategy;
        if self.stops.flat.contains(&strategy) {
            self.flatten(1 << instrument);
        }
    }

    /// Stops a scope and has its positions closed, as soon as that may be.
    fn close_scope(&mut self, scope: Scope) -> CommandOutcome {
        self.stops.set(scope);
        // Nothing is closed against the kill word, or while a person has to look at the account first.
        if self.is_killed {
            return CommandOutcome::RefusedKilled;
        }
        if self.state == TradingState::Halted {
            return CommandOutcome::RefusedHalted;
        }
        let flat = &mut self.stops.flat;
        if let Scope::Strategy(strategy) = scope
            && flat.len() < STOPPED_MAX
            && !flat.contains(&strategy)
        {
            flat.push(strategy);
        }
        self.flatten(self.instruments_of(scope));
        CommandOutcome::Done
    }

    /// Nothing is closed any more until a person says it again. What was stopped stays stopped.
    pub(super) fn end_flattening(&mut self) {
        self.flattening = 0;
        self.stops.flat.clear();
    }

    pub(super) fn all_instruments(&self) -> u32 {
        self.definitions.iter().fold(0, |bits, d| bits | 1 << d.instrument)
    }

    /// Bit set of the instruments that a scope means.
    fn instruments_of(&self, scope: Scope) -> u32 {
        match scope {
            Scope::Account => self.all_instruments(),
            Scope::Instrument(i) => 1 << i,
            Scope::Strategy(strategy) => {
                let own = self.owners.iter().enumerate().filter(|(_, owner)| **owner == strategy);
                own.fold(0, |bits, (i, _)| bits | 1 << i)
            }
        }
    }

    /// Asks the venue to cancel every order of these instruments, but for those that are being canceled just now.
    pub(super) fn cancel_of(
        &mut self,
        now: Nanos,
        cause: Cause,
        instruments: u32,
        port: &mut impl GatewayPort,
    ) {
        self.withdraw_held(now, cause, instruments, port);
        let mut from = 0;
        while let Some(slot) = self.orders.occupied(from) {
            from = slot + 1;
            if self.orders.get_mut(slot).is_some_and(|o| instruments >> o.instrument & 1 == 1) {
                self.cancel_patiently(now, cause, slot, port);
            }
        }
    }

    /// Asks the venue to cancel an order, unless it was asked just now: longer than it takes to be asked about, so that
    /// proof is not put off by asking again.
    fn cancel_patiently(&mut self, now: Nanos, cause: Cause, slot: usize, port: &mut impl GatewayPort) {
        let patience_ns = CANCEL_PATIENCE_NS.max(2 * self.answer_timeout_ns);
        let is_asked = |o: &mut Order| o.is_canceling && now < o.canceled_ns + patience_ns;
        if !self.orders.get_mut(slot).is_some_and(is_asked) {
            self.cancel(now, cause, slot, port);
        }
    }

    /// Asks the venue to cancel one order, again if it was asked a while ago.
    fn cancel_named(
        &mut self,
        now: Nanos,
        cause: Cause,
        id: &ClientOrderId,
        port: &mut impl GatewayPort,
    ) -> CommandOutcome {
        let Some(slot) = self.orders.find(id) else { return CommandOutcome::NoSuchOrder };
        self.cancel_patiently(now, cause, slot, port);
        CommandOutcome::Done
    }

    /// Lets a scope trade again; the account only when everything about it is proven.
    fn arm(
        &mut self,
        now: Nanos,
        cause: Cause,
        scope: Scope,
        is_person: bool,
        port: &mut impl GatewayPort,
    ) -> CommandOutcome {
        if self.is_killed {
            return CommandOutcome::RefusedKilled;
        }
        if self.state == TradingState::Halted {
            return CommandOutcome::RefusedHalted;
        }
        if !self.is_reconciled {
            return CommandOutcome::RefusedNotReconciled;
        }
        if is_person {
            self.stops.clear(scope);
            self.flattening &= !self.instruments_of(scope);
        }
        if scope == Scope::Account {
            self.throttled.clear();
            self.set_state(now, cause, TradingState::Armed, StateReason::Command, port);
        }
        CommandOutcome::Done
    }
}
