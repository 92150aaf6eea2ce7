//! Orders of people: the command that asked is told what becomes of them.

use super::*;
use tickpath_shared::{
    command::{Ticket, Verdict},
    types::OrderTerms,
};

impl Stand {
    /// The engine sends a person's order of one at 100.00; the answer to command 7.
    fn by_hand(&mut self, side: Side, is_reduce_only: bool) -> (Verdict, Option<OrderRecord>) {
        let answers = self.out.answers.len();
        self.engine(EngineBody::ByHand { id: 7 });
        let order = self.want(Order::MANUAL, 0, side, is_reduce_only);
        assert_eq!(self.out.answers.len(), answers + 1, "one answer");
        (Verdict::from_code(*self.out.answers.last().unwrap()).unwrap(), order)
    }
}

#[test]
fn a_person_is_told_what_becomes_of_an_order() {
    let mut stand = Stand::start(&config(Vec::new()), EPOCH_MS, None);
    assert_eq!(stand.by_hand(Side::Buy, false).0, Verdict::Limit(Reason::NotArmed));
    stand.command(1, Verb::Arm, Scope::Account);
    let (verdict, order) = stand.by_hand(Side::Buy, false);
    assert_eq!(verdict, CommandOutcome::Done.into());
    let order = order.unwrap();
    assert_eq!(order.strategy, Order::MANUAL);
    stand.fill(&order, 10_000, 1_000);
    // The next intent is a strategy's own, which nobody waits for.
    let answers = stand.out.answers.len();
    assert!(stand.is_let(0, 1, Side::Buy, false));
    // Nor is it a person's when the person's own was lost on its way.
    stand.engine(EngineBody::ByHand { id: 7 });
    stand.number += 1;
    assert!(stand.is_let(0, 1, Side::Buy, false));
    assert_eq!(stand.out.answers.len(), answers);

    let mut config = config(Vec::new());
    (config.risk.confirm, config.risk.confirm_notional_over) = (true, 0);
    let mut stand = Stand::armed(&config);
    assert_eq!(stand.by_hand(Side::Buy, false), (CommandOutcome::AwaitsApproval.into(), None));
}

/// Orders of people are stopped and armed by a name; nobody knows which positions came of them.
#[test]
fn orders_of_people_are_stopped_by_their_name() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let by_hand = Scope::Strategy(Order::MANUAL);
    assert_eq!(stand.command(2, Verb::StopOpening, by_hand), CommandOutcome::Done);
    assert_eq!(stand.by_hand(Side::Buy, false).0, Verdict::Limit(Reason::Stopped));
    assert!(stand.is_let(0, 1, Side::Buy, false), "a strategy's goes on");
    assert_eq!(stand.command(3, Verb::Flatten, by_hand), CommandOutcome::UnknownScope);
    assert_eq!(stand.command(4, Verb::Arm, by_hand), CommandOutcome::Done);
    assert_eq!(stand.by_hand(Side::Buy, false).0, CommandOutcome::Done.into());
}

/// What a person does on an instrument does not take it out of its strategy's hands.
#[test]
fn a_person_does_not_own_what_a_strategy_trades() {
    let mut stand = Stand::armed(&config(Vec::new()));
    stand.engine(EngineBody::Owner { instrument: 0, strategy: 3 });
    let (_, order) = stand.by_hand(Side::Buy, false);
    stand.fill(&order.unwrap(), 10_000, 1_000);
    assert_eq!(stand.command(2, Verb::Flatten, Scope::Strategy(3)), CommandOutcome::Done);
    stand.wait(300);
    let (_, closing) = stand.out.sent.last().unwrap();
    assert_eq!((closing.side, closing.qty, closing.is_reduce_only), (Side::Sell as u8, 1_000, 1));
}

#[test]
fn one_order_is_canceled_by_its_name() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let (_, one) = stand.by_hand(Side::Buy, false);
    let other = stand.want(0, 1, Side::Buy, false).unwrap();
    let cancel = |stand: &mut Stand, client_order_id| {
        let command = CommandRecord { client_order_id, ..CommandRecord::of(8, Verb::Cancel) };
        stand.account(Kind::Command, command.as_bytes());
        Verdict::from_code(*stand.out.answers.last().unwrap()).unwrap()
    };
    assert_eq!(cancel(&mut stand, one.unwrap().client_order_id), CommandOutcome::Done.into());
    assert_eq!(stand.out.canceled, [one.unwrap().client_order_id]);
    // Saying it again puts off no proof, and it is sent again when it was not heard.
    assert_eq!(cancel(&mut stand, one.unwrap().client_order_id), CommandOutcome::Done.into());
    assert_eq!(stand.out.canceled.len(), 1);
    let strange = ClientOrderId::from_venue(b"somebody");
    assert_eq!(cancel(&mut stand, strange), CommandOutcome::NoSuchOrder.into());
    stand.end(&other, OrderState::Canceled, 0);
    assert_eq!(cancel(&mut stand, other.client_order_id), CommandOutcome::NoSuchOrder.into());
}

#[test]
fn orders_that_cannot_be_meant_are_refused_before_the_engine() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let ticket = Ticket {
        price: 10_000,
        qty: 1_000,
        side: Side::Buy,
        time_in_force: TimeInForce::Gtc,
        is_reduce_only: false,
        terms: OrderTerms::LIMIT,
    };
    let (price, qty) = (ticket.price, ticket.qty);
    let whole = CommandRecord { price, qty, side: 1, time_in_force: 1, ..CommandRecord::of(9, Verb::Place) };
    assert_eq!(whole.ticket(), Some(ticket));
    let mut answer = |command: CommandRecord| {
        let answers = stand.out.answers.len();
        stand.account(Kind::Command, command.as_bytes());
        stand.out.answers.get(answers).map(|code| Verdict::from_code(*code).unwrap())
    };
    // Of no instrument, of one that is not there, of a side that is none.
    assert_eq!(answer(whole), Some(CommandOutcome::UnknownScope.into()));
    assert_eq!(
        answer(CommandRecord { scope: 2, target: 9, ..whole }),
        Some(CommandOutcome::UnknownScope.into())
    );
    let sideless = CommandRecord { scope: 2, side: 0, ..whole };
    assert_eq!(answer(sideless), Some(CommandOutcome::UnknownTicket.into()));
    assert_eq!(answer(CommandRecord { scope: 2, ..whole }), None, "the engine's word comes first");
    assert_eq!(stand.out.told.last().map(|o| o.body), Some(OutcomeBody::Place { id: 9, ticket }));
}
