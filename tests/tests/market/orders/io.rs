//! What the gateway does, kept until the world has taken it, and what was seen of it.

use std::collections::BTreeSet;
use tickpath_hotpath::{
    message::{Ask, EngineMessage, Notice, Outcome, OutcomeBody},
    port::{EnginePort, Port},
    stage::gateway::{GatewayPort, Outgoing},
};
use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{Cause, Class, Kind},
};

/// Text of a client order id, padded.
pub type IdText = [u8; 24];

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub orders: u64,
    pub cancels: u64,
    pub fills: u64,
    pub duplicate_fills: u64,
    pub early_fills: u64,
    pub mismatches: u64,
    pub missed_fills: u64,
    pub unknown: u64,
    pub resolved: u64,
    pub lost_answers: u64,
    pub late_answers: u64,
    pub timeouts_answered: u64,
    pub doubled_fills: u64,
    pub fills_before_answers: u64,
    pub cuts: u64,
    /// Stops that the venue carried out, or that it would have at once.
    pub stops_reached: u64,
    /// Readings of the account whose wallet was compared.
    pub wallets: u64,
    pub failed_asks: u64,
    pub amends: u64,
    pub amended: u64,
    pub changes_refused: u64,
    pub foreign: u64,
    pub kills: u64,
    /// Orders that the venue refused.
    pub rejected: u64,
    /// Orders that were sent while the kill word was set.
    pub orders_while_killed: u64,
    /// Orders that the kill did not cancel at once.
    pub left_by_kill: u64,
    pub longest_unknown_ns: Nanos,
}

/// What the gateway does, kept until the world has taken it.
#[derive(Default)]
pub struct Io {
    pub sent: Vec<String>,
    pub asks: Vec<Ask>,
    ids: BTreeSet<IdText>,
    pub repeated_ids: u64,
    pub notices: Vec<Notice>,
    /// Between an engine and the gateway, where there is an engine.
    pub messages: Vec<EngineMessage>,
    pub outcomes: Vec<Outcome>,
    pub has_engine: bool,
    pub is_killed: bool,
    pub seen: Seen,
}

impl Port for Io {
    fn record(&mut self, _: Kind, _: Class, _: Nanos, _: Cause, _: &[&[u8]]) {}

    fn count(&mut self, counter: Counter, by: u64) {
        match counter {
            Counter::Fills => self.seen.fills += by,
            Counter::FillsDuplicate => self.seen.duplicate_fills += by,
            Counter::FillsEarly => self.seen.early_fills += by,
            Counter::PositionMismatches => self.seen.mismatches += by,
            Counter::OrdersUnknown => self.seen.unknown += by,
            Counter::OrdersResolved => self.seen.resolved += by,
            _ => {}
        }
    }
}

impl EnginePort for Io {
    fn send(&mut self, message: &EngineMessage) {
        self.messages.push(*message);
    }

    fn ask_snapshot(&mut self, _: u32) {}
}

impl GatewayPort for Io {
    fn send(&mut self, _: Nanos, request: &Outgoing<'_>) {
        if request.is_order {
            self.seen.orders += 1;
            self.seen.orders_while_killed += u64::from(self.is_killed);
            self.repeated_ids += u64::from(!self.ids.insert(*request.client_order_id.as_padded()));
        } else {
            let is_amend = request.text.windows(12).any(|w| w == b"order.modify");
            self.seen.orders_while_killed += u64::from(is_amend && self.is_killed);
            self.seen.amends += u64::from(is_amend);
            self.seen.cancels += u64::from(!is_amend);
        }
        self.sent.push(String::from_utf8(request.text.to_vec()).unwrap());
    }

    fn tell(&mut self, outcome: Outcome) {
        if self.has_engine {
            self.outcomes.push(outcome);
        }
        match outcome.body {
            OutcomeBody::Amended { .. } => self.seen.amended += 1,
            OutcomeBody::Refused { .. } => self.seen.changes_refused += 1,
            _ => {}
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.asks.push(ask);
    }
}
