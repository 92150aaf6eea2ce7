//! The simulator's own address: faults are told, listed and ended while it runs. No venue has it.

use super::{FaultFile, binance::HttpAnswer, connection::HttpRequest, server::Server};
use serde_json::json;

/// Where.
const PATH: &str = "/admin/faults";

impl Server {
    /// Answers what is asked of the simulator itself; `None` for whatever is the venue's.
    pub(super) fn on_admin(&mut self, request: &HttpRequest) -> Option<HttpAnswer> {
        if request.path != PATH {
            return None;
        }
        let answer = |status: u16, body: serde_json::Value| {
            Some(HttpAnswer { status, headers: Vec::new(), body: body.to_string() })
        };
        match request.method.as_str() {
            "GET" => {
                let faults: Vec<_> = self
                    .plan
                    .counts()
                    .map(|(fault, count)| json!({"fault": fault, "count": count}))
                    .collect();
                answer(200, json!(faults))
            }
            "POST" => match FaultFile::parse(&request.body) {
                Ok(file) => {
                    let added = file.fault.len();
                    self.plan.add(file, self.began.elapsed().as_millis() as u64);
                    answer(200, json!({"added": added}))
                }
                Err(e) => answer(400, json!({"msg": e.to_string()})),
            },
            "DELETE" => {
                self.plan.clear();
                answer(200, json!({}))
            }
            other => answer(405, json!({"msg": format!("{other} is none of GET, POST, DELETE")})),
        }
    }
}
