//! How a REST request reaches the venue: over HTTP here, straight into a simulator in tests.

use crate::net::tls::provider;
use std::{
    error::Error,
    time::{Duration, Instant},
};
use tickpath_shared::clock::unix_ns_now;

/// HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Create.
    Post,
    /// Change.
    Put,
    /// Remove.
    Delete,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Method.
    pub method: Method,
    /// Path, from the slash on.
    pub path: &'a str,
    /// Query without the question mark, signature included.
    pub query: &'a str,
    /// Key that identifies the account.
    pub api_key: &'a str,
    /// Largest body accepted, bytes.
    pub body_max: u64,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
    /// Weight used in the venue's current minute, by its own count.
    pub used_weight: Option<u64>,
    /// Seconds before which nothing should be asked again.
    pub retry_after_s: Option<u64>,
}

/// Carries requests. An error means that nothing is known about what the venue did.
pub trait Transport: Send + Sync {
    /// Unix milliseconds by a clock of this end that nobody sets.
    fn now_ms(&self) -> u64;

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// Refused, timed out, broken off, too large.
    fn call(&self, call: &Call<'_>) -> Result<Answer, Box<dyn Error + Send + Sync>>;
}

/// HTTP over the network.
pub struct Http {
    agent: ureq::Agent,
    base: String,
    /// Unix milliseconds at a moment: a ban does not end early because somebody sets the clock.
    started: (u64, Instant),
}

impl Http {
    /// A transport to the host of `base`, with the project's limits and these roots of trust.
    pub fn new(base: &str, roots: ureq::tls::RootCerts, timeout: Duration) -> Self {
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(provider())
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .timeout_connect(Some(timeout.min(Duration::from_secs(5))))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .build();
        let started = (unix_ns_now() / 1_000_000, Instant::now());
        Self {
            agent: ureq::Agent::new_with_config(config),
            base: base.trim_end_matches('/').to_owned(),
            started,
        }
    }
}

impl Transport for Http {
    fn now_ms(&self) -> u64 {
        let (unix_ms, moment) = self.started;
        unix_ms + moment.elapsed().as_millis() as u64
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let separator = if call.query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{separator}{}", self.base, call.path, call.query);
        let key = ("X-MBX-APIKEY", call.api_key);
        let mut response = match call.method {
            Method::Get => self.agent.get(&url).header(key.0, key.1).call(),
            Method::Delete => self.agent.delete(&url).header(key.0, key.1).call(),
            Method::Post => self.agent.post(&url).header(key.0, key.1).send_empty(),
            Method::Put => self.agent.put(&url).header(key.0, key.1).send_empty(),
        }?;
        let number = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse().ok();
        let (used_weight, retry_after_s) = (number("x-mbx-used-weight-1m"), number("retry-after"));
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(call.body_max).read_to_vec()?;
        Ok(Answer { status, body, used_weight, retry_after_s })
    }
}
