//! Parameters of strategies, and limits of the account, that may change while they hold.

use super::StrategyName;

crate::labelled_enum! {
    /// Parameters of the shipped strategies and limits of the account by their names in the configuration; numbers from 1000 on are free for
    /// strategies of your own. Numbers are part of the journal: append, never renumber.
    pub enum Parameter: u16 {
        PairsEntryZ = 1, "pairs.entry_z", "Absolute z-score at which a position is opened.";
        PairsExitZ = 2, "pairs.exit_z", "Absolute z-score at which it is closed.";
        PairsStopZ = 3, "pairs.stop_z", "Absolute z-score at which it is given up.";
        PairsEdgeBps = 4, "pairs.edge_bps", "Least distance from the expected spread, basis points.";
        PairsChangeProbability = 5, "pairs.change_probability", "Probability of a change from which nothing is opened.";
        PairsGarchAlpha = 6, "pairs.garch_alpha", "Weight of the last squared surprise.";
        PairsGarchBeta = 7, "pairs.garch_beta", "Weight of the last variance.";
        MarketMakerGamma = 20, "market_maker.gamma", "Risk aversion.";
        MarketMakerSigma = 21, "market_maker.sigma", "Volatility, price a square root of a second.";
        MarketMakerK = 22, "market_maker.k", "Decay of the fill intensity, one a price.";
        MarketMakerA = 23, "market_maker.a", "Fill intensity at the middle, fills a second.";
        TaComboStopAtr = 40, "ta_combo.stop_atr", "Distance of the stop in average true ranges.";
        OrbBufferAtr = 60, "orb.buffer_atr", "Distance beyond the range in average true ranges.";
        SignalFollowSignal = 70, "signal_follow.signal", "What is wanted: 1 long, -1 short, 0 flat, or a share between.";
        SmcStopAtr = 80, "smc.stop_atr", "Distance of the stop in average true ranges.";
        RiskOrderNotionalMax = 200, "risk.order_notional_max", "Largest notional of an order, quote currency.";
        RiskPositionNotionalMax = 201, "risk.position_notional_max", "Largest notional of an instrument, quote currency.";
        RiskGrossNotionalMax = 202, "risk.gross_notional_max", "Largest gross notional of the account, quote currency.";
        RiskOrderLotsMax = 203, "risk.order_lots_max", "Largest quantity of an order in lots.";
        RiskPositionsMax = 204, "risk.positions_max", "Instruments that may be held or entered at once.";
        RiskOpenOrdersMax = 205, "risk.open_orders_max", "Orders that may be open at once.";
    }
}

impl Parameter {
    /// The parameter of a name in the configuration.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|parameter| parameter.label() == label)
    }

    /// The strategy that it belongs to; a limit is the account's.
    pub fn strategy(self) -> Option<StrategyName> {
        let section = self.label().split('.').next()?;
        StrategyName::ALL.iter().copied().find(|name| name.label() == section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_a_strategys_or_a_limit() {
        let is_limit = |parameter: &Parameter| parameter.label().starts_with("risk.");
        assert!(Parameter::ALL.iter().all(|parameter| parameter.strategy().is_some() != is_limit(parameter)));
        assert_eq!(Parameter::from_label("smc.stop_atr"), Some(Parameter::SmcStopAtr));
    }
}
