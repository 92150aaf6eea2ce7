//! What workers bring back, as records for the lane and messages for the stages.

use super::{
    AccountPhase, Session,
    jobs::{AccountRead, Done, Job},
};
use crate::{market::MarketHeader, stage::feed::EventSink, venue::RestError};
use std::sync::atomic::Ordering;
use tickpath_shared::{
    Nanos,
    record::{
        Class, EventCode, FillRecord, Kind, OrderReportRecord, ReconciledRecord, Severity, SnapshotMeta,
        TimeRecord,
    },
    types::{ClientOrderId, InstanceId},
};
use zerocopy::IntoBytes;

/// Pause before the account is read again after a failure.
const RETRY_NS: Nanos = 500_000_000;

impl Session {
    pub(super) fn on_done(&mut self, now: Nanos, done: Done) {
        match done {
            Done::Connected(kind, established) => self.on_connected(kind, established),
            Done::ConnectFailed(kind, why) => self.on_connect_failed(kind, &why, now),
            Done::Snapshot { instrument, requested_ns, body } => {
                self.on_snapshot(instrument, requested_ns, &body)
            }
            Done::Time { venue_epoch_ns, error_bound_ns } => self.on_time(venue_epoch_ns, error_bound_ns),
            Done::Account(read) => self.on_account(&read),
            Done::Order { report, trades, .. } => self.on_order(&report, &trades),
            Done::Kept => {}
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

    /// The order of the messages matters: trades before the position that contains them, everything before
    /// the word that all is known.
    fn on_account(&mut self, read: &AccountRead) {
        if let Some(newer) = self.newer_epoch(read) {
            self.fatal = Some(format!(
                "order {newer} of this instance id has a newer epoch than this session ({}): another process \
                 trades the account with instance.id {:?}, or the data directory was restored from a backup",
                self.parts.session, self.parts.config.instance.id
            ));
            return;
        }
        for trade in &read.trades {
            self.tell_gateway(Kind::VenueTrade, trade.as_bytes());
        }
        for report in &read.reports {
            self.tell_gateway(Kind::OrderReport, report.as_bytes());
        }
        for position in &read.positions {
            self.tell_gateway(Kind::StartPosition, position.as_bytes());
        }
        for order in &read.open_orders {
            self.tell_gateway(Kind::OpenOrder, order.as_bytes());
        }
        let (open_orders, trades) = (read.open_orders.len() as u32, read.trades.len() as u32);
        self.tell_gateway(Kind::Reconciled, ReconciledRecord { open_orders, trades }.as_bytes());
        let text = format!("account read: {open_orders} open orders, {trades} trades");
        self.event(EventCode::Reconciliation, Severity::Info, &text);
        if let Err(e) = self.resume.store(&self.parts.shop.definitions, read) {
            self.event(EventCode::Warning, Severity::Warning, &format!("resume file: {e}"));
        }
        let is_first = self.account != AccountPhase::Done;
        self.account = AccountPhase::Done;
        if is_first {
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
        open.chain(listed).find(is_newer).map(|id| id.as_str().to_owned())
    }

    fn on_order(&mut self, report: &OrderReportRecord, trades: &[FillRecord]) {
        for trade in trades.iter().filter(|t| t.venue_order_id == report.venue_order_id) {
            self.tell_gateway(Kind::VenueTrade, trade.as_bytes());
        }
        self.tell_gateway(Kind::OrderReport, report.as_bytes());
    }

    fn on_failed(&mut self, now: Nanos, job: &Job, why: &RestError) {
        self.event(EventCode::RestFailed, Severity::Warning, &chain(why));
        match job {
            Job::Account { .. } => self.account = AccountPhase::NotBefore(now + RETRY_NS),
            Job::Time => self.schedule.next_time_ns = now + RETRY_NS,
            // The engine and the gateway ask again after their own patience.
            _ => {}
        }
    }
}

/// An error with its causes, for one line of text.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
