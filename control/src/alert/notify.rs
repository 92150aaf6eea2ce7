//! Telling one receiver by HTTP POST. Messages wait in a bounded queue for a thread of their own: a receiver that is down,
//! slow or out of its mind costs nothing but its messages.

use super::Alert;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};
use thiserror::Error;
use tickpath_shared::{
    config::{AlertSeverity, Config},
    paths::{DataDir, read_private},
};
use ureq::{Agent, http::Uri, tls::TlsConfig};

/// First pause before a message is tried again; it doubles up to the other.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why nobody can be told.
#[derive(Debug, Error)]
pub(super) enum NotifyError {
    /// The address cannot be read.
    #[error("notify.url_file: {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none. It is not shown: it may hold a secret.
    #[error("notify.url_file: {0} holds no address that begins with http:// or https://")]
    Address(PathBuf),
    /// What the messages would be is not JSON.
    #[error("notify.template: {0}")]
    Template(serde_json::Error),
}

/// What became of messages.
#[derive(Debug, Default)]
pub struct NotifyGauges {
    /// Taken by the receiver.
    pub sent: AtomicU64,
    /// Given up.
    pub failed: AtomicU64,
    /// Not queued, for too many waited.
    pub dropped: AtomicU64,
}

/// Hands messages to the thread that sends them.
pub(super) struct Notifier {
    queue: Option<SyncSender<String>>,
    template: String,
    severity: AlertSeverity,
    instance: String,
    mode: &'static str,
    gauges: Arc<NotifyGauges>,
}

impl Notifier {
    /// One that tells nobody.
    pub(super) fn silent(config: &Config) -> Self {
        Self {
            queue: None,
            template: config.notify.template.clone(),
            severity: config.notify.severity,
            instance: config.instance.id.clone(),
            mode: config.instance.mode.label(),
            gauges: Arc::default(),
        }
    }

    pub(super) fn start(data: &DataDir, config: &Config) -> Result<Self, NotifyError> {
        let (notify, notifier) = (&config.notify, Self::silent(config));
        let gauges = notifier.gauges();
        let Some(address) = notifier.check(data, &notify.url_file)? else { return Ok(notifier) };
        let sender = Sender {
            address,
            agent: agent(Duration::from_millis(notify.timeout_ms)),
            attempts_max: notify.attempts_max,
            gauges,
        };
        let (queue, waiting) = sync_channel(notify.queue_max);
        // It ends with the process, or with its sender.
        std::thread::spawn(move || sender.run(&waiting, std::thread::sleep));
        Ok(Self { queue: Some(queue), ..notifier })
    }

    /// The receiver's address, if one is configured, when messages can be made.
    pub(super) fn check(&self, data: &DataDir, url_file: &Path) -> Result<Option<Uri>, NotifyError> {
        serde_json::from_str::<serde_json::Value>(&self.body(&example())).map_err(NotifyError::Template)?;
        let is_named = !url_file.as_os_str().is_empty();
        is_named.then(|| read_address(&data.root().join(url_file))).transpose()
    }

    pub(super) fn gauges(&self) -> Arc<NotifyGauges> {
        Arc::clone(&self.gauges)
    }

    pub(super) fn tell(&self, alert: &Alert) {
        let Some(queue) = self.queue.as_ref().filter(|_| alert.severity >= self.severity) else { return };
        if queue.try_send(self.body(alert)).is_err() {
            self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(alert = alert.name, "too many messages wait: one was dropped");
        }
    }

    fn body(&self, alert: &Alert) -> String {
        let since = jiff::Timestamp::from_millisecond(alert.since_ms as i64).unwrap_or_default().to_string();
        let state = if alert.ended_ms.is_some() { "ended" } else { "began" };
        let values = [
            ("name", alert.name),
            ("severity", alert.severity.label()),
            ("state", state),
            ("text", &alert.text),
            ("since", &since),
            ("instance", &self.instance),
            ("mode", self.mode),
            ("runbook", &alert.runbook),
        ];
        expand(&self.template, &values)
    }
}

fn example() -> Alert {
    Alert {
        name: "example",
        severity: AlertSeverity::Info,
        text: "\"\\\n".to_owned(),
        since_ms: 0,
        ended_ms: None,
        runbook: String::new(),
    }
}

/// The template with its names replaced once, from left to right: what a value holds is not looked at again.
fn expand(template: &str, values: &[(&str, &str)]) -> String {
    let (mut text, mut rest) = (String::with_capacity(template.len() * 2), template);
    while let Some((before, inside)) = rest.split_once("{{") {
        text.push_str(before);
        let known = inside.split_once("}}").and_then(|(name, after)| {
            let value = values.iter().find(|(of, _)| *of == name.trim())?;
            Some((value.1, after))
        });
        match known {
            Some((value, after)) => {
                text.push_str(&escaped(value));
                rest = after;
            }
            None => {
                text.push_str("{{");
                rest = inside;
            }
        }
    }
    text.push_str(rest);
    text
}

/// As it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn read_address(path: &Path) -> Result<Uri, NotifyError> {
    let read = |source| NotifyError::Read { path: path.to_owned(), source };
    let text = read_private(path).map_err(read)?;
    let address = text.trim().parse::<Uri>().ok();
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    address.filter(is_http).ok_or_else(|| NotifyError::Address(path.to_owned()))
}

/// What a receiver said to a message.
enum Said {
    Taken,
    /// Not now; with its own word on how long.
    Later(Option<Duration>),
    /// Never.
    No(u16),
}

fn agent(timeout: Duration) -> Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
    let config = Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0);
    config.http_status_as_error(false).tls_config(tls).build().into()
}

struct Sender {
    address: Uri,
    agent: Agent,
    attempts_max: u32,
    gauges: Arc<NotifyGauges>,
}

impl Sender {
    fn run(&self, waiting: &Receiver<String>, pause: impl Fn(Duration)) {
        while let Ok(body) = waiting.recv() {
            let is_taken = self.send(&body, &pause);
            let gauge = if is_taken { &self.gauges.sent } else { &self.gauges.failed };
            gauge.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, body: &str, pause: &impl Fn(Duration)) -> bool {
        for attempt in 0..self.attempts_max {
            match self.try_once(body) {
                Said::Taken => return true,
                Said::No(status) => {
                    tracing::warn!(status, "the receiver of alerts refuses a message");
                    return false;
                }
                Said::Later(_) if attempt + 1 == self.attempts_max => {}
                Said::Later(wanted) => {
                    let usual = PAUSE.saturating_mul(1 << attempt.min(6));
                    pause(wanted.unwrap_or(usual).min(PAUSE_MAX));
                }
            }
        }
        tracing::warn!(
            attempts = self.attempts_max,
            "the receiver of alerts does not answer; a message is given up"
        );
        false
    }

    fn try_once(&self, body: &str) -> Said {
        // Errors name the address, and it may hold a secret: none is logged.
        let Ok(answer) = self.agent.post(&self.address).content_type("application/json").send(body) else {
            return Said::Later(None);
        };
        let status = answer.status().as_u16();
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        match status {
            200..=299 => Said::Taken,
            408 | 425 | 429 | 500..=599 => Said::Later(after.map(Duration::from_secs)),
            _ => Said::No(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::Mutex,
    };

    #[test]
    fn names_are_replaced_once_and_quotes_stay_quotes() {
        let values = [("a", "x\"{{b}}\n"), ("b", "2")];
        assert_eq!(expand(r#"{"t":"{{a}} {{ b }} {{c}} {{"}"#, &values), r#"{"t":"x\"{{b}}\n 2 {{c}} {{"}"#);
    }

    #[test]
    fn what_cannot_be_told_is_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let start = |url: &str, template: &str| {
            let mut config = Config::default();
            config.notify.template = template.to_owned();
            if !url.is_empty() {
                tickpath_shared::paths::replace_file(&dir.path().join("url"), url.as_bytes()).unwrap();
                config.notify.url_file = "url".into();
            }
            Notifier::start(&data, &config).map(|_| ()).map_err(|e| e.to_string())
        };
        let sound = Config::default().notify.template;
        assert_eq!(start("", &sound), Ok(()));
        assert_eq!(start("https://hooks.example/secret", &sound), Ok(()));
        let refused = start("ftp://hooks.example/secret", &sound).unwrap_err();
        assert!(refused.contains("notify.url_file") && !refused.contains("secret"), "{refused}");
        assert!(start("", r#"{"t":{{text}}}"#).unwrap_err().contains("notify.template"));
        assert!(start("", "{{text}}").is_err());
    }

    /// A receiver that says what it is told to, and keeps what it hears.
    fn receiver(answers: Vec<&'static str>) -> (Uri, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap()).parse().unwrap();
        let thread = std::thread::spawn(move || {
            answers
                .into_iter()
                .map(|answer| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let (mut heard, mut chunk) = (Vec::new(), [0; 1024]);
                    while !heard.ends_with(b"}") {
                        let read = stream.read(&mut chunk).unwrap();
                        heard.extend_from_slice(&chunk[..read]);
                    }
                    stream.write_all(answer.as_bytes()).unwrap();
                    String::from_utf8(heard).unwrap()
                })
                .collect()
        });
        (address, thread)
    }

    fn sender(address: Uri, attempts_max: u32) -> Sender {
        Sender { address, agent: agent(Duration::from_secs(5)), attempts_max, gauges: Arc::default() }
    }

    #[test]
    fn a_message_is_tried_again_as_the_receiver_says_and_refusals_are_final() {
        let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
        let says = |line: &str| -> &'static str { format!("HTTP/1.1 {line}\r\n{end}").leak() };
        let (address, heard) = receiver(vec![
            says("503 Unavailable"),
            says("429 Slow\r\nRetry-After: 7"),
            says("204 None"),
            says("404 Gone"),
        ]);
        let pauses = Mutex::new(Vec::new());
        let (queue, waiting) = sync_channel(8);
        let sender = sender(address, 5);
        queue.send(r#"{"n":1}"#.to_owned()).unwrap();
        queue.send(r#"{"n":2}"#.to_owned()).unwrap();
        drop(queue);
        sender.run(&waiting, |pause| pauses.lock().unwrap().push(pause.as_secs()));
        assert_eq!(*pauses.lock().unwrap(), [1, 7]);
        let heard = heard.join().unwrap();
        assert!(heard[0].starts_with("POST /hook ") && heard[2].ends_with(r#"{"n":1}"#), "{heard:?}");
        assert!(heard[3].ends_with(r#"{"n":2}"#));
        let gauges = &sender.gauges;
        assert_eq!((gauges.sent.load(Ordering::Relaxed), gauges.failed.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn over_https_nothing_is_said_to_a_receiver_that_does_not_prove_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}/hook", listener.local_addr().unwrap()).parse().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut hello, mut rest) = (vec![0; 4096], Vec::new());
            let read = stream.read(&mut hello).unwrap();
            hello.truncate(read);
            stream.write_all(b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n").unwrap();
            // Whatever arrives before the end, orderly or not.
            let _ = stream.read_to_end(&mut rest);
            (hello, rest)
        });
        assert!(!sender(address, 1).send(r#"{"n":1}"#, &|_| {}));
        // A handshake record with a client's hello, then at most an alert.
        let (hello, rest) = thread.join().unwrap();
        assert_eq!((hello[0], hello[5]), (22, 1));
        assert!(rest.is_empty() || rest[0] == 21, "{}", rest.escape_ascii());
    }

    #[test]
    fn one_that_is_not_there_is_given_up() {
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap()
        };
        let pauses = Mutex::new(Vec::new());
        assert!(!sender(address, 9).send("{}", &|pause| pauses.lock().unwrap().push(pause.as_secs())));
        assert_eq!(*pauses.lock().unwrap(), [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
