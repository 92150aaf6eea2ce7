//! Halts, the kill word, and what ends them.

use super::*;

#[test]
fn nothing_is_closed_against_the_kill_word() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let bought = stand.want(0, 0, Side::Buy, false).unwrap();
    stand.fill(&bought, 10_000, 1_000);
    stand.command(2, Verb::Flatten, Scope::Account);
    stand.tell(GatewayEvent::Kill { is_set: true });
    let before = stand.out.sent.len();
    stand.wait(2_000);
    assert_eq!(stand.out.sent.len(), before);
    assert_eq!(stand.command(3, Verb::Flatten, Scope::Account), CommandOutcome::RefusedKilled);
}

#[test]
fn a_halt_that_a_new_process_must_mend_outlives_the_kill_word() {
    for is_halted in [false, true] {
        let mut stand = Stand::armed(&config(Vec::new()));
        if is_halted {
            stand.gateway.halt(stand.now, StateReason::OutcomesLost, &mut stand.out);
        }
        stand.tell(GatewayEvent::Kill { is_set: true });
        stand.tell(GatewayEvent::Kill { is_set: false });
        let armed = stand.command(2, Verb::Arm, Scope::Account);
        let expected = if is_halted { CommandOutcome::RefusedHalted } else { CommandOutcome::Done };
        assert_eq!(armed, expected);
        assert_eq!(stand.want(0, 0, Side::Buy, false).is_some(), !is_halted);
    }
}

#[test]
fn a_halt_that_comes_again_asks_no_second_time_at_once() {
    let mut stand = Stand::armed(&config(Vec::new()));
    let orders = [0, 1].map(|instrument| stand.want(0, instrument, Side::Buy, false).unwrap());
    for _ in 0..10 {
        stand.gateway.halt(stand.now, StateReason::OutcomesLost, &mut stand.out);
    }
    assert_eq!(stand.out.canceled, orders.map(|order| order.client_order_id));
    // What still works a while later is asked again.
    stand.wait(20_000);
    stand.gateway.halt(stand.now, StateReason::OutcomesLost, &mut stand.out);
    assert_eq!(stand.out.canceled.len(), 4);
}
