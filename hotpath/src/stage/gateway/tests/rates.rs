//! Orders in any window of time.

use super::*;

#[test]
fn a_strategy_gone_wild_is_throttled_and_stopped_until_a_person_arms() {
    let mut stand = Stand::armed(&config(Vec::new()));
    for i in 0..1_000_000_u64 {
        stand.now += 1_000;
        if i % 100_000 == 0 {
            stand.tell(GatewayEvent::Timer);
        }
        if let Some(order) = stand.want(0, 0, if i % 3 == 0 { Side::Sell } else { Side::Buy }, false) {
            stand.end(&order, OrderState::Expired, 0);
        }
    }
    let (most, window) = (180, 10 * SECOND);
    assert_eq!(stand.out.sent.len(), most, "a tenth is kept for what reduces");
    assert_eq!(stand.out.states.last(), Some(&TradingState::CancelOnly));
    stand.wait(60_000);
    assert_eq!(stand.want(0, 0, Side::Buy, false), None, "time alone does not help");
    assert_eq!(stand.out.refused.last(), Some(&Reason::NotArmed));
    assert_eq!(stand.command(7, Verb::Arm, Scope::Account), CommandOutcome::Done);
    assert!(stand.want(0, 0, Side::Buy, false).is_some());
    assert!(stand.out.sent.windows(most + 1).all(|w| w[most].0 - w[0].0 >= window));
}

#[test]
fn no_window_ever_holds_more_orders_than_allowed() {
    let mut config = config(Vec::new());
    (config.risk.order_rate_max, config.risk.order_rate_window_ms) = (50, 1_000);
    config.risk.throttled_max = 100_000;
    config.risk.message_rate_max = 1_000;
    let mut stand = Stand::armed(&config);
    let mut random = 88_172_645_463_325_252_u64;
    for _ in 0..200_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Bursts and pauses.
        stand.now += if random.is_multiple_of(97) { 300 * MS } else { random % MS };
        if random.is_multiple_of(31) {
            stand.marks();
            stand.tell(GatewayEvent::Timer);
        }
        stand.command(7, Verb::Arm, Scope::Account);
        if let Some(order) = stand.want(0, 0, if random & 1 == 0 { Side::Buy } else { Side::Sell }, false) {
            stand.end(&order, OrderState::Expired, 0);
        }
    }
    assert!(stand.out.sent.len() > 5_000, "{}", stand.out.sent.len());
    assert!(stand.out.sent.windows(46).all(|w| w[45].0 - w[0].0 >= SECOND));
}
