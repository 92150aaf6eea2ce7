//! The terminal screen of the demo: plain text, redrawn in place on a terminal, a line now and then
//! elsewhere.

use super::summary::{Money, positions};
use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    time::{Duration, Instant},
};
use tickpath_shared::{
    command::CommandSender,
    counters::{Counter, Stage},
    status::{InstrumentWord, LaneWord, StatusReader},
    types::decimal,
};

/// Time between two lines when the output is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Log lines shown.
const LOG_LINES: usize = 4;
const LANES: [&str; 4] = ["session", "feed", "engine", "gateway"];

#[derive(Default)]
pub(super) struct Screen {
    last: Option<(Instant, u64)>,
    next_line: Option<Instant>,
    is_open: bool,
}

impl Screen {
    pub(super) fn show(
        &mut self,
        session: Option<(&StatusReader, &CommandSender)>,
        notes: &[String],
        log: &[String],
        elapsed: Duration,
    ) {
        let status = session.map(|(status, _)| status);
        let rate = self.rate(status);
        if std::io::stdout().is_terminal() {
            self.draw(&page(session, notes, log, elapsed, rate));
            return;
        }
        if self.next_line.is_none_or(|at| Instant::now() >= at) {
            let mut out = std::io::stdout().lock();
            if self.next_line.is_none() {
                notes.iter().for_each(|note| drop(writeln!(out, "{note}")));
            }
            self.next_line = Some(Instant::now() + LINE_EVERY);
            let _ = writeln!(out, "{}", line(status, elapsed, rate));
        }
    }

    fn draw(&mut self, page: &str) {
        let mut out = std::io::stdout().lock();
        let open = if self.is_open { "" } else { "\x1b[?1049h\x1b[?25l" };
        self.is_open = true;
        let text = page.replace('\n', "\x1b[K\r\n");
        let _ = write!(out, "{open}\x1b[H{text}\x1b[J");
        let _ = out.flush();
    }

    /// Gives the terminal back.
    pub(super) fn close(&mut self) {
        if self.is_open {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\x1b[?25h\x1b[?1049l");
            let _ = out.flush();
            self.is_open = false;
        }
    }

    fn rate(&mut self, status: Option<&StatusReader>) -> f64 {
        let frames = status.map_or(0, |s| s.counter(Counter::Frames));
        let now = Instant::now();
        let rate = self.last.map_or(0.0, |(then, before)| {
            frames.saturating_sub(before) as f64 / now.duration_since(then).as_secs_f64().max(1e-3)
        });
        self.last = Some((now, frames));
        rate
    }
}

fn line(status: Option<&StatusReader>, elapsed: Duration, rate: f64) -> String {
    let Some(s) = status else { return format!("{:4} s  starting", elapsed.as_secs()) };
    let t = s.histogram(Stage::TickToTrade);
    format!(
        "{:4} s  {}  {rate:.0} msg/s  orders {}  fills {}  refused {}  P&L {}  tick-to-trade p50 {} p99 {}",
        elapsed.as_secs(),
        s.trading_state(),
        s.counter(Counter::OrdersSent),
        s.counter(Counter::Fills),
        s.counter(Counter::Refusals),
        Money::of(s).net_text(),
        nanos(t.quantile_ns(0.5)),
        nanos(t.quantile_ns(0.99)),
    )
}

fn page(
    session: Option<(&StatusReader, &CommandSender)>,
    notes: &[String],
    log: &[String],
    elapsed: Duration,
    rate: f64,
) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "tickpath demo   {} s   Ctrl-C stops in order\n", elapsed.as_secs());
    for note in notes {
        let _ = writeln!(out, "  {note}");
    }
    match session {
        None => out.push_str("\n  starting\n"),
        Some((status, command)) => {
            market(&mut out, status, rate);
            orders(&mut out, status);
            latency(&mut out, status);
            journal(&mut out, status, command);
        }
    }
    out.push('\n');
    for line in log.iter().rev().take(LOG_LINES).rev() {
        let _ = writeln!(out, "  {line}");
    }
    out
}

fn market(out: &mut String, s: &StatusReader, rate: f64) {
    let _ = writeln!(
        out,
        "\n  state {}{}   {rate:.0} messages/s   {} in all   gaps {}   decode errors {}\n",
        s.trading_state(),
        if s.is_reconciled() { "" } else { ", account not yet reconciled" },
        s.counter(Counter::Frames),
        s.counter(Counter::BookGaps),
        s.counter(Counter::DecodeErrors),
    );
    let _ = writeln!(
        out,
        "  {:<10} {:>12} {:>12} {:>12} {:>12}  {:<7} {:>10} {:>14}",
        "", "bid qty", "bid", "ask", "ask qty", "book", "position", "realised"
    );
    for d in s.definitions() {
        let word = |w| s.instrument(d.instrument, w);
        let price = |w| decimal::to_text(word(w), d.price_scale);
        let qty = |w| decimal::to_text(word(w) / decimal::pow10(d.qty_scale - d.qty_places), d.qty_places);
        let is_valid = word(InstrumentWord::IsValid) == 1;
        let _ = writeln!(
            out,
            "  {:<10} {:>12} {:>12} {:>12} {:>12}  {:<7} {:>10} {:>14}",
            d.symbol.as_str(),
            qty(InstrumentWord::BidQty),
            price(InstrumentWord::BidPrice),
            price(InstrumentWord::AskPrice),
            qty(InstrumentWord::AskQty),
            if is_valid { "valid" } else { "invalid" },
            qty(InstrumentWord::Position),
            Money::text(word(InstrumentWord::RealizedE8).into()),
        );
    }
}

fn orders(out: &mut String, s: &StatusReader) {
    let c = |counter| s.counter(counter);
    let money = Money::of(s);
    let _ = writeln!(
        out,
        "\n  orders {}   fills {}   rejected {}   refused {}   unknown {}   open {}",
        c(Counter::OrdersSent),
        c(Counter::Fills),
        c(Counter::OrdersRejected),
        c(Counter::Refusals),
        c(Counter::OrdersUnknown),
        positions(s).iter().map(|p| p.open_orders).sum::<i64>(),
    );
    let _ = writeln!(
        out,
        "  P&L {}   realised {}   marked {}   fees {}",
        money.net_text(),
        Money::text(money.realized_e8),
        Money::text(money.unrealized_e8),
        Money::text(money.fees_e8)
    );
}

fn latency(out: &mut String, s: &StatusReader) {
    let _ = writeln!(
        out,
        "\n  {:<18} {:>9} {:>9} {:>9} {:>9} {:>10}",
        "latency", "p50", "p99", "p99.9", "max", "count"
    );
    for stage in Stage::ALL {
        let h = s.histogram(*stage);
        let count = h.count();
        if count > 0 {
            let _ = writeln!(
                out,
                "  {:<18} {:>9} {:>9} {:>9} {:>9} {count:>10}",
                stage.label(),
                nanos(h.quantile_ns(0.5)),
                nanos(h.quantile_ns(0.99)),
                nanos(h.quantile_ns(0.999)),
                nanos(h.max_ns),
            );
        }
    }
}

fn journal(out: &mut String, s: &StatusReader, command: &CommandSender) {
    let _ = writeln!(out, "\n  {:<18} {:>12} {:>12} {:>14}", "journal", "records", "free", "archive lag");
    for (lane, name) in (0..).zip(LANES) {
        let word = |w| s.lane(lane, w);
        let lag_kib = word(LaneWord::Position).saturating_sub(command.acknowledged(lane)) >> 10;
        let free = format!("{}/{}", word(LaneWord::Free), word(LaneWord::Segments));
        let _ = writeln!(out, "  {name:<18} {:>12} {free:>12} {lag_kib:>10} KiB", word(LaneWord::Records));
    }
}

/// A time with three significant digits and its unit.
pub(super) fn nanos(ns: u64) -> String {
    match ns {
        0..=999 => format!("{ns} ns"),
        1_000..=999_999 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}
