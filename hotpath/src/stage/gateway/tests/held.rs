//! Orders that wait for a person.

use super::*;
use tickpath_shared::{
    command::Verdict,
    record::{ChangeRecord, HeldRecord},
    types::{HeldChange, OrderType},
};

fn confirming(over: i64) -> Config {
    let mut config = config(Vec::new());
    (config.risk.confirm, config.risk.confirm_notional_over) = (true, over);
    config
}

impl Stand {
    /// What is answered; of a limit that refuses, which.
    fn verdict(&mut self, verb: Verb, intent: u64) -> Verdict {
        let command = CommandRecord { value_bits: intent, ..CommandRecord::of(9, verb) };
        self.account(Kind::Command, command.as_bytes());
        Verdict::from_code(*self.out.answers.last().unwrap()).unwrap()
    }

    fn answer(&mut self, verb: Verb, intent: u64) -> CommandOutcome {
        match self.verdict(verb, intent) {
            Verdict::Outcome(outcome) => outcome,
            limit @ Verdict::Limit(_) => panic!("{limit:?}"),
        }
    }

    /// Wants an order that has to wait; the number of its intent.
    fn hold(&mut self, instrument: u32) -> u64 {
        assert_eq!(self.want(0, instrument, Side::Buy, false), None);
        assert_eq!(self.out.held.last(), Some(&(self.number, HeldChange::Held)));
        self.number
    }

    /// The engine wants another quantity of the order of an intent.
    fn change(&mut self, intent: u64, qty: i64) {
        let change = ChangeRecord {
            number: self.number + 1,
            intent,
            price: 10_000,
            qty,
            book_ns: self.now,
            read_ns: self.now,
            instrument: 0,
            strategy: 0,
            is_book_valid: 1,
            reserved: 0,
        };
        self.engine(EngineBody::Change(change));
    }

    fn last(&self) -> (HeldChange, Option<Reason>) {
        (self.out.held.last().unwrap().1, self.out.refused.last().copied())
    }
}

#[test]
fn an_order_waits_until_a_person_approves_it() {
    let mut stand = Stand::armed(&confirming(0));
    let intent = stand.hold(0);
    stand.wait(29_000);
    assert!(stand.out.sent.is_empty(), "{:?}", stand.out.sent);
    assert_eq!(stand.answer(Verb::Approve, intent + 1), CommandOutcome::NotHeld);
    assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::Done);
    let (sent_ns, order) = *stand.out.sent.last().unwrap();
    assert_eq!((sent_ns, order.intent, order.qty, order.price), (stand.now, intent, 1_000, 10_000));
    assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::NotHeld, "it leaves once");
    assert_eq!(stand.answer(Verb::Deny, intent), CommandOutcome::NotHeld);
    assert_eq!(stand.out.sent.len(), 1);
    stand.fill(&order, 10_000, 1_000);
    assert!(stand.is_let(0, 0, Side::Sell, true), "what closes waits for nobody");
}

#[test]
fn only_what_is_dearer_than_the_bound_waits() {
    // An order of one at 100.
    for (over, waits) in [(100 * 100_000_000 - 1, true), (100 * 100_000_000, false)] {
        let mut stand = Stand::armed(&confirming(over));
        assert_eq!(stand.want(0, 0, Side::Buy, false).is_none(), waits);
        assert_eq!(stand.out.held.len(), usize::from(waits));
    }
}

#[test]
fn nobody_who_answers_is_a_no() {
    let mut stand = Stand::armed(&confirming(0));
    let intent = stand.hold(0);
    assert_eq!(stand.answer(Verb::Deny, intent), CommandOutcome::Done);
    assert_eq!(stand.last(), (HeldChange::Denied, Some(Reason::NotApproved)));
    let intent = stand.hold(0);
    stand.wait(29_900);
    assert_eq!(stand.out.held.last().unwrap().1, HeldChange::Held);
    stand.wait(100);
    assert_eq!(stand.last(), (HeldChange::Expired, Some(Reason::NotApproved)));
    assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::NotHeld);
    assert!(stand.out.sent.is_empty());
}

#[test]
fn what_waits_goes_with_what_is_canceled() {
    for verb in [Verb::Disarm, Verb::CancelAll, Verb::StopOpening, Verb::Flatten] {
        let mut stand = Stand::armed(&confirming(0));
        let intent = stand.hold(1);
        stand.command(2, verb, Scope::Account);
        stand.wait(300);
        assert_eq!(stand.last(), (HeldChange::Withdrawn, Some(Reason::NotApproved)), "{verb}");
        assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::NotHeld, "{verb}");
    }
    let mut stand = Stand::armed(&confirming(0));
    let [first, second] = [stand.hold(0), stand.hold(1)];
    stand.command(2, Verb::CancelAll, Scope::Instrument(0));
    assert_eq!(stand.answer(Verb::Approve, first), CommandOutcome::NotHeld);
    assert_eq!(stand.answer(Verb::Approve, second), CommandOutcome::Done);
    let mut stand = Stand::armed(&confirming(0));
    let intent = stand.hold(0);
    stand.tell(GatewayEvent::Kill { is_set: true });
    assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::NotHeld);
    assert!(stand.out.sent.is_empty());
}

/// The engine asks for another price or for nothing: what the person saw is not what would leave.
#[test]
fn a_change_takes_back_what_waits() {
    for qty in [0, 2_000] {
        let mut stand = Stand::armed(&confirming(0));
        let intent = stand.hold(0);
        let refused = stand.out.refused.len();
        stand.change(intent, qty);
        assert_eq!(stand.out.held.last(), Some(&(intent, HeldChange::Withdrawn)));
        assert_eq!(stand.out.refused.len(), refused, "the engine is told that there is no order");
        assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::NotHeld);
    }
}

/// Limits that let it through when it was wanted are not those of the moment in which it leaves.
#[test]
fn approved_orders_meet_every_limit_again() {
    let grow_old = |stand: &mut Stand| {
        for _ in 0..22 {
            stand.now += SECOND / 2;
            stand.tell(GatewayEvent::Timer);
        }
    };
    type Case = (fn(&mut Stand), Reason);
    let cases: [Case; 2] = [
        (
            |stand| stand.tell(GatewayEvent::Link { connection: connection::ORDERS, is_up: false }),
            Reason::NoSession,
        ),
        (|stand| stand.engine(EngineBody::Mark { instrument: 0, price_e8: MARK / 2 }), Reason::PriceCollar),
    ];
    for (change, reason) in cases {
        let mut stand = Stand::armed(&confirming(0));
        let intent = stand.hold(0);
        change(&mut stand);
        assert_eq!(stand.verdict(Verb::Approve, intent), Verdict::Limit(reason));
        assert_eq!((stand.out.refused.last(), stand.out.sent.len()), (Some(&reason), 0));
    }
    let mut stand = Stand::armed(&confirming(0));
    let intent = stand.hold(0);
    grow_old(&mut stand);
    assert_eq!(stand.verdict(Verb::Approve, intent), Verdict::Limit(Reason::MarkStale));
    assert_eq!((stand.out.refused.last(), stand.out.sent.len()), (Some(&Reason::MarkStale), 0));
}

#[test]
fn nothing_waits_on_while_nothing_may_be_opened() {
    let breaker = breaker(BreakerMetric::Volatility, 2.0, BreakerAction::Stop, BreakerRelease::Manual);
    let config = Config { breaker: vec![breaker], ..confirming(0) };
    let ends: [fn(&mut Stand); 3] = [
        |stand| stand.engine(EngineBody::BookLost { instrument: 0 }),
        |stand| {
            let volatile = EngineBody::Regime { volatility_bits: 3_f64.to_bits(), change_bits: 0 };
            stand.engine(volatile);
            stand.wait(1_100);
        },
        |stand| {
            let port = &mut stand.out;
            stand.gateway.set_state(
                stand.now,
                Cause::NONE,
                TradingState::CancelOnly,
                StateReason::ForeignActivity,
                port,
            );
        },
    ];
    for end in ends {
        let mut stand = Stand::armed(&config);
        let intent = stand.hold(0);
        stand.engine(EngineBody::BookLost { instrument: 1 });
        assert_eq!(stand.out.held.last(), Some(&(intent, HeldChange::Held)), "another book");
        end(&mut stand);
        assert_eq!(stand.out.held.last(), Some(&(intent, HeldChange::Withdrawn)));
        assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::NotHeld);
    }
}

/// Whoever approved a small order did not approve a large one in its place.
#[test]
fn what_is_dearer_after_a_change_is_not_changed() {
    for (qty, is_changed) in [(1_400, true), (1_600, false)] {
        let mut stand = Stand::armed(&confirming(150 * 100_000_000));
        let order = stand.want(0, 0, Side::Buy, false).unwrap();
        stand.end(&order, OrderState::Working, 0);
        stand.change(order.intent, qty);
        let refused = stand.out.refused.last().copied();
        assert_eq!(refused, (!is_changed).then_some(Reason::NotApproved), "{qty}");
    }
}

#[test]
fn a_moment_too_late_is_too_late() {
    let mut stand = Stand::armed(&confirming(0));
    let intent = stand.hold(0);
    stand.wait(29_900);
    stand.now += SECOND / 10;
    // Commands come before the timer.
    assert_eq!(stand.answer(Verb::Approve, intent), CommandOutcome::NotHeld);
}

#[test]
fn as_many_wait_as_may() {
    let mut config = confirming(0);
    config.risk.identical_orders_max = 256;
    let mut stand = Stand::armed(&config);
    let waiting: Vec<u64> = (0..16).map(|_| stand.hold(0)).collect();
    assert_eq!(stand.want(0, 0, Side::Buy, false), None);
    assert_eq!(stand.out.refused.last(), Some(&Reason::HeldMax));
    assert_eq!(stand.answer(Verb::Approve, waiting[7]), CommandOutcome::Done);
    stand.hold(0);
    stand.wait(40_000);
    let expired = stand.out.held.iter().filter(|(_, change)| *change == HeldChange::Expired).count();
    assert_eq!((expired, stand.out.sent.len()), (16, 1));
}

/// The collar moves with the mark price: what has no price of its own moves with it, and a person's limit order as far as
/// it does not become dearer.
#[test]
fn what_waits_at_the_end_of_the_collar_moves_with_it() {
    let mut config = confirming(0);
    config.risk.market_orders = true;
    let approved = |strategy, order_type, mark_e8: i64| {
        let mut stand = Stand::armed(&config);
        let intent = stand.number + 1;
        let wanted =
            IntentRecord { price: 10_100, order_type, ..stand.intent(strategy, 0, Side::Buy, false) };
        stand.engine(EngineBody::Intent(wanted));
        assert_eq!(stand.out.held.last(), Some(&(intent, HeldChange::Held)));
        stand.engine(EngineBody::Mark { instrument: 0, price_e8: mark_e8 });
        let verdict = stand.verdict(Verb::Approve, intent);
        (verdict, stand.out.sent.last().map(|(_, order)| order.price))
    };
    let (done, market) = (Verdict::from(CommandOutcome::Done), OrderType::Market as u8);
    let [lower, higher] = [99, 101].map(|mark| mark * 100_000_000);
    let collar = Verdict::Limit(Reason::PriceCollar);
    assert_eq!(approved(Order::MANUAL, 0, lower), (done, Some(9_999)));
    assert_eq!(approved(Order::MANUAL, 0, higher), (done, Some(10_100)));
    assert_eq!(approved(0, 0, lower), (collar, None), "a strategy's price is its own");
    assert_eq!(approved(0, market, lower), (done, Some(9_999)));
    assert_eq!(approved(0, market, higher), (done, Some(10_201)));
}

/// What a record says is what a person is shown.
#[test]
fn the_record_says_what_waits() {
    let mut stand = Stand::armed(&confirming(0));
    let intent = stand.hold(1);
    let record = stand.out.last_held.unwrap();
    let expected = HeldRecord {
        intent,
        price: 10_000,
        qty: 1_000,
        until_ns: stand.now + 30 * SECOND,
        instrument: 1,
        strategy: 0,
        change: HeldChange::Held as u16,
        side: Side::Buy as u8,
        time_in_force: TimeInForce::Ioc as u8,
        order_type: 0,
        price_match: 0,
        reserved: [0; 4],
    };
    assert_eq!(record, expected);
}
