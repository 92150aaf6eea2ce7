//! The routes: every one reads, none changes anything.

use super::{Shared, health, latency, metrics};
use serde_json::json;
use tiny_http::{Header, Method, Request, Response};

/// An answer: status, content type, body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string() }
    }

    pub(super) fn text(body: String) -> Self {
        Self { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body }
    }

    pub(super) fn no_session() -> Self {
        Self::json(503, &json!({"error": "no hot process has started in this data directory"}))
    }
}

type Handler = fn(&Shared) -> Answer;

/// Every route: path and what it serves.
pub const ROUTES: &[(&str, &str)] = &[
    ("/health/live", "The control process answers."),
    ("/health/ready", "Hot process, archive and store are in order; 503 with reasons otherwise."),
    ("/health/state", "Trading state, connections, positions and counters."),
    ("/metrics", "Prometheus text."),
    ("/api/v1/status/info", "Version, mode, session and uptime."),
    ("/api/v1/latency", "Percentiles of every stage in nanoseconds."),
    ("/api/v1/latency.hlog", "Histograms of every stage as an HdrHistogram interval log."),
];

fn handler(path: &str) -> Option<Handler> {
    Some(match path {
        "/health/live" => |_| Answer::json(200, &json!({"status": "live"})),
        "/health/ready" => health::ready,
        "/health/state" => health::state,
        "/metrics" => metrics::serve,
        "/api/v1/status/info" => health::info,
        "/api/v1/latency" => latency::percentiles,
        "/api/v1/latency.hlog" => latency::interval_log,
        _ => return None,
    })
}

/// Answers one request.
pub(super) fn serve(request: Request, shared: &Shared) {
    let path = request.url().split('?').next().unwrap_or_default().to_owned();
    let answer = match (request.method(), handler(&path)) {
        (_, None) => Answer::json(404, &json!({"error": format!("no such route: {path}")})),
        (Method::Get | Method::Head, Some(handler)) => handler(shared),
        (_, Some(_)) => Answer::json(405, &json!({"error": "read only: GET and HEAD"})),
    };
    // Whole bodies with their length, however large: nothing here is a stream.
    let mut response =
        Response::from_string(answer.body).with_status_code(answer.status).with_chunked_threshold(usize::MAX);
    let headers = [
        ("Content-Type", answer.content_type),
        ("Content-Security-Policy", "default-src 'self'"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cache-Control", "no-store"),
    ];
    for (name, value) in headers {
        if let Ok(header) = Header::from_bytes(name.as_bytes(), value.as_bytes()) {
            response.add_header(header);
        }
    }
    let _ = request.respond(response);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_route_has_a_handler() {
        for (path, meaning) in ROUTES {
            assert!(handler(path).is_some(), "{path}");
            assert!(meaning.ends_with('.'), "{path}");
        }
        assert!(handler("/nowhere").is_none());
    }
}
