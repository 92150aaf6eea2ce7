//! Reason codes, why there was no order, and the strategies that give them.

crate::labelled_enum! {
    /// Why something that could have been traded was not: below 100 a limit of the gateway, from 100 on the strategy's
    /// own judgement. Numbers are part of the journal: append, never renumber.
    pub enum Reason: u16 {
        Killed = 1, "killed", "The kill word is set.";
        NotArmed = 2, "not_armed", "The trading state does not allow new orders.";
        NotReconciled = 3, "not_reconciled", "Orders and positions of the account are not proven yet.";
        NoSession = 4, "no_session", "The order session with the venue is not up.";
        NoDefinition = 5, "no_definition", "The instrument has no definition or is not trading.";
        BookInvalid = 6, "book_invalid", "The book had a gap when the engine decided.";
        BookStale = 7, "book_stale", "The book's last update is too old.";
        NoMark = 8, "no_mark", "No mark price has been seen for the instrument.";
        MarkStale = 9, "mark_stale", "The mark price is too old.";
        PriceCollar = 10, "price_collar", "The price is too far from the mark price.";
        OffTick = 11, "off_tick", "The price is off the tick grid or outside the venue's range.";
        OffLot = 12, "off_lot", "The quantity is off the lot grid or outside the venue's range.";
        QtyMax = 13, "qty_max", "The quantity exceeds the limit of an order.";
        NotionalMax = 14, "notional_max", "The notional exceeds the limit of an order.";
        NotionalMin = 15, "notional_min", "The notional is below the venue's minimum.";
        PositionMax = 16, "position_max", "Position and orders in flight could exceed the limit.";
        OrderRate = 17, "order_rate", "Too many orders in the window.";
        OutcomeUnknown = 18, "outcome_unknown", "An earlier order of the instrument has an unknown outcome.";
        OrdersMax = 19, "orders_max", "Too many orders are open.";
        JournalPressure = 20, "journal_pressure", "The journal is short of free segments.";
        ClockUnknown = 21, "clock_unknown", "The offset to the venue's clock is unknown or too large.";
        IntentStale = 22, "intent_stale", "The intent waited too long on its way to the gateway.";
        VenueBand = 23, "venue_band", "The price is outside of the venue's band around the mark price.";
        NotAllowed = 24, "not_allowed", "The instrument is not on the list of those that may be traded.";
        GrossMax = 25, "gross_max", "The gross exposure of the account could exceed its limit.";
        BudgetMax = 26, "budget_max", "The gross exposure of the strategy could exceed its budget.";
        PositionsMax = 27, "positions_max", "Too many instruments are held or being entered.";
        TradeRisk = 28, "trade_risk", "The stop is so far away that the order would risk more than a trade may.";
        RewardRatio = 29, "reward_ratio", "Target over stop distance is below the limit; both x 10^8.";
        MessageRate = 30, "message_rate", "Too many requests to the venue in the window.";
        Identical = 31, "identical", "As many orders of this side, price and quantity are open as may be.";
        SelfCross = 32, "self_cross", "The order would trade with an own one; bound: its price.";
        Stopped = 33, "stopped", "A person stopped openings of the account, the strategy or the instrument.";
        Breaker = 34, "breaker", "A breaker holds; value: the number of its metric.";
        NotApproved = 35, "not_approved", "No person approved the order; value: milliseconds that it waited.";
        HeldMax = 36, "held_max", "As many orders wait for a person as may.";
        MarketOrder = 37, "market_order", "Orders without a price of their own are not allowed (risk.market_orders).";
        MarketLot = 38, "market_lot", "The quantity breaks the venue's rules for market orders.";
        GoodTill = 39, "good_till", "The order's end is too close, too far, or not its to have; value: seconds until then.";
        VenueRate = 40, "venue_rate", "The venue counts as many orders in an interval of its own as may be opened.";
        Terms = 41, "terms", "The terms of the order do not go together.";
        WarmingUp = 100, "warming_up", "The strategy has not yet seen as much as it needs; value: what it has seen.";
        NoBook = 101, "no_book", "A book that is needed is invalid or too old; value: its age in milliseconds.";
        BelowEntry = 102, "below_entry", "The signal is weaker than an entry wants.";
        BeyondStop = 103, "beyond_stop", "The signal is so strong that something must be wrong with it.";
        StoppedOut = 104, "stopped_out", "After a stop nothing is opened before the signal has come home.";
        ChangeLikely = 105, "change_likely", "The series has probably changed just now; value: the probability.";
        LegBusy = 106, "leg_busy", "An order of one of the instruments is under way.";
        Resting = 107, "resting", "A pause after a failure; value: milliseconds that are left of it.";
        InventoryMax = 108, "inventory_max", "The inventory is at its bound on this side.";
        OutsideSession = 109, "outside_session", "The trading session has not begun, or takes no more entries.";
        NoRange = 110, "no_range", "The opening range is not whole, or its width is out of bounds; value: average true ranges.";
        VotesMissing = 111, "votes_missing", "Too few of the indicators agree.";
        RiskTooLarge = 112, "risk_too_large", "The smallest quantity would risk more than the trade may.";
        RewardTooSmall = 113, "reward_too_small", "The target is too close for the distance of the stop.";
        AlreadyHeld = 114, "already_held", "The strategy already holds a position on that side.";
        Outlier = 115, "outlier", "The observation is too far off to be learned from; value: its deviations.";
        SpreadTooWide = 116, "spread_too_wide", "The bid and the ask are too far apart; value: ticks.";
        NoZone = 117, "no_zone", "There is no untouched order block in the direction of the structure; value: the close.";
        EdgeTooSmall = 118, "edge_too_small", "What could be gained is less than what it costs; value: basis points.";
        VolumeTooSmall = 119, "volume_too_small", "Too little was traded in the bar; value: over the usual volume.";
        SideTaken = 120, "side_taken", "The side has had its one entry of the session.";
        SignalOld = 121, "signal_old", "The signal came too late to be traded on; value: its age in milliseconds.";
        SamplesMissing = 122, "samples_missing", "The warm-up began anew, for samples were missing; value: milliseconds late.";
    }
}

crate::labelled_enum! {
    /// Strategies by their number in records. Numbers are part of the journal: append, never renumber; those from 100 on
    /// are free for strategies of your own.
    pub enum StrategyName: u16 {
        Pairs = 0, "pairs", "Pairs trading with a Kalman hedge ratio.";
        MarketMaker = 1, "market_maker", "Quotes after Gueant, Lehalle and Fernandez-Tapia.";
        TaCombo = 2, "ta_combo", "Votes of classic indicators over bars.";
        Orb = 3, "orb", "Opening range breakout.";
        Smc = 4, "smc", "Smart-money concepts over bars.";
        SignalFollow = 5, "signal_follow", "Signals from outside, by command.";
        Manual = 98, "manual", "Orders of people.";
        Probe = 99, "probe", "An order for every tick, to measure latency with.";
    }
}

impl StrategyName {
    /// Number of what no strategy and no person wanted: the gateway itself.
    pub const NOBODY: u16 = u16::MAX;

    /// Name of a strategy by its number, also of one that this build does not ship.
    pub fn label_of(number: u16) -> String {
        match Self::from_repr(number) {
            Some(name) => name.label().to_owned(),
            None if number == Self::NOBODY => "nobody".to_owned(),
            None => format!("strategy {number}"),
        }
    }

    /// Number of a strategy that is called by its name or by its number.
    ///
    /// # Errors
    ///
    /// A text with what was seen and the names that there are.
    pub fn number_of(text: &str) -> Result<u16, String> {
        if let Some(known) = Self::ALL.iter().find(|name| name.label() == text) {
            return Ok(*known as u16);
        }
        text.parse().map_err(|_| {
            let labels: Vec<_> = Self::ALL.iter().map(|name| name.label()).collect();
            format!("{text:?} is no number of a strategy and none of {}", labels.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_round_trip() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::from_repr(reason as u16), Some(reason));
        }
        assert_eq!(Reason::from_repr(9999), None);
    }
}
