//! What workers bring back, as records for the lane and messages for the stages.

use super::{
    AccountPhase, Session, SessionEnd,
    account::{AccountRead, OrderRead},
    jobs::{Done, Job, LinkKind},
};
use crate::{
    market::MarketHeader, message::Notice, order::OrderName, stage::feed::EventSink, venue::RestError,
};
use std::sync::{Arc, atomic::Ordering};
use tickpath_shared::{
    Nanos,
    causes::chain,
    record::{
        Cause, Class, EventCode, HeldRecord, Kind, Severity, SnapshotMeta, StopReportRecord, TimeRecord,
    },
    types::{ClientOrderId, HeldChange, InstanceId, InstrumentDefinition, OrderTerms, Side, decimal},
};
use zerocopy::IntoBytes;

/// Venue's code for a listen key that is gone.
const CODE_NO_LISTEN_KEY: i64 = -1125;
/// Pause before a listen key is extended again after a failure.
const KEY_RETRY_NS: Nanos = 30_000_000_000;
/// Pause before the account is read again after a failure.
const RETRY_NS: Nanos = 500_000_000;
/// The same after readings of an account that did not stand still: they have taken much of the minute's weight.
const UNQUIET_PAUSE_NS: Nanos = 15_000_000_000;

impl Session {
    pub(super) fn on_done(&mut self, now: Nanos, done: Done) {
        match done {
            Done::Connected(id, established) => self.on_connected(id, established, now),
            Done::ConnectFailed(id, why) => self.on_connect_failed(id, &why, now),
            Done::Snapshot { instrument, requested_ns, body } => {
                self.on_snapshot(instrument, requested_ns, &body)
            }
            Done::Time { venue_epoch_ns, error_bound_ns } => {
                if std::mem::take(&mut self.is_unreachable) {
                    self.links.on_healed(now);
                }
                self.on_time(venue_epoch_ns, error_bound_ns);
            }
            Done::Account { number, .. } if number != self.read_number => {}
            Done::Account { read, asked_ns, .. } => self.on_account(&read, asked_ns),
            Done::Order { read, name, asked_ns } => self.on_order(&read, &name, asked_ns),
            Done::Stop(report, asked_ns) => {
                self.asked.remove(&OrderName::ours(report.client_order_id));
                let report = StopReportRecord { age_ms: self.age_ms(asked_ns), ..report };
                self.tell_gateway(Kind::StopReport, report.as_bytes());
            }
            Done::Definitions(read) => self.on_definitions(&read),
            Done::CountingDown => self.on_dead_man_held(now),
            Done::Nothing => {}
            Done::Failed(job, why) => self.on_failed(now, &job, &why),
        }
    }

    /// Journals a snapshot and hands it to the engine. One that does not fit its ring is asked for again.
    fn on_snapshot(&mut self, instrument: u32, requested_ns: Nanos, body: &[u8]) {
        let meta = SnapshotMeta { requested_ns, instrument, reserved: 0 };
        let cause = self.record(Kind::Snapshot, Class::Audit, &[meta.as_bytes(), body]);
        match self.decoder.decode_snapshot(body, instrument as usize) {
            Ok(header) => {
                let header = MarketHeader { cause: cause.0, ..header };
                self.rings.snapshots.push(&header, self.decoder.levels());
            }
            Err(e) => self.event(EventCode::RestFailed, Severity::Error, &format!("snapshot: {e}")),
        }
    }

    fn on_time(&mut self, venue_epoch_ns: u64, error_bound_ns: u64) {
        self.parts.shop.venue_epoch_ns.store(venue_epoch_ns, Ordering::Relaxed);
        let drift_ns = self.schedule.last_drift_ns;
        let record = TimeRecord { venue_epoch_ns, error_bound_ns, drift_ns };
        self.tell_gateway(Kind::Time, record.as_bytes());
    }

    fn on_account(&mut self, read: &AccountRead, asked_ns: Nanos) {
        if let Some(newer) = self.newer_epoch(read) {
            let why = format!(
                "order {newer} of this instance id has a newer epoch than this session ({}): another process \
                 trades the account with instance.id {:?}, or the data directory was restored from a backup",
                self.parts.session, self.parts.config.instance.id
            );
            self.fatal = Some(SessionEnd::Forbidden(why));
            return;
        }
        if let Some(why) = &read.no_money {
            let text = format!("balances or funding are not known: {why}");
            self.event(EventCode::RestFailed, Severity::Warning, &text);
        }
        let finding = self.wallet.take(&self.parts.shop.definitions, read, &self.keeper);
        self.schedule.doubted_ns = finding.is_doubtful.then(|| self.parts.clock.now());
        if let Some(text) = finding.moved {
            self.event(EventCode::Money, Severity::Warning, &text);
        }
        for balance in &read.balances {
            self.record(Kind::Balance, Class::Audit, &[balance.as_bytes()]);
        }
        let mut end = Cause::NONE;
        for (kind, payload) in read.records(self.age_ms(asked_ns)) {
            end = self.tell_gateway(kind, &payload);
        }
        let (open_orders, trades) = (read.open_orders.len(), read.trades.len());
        let text = format!("account read: {open_orders} open orders, {trades} trades");
        self.event(EventCode::Reconciliation, Severity::Info, &text);
        self.resume.on_told(&self.parts.shop.definitions, read, end);
        self.account = AccountPhase::Done;
        let is_first = !std::mem::replace(&mut self.has_read, true);
        if std::mem::take(&mut self.is_arming) || is_first {
            self.arm_at_start();
        }
    }

    /// An order of our own prefix from the future.
    fn newer_epoch(&self, read: &AccountRead) -> Option<String> {
        let instance = InstanceId::new(&self.parts.config.instance.id).ok()?;
        let is_newer = |id: &&ClientOrderId| {
            id.parts().is_ok_and(|(of, epoch, _)| of == instance && epoch > self.parts.session)
        };
        let open = read.open_orders.iter().map(|o| &o.client_order_id);
        let listed = read.reports.iter().map(|r| &r.client_order_id);
        let stops = read.stops.iter().map(|r| &r.client_order_id);
        open.chain(listed).chain(stops).find(is_newer).map(|id| id.as_str().to_owned())
    }

    fn on_order(&mut self, read: &OrderRead, name: &OrderName, asked_ns: Nanos) {
        self.asked.remove(name);
        for (kind, payload) in read.records(self.age_ms(asked_ns)) {
            self.tell_gateway(kind, &payload);
        }
    }

    /// Milliseconds since a moment, rounded up.
    fn age_ms(&self, since_ns: Nanos) -> u32 {
        let age_ms = self.now().saturating_sub(since_ns).div_ceil(1_000_000);
        u32::try_from(age_ms).unwrap_or(u32::MAX)
    }

    pub(super) fn on_notice(&mut self, notice: Notice) {
        let shop = Arc::clone(&self.parts.shop);
        let of = |instrument: u32| &shop.definitions[instrument as usize];
        let (severity, text) = match notice {
            Notice::MarginCall => (Severity::Error, "the venue calls for margin".to_owned()),
            Notice::Leverage { instrument, leverage } => (
                Severity::Warning,
                format!("{}: leverage was changed to {leverage}", of(instrument).symbol.as_str()),
            ),
            Notice::MarginMode => {
                (Severity::Warning, "the margin mode of the account was changed".to_owned())
            }
            Notice::Foreign { instrument } => (
                Severity::Warning,
                format!("{}: an order or a fill that is not ours", of(instrument).symbol.as_str()),
            ),
            Notice::Breaker(record) => return self.on_breaker(&record),
            Notice::Held(record) => {
                let (severity, text) = held_text(self.parts.session, of(record.instrument), &record);
                return self.event(EventCode::Held, severity, &text);
            }
            Notice::OtherFee { asset } => {
                let asset = String::from_utf8_lossy(&asset);
                let text = format!(
                    "commission is paid in {}: results and loss breakers leave it out",
                    asset.trim_end_matches('\0')
                );
                (Severity::Warning, text)
            }
            Notice::StopReached { instrument, trigger } => {
                return self.on_stop_reached(of(instrument), trigger);
            }
            Notice::StopRefused { instrument, code } => {
                let symbol = of(instrument).symbol.as_str();
                let text = format!("{symbol}: the venue refuses the position's stop ({code}): it has none");
                return self.event(EventCode::RestingStop, Severity::Error, &text);
            }
            Notice::PositionMismatch { instrument, ours, venue } => {
                (Severity::Error, mismatch_text(of(instrument), ours, venue))
            }
        };
        self.event(EventCode::Private, severity, &text);
    }

    fn on_stop_reached(&mut self, definition: &InstrumentDefinition, trigger: i64) {
        let symbol = definition.symbol.as_str();
        self.keep_stopped(symbol);
        let price = decimal::to_text(trigger, definition.price_scale);
        let text = format!(
            "{symbol}: the stop at {price} was reached: nothing is opened there until a person arms it again"
        );
        self.event(EventCode::RestingStop, Severity::Error, &text);
    }

    fn on_failed(&mut self, now: Nanos, job: &Job, why: &RestError) {
        self.event(EventCode::RestFailed, Severity::Warning, &chain(why));
        match job {
            Job::Account { number, .. } if *number == self.read_number => {
                let pause_ns =
                    if matches!(why, RestError::Unquiet { .. }) { UNQUIET_PAUSE_NS } else { RETRY_NS };
                self.account = AccountPhase::NotBefore(now + pause_ns);
            }
            Job::Order { name, .. } => {
                self.asked.remove(name);
            }
            Job::Stop { client_order_id, .. } => {
                self.asked.remove(&OrderName::ours(*client_order_id));
            }
            Job::KeepListenKey if matches!(why, RestError::Refused { code: CODE_NO_LISTEN_KEY, .. }) => {
                self.links.want_again(LinkKind::Events);
            }
            Job::KeepListenKey => self.schedule.next_key_ns = now + KEY_RETRY_NS,
            Job::Time => {
                // The cheapest request tells when the road to the venue is open again.
                self.is_unreachable |= matches!(why, RestError::Transport { .. });
                self.schedule.next_time_ns = now + RETRY_NS;
            }
            Job::CountDown => self.dead_man.on_failed(now),
            // The engine and the gateway ask again after their own patience.
            _ => {}
        }
    }
}

fn mismatch_text(definition: &InstrumentDefinition, ours: i64, venue: i64) -> String {
    let show = |qty| decimal::to_text(qty, definition.qty_scale);
    format!(
        "{}: the venue's position is {}, the one by fills was {}; taken over",
        definition.symbol.as_str(),
        show(venue),
        show(ours)
    )
}

/// What a person is told about an order that waits for one.
fn held_text(session: u64, definition: &InstrumentDefinition, record: &HeldRecord) -> (Severity, String) {
    let change = HeldChange::from_repr(record.change);
    let order = format!(
        "{session}.{}: {} {} {} {} {}",
        record.intent,
        definition.symbol.as_str(),
        Side::from_repr(record.side).map_or("?", Side::label),
        decimal::to_text(record.qty, definition.qty_scale),
        OrderTerms::label_of(record.order_type, record.price_match),
        decimal::to_text(record.price, definition.price_scale)
    );
    match change {
        Some(HeldChange::Held) => {
            let text = format!("{order}; waits for a person: `tickpath approve {session}.{}`", record.intent);
            (Severity::Warning, text)
        }
        _ => (Severity::Info, format!("{order}: {}", change.map_or("?", HeldChange::label))),
    }
}
