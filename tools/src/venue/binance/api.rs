//! The WebSocket API (orders, account) and the control messages of streams.

use super::{
    super::connection::encode_query, exchange::Exchange, limits::Cost, orders::Answer,
    parameters::Parameters, refused::Refused, rest::verify, roles::ClientRole,
};
use serde_json::{Map, Value, json};

/// What the simulator answers on a WebSocket.
pub enum Reply {
    /// A text.
    Text(String),
    /// A text, then the connection is closed.
    Close(String),
}

/// Streams of one connection.
const STREAMS_MAX: usize = 1024;

type Handler = fn(&mut Exchange, &Parameters) -> Answer;

/// Methods for which a signature, or a session and a time stamp, is needed.
const METHODS: &[(&str, Cost, Handler)] = &[
    ("order.place", Cost::ORDER, Exchange::place),
    ("order.modify", Cost::ORDER, Exchange::modify),
    ("order.cancel", Cost::weight(1), Exchange::cancel),
    ("order.status", Cost::weight(1), Exchange::query),
    ("algoOrder.place", Cost::ORDER, Exchange::place_algo),
    ("algoOrder.cancel", Cost::weight(1), Exchange::cancel_algo),
    ("account.position", Cost::weight(5), Exchange::position_risk_v2),
    ("v2/account.position", Cost::weight(5), Exchange::position_risk),
    ("account.balance", Cost::weight(5), Exchange::balance),
    ("v2/account.balance", Cost::weight(5), Exchange::balance),
    ("account.status", Cost::weight(5), Exchange::account_status),
    ("v2/account.status", Cost::weight(5), Exchange::account_status),
];

/// The order session of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiSession {
    /// Key that is logged on, and since when.
    logged_on: Option<(String, u64)>,
    connected_ms: u64,
    /// The connection wants no rate limits in its answers.
    is_brief: bool,
}

impl ApiSession {
    pub(super) fn new(query: &str, now_ms: u64) -> Self {
        let is_brief = query.split('&').any(|pair| pair == "returnRateLimits=false");
        Self { logged_on: None, connected_ms: now_ms, is_brief }
    }
}

impl Exchange {
    /// Answers a text message of an upgraded client.
    pub fn on_text(&mut self, role: &mut ClientRole, text: &str) -> Reply {
        match role {
            ClientRole::Api(session) => Reply::Text(self.on_api(session, text)),
            ClientRole::Streams { streams, is_combined, .. } => control(streams, is_combined, text),
            ClientRole::Account { keys, is_combined, .. } => control(keys, is_combined, text),
            ClientRole::Http => Reply::Close("{}".into()),
        }
    }

    /// Answers one request of the order API.
    fn on_api(&mut self, session: &mut ApiSession, text: &str) -> String {
        let Ok(request) = serde_json::from_str::<Value>(text) else {
            return error(&Value::Null, &Refused::new(-1100, "Invalid JSON.")).to_string();
        };
        let empty = Map::new();
        let p = Parameters::of_json(request["params"].as_object().unwrap_or(&empty));
        let id = &request["id"];
        let mut answer = match self.call(session, request["method"].as_str().unwrap_or_default(), &p) {
            Ok(result) => json!({"id": id, "status": 200, "result": result}),
            Err(refused) => error(id, &refused),
        };
        let is_brief = match p.get("returnRateLimits") {
            Some(text) => text == "false",
            None => session.is_brief,
        };
        if !is_brief {
            answer["rateLimits"] = self.usage.show(self.now_ms, true);
        }
        answer.to_string()
    }

    fn call(&mut self, session: &mut ApiSession, method: &str, p: &Parameters) -> Answer {
        match method {
            "session.logon" => {
                self.usage.charge(Cost::weight(2), self.now_ms)?;
                session.logged_on = Some((self.check_signature(p)?, self.now_ms));
                Ok(self.show_session(session))
            }
            "session.status" => Ok(self.show_session(session)),
            "session.logout" => {
                session.logged_on = None;
                Ok(self.show_session(session))
            }
            "userDataStream.start" | "userDataStream.ping" | "userDataStream.stop" => {
                if session.logged_on.is_none() {
                    self.find_key(p.required("apiKey")?).ok_or_else(Refused::key)?;
                }
                self.user_stream(method)
            }
            _ => {
                let &(_, cost, handler) = METHODS
                    .iter()
                    .find(|(name, ..)| *name == method)
                    .ok_or_else(|| Refused::new(-1100, format!("Invalid method '{method}'.")))?;
                self.usage.charge(cost, self.now_ms)?;
                if session.logged_on.is_none() || p.get("apiKey").is_some() {
                    self.check_signature(p)?;
                }
                self.check_time(p)?;
                handler(self, p)
            }
        }
    }

    fn show_session(&self, session: &ApiSession) -> Value {
        let (key, since) = session.logged_on.as_ref().map_or((None, None), |(k, at)| (Some(k), Some(*at)));
        json!({
            "apiKey": key, "authorizedSince": since, "connectedSince": session.connected_ms,
            "returnRateLimits": !session.is_brief, "serverTime": self.clock_ms(),
        })
    }

    fn user_stream(&mut self, method: &str) -> Answer {
        self.usage.charge(Cost::weight(1), self.now_ms)?;
        match method {
            "userDataStream.start" => Ok(json!({"listenKey": self.start_listening()})),
            "userDataStream.ping" => Ok(json!({"listenKey": self.keep_listening()?})),
            _ => {
                self.listen = None;
                Ok(json!({}))
            }
        }
    }

    /// Verifies a signature over all other parameters, sorted by name, with the textual values of the JSON. Clients
    /// differ in whether they percent-encode those; both are taken.
    fn check_signature(&self, p: &Parameters) -> Result<String, Refused> {
        let api_key = p.required("apiKey")?;
        let key = self.find_key(api_key).ok_or_else(Refused::key)?;
        let (payload, signature) = (p.payload(), p.required("signature")?);
        let is_right = verify(key, payload.as_bytes(), signature)
            || verify(key, encode_query(&payload).as_bytes(), signature);
        if !is_right {
            return Err(Refused::new(-1022, "Signature for this request is not valid."));
        }
        self.check_time(p)?;
        Ok(api_key.to_owned())
    }
}

fn error(id: &Value, refused: &Refused) -> Value {
    let mut error = json!({"code": refused.code, "msg": refused.message});
    if let Some(ms) = refused.retry_after_ms {
        error["data"] = json!({"retryAfter": ms});
    }
    json!({"id": id, "status": refused.status, "error": error})
}

/// SUBSCRIBE and its kin. An acknowledgement says nothing about whether the stream delivers on this route.
fn control(streams: &mut Vec<String>, is_combined: &mut bool, text: &str) -> Reply {
    let Ok(request) = serde_json::from_str::<Value>(text) else {
        return Reply::Close(r#"{"error":{"code":3,"msg":"Invalid JSON: expected value"}}"#.to_owned());
    };
    let id = &request["id"];
    // Unsigned integers by the documentation; the venue's own client sends texts.
    if !id.is_u64() && !id.is_string() {
        return Reply::Text(invalid("request ID must be an unsigned integer"));
    }
    let listed = request["params"].as_array().into_iter().flatten();
    let names: Vec<String> = listed.filter_map(|v| v.as_str().map(str::to_owned)).collect();
    let result = match request["method"].as_str() {
        Some("SUBSCRIBE") if streams.len() + names.len() > STREAMS_MAX => {
            return Reply::Text(invalid("too many streams"));
        }
        Some("SUBSCRIBE") => {
            streams.extend(names);
            streams.sort();
            streams.dedup();
            Value::Null
        }
        Some("UNSUBSCRIBE") => {
            streams.retain(|stream| !names.contains(stream));
            Value::Null
        }
        Some("LIST_SUBSCRIPTIONS") => json!(streams),
        Some("SET_PROPERTY") => match (&request["params"][0], request["params"][1].as_bool()) {
            (Value::String(name), Some(value)) if name == "combined" => {
                *is_combined = value;
                Value::Null
            }
            (Value::String(name), None) if name == "combined" => {
                return Reply::Text(r#"{"code":1,"msg":"Invalid value type: expected Boolean"}"#.into());
            }
            _ => return Reply::Text(r#"{"code":0,"msg":"Unknown property"}"#.into()),
        },
        Some("GET_PROPERTY") => json!(is_combined),
        _ => return Reply::Text(invalid("unknown variant")),
    };
    Reply::Text(json!({"result": result, "id": id}).to_string())
}

fn invalid(why: &str) -> String {
    json!({"code": 2, "msg": format!("Invalid request: {why}")}).to_string()
}
