//! Log lines: one JSON object each, made where something happens and handed to a thread that writes them, so that no
//! caller waits for a disk. A person at a terminal sees them in words.

use serde_json::{Map, Value, json};
use std::{
    fmt,
    io::{IsTerminal, Write},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};
use tickpath_shared::config::{Config, LogLevel};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::LevelFilter,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// Lines that may wait to be written.
const QUEUE: usize = 4096;
/// Longest text of a field, bytes: what comes from outside must not fill the disk.
const TEXT_BYTES_MAX: usize = 4096;

/// Lines that found no room, or could not be written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines that were lost since the process started.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

pub(super) fn lose(lines: u64) {
    LOST.fetch_add(lines, Ordering::Relaxed);
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    pub(super) time_ms: i64,
    pub(super) level: &'static str,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) correlation_id: Option<String>,
    pub(super) symbol: Option<String>,
    /// All of it.
    pub(super) json: Value,
}

/// What every line tells of its process.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) service: &'static str,
    pub(super) mode: &'static str,
    pub(super) instance: String,
}

impl Origin {
    pub(super) fn new(service: &'static str, config: &Config) -> Self {
        Self { service, mode: config.instance.mode.label(), instance: config.instance.id.clone() }
    }

    /// A line of these fields; `request` among them is its correlation id.
    pub(super) fn line(
        &self,
        time_ms: i64,
        level: &'static str,
        target: &str,
        mut fields: Map<String, Value>,
    ) -> Line {
        let mut take = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
            None => None,
        };
        let (message, correlation_id, symbol) =
            (take("message").unwrap_or_default(), take("request"), take("symbol"));
        let timestamp = jiff::Timestamp::from_millisecond(time_ms).unwrap_or_default();
        let json = json!({
            "timestamp": format!("{timestamp:.3}"),
            "level": level,
            "target": target,
            "message": message,
            "service": self.service,
            "version": env!("CARGO_PKG_VERSION"),
            "mode": self.mode,
            "instance": self.instance,
            "correlation_id": correlation_id,
            "symbol": symbol,
            "fields": fields,
        });
        Line { time_ms, level, target: target.to_owned(), message, correlation_id, symbol, json }
    }
}

impl Line {
    /// For people: time, level, target, message, fields.
    fn words(&self) -> String {
        let clock = self.json["timestamp"].as_str().and_then(|text| text.get(11..23)).unwrap_or_default();
        let mut text = format!("{clock} {:5} {}: {}", self.level, self.target, self.message);
        for (name, value) in self.json["fields"].as_object().into_iter().flatten() {
            text.push_str(&format!(" {name}={value}"));
        }
        text
    }
}

/// Makes lines of events.
struct Lines {
    sender: SyncSender<Line>,
    origin: Origin,
    is_terminal: bool,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let meta = event.metadata();
        let time_ms = jiff::Timestamp::now().as_millisecond();
        let line = self.origin.line(time_ms, label(*meta.level()), meta.target(), fields.0);
        if self.is_terminal {
            let _ = writeln!(std::io::stderr(), "{}", line.words());
        }
        if self.sender.try_send(line).is_err() {
            lose(1);
        }
    }
}

fn label(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, field: &Field, text: &str) {
        let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        self.0.insert(field.name().to_owned(), text[..end.unwrap_or(0)].into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

/// Installs the logger of this process; lines wait at the returned end until somebody writes them.
pub(crate) fn install(config: &Config) -> Receiver<Line> {
    let (sender, receiver) = sync_channel(QUEUE);
    let filter = match config.control.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let is_terminal = std::io::stderr().is_terminal();
    let lines = Lines { sender, origin: Origin::new("tickpath-control", config), is_terminal };
    // Our own targets: what libraries say of connections may hold addresses with secrets.
    let ours = lines
        .with_filter(filter)
        .with_filter(tracing_subscriber::filter::filter_fn(|meta| meta.target().starts_with("tickpath")));
    // Where another one is installed already, this one hears nothing.
    let _ = Registry::default().with(ours).try_init();
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_all_that_is_asked_of_it() {
        let (sender, receiver) = sync_channel(2);
        let origin = Origin::new("tickpath-control", &Config::default());
        let layer = Lines { sender, origin, is_terminal: false };
        let before = lost();
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let long = "\u{e9}".repeat(4096);
            tracing::warn!(request = "ab12", symbol = "BTC\nUSDT", count = 3, long, "line \"one\"\n\x1b[31m");
            tracing::info!(error = %std::io::Error::other("gone"), "two");
            tracing::info!("there is no room for it");
        });
        assert_eq!(lost() - before, 1);
        let line = receiver.recv().unwrap();
        let text = line.json.to_string();
        assert!(!text.contains('\n') && !text.contains('\x1b'), "one line, whatever it says: {text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in [
            ("level", "warn"),
            ("message", "line \"one\"\n\x1b[31m"),
            ("service", "tickpath-control"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("mode", "simulation"),
            ("correlation_id", "ab12"),
            ("symbol", "BTC\nUSDT"),
        ] {
            assert_eq!(told[name], value, "{name}");
        }
        assert!(told["target"].as_str().unwrap().starts_with("tickpath_control"));
        assert!(told["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(
            (told["fields"]["count"].as_u64(), told["fields"]["long"].as_str().unwrap().len()),
            (Some(3), 4096)
        );
        let second = receiver.recv().unwrap();
        assert!(second.json["fields"]["error"] == "gone" && second.correlation_id.is_none());
        assert!(second.words().ends_with("two error=\"gone\""), "{}", second.words());
    }
}
