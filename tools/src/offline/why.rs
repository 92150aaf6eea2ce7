//! The story of a session: what every strategy wanted, what it left and why, what the limits refused, what was filled.

use super::journal::choose_session;
use anyhow::{Result, anyhow};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};
use tickpath_hotpath::account::Positions;
use tickpath_shared::{
    Nanos,
    journal::{RecordBuf, open_session},
    paths::DataDir,
    record::{
        BookChange, BookStateRecord, FillRecord, HeldRecord, IntentRecord, KillRecord, Kind,
        OrderStateRecord, PassRecord, PositionRecord, Record, RefusalRecord, StateReason, TradingStateRecord,
    },
    types::{
        HeldChange, InstrumentDefinition, OrderState, Reason, Side, StrategyName, TradingState, decimal,
    },
};

/// Which part of a session is told.
#[derive(Clone, Debug, Default)]
pub struct WhyPlan {
    /// Session; the newest when absent.
    pub session: Option<u64>,
    /// From this session time on.
    pub from_ns: Option<Nanos>,
    /// Up to this session time.
    pub to_ns: Option<Nanos>,
    /// Only of the strategy of this name or number.
    pub strategy: Option<String>,
}

/// What became of a strategy's opportunities.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StrategyStory {
    /// Its name.
    pub strategy: String,
    /// Opportunities left, by reason.
    pub left: BTreeMap<&'static str, u64>,
    /// Intents.
    pub intents: u64,
    /// Intents that a limit refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Fills of its instruments.
    pub fills: u64,
    /// Realised profit of its instruments after fees, quote currency.
    pub realized: String,
    /// Fees of its instruments, quote currency.
    pub fees: String,
}

/// The story.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Story {
    /// Session.
    pub session: u64,
    /// What happened, a line each.
    pub lines: Vec<String>,
    /// By strategy.
    pub strategies: Vec<StrategyStory>,
}

/// Tells a session.
///
/// # Errors
///
/// A record that is not sound, a session that cannot be opened, or a strategy that nobody knows.
pub fn tell(data: &DataDir, plan: &WhyPlan) -> Result<Story> {
    let session = choose_session(data, plan.session)?;
    let wanted = plan
        .strategy
        .as_deref()
        .map(StrategyName::number_of)
        .transpose()
        .map_err(|why| anyhow!("--strategy: {why}"))?;
    let mut teller = Teller { story: Story { session, ..Story::default() }, ..Teller::default() };
    let mut events = Vec::new();
    let mut buf = RecordBuf::default();
    for mut stream in open_session(data, session)? {
        if stream.name() == "feed" {
            continue;
        }
        while stream.next_into(&mut buf)?.is_some() {
            let record = buf.record();
            if record.kind() == Some(Kind::Definition) {
                teller.define(&record);
            } else if let Some(event) = Event::of(&record) {
                events.push((record.header.time, event));
            }
        }
    }
    // Lanes are in order each; between them time tells, and a decision comes before what it brings about.
    events.sort_by_key(|(time, event)| (*time, event.rank()));
    for (time, event) in &events {
        let is_within =
            plan.from_ns.is_none_or(|from| *time >= from) && plan.to_ns.is_none_or(|to| *time <= to);
        teller.take(*time, event, is_within && (wanted.is_none() || teller.owner(event) == wanted));
    }
    Ok(teller.finish(wanted))
}

enum Event {
    Pass(PassRecord),
    Intent(IntentRecord),
    Refusal(RefusalRecord),
    Held(HeldRecord),
    Order(OrderStateRecord),
    Fill(FillRecord),
    Start(PositionRecord),
    Book(BookStateRecord),
    State(TradingStateRecord),
    Kill(KillRecord),
}

impl Event {
    fn of(record: &Record<'_>) -> Option<Self> {
        match record.kind()? {
            Kind::Pass => record.body().map(Self::Pass),
            Kind::Intent => record.body().map(Self::Intent),
            Kind::Refusal => record.body().map(Self::Refusal),
            Kind::Held => record.body().map(Self::Held),
            Kind::OrderState => record.body().map(Self::Order),
            Kind::Fill => record.body().map(Self::Fill),
            Kind::StartPosition => record.body().map(Self::Start),
            Kind::BookState => record.body().map(Self::Book),
            Kind::TradingState => record.body().map(Self::State),
            Kind::Kill => record.body().map(Self::Kill),
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Book(_) | Self::State(_) | Self::Kill(_) | Self::Start(_) => 0,
            Self::Pass(_) | Self::Intent(_) => 1,
            Self::Held(_) | Self::Refusal(_) | Self::Order(_) | Self::Fill(_) => 2,
        }
    }
}

/// A reason that goes on.
#[derive(Clone, Copy)]
struct Run {
    since: Nanos,
    last: PassRecord,
    count: u64,
}

#[derive(Default)]
struct Teller {
    story: Story,
    definitions: Vec<InstrumentDefinition>,
    positions: Option<Positions>,
    /// Strategy that traded an instrument last.
    owners: BTreeMap<u32, u16>,
    stories: BTreeMap<u16, StrategyStory>,
    fees_e8: BTreeMap<u16, i128>,
    /// Before fees, of the part that is told.
    realized_e8: BTreeMap<u16, i128>,
    /// By strategy and instrument.
    runs: BTreeMap<(u16, u32), Run>,
}

impl Teller {
    fn define(&mut self, record: &Record<'_>) {
        let Some(definition) = record.body::<InstrumentDefinition>() else { return };
        match self.definitions.iter_mut().find(|d| d.instrument == definition.instrument) {
            Some(known) => *known = definition,
            None => self.definitions.push(definition),
        }
        self.definitions.sort_by_key(|d| d.instrument);
    }

    fn definition(&self, instrument: u32) -> Option<InstrumentDefinition> {
        self.definitions.iter().find(|d| d.instrument == instrument).copied()
    }

    fn symbol(&self, instrument: u32) -> String {
        self.definition(instrument).map_or_else(|| format!("#{instrument}"), |d| d.symbol.as_str().to_owned())
    }

    fn owner(&self, event: &Event) -> Option<u16> {
        match event {
            Event::Pass(pass) => Some(pass.strategy),
            Event::Intent(intent) => Some(intent.strategy),
            Event::Refusal(refusal) => Some(refusal.strategy),
            Event::Held(held) => Some(held.strategy),
            Event::Fill(fill) => self.owners.get(&fill.instrument).copied(),
            _ => None,
        }
    }

    fn story_of(&mut self, strategy: u16) -> &mut StrategyStory {
        self.stories.entry(strategy).or_insert_with(|| StrategyStory {
            strategy: StrategyName::label_of(strategy),
            ..StrategyStory::default()
        })
    }

    fn line(&mut self, time: Nanos, text: &str) {
        let seconds = time / 1_000_000_000;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        let (seconds, millis) = (seconds % 60, time / 1_000_000 % 1_000);
        self.story.lines.push(format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}  {text}"));
    }

    fn take(&mut self, time: Nanos, event: &Event, is_told: bool) {
        // Positions need everything, told or not.
        match event {
            Event::Fill(fill) => {
                let realized_e8 = self.book(fill);
                if is_told {
                    self.on_fill(time, fill, realized_e8);
                }
                return;
            }
            Event::Start(start) => {
                self.start(start);
                if is_told {
                    self.on_start(time, start);
                }
                return;
            }
            _ => {}
        }
        if let Event::Intent(intent) = event {
            self.owners.insert(intent.instrument, intent.strategy);
        }
        if !is_told {
            return;
        }
        match event {
            Event::Pass(pass) => self.on_pass(time, pass),
            Event::Intent(intent) => self.on_intent(time, intent),
            Event::Refusal(refusal) => self.on_refusal(time, refusal),
            Event::Held(held) => self.on_held(time, held),
            Event::Order(order) => self.on_order(time, order),
            Event::Book(book) => {
                let change = BookChange::from_repr(book.change).map_or("?", BookChange::meaning);
                self.line(time, &format!("book        {} {change}", self.symbol(book.instrument)));
            }
            Event::State(state) => {
                let label = |state: u8| TradingState::from_repr(state).map_or("?", TradingState::label);
                let why = StateReason::from_repr(state.reason).map_or("?", StateReason::meaning);
                self.line(time, &format!("state       {} to {}: {why}", label(state.from), label(state.to)));
            }
            Event::Kill(kill) => {
                let what = if kill.is_set == 1 { "set" } else { "cleared" };
                self.line(time, &format!("kill        the word was {what}"));
            }
            Event::Fill(_) | Event::Start(_) => {}
        }
    }

    fn on_pass(&mut self, time: Nanos, pass: &PassRecord) {
        let reason = Reason::from_repr(pass.reason).map_or("unknown", Reason::label);
        *self.story_of(pass.strategy).left.entry(reason).or_default() += pass.count;
        let key = (pass.strategy, pass.instrument);
        match self.runs.get_mut(&key) {
            Some(run) if run.last.reason == pass.reason => {
                (run.last, run.count) = (*pass, run.count + pass.count);
            }
            _ => {
                self.end_run(key);
                self.runs.insert(key, Run { since: time, last: *pass, count: pass.count });
            }
        }
    }

    /// A reason does not hold any more: it is told once, with how often and its last numbers.
    fn end_run(&mut self, key: (u16, u32)) {
        let Some(Run { since, last, count }) = self.runs.remove(&key) else { return };
        let (label, meaning) =
            Reason::from_repr(last.reason).map_or(("unknown", "?"), |r| (r.label(), r.meaning()));
        let [value, bound] = [last.value_bits, last.bound_bits].map(f64::from_bits);
        let text = format!(
            "{:<11} {} left {count}x: {label} ({value:.4} against {bound:.4}) - {meaning}",
            StrategyName::label_of(key.0),
            self.symbol(key.1),
        );
        self.line(since, &text);
    }

    fn on_intent(&mut self, time: Nanos, intent: &IntentRecord) {
        self.end_run((intent.strategy, intent.instrument));
        self.story_of(intent.strategy).intents += 1;
        let text = format!(
            "{:<11} {} wants {}{} (intent {})",
            StrategyName::label_of(intent.strategy),
            self.symbol(intent.instrument),
            self.terms(intent.instrument, intent.side, intent.price, intent.qty),
            if intent.is_reduce_only == 1 { ", reduce only" } else { "" },
            intent.number,
        );
        self.line(time, &text);
    }

    fn terms(&self, instrument: u32, side: u8, price: i64, qty: i64) -> String {
        let side = Side::from_repr(side).map_or("?", Side::label);
        self.definition(instrument).map_or_else(
            || format!("{side} {qty} at {price}"),
            |d| {
                let [qty, price] =
                    [(qty, d.qty_scale), (price, d.price_scale)].map(|(v, s)| decimal::to_text(v, s));
                format!("{side} {qty} at {price}")
            },
        )
    }

    fn on_refusal(&mut self, time: Nanos, refusal: &RefusalRecord) {
        let (label, meaning) =
            Reason::from_repr(refusal.reason).map_or(("unknown", "?"), |r| (r.label(), r.meaning()));
        *self.story_of(refusal.strategy).refused.entry(label).or_default() += 1;
        let text = format!(
            "limits      {} intent {} refused: {label} ({} against {}) - {meaning}",
            self.symbol(refusal.instrument),
            refusal.intent,
            refusal.value,
            refusal.bound
        );
        self.line(time, &text);
    }

    fn on_held(&mut self, time: Nanos, held: &HeldRecord) {
        let change = HeldChange::from_repr(held.change).map_or("?", HeldChange::meaning);
        let symbol = self.symbol(held.instrument);
        self.line(time, &format!("approval    {symbol} intent {}: {change}", held.intent));
    }

    fn on_order(&mut self, time: Nanos, order: &OrderStateRecord) {
        let to = OrderState::from_repr(order.to);
        // Fills tell of themselves.
        if matches!(
            to,
            Some(OrderState::Rejected | OrderState::Unknown | OrderState::Expired | OrderState::Absent)
        ) {
            let label = to.map_or("?", OrderState::label);
            let mut text = format!("order       {} {label}", order.client_order_id.as_str());
            if order.code != 0 {
                let _ = write!(text, ", the venue's code {}", order.code);
            }
            self.line(time, &text);
        }
    }

    /// Books a fill; what it realised x 10^8, before fees.
    fn book(&mut self, fill: &FillRecord) -> i128 {
        let (Some(definition), Some(side)) = (self.definition(fill.instrument), Side::from_repr(fill.side))
        else {
            return 0;
        };
        let instruments = self.definitions.len();
        let positions = self.positions.get_or_insert_with(|| Positions::new(instruments));
        let before = positions.get(fill.instrument).realized_e8;
        let fee_e8 = fill.quote_fee_e8(definition.symbol.as_str()).unwrap_or(0);
        positions.fill(&definition, side, fill.price, fill.qty, fee_e8);
        positions.get(fill.instrument).realized_e8 - before
    }

    /// The venue's position is taken over.
    fn start(&mut self, start: &PositionRecord) {
        let Some(definition) = self.definition(start.instrument) else { return };
        let instruments = self.definitions.len();
        let positions = self.positions.get_or_insert_with(|| Positions::new(instruments));
        positions.start(&definition, start.qty, start.entry_price_e8);
    }

    fn on_start(&mut self, time: Nanos, start: &PositionRecord) {
        let Some(definition) = self.definition(start.instrument).filter(|_| start.qty != 0) else { return };
        let qty = decimal::to_text(start.qty, definition.qty_scale);
        let price = decimal::to_text(start.entry_price_e8, 8);
        let symbol = self.symbol(start.instrument);
        self.line(time, &format!("position    {symbol} {qty} at {price} is taken over from the venue"));
    }

    fn on_fill(&mut self, time: Nanos, fill: &FillRecord, realized_e8: i128) {
        let owner = self.owners.get(&fill.instrument).copied();
        let symbol = self.symbol(fill.instrument);
        let fee_e8 = fill.quote_fee_e8(&symbol);
        if let Some(owner) = owner {
            self.story_of(owner).fills += 1;
            *self.fees_e8.entry(owner).or_default() += i128::from(fee_e8.unwrap_or(0));
            *self.realized_e8.entry(owner).or_default() += realized_e8;
        }
        let text = format!(
            "fill        {symbol} {}, fee {}, realised {}",
            self.terms(fill.instrument, fill.side, fill.price, fill.qty),
            fee_e8.map_or_else(
                || format!("{} {}", decimal::to_text(fill.fee_e8, 8), fill.fee_asset()),
                |fee_e8| money(fee_e8.into())
            ),
            money(realized_e8)
        );
        self.line(time, &text);
    }

    fn finish(mut self, wanted: Option<u16>) -> Story {
        let open: Vec<_> = self.runs.keys().copied().collect();
        open.into_iter().for_each(|key| self.end_run(key));
        for (strategy, mut story) in std::mem::take(&mut self.stories) {
            if wanted.is_some_and(|wanted| wanted != strategy) {
                continue;
            }
            let [fees, realized] = [&self.fees_e8, &self.realized_e8]
                .map(|sums| sums.get(&strategy).copied().unwrap_or_default());
            (story.realized, story.fees) = (money(realized - fees), money(fees));
            self.story.strategies.push(story);
        }
        // Runs are told when they end, at the time when they began.
        self.story.lines.sort_by(|a, b| a[..12].cmp(&b[..12]));
        self.story
    }
}

/// Quote currency x 10^8 as text with four decimals.
fn money(e8: i128) -> String {
    let sign = if e8 < 0 { "-" } else { "" };
    let e4 = (e8.unsigned_abs() + 5_000) / 10_000;
    format!("{sign}{}.{:04}", e4 / 10_000, e4 % 10_000)
}

/// A strategy's figures for people.
pub fn summary(story: &StrategyStory) -> String {
    let mut text = format!(
        "{}: {} intents, {} fills, realised {} after fees of {}\n",
        story.strategy, story.intents, story.fills, story.realized, story.fees
    );
    for (title, counts) in [("left", &story.left), ("refused", &story.refused)] {
        for (reason, count) in counts {
            let _ = writeln!(text, "  {title:<8}{count:>8}x {reason}");
        }
    }
    text
}

/// The reasons as a page of the documentation.
pub fn reasons() -> String {
    let mut page = String::from(
        "# Why there was no order\n\n\
         Every opportunity that did not become an order leaves a record with one of these codes and the two numbers that\n\
         were compared. `tickpath why --dir DIR` tells them as a story, `tickpath journal cat --kind refusal` and\n\
         `--kind pass` show the records. This page is written by the program: `TICKPATH_WRITE_DOCS=1 cargo test documented_reasons`.\n",
    );
    for (title, is_of) in [
        ("Limits of the gateway", (|code| code < 100) as fn(u16) -> bool),
        ("Judgement of a strategy", |code| code >= 100),
    ] {
        let _ = write!(page, "\n## {title}\n\n| code | name | meaning |\n|---|---|---|\n");
        for reason in Reason::ALL.iter().filter(|reason| is_of(**reason as u16)) {
            let _ = writeln!(page, "| {} | `{}` | {} |", *reason as u16, reason.label(), reason.meaning());
        }
    }
    page
}
