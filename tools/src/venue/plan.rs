//! A plan of faults under way: what becomes of a message, and what is due.

use super::faults::{Channel, Fault, FaultFile, FaultKind, ms};
use std::collections::BTreeMap;

/// Deterministic numbers (xorshift).
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn chance(&mut self, odds: f64) -> bool {
        odds >= 1.0 || (self.roll() >> 11) as f64 / ((1_u64 << 53) as f64) < odds
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.roll() >> 16) % bound.max(1)
    }
}

/// A fault and what it has done.
#[derive(Clone, Debug)]
struct Running {
    fault: Fault,
    /// Milliseconds at which the plan that it belongs to began.
    began_ms: u64,
    /// Next moment of one that happens at moments; `None` when there is none.
    next_ms: Option<u64>,
    count: u64,
}

impl Running {
    fn new(fault: Fault, began_ms: u64) -> Self {
        let next_ms = began_ms + ms(fault.from_s);
        Self { fault, began_ms, next_ms: Some(next_ms), count: 0 }
    }

    fn is_active(&self, now_ms: u64) -> bool {
        self.fault.is_active(now_ms.saturating_sub(self.began_ms))
    }
}

/// Something on its way that faults can happen to.
pub(super) trait Parcel: Clone {
    /// Its text.
    fn text(&mut self) -> &mut String;
}

/// What a request is answered with instead of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instead {
    pub(super) kind: FaultKind,
    /// The request is carried out all the same.
    pub(super) is_done: bool,
}

/// The plan. Time is milliseconds of any clock that never goes back.
pub(super) struct FaultPlan<P> {
    running: Vec<Running>,
    dice: Dice,
    /// Those that change places with the next one.
    held: BTreeMap<Channel, P>,
    /// Nothing that waits behind a delayed one leaves before.
    not_before_ms: BTreeMap<Channel, u64>,
    /// On their way: when, number.
    later: BTreeMap<(u64, u64), P>,
    sent: u64,
}

impl<P: Parcel> FaultPlan<P> {
    pub(super) fn new(file: FaultFile, now_ms: u64) -> Self {
        let running = file.fault.into_iter().map(|fault| Running::new(fault, now_ms)).collect();
        Self {
            running,
            dice: Dice::new(file.seed),
            held: BTreeMap::new(),
            not_before_ms: BTreeMap::new(),
            later: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Adds faults whose times count from now.
    pub(super) fn add(&mut self, file: FaultFile, now_ms: u64) {
        if file.seed != 0 {
            self.dice = Dice::new(file.seed);
        }
        self.running.extend(file.fault.into_iter().map(|fault| Running::new(fault, now_ms)));
    }

    /// Ends every fault; what is on its way still arrives.
    pub(super) fn clear(&mut self) {
        self.running.clear();
        for parcel in std::mem::take(&mut self.held).into_values() {
            self.sent += 1;
            self.later.insert((0, self.sent), parcel);
        }
    }

    /// Nothing is planned or on its way: messages need not pass through here.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.later.is_empty() && self.held.is_empty()
    }

    /// Something is on its way; what waits for its successor may wait for ever.
    pub(super) fn is_delivering(&self) -> bool {
        !self.later.is_empty()
    }

    /// The faults and how often each has happened.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&Fault, u64)> {
        self.running.iter().map(|running| (&running.fault, running.count))
    }

    /// A message sets out; what arrives and when is for [`Self::take_due`] to say.
    pub(super) fn pass(&mut self, now_ms: u64, on: Channel, mut parcel: P) {
        let (mut copies, mut due_ms, mut is_held) = (1, now_ms, false);
        let floor_ms = self.not_before_ms.get(&on).copied().unwrap_or(0);
        let (mut is_late, mut wait_ms) = (false, floor_ms);
        for running in &mut self.running {
            let fault = &running.fault;
            let is_of_messages = fault.kind.is_of_messages() || fault.kind == FaultKind::Silence;
            if !is_of_messages
                || !fault.concerns(on)
                || !running.is_active(now_ms)
                || (!fault.contains.is_empty() && !parcel.text().contains(&fault.contains))
                || !self.dice.chance(fault.probability)
            {
                continue;
            }
            match fault.kind {
                FaultKind::Drop | FaultKind::Silence => {
                    running.count += 1;
                    return;
                }
                FaultKind::Repeat => copies = 2,
                FaultKind::Swap if self.held.contains_key(&on) => continue,
                FaultKind::Swap => is_held = true,
                FaultKind::Delay => wait_ms = wait_ms.max(now_ms + self.dice.below(fault.delay_ms + 1)),
                FaultKind::Late => {
                    is_late = true;
                    due_ms = now_ms + self.dice.below(fault.delay_ms + 1);
                }
                FaultKind::Garble => cut(parcel.text(), &mut self.dice),
                FaultKind::Irregular => space_out(parcel.text()),
                _ => continue,
            }
            running.count += 1;
        }
        if is_held {
            self.held.insert(on, parcel);
            return;
        }
        if !is_late && wait_ms > now_ms {
            self.not_before_ms.insert(on, wait_ms);
            due_ms = due_ms.max(wait_ms);
        }
        let others = self.held.remove(&on);
        for parcel in std::iter::repeat_n(parcel, copies).chain(others) {
            self.sent += 1;
            self.later.insert((due_ms, self.sent), parcel);
        }
    }

    /// The next that arrives by now.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<P> {
        let entry = self.later.first_entry()?;
        (entry.key().0 <= now_ms).then(|| entry.remove())
    }

    /// When the next arrives.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.later.first_key_value().map(|((due_ms, _), _)| *due_ms)
    }

    /// A request comes in: what it is answered with instead, if anything.
    pub(super) fn instead(&mut self, now_ms: u64, on: Channel, request: &str) -> Option<Instead> {
        for running in &mut self.running {
            let fault = &running.fault;
            let is_asked = matches!(fault.kind, FaultKind::Timeout | FaultKind::BadGateway)
                && fault.concerns(on)
                && running.is_active(now_ms)
                && (fault.contains.is_empty() || request.contains(&fault.contains))
                && self.dice.chance(fault.probability);
            if is_asked {
                running.count += 1;
                return Some(Instead { kind: running.fault.kind, is_done: self.dice.chance(0.5) });
            }
        }
        None
    }

    /// Connections of a channel are neither read nor written.
    pub(super) fn is_frozen(&self, now_ms: u64, on: Channel) -> bool {
        let freezes = |r: &&Running| r.fault.kind == FaultKind::HalfOpen && r.fault.concerns(on);
        self.running.iter().filter(freezes).any(|running| running.is_active(now_ms))
    }

    /// What happens at this moment.
    pub(super) fn take_moments(&mut self, now_ms: u64) -> Vec<Fault> {
        let mut due = Vec::new();
        for running in &mut self.running {
            let kind = running.fault.kind;
            let Some(next_ms) = running.next_ms.filter(|next| *next <= now_ms) else { continue };
            if kind.is_of_messages() || kind.is_lasting() {
                continue;
            }
            running.next_ms = running.fault.every_s.map(|every| next_ms + ms(every).max(1));
            running.count += 1;
            due.push(running.fault.clone());
        }
        due
    }
}

/// Cuts a text off at a random place, so that it is no JSON any more.
fn cut(text: &mut String, dice: &mut Dice) {
    let mut at = dice.below(text.len() as u64) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.truncate(at.max(1));
}

/// Blanks where the venue writes none.
fn space_out(text: &mut String) {
    *text = text.replacen("\"data\":{", "\"data\": {", 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    impl Parcel for String {
        fn text(&mut self) -> &mut String {
            self
        }
    }

    fn plan(faults: &[Fault]) -> FaultPlan<String> {
        FaultPlan::new(FaultFile { seed: 1, fault: faults.to_vec() }, 0)
    }

    /// Passes numbered messages, one a millisecond, and lists what arrives when.
    fn arrivals(plan: &mut FaultPlan<String>, messages: u64, on: Channel) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for ms in 0..messages + 1000 {
            if ms < messages {
                plan.pass(ms, on, format!("message {ms:05}"));
            }
            while let Some(text) = plan.take_due(ms) {
                found.push((ms, text));
            }
        }
        found
    }

    #[test]
    fn messages_are_lost_repeated_and_swapped_as_often_as_said_and_nowhere_else() {
        let of = |kind, probability| Fault { probability, on: [Channel::Account].into(), ..Fault::new(kind) };
        let mut all = plan(&[of(FaultKind::Drop, 0.1), of(FaultKind::Repeat, 0.1), of(FaultKind::Swap, 0.1)]);
        let found = arrivals(&mut all, 10_000, Channel::Account);
        let distinct: BTreeSet<&String> = found.iter().map(|(_, text)| text).collect();
        let [dropped, repeated, swapped] =
            [0, 1, 2].map(|at| all.counts().nth(at).map_or(0, |(_, count)| count));
        assert!(dropped > 900 && repeated > 700 && swapped > 600, "{dropped} {repeated} {swapped}");
        assert!(10_000 - distinct.len() as u64 - dropped <= 1, "one may still be held");
        assert!(found.len() > distinct.len() + 600 && found.windows(2).any(|w| w[0].1 > w[1].1));
        assert_eq!(arrivals(&mut all, 100, Channel::Books).len(), 100);
    }

    #[test]
    fn what_is_delayed_keeps_its_order_and_what_is_late_does_not() {
        let slow = |kind| Fault { delay_ms: 50, probability: 0.2, ..Fault::new(kind) };
        let delayed = arrivals(&mut plan(&[slow(FaultKind::Delay)]), 1_000, Channel::Books);
        assert!(delayed.len() == 1_000 && delayed.windows(2).all(|w| w[0].1 < w[1].1));
        assert!(delayed.iter().any(|(ms, text)| *ms > text[8..].parse::<u64>().unwrap() + 30));
        let late = arrivals(&mut plan(&[slow(FaultKind::Late)]), 1_000, Channel::Books);
        assert!(late.len() == 1_000 && late.windows(2).any(|w| w[0].1 > w[1].1));
    }

    #[test]
    fn moments_come_once_or_again_and_silence_lasts() {
        let again = Fault { from_s: 0.01, every_s: Some(0.02), ..Fault::new(FaultKind::Reset) };
        let once = Fault { from_s: 0.015, ..Fault::new(FaultKind::ListenKey) };
        let quiet = Fault { from_s: 0.005, for_s: Some(0.01), ..Fault::new(FaultKind::Silence) };
        let mut plan = plan(&[again, once, quiet]);
        let moments: Vec<u64> =
            (0..60).flat_map(|ms| plan.take_moments(ms).into_iter().map(move |_| ms)).collect();
        assert_eq!(moments, [10, 15, 30, 50]);
        let heard: Vec<u64> = arrivals(&mut plan, 20, Channel::Market).iter().map(|(ms, _)| *ms).collect();
        assert_eq!(heard, [0, 1, 2, 3, 4, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn what_is_cut_off_is_no_json() {
        let mut dice = Dice::new(9);
        for _ in 0..1000 {
            let mut text = r#"{"e":"depthUpdate","s":"BTCUSDT","b":[["61800.10","1.5"]],"é":1}"#.to_owned();
            cut(&mut text, &mut dice);
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
        }
    }
}
