//! The simulator's own addresses: faults are told, listed and ended while it runs, and who is connected is counted. No
//! venue has them.

use super::{FaultFile, binance::HttpAnswer, connection::HttpRequest, faults::Channel, server::Server};
use serde_json::json;
use std::collections::BTreeMap;

const FAULTS: &str = "/admin/faults";
const CONNECTIONS: &str = "/admin/connections";

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

    /// Open connections by channel; a fault that ends connections meets these.
    fn connections(&self) -> serde_json::Value {
        let mut open: BTreeMap<_, usize> = Channel::ALL.into_iter().map(|on| (on, 0)).collect();
        for client in self.clients.values() {
            *open.entry(client.channel()).or_default() += 1;
        }
        json!(open)
    }
}
