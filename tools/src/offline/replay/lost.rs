//! The frame that a kill may cost: what was decided on it is told, and a lane that was cut is told apart from it.

use super::Replay;
use anyhow::{Context, Result, bail, ensure};
use tickpath_hotpath::{hot::STOPPED_IN_ORDER, pipeline::lane, strategy::Strategy};
use tickpath_shared::record::{Cause, IntentRecord, Kind, OrderRecord, SessionEventRecord};

impl<S: Strategy> Replay<S> {
    /// The frame's bytes follow the order it leads to, in the same turn of the feed: a process that was killed in
    /// between has left everything but the frame. Only the very last one can be lost like that.
    pub(super) fn is_lost(&mut self, cause: Cause) -> Result<bool> {
        self.feed.skip_to(cause.number())?;
        let is_last = self.feed.peek().is_none() && self.feed.last_sequence + 1 == cause.number();
        if is_last && !self.is_ended_in_order() {
            self.report.lost_frame = Some(cause.number());
        }
        Ok(self.report.lost_frame.is_some())
    }

    /// What is left in the lanes must follow from the lost frame and from nothing else: a lane that was cut is not one
    /// that a kill left a frame short.
    pub(super) fn count_orders_on_lost_frame(&mut self) -> Result<()> {
        let lost = self.report.lost_frame.context("called for a lost frame")?;
        let mut intents = Vec::new();
        while let Some(record) = self.engine_lane.peek() {
            let cause = record.cause();
            if record.kind() == Some(Kind::Consumed) && cause.lane() == lane::FEED && cause.number() > lost {
                bail!(
                    "feed lane ends before record {lost}, and record {} of it was consumed too: it is cut",
                    cause.number()
                );
            }
            if let Some(intent) =
                record.body::<IntentRecord>().filter(|_| record.kind() == Some(Kind::Intent))
            {
                intents.push(intent.number);
            }
            self.engine_lane.advance()?;
        }
        while let Some(record) = self.gateway_lane.peek() {
            if let Some(order) = record.body::<OrderRecord>().filter(|_| record.kind() == Some(Kind::Order)) {
                let id = order.client_order_id;
                ensure!(
                    intents.contains(&order.intent),
                    "order {} is not of lost frame {lost} and was not made again: the feed lane is cut",
                    id.as_str()
                );
                self.report.orders_on_lost_frame += 1;
            }
            self.gateway_lane.advance()?;
        }
        Ok(())
    }

    fn is_ended_in_order(&self) -> bool {
        self.session.values().any(|buf| {
            let record = buf.record();
            record.kind() == Some(Kind::SessionEvent)
                && record.text_after::<SessionEventRecord>() == STOPPED_IN_ORDER.as_bytes()
        })
    }
}
