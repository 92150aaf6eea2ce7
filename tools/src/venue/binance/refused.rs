//! What the venue refuses, and with which code.

/// A refusal: HTTP status, venue's code, text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status, also the status of a WebSocket API answer.
    pub status: u16,
    /// Venue's code.
    pub code: i32,
    /// Venue's text.
    pub message: String,
    /// Seconds or milliseconds to wait, by the code's own unit: only with 429 and 418.
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    /// A refusal of a request that is at fault.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into(), retry_after_ms: None }
    }

    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// A parameter is missing or no value of its kind.
    pub(super) fn parameter(name: &str) -> Self {
        Self::new(-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
    }

    pub(super) fn not_required(name: &str) -> Self {
        Self::new(-1106, format!("Parameter '{name}' sent when not required."))
    }

    pub(super) fn key() -> Self {
        Self::new(-2015, "Invalid API-key, IP, or permissions for action.").with_status(401)
    }

    pub(super) fn symbol() -> Self {
        Self::new(-1121, "Invalid symbol.")
    }

    pub(super) fn unknown_order() -> Self {
        Self::new(-2013, "Order does not exist.")
    }

    pub(super) fn unknown_cancel() -> Self {
        Self::new(-2011, "Unknown order sent.")
    }
}
