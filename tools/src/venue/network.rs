//! What happens to messages and connections between the venue and its clients, by the plan of faults.

use super::{
    Channel, Fault, FaultKind,
    binance::{ClientRole, HttpAnswer, route_of},
    connection::HttpRequest,
    plan::{Instead, Parcel as Carried},
    server::{Server, now_ms},
    tls::strange_server_config,
};
use crate::capture::MarketLine;
use std::{collections::BTreeSet, time::Duration};

/// Time between the notice that the venue closes a connection and its end.
const SHUTDOWN_NOTICE_MS: u64 = 10_000;

/// Something on its way to clients.
#[derive(Clone)]
pub(super) enum Parcel {
    /// A market frame, to whoever is subscribed.
    Line(MarketLine),
    /// An account event.
    Event(String),
    /// The answer to a request on a WebSocket.
    Reply(usize, String),
    /// The answer to an HTTP request.
    Answer(usize, HttpAnswer),
}

impl Carried for Parcel {
    fn text(&mut self) -> &mut String {
        match self {
            Self::Line(line) => &mut line.text,
            Self::Event(text) | Self::Reply(_, text) => text,
            Self::Answer(_, answer) => &mut answer.body,
        }
    }
}

impl Server {
    /// The plan's clock.
    fn plan_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Time until something on its way arrives.
    pub(super) fn plan_wait(&self) -> Duration {
        let due = self.plan.next_due_ms().map(|due| due.saturating_sub(self.plan_ms()));
        due.map_or(Duration::MAX, Duration::from_millis)
    }

    /// Sends something, or leaves it to the plan.
    pub(super) fn send(&mut self, on: Channel, parcel: Parcel) {
        if self.plan.is_idle() {
            self.deliver_parcel(parcel);
            return;
        }
        let now_ms = self.plan_ms();
        self.plan.pass(now_ms, on, parcel);
        while let Some(parcel) = self.plan.take_due(now_ms) {
            self.deliver_parcel(parcel);
        }
    }

    fn deliver_parcel(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Line(line) => self.broadcast(&line),
            Parcel::Event(event) => {
                for client in self.clients.values_mut() {
                    if let Some(text) = self.exchange.event_for(&client.role, &event) {
                        client.send(&text);
                    }
                }
            }
            Parcel::Reply(token, text) => {
                if let Some(client) = self.clients.get_mut(&token) {
                    client.send(&text);
                }
            }
            Parcel::Answer(token, answer) => {
                if let Some(client) = self.clients.get_mut(&token) {
                    client.respond(&answer);
                    self.flush(token);
                }
            }
        }
    }

    /// Sends a frame to every client subscribed to its stream on the right route.
    fn broadcast(&mut self, line: &MarketLine) {
        let route = route_of(&line.stream);
        for client in self.clients.values_mut() {
            let ClientRole::Streams { route: of, is_combined, streams } = &client.role else { continue };
            if of != route || !streams.contains(&line.stream) {
                continue;
            }
            if *is_combined {
                client.send(&line.text);
            } else {
                let data = line.text.split_once("\"data\":").map_or("", |(_, data)| data);
                client.send(data.strip_suffix('}').unwrap_or(data).trim_start());
            }
        }
    }

    /// Answers an HTTP request, or leaves it to the plan.
    pub(super) fn on_request(&mut self, token: usize, request: &HttpRequest) {
        if let Some(answer) = self.on_admin(request) {
            self.deliver_parcel(Parcel::Answer(token, answer));
            return;
        }
        let now_ms = self.plan_ms();
        let described = format!("{} {}?{}", request.method, request.path, request.query);
        if let Some(Instead { kind, is_done }) = self.plan.instead(now_ms, Channel::Rest, &described) {
            if is_done {
                // Carried out, and nobody learns of it.
                self.exchange.on_http(request, token);
            }
            self.deliver_parcel(Parcel::Answer(token, instead_of_answer(kind)));
            return;
        }
        // Without an answer it comes later, when its snapshot comes by.
        if let Some(answer) = self.exchange.on_http(request, token) {
            self.send(Channel::Rest, Parcel::Answer(token, answer));
        }
    }

    /// A request on a WebSocket is answered by the plan instead of the venue.
    pub(super) fn is_answered_instead(&mut self, token: usize, text: &str) -> bool {
        let now_ms = self.plan_ms();
        let Some(client) = self.clients.get_mut(&token) else { return false };
        if !matches!(client.role, ClientRole::Api(_)) {
            return false;
        }
        let Some(Instead { is_done, .. }) = self.plan.instead(now_ms, Channel::Orders, text) else {
            return false;
        };
        if is_done {
            self.exchange.on_text(&mut client.role, text);
        }
        let request: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let answer = serde_json::json!({"id": request["id"], "status": 408, "error": timeout()});
        self.deliver_parcel(Parcel::Reply(token, answer.to_string()));
        self.deliver();
        true
    }

    /// Does what is due: moments of the plan, what arrives, and connections that thaw.
    pub(super) fn apply_faults(&mut self) {
        let now_ms = self.plan_ms();
        if self.plan.is_idle() && self.frozen.is_empty() && self.closing.is_empty() {
            return;
        }
        for fault in self.plan.take_moments(now_ms) {
            self.apply(&fault);
        }
        while let Some(parcel) = self.plan.take_due(now_ms) {
            self.deliver_parcel(parcel);
        }
        let (over, closing) =
            std::mem::take(&mut self.closing).into_iter().partition(|(due, _)| *due <= now_ms);
        self.closing = closing;
        for (_, token) in over {
            self.close(token);
        }
        self.freeze(now_ms);
    }

    fn freeze(&mut self, now_ms: u64) {
        let frozen: BTreeSet<Channel> =
            Channel::ALL.into_iter().filter(|on| self.plan.is_frozen(now_ms, *on)).collect();
        self.frozen = frozen;
        let mut thawed = Vec::new();
        for (token, client) in &mut self.clients {
            let is_frozen = self.frozen.contains(&client.channel());
            if client.is_frozen() != is_frozen {
                client.set_frozen(is_frozen);
                thawed.extend((!is_frozen).then_some(*token));
            }
        }
        // Nobody tells again of what came in meanwhile.
        thawed.into_iter().for_each(|token| self.serve(token));
        self.flush_all();
    }

    fn clients_of(&self, fault: &Fault) -> Vec<usize> {
        self.clients.iter().filter(|(_, c)| fault.concerns(c.channel())).map(|(token, _)| *token).collect()
    }

    fn apply(&mut self, fault: &Fault) {
        match fault.kind {
            FaultKind::Reset => {
                for token in self.clients_of(fault) {
                    self.clients.entry(token).and_modify(super::connection::Client::reset);
                    self.drop_client(token);
                }
            }
            FaultKind::Close => self.clients_of(fault).into_iter().for_each(|token| self.close(token)),
            FaultKind::Shutdown => self.announce_shutdown(fault),
            FaultKind::ListenKey => self.exchange.kill_listen_key(),
            FaultKind::Clock => self.exchange.set_skew(fault.offset_ms),
            FaultKind::TickSize => tell(self.exchange.set_tick(&fault.symbol, &fault.tick)),
            FaultKind::Halt => tell(self.exchange.toggle_trading(&fault.symbol)),
            FaultKind::Certificate => match strange_server_config() {
                Ok(config) if self.tls.is_some() => self.tls = Some(config),
                Ok(_) => eprintln!("faults: certificate: the simulator runs without TLS"),
                Err(e) => eprintln!("faults: certificate: {e}"),
            },
            _ => {}
        }
    }

    fn close(&mut self, token: usize) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.close();
        }
        self.drop_client(token);
    }

    fn announce_shutdown(&mut self, fault: &Fault) {
        let due_ms = self.plan_ms() + SHUTDOWN_NOTICE_MS;
        let event = serde_json::json!({"e": "serverShutdown", "E": now_ms()});
        for token in self.clients_of(fault) {
            let Some(client) = self.clients.get_mut(&token) else { continue };
            let text = match &client.role {
                ClientRole::Http => continue,
                ClientRole::Api(_) => serde_json::json!({"event": event}),
                ClientRole::Streams { is_combined: true, .. }
                | ClientRole::Account { is_combined: true, .. } => {
                    serde_json::json!({"stream": "!serverShutdown", "data": event})
                }
                _ => event.clone(),
            };
            client.send(&text.to_string());
            self.closing.push((due_ms, token));
        }
    }
}

fn timeout() -> serde_json::Value {
    serde_json::json!({
        "code": -1007,
        "msg": "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    })
}

fn instead_of_answer(kind: FaultKind) -> HttpAnswer {
    let (status, body) = match kind {
        FaultKind::Timeout => (408, timeout().to_string()),
        _ => (502, "<html><head><title>502 Bad Gateway</title></head></html>".to_owned()),
    };
    HttpAnswer { status, headers: Vec::new(), body }
}

fn tell(result: Result<(), String>) {
    if let Err(why) = result {
        eprintln!("faults: {why}");
    }
}
