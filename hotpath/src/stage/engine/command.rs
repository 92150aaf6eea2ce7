//! What people want of an engine: another value of a parameter, an order of their own.

use super::{Engine, Moment};
use crate::{
    message::EngineBody,
    port::EnginePort,
    strategy::{Desk, Order, Passes, Strategy},
};
use tickpath_shared::{
    Nanos,
    command::{CommandOutcome, Ticket},
    record::{Cause, Class, Kind, ParameterRecord},
    types::{Side, StrategyName},
};
use zerocopy::IntoBytes;

impl<S: Strategy> Engine<S> {
    /// Hands a new value to the strategy that it is for, and answers who wanted it.
    #[expect(clippy::too_many_arguments, reason = "a message taken apart")]
    pub(super) fn set_parameter(
        &mut self,
        now: Nanos,
        cause: Cause,
        id: u64,
        strategy: u16,
        parameter: u16,
        value_bits: u64,
        port: &mut impl EnginePort,
    ) {
        let slot = self.slots.iter_mut().find(|slot| slot.number == strategy);
        let taken = slot.map_or(Err(CommandOutcome::UnknownScope), |slot| {
            slot.strategy.on_command(parameter, f64::from_bits(value_bits))
        });
        let is_taken = taken.is_ok().into();
        let record = ParameterRecord { value_bits, strategy, parameter, is_taken, reserved: [0; 3] };
        port.record(Kind::Parameter, Class::Audit, now, cause, &[record.as_bytes()]);
        let outcome = taken.err().unwrap_or(CommandOutcome::Done) as u16;
        self.send(EngineBody::Answer { id, outcome }, 0, port);
    }

    /// Sends a person's order the way of all others: decided on the book as it is now, and refused like any other.
    pub(super) fn place_by_hand(
        &mut self,
        moment: Moment,
        instrument: u32,
        id: u64,
        ticket: &Ticket,
        port: &mut impl EnginePort,
    ) {
        let Ticket { side, qty, is_reduce_only, time_in_force, terms, .. } = *ticket;
        self.send(EngineBody::ByHand { id }, 0, port);
        let price = if ticket.price == 0 {
            // The worst that it may have, by which the limits judge it.
            let listing = &self.listings[instrument as usize];
            let bounds = listing.definition.price_bounds(listing.mark_e8, self.limits.collar_bps);
            bounds[usize::from(side == Side::Buy)]
        } else {
            ticket.price
        };
        let mut desk = Desk {
            now: moment.now,
            cause: moment.cause,
            read_ns: moment.read_ns,
            venue_ms: self.venue_ms,
            limits: self.limits,
            strategy: StrategyName::Manual as u16,
            listings: &self.listings,
            sent: &mut self.sent,
            passes: &mut Passes::default(),
            port,
        };
        let (stop, target) = (0, 0);
        desk.place(&Order {
            instrument,
            side,
            price,
            qty,
            time_in_force,
            is_reduce_only,
            stop,
            target,
            terms,
        });
    }
}
