//! The gateway as a whole: what people stop, positions that are closed, breakers over days and
//! restarts.

mod by_hand;
mod halts;
mod held;
mod rates;
mod resting;

use super::*;
use crate::message::Notice;
use tickpath_shared::{
    command::{CommandOutcome, Scope},
    record::{
        CommandRecord, HeldRecord, IntentRecord, OrderRecord, OrderReportRecord, OrderStateRecord,
        PositionRecord, ReconciledRecord, RefusalRecord, TimeRecord,
    },
    types::{
        BreakerAction, BreakerRelease, Grid, HeldChange, OrderState, Parameter, Reason, Side, Symbol,
        TimeInForce,
    },
};

const MS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MS;
const DAY_MS: u64 = 86_400_000;
/// The venue's clock when the session begins: noon.
const EPOCH_MS: u64 = 20_000 * DAY_MS + DAY_MS / 2;
const MARK: i64 = 100 * 100_000_000;

/// What the gateway did.
#[derive(Default)]
struct Out {
    /// Session times of new orders.
    sent: Vec<(Nanos, OrderRecord)>,
    canceled: Vec<ClientOrderId>,
    refused: Vec<Reason>,
    answers: Vec<u16>,
    days: Vec<DayRecord>,
    states: Vec<TradingState>,
    breakers: u64,
    /// Assets of commission that people were told of.
    other_fees: Vec<[u8; 8]>,
    /// Intents of orders that wait, and what became of them.
    held: Vec<(u64, HeldChange)>,
    last_held: Option<HeldRecord>,
    /// What the engine was told.
    told: Vec<Outcome>,
    /// What became of stops at the venue, as people were told.
    stops: Vec<Notice>,
    /// Stops that the venue was asked about.
    asked_stops: Vec<ClientOrderId>,
    /// States that orders came to.
    order_states: Vec<OrderState>,
}

impl Port for Out {
    fn record(&mut self, kind: Kind, _: Class, now: Nanos, _: Cause, parts: &[&[u8]]) {
        match kind {
            Kind::Order => self.sent.push((now, body_of(parts[0]).unwrap())),
            Kind::Cancel => self.canceled.push(body_of::<OrderRecord>(parts[0]).unwrap().client_order_id),
            Kind::Refusal => {
                let refusal: RefusalRecord = body_of(parts[0]).unwrap();
                self.refused.push(Reason::from_repr(refusal.reason).unwrap());
            }
            Kind::TradingState => {
                let state: TradingStateRecord = body_of(parts[0]).unwrap();
                self.states.push(TradingState::from_repr(state.to).unwrap());
            }
            Kind::Breaker => self.breakers += 1,
            Kind::OrderState => {
                let change: OrderStateRecord = body_of(parts[0]).unwrap();
                self.order_states.push(OrderState::from_repr(change.to).unwrap());
            }
            Kind::Held => {
                let held: HeldRecord = body_of(parts[0]).unwrap();
                self.held.push((held.intent, HeldChange::from_repr(held.change).unwrap()));
                self.last_held = Some(held);
            }
            _ => {}
        }
    }

    fn count(&mut self, _: Counter, _: u64) {}
}

impl GatewayPort for Out {
    fn send(&mut self, _: Nanos, _: &Outgoing<'_>) {}

    fn tell(&mut self, outcome: Outcome) {
        self.told.push(outcome);
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Answer { outcome, .. } => self.answers.push(outcome),
            Ask::Day(day) => self.days.push(day),
            Ask::Tell(Notice::OtherFee { asset }) => self.other_fees.push(asset),
            Ask::Tell(notice @ (Notice::StopReached { .. } | Notice::StopRefused { .. })) => {
                self.stops.push(notice);
            }
            Ask::Stop { client_order_id, .. } => self.asked_stops.push(client_order_id),
            _ => {}
        }
    }
}

/// A gateway with two instruments at 100.00, lots of a thousandth.
struct Stand {
    gateway: Gateway,
    out: Out,
    now: Nanos,
    number: u64,
    trades: u64,
}

fn config(breaker: Vec<config::Breaker>) -> Config {
    let risk = config::Risk { book_venue_age_ms_max: 0, ..config::Risk::default() };
    Config { risk, breaker, ..Config::default() }
}

fn breaker(
    metric: BreakerMetric,
    threshold: f64,
    action: BreakerAction,
    release: BreakerRelease,
) -> config::Breaker {
    config::Breaker { metric, threshold, samples: 1, action, release }
}

impl Stand {
    /// Reconciled, but not armed; the day of a process before goes on.
    fn start(config: &Config, epoch_ms: u64, day: Option<&DayRecord>) -> Self {
        let definition = |symbol: &str, index| {
            let price = Grid { scale: 2, places: 2, step: 1 };
            let qty = Grid { scale: 3, places: 3, step: 1 };
            InstrumentDefinition::on_grids(Symbol::new(symbol).unwrap(), index, price, qty)
        };
        let definitions = [definition("AAA", 0), definition("BBB", 1)];
        let ids = OrderIds { instance: InstanceId::new("001").unwrap(), epoch: 1 };
        let gateway = Gateway::new(config, &definitions, ids, false, false);
        let mut stand = Self { gateway, out: Out::default(), now: SECOND, number: 0, trades: 0 };
        if let Some(day) = day {
            stand.account(Kind::Day, day.as_bytes());
        }
        for connection in [connection::ORDERS, connection::EVENTS] {
            stand.tell(GatewayEvent::Link { connection, is_up: true });
        }
        let time = TimeRecord { venue_epoch_ns: epoch_ms * MS, error_bound_ns: MS, drift_ns: 0 };
        stand.account(Kind::Time, time.as_bytes());
        for instrument in 0..2 {
            let flat =
                PositionRecord { instrument, reserved: 0, qty: 0, entry_price_e8: 0, through_trade_id: 0 };
            stand.account(Kind::StartPosition, flat.as_bytes());
        }
        stand.account(Kind::Reconciled, ReconciledRecord { open_orders: 0, trades: 0 }.as_bytes());
        stand.marks();
        stand
    }

    fn armed(config: &Config) -> Self {
        let mut stand = Self::start(config, EPOCH_MS, None);
        stand.command(1, Verb::Arm, Scope::Account);
        stand
    }

    fn tell(&mut self, event: GatewayEvent<'_>) {
        self.gateway.on_event(self.now, Cause::NONE, event, &mut self.out);
    }

    fn account(&mut self, kind: Kind, payload: &[u8]) {
        let message = AccountMessage::new(Cause::NONE, kind as u16, payload).unwrap();
        self.tell(GatewayEvent::Account(&message));
    }

    fn command(&mut self, id: u64, verb: Verb, scope: Scope) -> CommandOutcome {
        let (scope, target) = scope.parts();
        let command = CommandRecord { scope, target, ..CommandRecord::of(id, verb) };
        self.account(Kind::Command, command.as_bytes());
        CommandOutcome::from_repr(*self.out.answers.last().unwrap()).unwrap()
    }

    fn engine(&mut self, body: EngineBody) {
        self.number += 1;
        let book_venue_ms = EPOCH_MS + self.now / MS;
        let message = EngineMessage { number: self.number, decided_ns: self.now, book_venue_ms, body };
        self.tell(GatewayEvent::Engine(&message));
    }

    fn marks(&mut self) {
        (0..2).for_each(|instrument| self.engine(EngineBody::Mark { instrument, price_e8: MARK }));
    }

    /// Time passes in tenths of a second, the market with it.
    fn wait(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now += 100 * MS;
            if self.now.is_multiple_of(SECOND) {
                self.marks();
            }
            self.tell(GatewayEvent::Timer);
        }
    }

    /// Wants an order of one at 100.00; the order, if it was sent.
    fn want(
        &mut self,
        strategy: u16,
        instrument: u32,
        side: Side,
        is_reduce_only: bool,
    ) -> Option<OrderRecord> {
        let sent = self.out.sent.len();
        self.engine(EngineBody::Intent(self.intent(strategy, instrument, side, is_reduce_only)));
        self.out.sent.get(sent).map(|(_, order)| *order)
    }

    /// An order of one at 100.00, numbered as the message that would come next.
    fn intent(&self, strategy: u16, instrument: u32, side: Side, is_reduce_only: bool) -> IntentRecord {
        IntentRecord {
            number: self.number + 1,
            price: 10_000,
            qty: 1_000,
            book_ns: self.now,
            read_ns: self.now,
            instrument,
            book_epoch: 1,
            strategy,
            side: side as u8,
            time_in_force: TimeInForce::Ioc as u8,
            is_reduce_only: is_reduce_only.into(),
            is_book_valid: 1,
            order_type: 0,
            price_match: 0,
            stop: 0,
            target: 0,
            good_till_ms: 0,
        }
    }

    /// Whether such an order leaves; it finds nothing.
    fn is_let(&mut self, strategy: u16, instrument: u32, side: Side, is_reduce_only: bool) -> bool {
        let order = self.want(strategy, instrument, side, is_reduce_only);
        order.inspect(|order| self.end(order, OrderState::Expired, 0)).is_some()
    }

    /// An order fills whole at a price in cents, or in part and ends.
    fn fill(&mut self, order: &OrderRecord, price: i64, qty: i64) {
        self.fill_for(order, price, qty, 0, *b"AAA\0\0\0\0\0");
    }

    fn fill_for(&mut self, order: &OrderRecord, price: i64, qty: i64, fee_e8: i64, fee_asset: [u8; 8]) {
        self.trades += 1;
        let fill = FillRecord {
            client_order_id: order.client_order_id,
            venue_order_id: 1_000 + self.trades,
            trade_id: self.trades,
            venue_ms: EPOCH_MS,
            price,
            qty,
            fee_e8,
            fee_asset,
            instrument: order.instrument,
            side: order.side,
            is_maker: 0,
            is_reconciled: 0,
            reserved: 0,
        };
        self.account(Kind::VenueTrade, fill.as_bytes());
        let state = if qty == order.qty { OrderState::Filled } else { OrderState::Expired };
        self.end(order, state, qty);
    }

    fn end(&mut self, order: &OrderRecord, state: OrderState, filled: i64) {
        let report = OrderReportRecord {
            client_order_id: order.client_order_id,
            venue_order_id: 1_000 + self.trades,
            filled,
            state: state as u8,
            is_proven: 1,
            reserved: [0; 2],
            age_ms: 0,
            price: 0,
            qty: 0,
        };
        self.account(Kind::OrderReport, report.as_bytes());
    }

    /// Buys at 100.00 and sells at `price`: a result of `price` - 100.00.
    fn round_trip(&mut self, price: i64) {
        let bought = self.want(0, 0, Side::Buy, false).unwrap();
        self.fill(&bought, 10_000, 1_000);
        let sold = self.want(0, 0, Side::Sell, true).unwrap();
        self.fill(&sold, price, 1_000);
    }
}

#[test]
fn the_same_order_again_and_orders_against_own_ones_do_not_leave() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let sent: Vec<_> = (0..1_000).filter_map(|_| stand.want(0, 0, Side::Buy, false)).collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(stand.out.refused.iter().filter(|r| **r == Reason::Identical).count(), 998);
    assert_eq!(stand.want(0, 0, Side::Sell, false), None);
    assert_eq!(stand.out.refused.last(), Some(&Reason::SelfCross));
}

#[test]
fn what_a_person_stops_stays_stopped_until_a_person_arms_it() {
    for (scope, is_first_stopped, is_second_stopped) in
        [(Scope::Account, true, true), (Scope::Strategy(0), true, false), (Scope::Instrument(1), false, true)]
    {
        let mut stand = Stand::armed(&config(Vec::new()));
        let bought = stand.want(0, 0, Side::Buy, false).unwrap();
        stand.fill(&bought, 10_000, 1_000);
        assert_eq!(stand.command(2, Verb::StopOpening, scope), CommandOutcome::Done);
        // A start that arms itself releases nothing.
        stand.command(0, Verb::Arm, Scope::Account);
        assert_eq!(!stand.is_let(0, 0, Side::Buy, false), is_first_stopped, "{scope:?}");
        assert_eq!(!stand.is_let(1, 1, Side::Buy, false), is_second_stopped, "{scope:?}");
        assert_eq!(stand.out.refused.last(), Some(&Reason::Stopped));
        assert!(stand.is_let(0, 0, Side::Sell, true), "what is held may be closed");
        assert_eq!(stand.command(3, Verb::Arm, scope), CommandOutcome::Done);
        assert!(stand.is_let(0, 0, Side::Buy, false) && stand.is_let(1, 1, Side::Buy, false));
    }
    let mut stand = Stand::armed(&config(Vec::new()));
    let unknown = stand.command(2, Verb::StopOpening, Scope::Instrument(2));
    assert_eq!(unknown, CommandOutcome::UnknownScope);
}

#[test]
fn cancels_are_of_their_scope() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let [first, second] = [(0, 0), (1, 1)].map(|(s, i)| stand.want(s, i, Side::Buy, false).unwrap());
    stand.command(2, Verb::CancelAll, Scope::Strategy(1));
    assert_eq!(stand.out.canceled, [second.client_order_id]);
    stand.command(3, Verb::CancelAll, Scope::Account);
    assert_eq!(stand.out.canceled, [second.client_order_id, first.client_order_id], "once");
}

/// What a person tightens holds for the next order; what the configuration does not allow nobody does.
#[test]
fn limits_change_while_they_hold() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let mut set = |value: f64| {
        let (parameter, value_bits) = (Parameter::RiskOrderNotionalMax as u16, value.to_bits());
        let command = CommandRecord { parameter, value_bits, ..CommandRecord::of(5, Verb::Set) };
        stand.account(Kind::Command, command.as_bytes());
        let outcome = CommandOutcome::from_repr(*stand.out.answers.last().unwrap()).unwrap();
        (outcome, stand.is_let(0, 0, Side::Buy, false))
    };
    assert_eq!(set(99.99), (CommandOutcome::Done, false));
    assert_eq!(set(100.0), (CommandOutcome::Done, true));
    assert_eq!(set(f64::NAN), (CommandOutcome::RefusedValue, true));
    assert_eq!(set(1e9), (CommandOutcome::RefusedValue, true));
    assert_eq!(stand.out.refused, [Reason::NotionalMax]);
}

#[test]
fn positions_are_closed_in_orders_that_the_limits_let_through() {
    let (mut by_lots, mut by_notional) = (config(Vec::new()), config(Vec::new()));
    by_lots.risk.order_lots_max = 1_000;
    // One at the mark price, by which a sell below it is judged.
    by_notional.risk.order_notional_max = MARK;
    closes_in_parts(&by_lots);
    closes_in_parts(&by_notional);
}

fn closes_in_parts(config: &Config) {
    let mut stand = Stand::armed(config);
    for _ in 0..3 {
        let bought = stand.want(0, 0, Side::Buy, false).unwrap();
        stand.fill(&bought, 10_000, 1_000);
    }
    let open = stand.want(0, 0, Side::Buy, false).unwrap();
    assert_eq!(stand.command(2, Verb::Flatten, Scope::Strategy(0)), CommandOutcome::Done);
    stand.wait(100);
    assert_eq!(stand.out.canceled, [open.client_order_id], "what is open goes first");
    stand.end(&open, OrderState::Canceled, 0);
    let mut closed = 0;
    for _ in 0..20 {
        let before = stand.out.sent.len();
        stand.wait(300);
        let Some((_, order)) = stand.out.sent.get(before).copied() else { continue };
        assert_eq!((order.side, order.is_reduce_only, order.price), (Side::Sell as u8, 1, 9_900));
        assert!(order.qty <= 1_000 && stand.out.sent.len() == before + 1, "one at a time, within the limit");
        let qty = order.qty.min(700);
        closed += qty;
        stand.fill(&order, 9_950, qty);
    }
    assert_eq!((closed, stand.gateway.positions().qty(0)), (3_000, 0));
    assert_eq!(stand.want(0, 0, Side::Buy, false), None);
    assert_eq!(stand.out.refused.last(), Some(&Reason::Stopped), "and stays closed");
}

#[test]
fn a_loss_of_the_day_closes_everything_and_holds_until_the_next_day_whatever_happens() {
    use BreakerMetric::DayLoss;
    let config = config(vec![breaker(DayLoss, 3.0, BreakerAction::Flatten, BreakerRelease::Day)]);
    let mut stand = Stand::armed(&config);
    stand.round_trip(9_800);
    stand.wait(2_000);
    assert!(stand.gateway.barrier.is_none(), "two of three");
    let held = stand.want(1, 1, Side::Buy, false).unwrap();
    stand.fill(&held, 10_000, 1_000);
    stand.round_trip(9_890);
    stand.wait(1_000);
    assert_eq!(stand.gateway.barrier, Some(DayLoss));
    assert_eq!(stand.want(0, 0, Side::Buy, false), None);
    assert_eq!(stand.out.refused.last(), Some(&Reason::Breaker));
    stand.wait(300);
    let (_, out) = *stand.out.sent.last().unwrap();
    assert_eq!((out.instrument, out.side, out.is_reduce_only), (1, Side::Sell as u8, 1));
    stand.fill(&out, 10_000, 1_000);
    stand.wait(2_000);
    // Neither arming nor a restart, with the clock set back, forgets it.
    assert_eq!(stand.command(5, Verb::Arm, Scope::Account), CommandOutcome::Done);
    assert_eq!(stand.want(0, 0, Side::Buy, false), None);
    let day = *stand.out.days.last().unwrap();
    for epoch_ms in [EPOCH_MS, EPOCH_MS - DAY_MS, EPOCH_MS + DAY_MS / 2 - 10_000] {
        let mut again = Stand::start(&config, epoch_ms, Some(&day));
        again.command(1, Verb::Arm, Scope::Account);
        again.wait(3_000);
        assert_eq!(again.want(0, 0, Side::Buy, false), None);
        assert_eq!(again.out.refused.last(), Some(&Reason::Breaker));
    }
    let mut next = Stand::start(&config, EPOCH_MS + DAY_MS / 2 - 5_000, Some(&day));
    next.command(1, Verb::Arm, Scope::Account);
    next.wait(3_000);
    assert_eq!(next.want(0, 0, Side::Buy, false), None, "five seconds before midnight");
    next.wait(3_000);
    assert!(next.want(0, 0, Side::Buy, false).is_some(), "a new day");
    assert_eq!(next.out.days.last().unwrap().latched, 0);
}

#[test]
fn a_thousand_restarts_forget_no_loss() {
    let config =
        config(vec![breaker(BreakerMetric::RealizedLoss, 50.0, BreakerAction::Stop, BreakerRelease::Manual)]);
    let mut day: Option<DayRecord> = None;
    let mut lost = 0;
    for i in 0..1_000 {
        let mut stand = Stand::start(&config, EPOCH_MS + i * 40_000, day.as_ref());
        stand.command(1, Verb::Arm, Scope::Account);
        stand.wait(1_000);
        let is_held = lost > 5_000;
        assert_eq!(stand.gateway.barrier.is_some(), is_held, "{lost} cents lost");
        if !is_held {
            stand.round_trip(9_990);
            lost += 10;
        }
        stand.wait(1_100);
        day = stand.out.days.last().copied().or(day);
    }
    assert_eq!(lost, 5_010);
    let mut stand = Stand::start(&config, EPOCH_MS, day.as_ref());
    stand.command(1, Verb::Arm, Scope::Account);
    stand.command(2, Verb::ReleaseBreakers, Scope::Account);
    assert!(stand.gateway.barrier.is_none());
    stand.wait(2_000);
    assert!(stand.gateway.barrier.is_some(), "what still holds trips again");
}

#[test]
fn losses_in_a_row_are_forgotten_with_their_breaker() {
    use BreakerMetric::LossesInRow;
    for release in [BreakerRelease::Manual, BreakerRelease::Day] {
        let config = config(vec![breaker(LossesInRow, 2.0, BreakerAction::Stop, release)]);
        let mut stand = Stand::start(&config, EPOCH_MS + DAY_MS / 2 - 10_000, None);
        stand.command(1, Verb::Arm, Scope::Account);
        (0..3).for_each(|_| stand.round_trip(9_990));
        stand.wait(1_000);
        assert_eq!(stand.gateway.barrier, Some(LossesInRow));
        match release {
            BreakerRelease::Manual => _ = stand.command(2, Verb::ReleaseBreakers, Scope::Account),
            _ => stand.wait(10_000),
        }
        stand.wait(3_000);
        assert!(stand.is_let(0, 0, Side::Buy, false), "{release:?}");
    }
}

#[test]
fn closing_goes_on_after_a_restart() {
    let flatten = breaker(BreakerMetric::RealizedLoss, 1.0, BreakerAction::Flatten, BreakerRelease::Manual);
    let config = config(vec![flatten]);
    let mut stand = Stand::armed(&config);
    stand.round_trip(9_800);
    stand.wait(1_100);
    let day = *stand.out.days.last().unwrap();
    let mut again = Stand::start(&config, EPOCH_MS, Some(&day));
    // Held since before the start.
    let definition = again.gateway.definitions[1];
    again.gateway.positions.start(&definition, -500, MARK);
    again.wait(300);
    let (_, out) = *again.out.sent.last().unwrap();
    assert_eq!((out.instrument, out.side, out.qty, out.is_reduce_only), (1, Side::Buy as u8, 500, 1));
}

#[test]
fn a_strategy_is_known_by_its_instruments_before_it_trades() {
    let mut stand = Stand::armed(&config(Vec::new()));
    assert_eq!(stand.command(2, Verb::Flatten, Scope::Strategy(7)), CommandOutcome::UnknownScope);
    // Told by the session thread before the engine has said a word.
    assert_eq!(stand.command(0, Verb::Flatten, Scope::Strategy(7)), CommandOutcome::Done);
    stand.engine(EngineBody::Owner { instrument: 1, strategy: 7 });
    assert_eq!(stand.gateway.flattening, 0b10);
    assert_eq!(stand.command(0, Verb::Disarm, Scope::Account), CommandOutcome::Done);
    assert_eq!(stand.gateway.flattening, 0, "disarmed is disarmed");
    stand.engine(EngineBody::Owner { instrument: 0, strategy: 7 });
    assert_eq!(stand.gateway.flattening, 0, "and stays it");
}

#[test]
fn refusals_of_the_venue_stop_openings_until_they_end() {
    let recover = breaker(BreakerMetric::Rejects, 4.0, BreakerAction::Cancel, BreakerRelease::Recovery);
    let mut stand = Stand::armed(&config(vec![recover]));
    let resting = stand.want(1, 1, Side::Buy, false).unwrap();
    for _ in 0..5 {
        stand.gateway.health.on_reject();
    }
    stand.wait(1_000);
    assert_eq!(stand.out.canceled, [resting.client_order_id]);
    assert_eq!(stand.want(0, 0, Side::Buy, false), None);
    stand.wait(58_000);
    assert!(stand.gateway.barrier.is_some());
    stand.wait(3_000);
    assert!(stand.want(0, 0, Side::Buy, false).is_some(), "a minute without refusals");
    assert_eq!(stand.out.breakers, 2);
}

#[test]
fn what_models_tell_of_their_series_trips_breakers() {
    use BreakerMetric::{ChangeProbability, Volatility};
    let stop = |metric, threshold| breaker(metric, threshold, BreakerAction::Stop, BreakerRelease::Manual);
    for (volatility, change, tripped) in
        [(1.0, 0.1, None), (3.1, 0.1, Some(Volatility)), (1.0, 0.6, Some(ChangeProbability))]
    {
        let mut stand = Stand::armed(&config(vec![stop(Volatility, 3.0), stop(ChangeProbability, 0.5)]));
        let regime =
            |v: f64, c: f64| EngineBody::Regime { volatility_bits: v.to_bits(), change_bits: c.to_bits() };
        stand.engine(regime(volatility, change));
        stand.engine(regime(1.0, 0.0));
        stand.wait(1_100);
        assert_eq!(stand.gateway.barrier, tripped);
    }
}

#[test]
fn funding_counts_in_the_day_and_counts_once() {
    let breaker = breaker(BreakerMetric::RealizedLoss, 5.0, BreakerAction::Stop, BreakerRelease::Manual);
    let mut stand = Stand::armed(&config(vec![breaker]));
    let mut pay = |ms: u64, symbol: &str| {
        let frame = format!(
            r#"{{"e":"ACCOUNT_UPDATE","T":{ms},"E":{ms},"a":{{"B":[{{"a":"USDT","wb":"1","cw":"1","bc":"-3"}}],"P":[],"S":"{symbol}","m":"FUNDING_FEE"}}}}"#
        );
        let frame = frame.as_bytes();
        stand.tell(GatewayEvent::Private { connection: connection::EVENTS, frame });
        stand.wait(2_000);
        stand.is_let(0, 0, Side::Buy, false)
    };
    assert!(pay(1_000, "AAA") && pay(1_000, "AAA"), "the same one told twice");
    assert!(pay(2_000, "CCC"), "of an instrument that is not ours");
    assert!(!pay(1_000, "BBB"), "another instrument at the same time");
}

#[test]
fn commission_in_another_asset_is_in_no_result_and_told_once() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let realized = |stand: &Stand| i128::from(stand.out.days.last().unwrap().realized_e8);
    for (fee_asset, expected) in
        [(*b"AAA\0\0\0\0\0", -700), (*b"BNB\0\0\0\0\0", -700), (*b"BNB\0\0\0\0\0", -700)]
    {
        let bought = stand.want(0, 0, Side::Buy, false).unwrap();
        stand.fill_for(&bought, 10_000, 1_000, 700, fee_asset);
        stand.wait(2_000);
        assert_eq!(realized(&stand), expected);
    }
    assert_eq!(stand.out.other_fees, [*b"BNB\0\0\0\0\0"]);
    assert_eq!(stand.gateway.positions().get(0).fees_e8, 700);
}
