//! What a WebSocket is for, by the address it was opened at, and what its client gets.

use super::{super::connection::percent_decode, api::ApiSession, exchange::Exchange};

/// What an upgraded client is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRole {
    /// HTTP so far.
    Http,
    /// Market streams under a route.
    Streams {
        /// `public` or `market`.
        route: String,
        /// Frames carry the stream's name.
        is_combined: bool,
        /// Streams subscribed to.
        streams: Vec<String>,
    },
    /// Account events.
    Account {
        /// Frames carry the stream's name.
        is_combined: bool,
        /// Listen keys subscribed to.
        keys: Vec<String>,
        /// Names of the events wanted, none for all.
        events: Vec<String>,
    },
    /// Order entry.
    Api(ApiSession),
}

impl Exchange {
    /// What a WebSocket at this target is for; `None` for an unknown endpoint.
    pub fn role_of(&self, target: &str) -> Option<ClientRole> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let listed = |names: &str| names.split('/').filter(|n| !n.is_empty()).map(percent_decode).collect();
        match parts.as_slice() {
            ["ws-fapi", "v1"] => Some(ClientRole::Api(ApiSession::new(query, self.now_ms))),
            ["private", mode @ ("ws" | "stream"), keys @ ..] => {
                let named = keys.iter().copied().chain(query_values(query, "listenKey"));
                Some(ClientRole::Account {
                    is_combined: *mode == "stream",
                    keys: named.map(str::to_owned).collect(),
                    events: query_values(query, "events")
                        .flat_map(|e| e.split('/'))
                        .map(str::to_owned)
                        .collect(),
                })
            }
            [route @ ("public" | "market"), "stream"] => Some(ClientRole::Streams {
                route: (*route).to_owned(),
                is_combined: true,
                streams: listed(query_values(query, "streams").next().unwrap_or_default()),
            }),
            [route @ ("public" | "market"), "ws", names @ ..] => Some(ClientRole::Streams {
                route: (*route).to_owned(),
                is_combined: false,
                streams: listed(&names.join("/")),
            }),
            _ => None,
        }
    }

    /// An account event as a client gets it, `None` when it does not.
    pub fn event_for(&self, role: &ClientRole, event: &str) -> Option<String> {
        let ClientRole::Account { is_combined, keys, events } = role else { return None };
        let name = event.strip_prefix(r#"{"e":""#)?.split('"').next()?;
        // An expiry names its key, which is not the active one any more.
        let key = match (name, self.listen_key()) {
            ("listenKeyExpired", _) => keys.iter().find(|key| event.contains(key.as_str()))?,
            (_, active) => keys.iter().find(|key| Some(key.as_str()) == active)?,
        };
        if !events.is_empty() && !events.iter().any(|wanted| wanted == name) {
            return None;
        }
        Some(if *is_combined { format!(r#"{{"stream":"{key}","data":{event}}}"#) } else { event.to_owned() })
    }
}

fn query_values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::super::options::{AccountStart, Limits};
    use super::*;

    #[test]
    fn account_events_reach_those_who_hold_the_key_and_asked_for_them() {
        let mut exchange = Exchange::new(&[], Limits::NONE, AccountStart::default(), 1_000);
        let key = exchange.start_listening();
        let update = r#"{"e":"ACCOUNT_UPDATE","E":1}"#;
        let get = |exchange: &Exchange, target: &str, event: &str| {
            exchange.role_of(target).and_then(|role| exchange.event_for(&role, event))
        };
        let raw = format!("/private/ws/{key}");
        assert_eq!(get(&exchange, &raw, update).as_deref(), Some(update));
        let combined = get(&exchange, &format!("/private/stream?listenKey={key}"), update).unwrap();
        assert_eq!(combined, format!(r#"{{"stream":"{key}","data":{update}}}"#));
        let filtered = format!("/private/ws?listenKey={key}&events=TRADE_LITE/ORDER_TRADE_UPDATE");
        assert_eq!(get(&exchange, &filtered, update), None);
        assert_eq!(get(&exchange, "/private/ws/other", update), None);
        assert!(exchange.role_of("/public/ws?btcusdt@depth").is_some() && exchange.role_of("/ws").is_none());
    }

    #[test]
    fn an_expired_key_is_told_once_and_replaced() {
        let mut exchange = Exchange::new(&[], Limits::NONE, AccountStart::default(), 1_000);
        let key = exchange.start_listening();
        let role = exchange.role_of(&format!("/private/ws/{key}")).unwrap();
        exchange.advance(1_000 + 3_599_999);
        assert!(exchange.take_events().is_empty());
        exchange.advance(1_000 + 3_600_020);
        let events = exchange.take_events();
        assert!(exchange.event_for(&role, &events[0]).is_some_and(|e| e.contains("listenKeyExpired")));
        assert_ne!(exchange.start_listening(), key);
        assert_eq!(exchange.event_for(&role, r#"{"e":"TRADE_LITE"}"#), None);
    }
}
