//! The simulator's own addresses: faults are told, listed and ended while it runs, money moves, and who is connected is
//! counted. No venue has them.

use super::{FaultFile, binance::HttpAnswer, connection::HttpRequest, faults::Channel, server::Server};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use tickpath_shared::types::decimal;

const FAULTS: &str = "/admin/faults";
const CONNECTIONS: &str = "/admin/connections";
const WALLET: &str = "/admin/wallet";

/// Money that comes into the wallet, or goes out of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Movement {
    /// Quote currency, negative for what goes.
    amount: String,
    /// Kind of income as the venue lists it.
    #[serde(default = "transfer")]
    kind: String,
}

fn transfer() -> String {
    "TRANSFER".into()
}

fn answer(status: u16, body: &serde_json::Value) -> HttpAnswer {
    HttpAnswer { status, headers: Vec::new(), body: body.to_string() }
}

fn not_allowed(method: &str, allowed: &str) -> HttpAnswer {
    answer(405, &json!({"msg": format!("{method} is none of {allowed}")}))
}

impl Server {
    /// Answers what is asked of the simulator itself; `None` for whatever is the venue's.
    pub(super) fn on_admin(&mut self, request: &HttpRequest) -> Option<HttpAnswer> {
        match request.path.as_str() {
            FAULTS => Some(self.on_faults(request)),
            CONNECTIONS if request.method == "GET" => Some(answer(200, &self.connections())),
            CONNECTIONS => Some(not_allowed(&request.method, "GET")),
            WALLET if request.method == "POST" => Some(self.on_movement(&request.body)),
            WALLET => Some(not_allowed(&request.method, "POST")),
            _ => None,
        }
    }

    fn on_faults(&mut self, request: &HttpRequest) -> HttpAnswer {
        match request.method.as_str() {
            "GET" => {
                let faults: Vec<_> = self
                    .plan
                    .counts()
                    .map(|(fault, count)| json!({"fault": fault, "count": count}))
                    .collect();
                answer(200, &json!(faults))
            }
            "POST" => match FaultFile::parse(&request.body) {
                Ok(file) => {
                    let added = file.fault.len();
                    self.plan.add(file, self.began.elapsed().as_millis() as u64);
                    answer(200, &json!({"added": added}))
                }
                Err(e) => answer(400, &json!({"msg": e.to_string()})),
            },
            "DELETE" => {
                self.plan.clear();
                answer(200, &json!({}))
            }
            other => not_allowed(other, "GET, POST, DELETE"),
        }
    }

    fn on_movement(&mut self, body: &str) -> HttpAnswer {
        let movement: Movement = match serde_json::from_str(body) {
            Ok(movement) => movement,
            Err(e) => return answer(400, &json!({"msg": e.to_string()})),
        };
        let amount = match decimal::parse(movement.amount.as_bytes(), 8) {
            Ok(amount) => amount,
            Err(e) => return answer(400, &json!({"msg": format!("amount: {:?}: {e}", movement.amount)})),
        };
        self.exchange.receive(&movement.kind, amount);
        answer(200, &json!({}))
    }

    /// Open connections by channel; a fault that ends connections meets these.
    fn connections(&self) -> serde_json::Value {
        let mut open: BTreeMap<_, usize> = Channel::ALL.into_iter().map(|on| (on, 0)).collect();
        for client in self.clients.values() {
            *open.entry(client.channel()).or_default() += 1;
        }
        json!(open)
    }
}
