//! The routes: one table says of each who may use it, what it takes and what it does; requests, the OpenAPI document
//! and the page of documentation go by it.

use super::{
    Shared,
    fields::{Field, Values},
    health, history, latency, listing, metrics, openapi, records, series, steer, stream, webhook,
};
use crate::auth::{Principal, Refusal, Role, Visit};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use tickpath_shared::{
    clock::{host_ns_now, unix_ns_now},
    command::Verb,
};
use tiny_http::{Header, Request, Response};

/// Header in which the gate tells whose request it is.
pub(super) const PEER_HEADER: &str = "X-Tickpath-Peer";

/// An answer: status, content type, body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    /// Seconds after which it may be tried again.
    pub(super) retry_after_s: Option<u64>,
    /// Methods that would have been served.
    allow: Option<&'static str>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: body.to_string(),
            retry_after_s: None,
            allow: None,
        }
    }

    pub(super) fn error(status: u16, text: &str) -> Self {
        Self::json(status, &json!({"error": text}))
    }

    pub(super) fn of(content_type: &'static str, body: String) -> Self {
        Self { status: 200, content_type, body, retry_after_s: None, allow: None }
    }

    fn not_with(method: Method, path: &str) -> Self {
        let allow = if method == Method::Get { "GET, HEAD" } else { "POST" };
        Self { allow: Some(allow), ..Self::error(405, &format!("{path} is asked with {allow}")) }
    }

    pub(super) fn no_session() -> Self {
        Self::error(503, "no hot process has started in this data directory")
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => {
                Self::error(401, "a token is needed: Authorization: Bearer ..., see `tickpath token create`")
            }
            Refusal::TooLow { who, needed } => {
                let text = format!("token {:?} has role {}, {needed} is needed", who.name, who.role);
                Self::error(403, &text)
            }
            Refusal::TooOften { wait_s } => {
                Self { retry_after_s: Some(wait_s), ..Self::error(429, "too many requests") }
            }
            Refusal::Broken(why) => Self::error(503, &why),
        }
    }
}

/// A request that was let in.
pub(super) struct Ask {
    pub(super) who: Principal,
    pub(super) peer: IpAddr,
    /// Number of the request, for logs.
    pub(super) request: String,
    /// Method and path of the route.
    pub(super) action: String,
    pub(super) values: Values,
}

/// How a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It reads.
    Get,
    /// It changes something.
    Post,
    /// It takes risk away at once and is never told to wait.
    PostUrgent,
}

impl Method {
    /// As it stands in a request.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post | Self::PostUrgent => "POST",
        }
    }
}

/// A route.
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// Its path.
    pub path: &'static str,
    /// Who may.
    pub role: Role,
    /// One sentence for people.
    pub meaning: &'static str,
    /// What it takes, in the query or, for changes, in a JSON object.
    pub(super) fields: &'static [Field],
    /// Content type of what it serves.
    pub(super) content_type: &'static str,
    handler: fn(&Shared, &Ask) -> Answer,
}

const KILL: &str = "/api/v1/control/kill";
pub(super) const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

impl Route {
    /// Content type of what it serves.
    pub const fn content_type(&self) -> &'static str {
        self.content_type
    }
}

type Handler = fn(&Shared, &Ask) -> Answer;

const fn get(path: &'static str, role: Role, meaning: &'static str, handler: Handler) -> Route {
    Route { method: Method::Get, path, role, meaning, fields: &[], content_type: JSON, handler }
}

const fn list(
    path: &'static str,
    fields: &'static [Field],
    meaning: &'static str,
    handler: Handler,
) -> Route {
    Route { fields, ..get(path, Role::Viewer, meaning, handler) }
}

const fn post(
    path: &'static str,
    role: Role,
    fields: &'static [Field],
    meaning: &'static str,
    handler: Handler,
) -> Route {
    Route { method: Method::Post, fields, ..get(path, role, meaning, handler) }
}

/// A file of the pages: embedded, so that it is there when nothing else is.
macro_rules! asset {
    ($path:literal, $meaning:literal, $content_type:expr, $file:literal) => {
        Route {
            content_type: $content_type,
            ..get($path, Role::Anyone, $meaning, |_, _| {
                Answer::of($content_type, include_str!(concat!("../web/", $file)).to_owned())
            })
        }
    };
}

/// Every route.
pub const ROUTES: &[Route] = &[
    get("/health/live", Role::Anyone, "The control process answers.", |s, _| health::live(s)),
    get(
        "/health/ready",
        Role::Anyone,
        "Hot process, archive and store are in order; 503 with reasons otherwise.",
        |s, _| health::ready(s),
    ),
    get("/health/state", Role::Viewer, "Trading state, connections, positions and counters.", |s, _| {
        health::state(s)
    }),
    Route {
        content_type: metrics::CONTENT_TYPE,
        ..get("/metrics", Role::Viewer, "Prometheus text.", |s, _| metrics::serve(s))
    },
    get("/api/v1/status/health", Role::Anyone, "Whether all is well, in a few words.", |s, _| {
        health::summary(s)
    }),
    get("/api/v1/status/health/detailed", Role::Viewer, "Every check that health is made of.", |s, _| {
        health::detailed(s)
    }),
    Route {
        content_type: metrics::CONTENT_TYPE,
        ..get("/api/v1/status/metrics", Role::Viewer, "Prometheus text, as at /metrics.", |s, _| {
            metrics::serve(s)
        })
    },
    get("/api/v1/status/info", Role::Viewer, "Version, mode, session and uptime.", |s, _| health::info(s)),
    get("/api/v1/latency", Role::Viewer, "Percentiles of every stage in nanoseconds.", |s, _| {
        latency::percentiles(s)
    }),
    list(
        "/api/v1/latency/history",
        history::FIELDS,
        "A stage's latency second by second over the last ten minutes.",
        history::serve,
    ),
    Route {
        content_type: latency::LOG_TYPE,
        ..get(
            "/api/v1/latency.hlog",
            Role::Viewer,
            "Histograms of every stage as an HdrHistogram interval log.",
            |s, _| latency::interval_log(s),
        )
    },
    list("/api/v1/orders", records::ORDERS, "Orders of this mode, the newest first.", records::orders),
    list("/api/v1/fills", records::BY_SYMBOL, "Fills, the newest first.", records::fills),
    list(
        "/api/v1/trades",
        records::BY_SYMBOL,
        "Round trips from flat to flat, the newest first.",
        records::trades,
    ),
    get("/api/v1/balances", Role::Viewer, "Assets of the account, as the venue told them last.", |s, _| {
        records::balances(s)
    }),
    get("/api/v1/books", Role::Viewer, "Best prices of every instrument.", |s, _| listing::books(s)),
    get("/api/v1/signals", Role::Viewer, "What every strategy computed last.", |s, _| records::signals(s)),
    get(
        "/api/v1/parameters",
        Role::Viewer,
        "Parameters of strategies, and limits that may change: as configured, and as they are in this session.",
        |s, _| records::parameters(s),
    ),
    list("/api/v1/positions", &[], "Positions by average cost, as stored.", records::positions),
    list(
        "/api/v1/pnl",
        records::PNL,
        "Results of closed round trips by day, week, month, symbol or strategy.",
        records::pnl,
    ),
    list(
        "/api/v1/equity",
        &[records::LIMIT],
        "Results of closed round trips summed up over time.",
        records::equity,
    ),
    list("/api/v1/events", records::EVENTS, "What the sessions told, the newest first.", records::events),
    Route {
        content_type: stream::CONTENT_TYPE,
        ..get(
            stream::PATH,
            Role::Viewer,
            "Server-sent events: `state` four times a second, `fill` and `event` as they are stored.",
            |_, _| stream::admitted(),
        )
    },
    list(
        "/api/v1/decisions",
        records::DECISIONS,
        "What strategies wanted, the newest first.",
        records::decisions,
    ),
    list(
        "/api/v1/risk/events",
        records::RISK_EVENTS,
        "Refusals with the compared numbers, breakers and changes of the trading state, the newest first.",
        records::risk_events,
    ),
    list("/api/v1/logs", records::LOGS, "Log lines of both processes, the newest first.", records::logs),
    get("/api/v1/metrics/names", Role::Viewer, "Metrics that are kept over time.", |s, _| series::names(s)),
    list(
        "/api/v1/metrics/query",
        series::FIELDS,
        "A metric over time, put together over a range or step by step.",
        series::query,
    ),
    get("/api/v1/alerts", Role::Viewer, "Alerts that hold, and those that ended.", |s, _| listing::alerts(s)),
    get("/api/v1/held", Role::Viewer, "Orders that wait for a person.", |s, _| listing::held(s)),
    get("/api/v1/sessions", Role::Viewer, "Sessions of the data directory, the oldest first.", |s, _| {
        listing::sessions(s)
    }),
    get(
        "/api/v1/risk/limits",
        Role::Viewer,
        "Limits, budgets and breakers as configured; /api/v1/parameters tells what is tightened.",
        |s, _| listing::limits(s),
    ),
    get(
        "/api/v1/config",
        Role::Viewer,
        "The configuration in force; it names files of secrets, never what they hold.",
        |s, _| listing::config(s),
    ),
    Route {
        fields: records::PAGE,
        ..get("/api/v1/audit", Role::Admin, "Who changed what, the newest first.", steer::audit)
    },
    Route {
        method: Method::PostUrgent,
        ..post(
            KILL,
            Role::Trader,
            steer::PLAIN,
            "Set the kill word: no order leaves, working ones are canceled, latched over restarts.",
            steer::kill,
        )
    },
    Route {
        method: Method::PostUrgent,
        ..post(
            "/api/v1/control/disarm",
            Role::Trader,
            steer::PLAIN,
            "Allow no new orders and cancel working ones.",
            |s, a| steer::lower(s, a, Verb::Disarm),
        )
    },
    post(
        "/api/v1/control/stop-entry",
        Role::Trader,
        steer::SCOPED,
        "Open nothing more until armed again; what is held may be closed.",
        |s, a| steer::lower(s, a, Verb::StopOpening),
    ),
    post("/api/v1/control/cancel-all", Role::Trader, steer::SCOPED, "Cancel open orders.", |s, a| {
        steer::lower(s, a, Verb::CancelAll)
    }),
    post(
        "/api/v1/control/flatten",
        Role::Trader,
        steer::SCOPED,
        "Open nothing more, cancel orders and close positions.",
        |s, a| steer::lower(s, a, Verb::Flatten),
    ),
    post("/api/v1/control/order", Role::Admin, steer::PLACE, "Place an order, in two steps.", steer::place),
    post("/api/v1/control/cancel", Role::Trader, steer::CANCEL, "Cancel one order.", steer::cancel),
    post("/api/v1/control/approve", Role::Trader, steer::HELD, "Let an order leave that waits.", |s, a| {
        steer::answer_held(s, a, Verb::Approve)
    }),
    post("/api/v1/control/deny", Role::Trader, steer::HELD, "Refuse an order that waits.", |s, a| {
        steer::answer_held(s, a, Verb::Deny)
    }),
    post("/api/v1/control/arm", Role::Admin, steer::ARM, "Allow orders, in two steps.", steer::arm),
    post(
        "/api/v1/control/clear-kill",
        Role::Admin,
        steer::CONFIRMED,
        "Release the kill latch, in two steps; arming is another one.",
        steer::clear_kill,
    ),
    post(
        "/api/v1/control/release-breakers",
        Role::Admin,
        steer::CONFIRMED,
        "Let all breakers go, in two steps; one whose threshold is still passed trips again.",
        steer::release_breakers,
    ),
    post(
        "/api/v1/control/set",
        Role::Admin,
        steer::SET,
        "Give a parameter of a strategy, or a limit up to the configured one, a new value.",
        steer::set,
    ),
    get("/api/v1/simulation/status", Role::Viewer, "Whether a simulation runs and trades.", |s, _| {
        listing::simulation(s)
    }),
    get(
        "/api/v1/simulation/performance",
        Role::Viewer,
        "What the simulation's closed round trips brought.",
        |s, _| listing::performance(s),
    ),
    post(
        steer::RESET_PATH,
        Role::Trader,
        steer::PLAIN,
        "Close what the simulation holds and open nothing more; its performance counts from here.",
        steer::reset,
    ),
    post("/api/v1/simulation/start", Role::Trader, steer::PLAIN, "Let the simulation trade.", |s, a| {
        steer::simulate(s, a, Verb::Arm)
    }),
    post(
        "/api/v1/simulation/stop",
        Role::Trader,
        steer::PLAIN,
        "Let the simulation trade no more; its orders are canceled.",
        |s, a| steer::simulate(s, a, Verb::Disarm),
    ),
    post(
        "/api/v1/webhook/tradingview",
        Role::Anyone,
        webhook::FIELDS,
        "Take an alert, once, for the strategy that follows signals; the secret is in its body.",
        webhook::tradingview,
    ),
    get("/api/v1/openapi.json", Role::Anyone, "This interface as an OpenAPI 3.1 document.", |_, _| {
        Answer::json(200, &openapi::document())
    }),
    asset!("/", "The operator's page.", HTML, "index.html"),
    asset!("/docs", "The routes for people.", HTML, "docs.html"),
    asset!(
        "/runbook.md",
        "What alerts mean and what to do.",
        "text/markdown; charset=utf-8",
        "../../../docs/runbook.md"
    ),
    asset!("/app.js", "Code of the page.", SCRIPT, "app.js"),
    asset!("/docs.js", "Code of the page of documentation.", SCRIPT, "docs.js"),
    asset!("/style.css", "Style of the pages.", STYLE, "style.css"),
    asset!("/favicon.svg", "Icon of the pages.", "image/svg+xml", "favicon.svg"),
    asset!("/uplot.js", "Charts of the page: uPlot.", SCRIPT, "vendor/uPlot.iife.min.js"),
    asset!("/uplot.css", "Style of the charts.", STYLE, "vendor/uPlot.min.css"),
];

/// Whether a request waits for no other one: the rest may wait seconds for a hot process that hangs.
pub(super) fn has_threads_of_its_own(path: &str) -> bool {
    path == KILL
}

/// Answers one request.
pub(super) fn serve(mut request: Request, shared: &Shared) {
    let answer = answer_to(&mut request, shared);
    let id = answer.1;
    let answer = answer.0;
    // Whole bodies with their length, however large: nothing here is a stream.
    let mut response =
        Response::from_string(answer.body).with_status_code(answer.status).with_chunked_threshold(usize::MAX);
    let mut headers = vec![
        ("Content-Type", answer.content_type.to_owned()),
        ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("X-Frame-Options", "DENY".to_owned()),
        ("Referrer-Policy", "no-referrer".to_owned()),
        ("Cache-Control", "no-store".to_owned()),
        ("X-Request-Id", id),
    ];
    if answer.status == 401 {
        headers.push(("WWW-Authenticate", "Bearer".to_owned()));
    }
    headers.extend(answer.allow.map(|methods| ("Allow", methods.to_owned())));
    headers.extend(answer.retry_after_s.map(|s| ("Retry-After", s.to_string())));
    for (name, value) in headers {
        if let Ok(header) = Header::from_bytes(name.as_bytes(), value.as_bytes()) {
            response.add_header(header);
        }
    }
    let _ = request.respond(response);
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

/// The answer and the number of the request.
fn answer_to(request: &mut Request, shared: &Shared) -> (Answer, String) {
    let id = super::random_name().unwrap_or_default();
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let method = request.method().as_str().to_owned();
    let asked = if method == "HEAD" { "GET" } else { method.as_str() };
    let of_path: Vec<&Route> = ROUTES.iter().filter(|route| route.path == path).collect();
    let Some(route) = of_path.iter().find(|route| route.method.label() == asked) else {
        let answer = match of_path.first() {
            Some(route) => Answer::not_with(route.method, path),
            None => Answer::error(404, &format!("no such route: {path}")),
        };
        return (answer, id);
    };
    let peer = header(request, PEER_HEADER).and_then(|peer| peer.parse().ok());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let visit = Visit {
        peer,
        authorization: header(request, "Authorization"),
        role: route.role,
        is_change: route.method != Method::Get,
        // Senders of alerts share their addresses with strangers: the secret decides, see `alerts`.
        is_urgent: route.method == Method::PostUrgent || path.starts_with(webhook::PREFIX),
        now_unix_s: unix_ns_now() / 1_000_000_000,
    };
    let who = match shared.door.admit(&visit, host_ns_now()) {
        Ok(who) => who,
        Err(refusal) => return (refusal.into(), id),
    };
    let values = if route.method == Method::Get {
        Values::of_query(query, route.fields)
    } else {
        let mut body = Vec::new();
        match request.as_reader().read_to_end(&mut body) {
            Ok(_) if !query.is_empty() => Err("values stand in the body, not in the query".to_owned()),
            Ok(_) => Values::of_body(&body, route.fields),
            Err(e) => Err(e.to_string()),
        }
    };
    let answer = match values {
        Ok(values) => {
            let action = format!("{} {path}", route.method.label());
            (route.handler)(shared, &Ask { who, peer, request: id.clone(), action, values })
        }
        Err(why) => Answer::error(400, &why),
    };
    (answer, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for route in ROUTES {
            assert!(route.meaning.ends_with('.'), "{}", route.path);
            let twins =
                ROUTES.iter().filter(|r| (r.path, r.method.label()) == (route.path, route.method.label()));
            assert_eq!(twins.count(), 1, "{}", route.path);
            let is_change = route.method != Method::Get;
            let is_alert = route.path.starts_with(webhook::PREFIX);
            assert!(!is_change || is_alert || route.role >= Role::Trader, "{} changes something", route.path);
        }
    }
}
