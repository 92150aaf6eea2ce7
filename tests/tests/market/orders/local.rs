//! The simulated venue behind the REST client: every request is a call, and some answers are lost.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard},
};
use tickpath_hotpath::venue::{Answer, Call, Method, Transport};
use tickpath_tests::random::Random;
use tickpath_tools::venue::{HttpRequest, binance::Exchange};

/// The venue behind a REST client: every request is a call.
pub struct Local {
    pub venue: Arc<Mutex<Exchange>>,
    /// Odds that an answer is lost.
    pub failing: Mutex<(Random, f64)>,
}

impl Transport for Local {
    fn now_ms(&self) -> u64 {
        lock(&self.venue).now_ms()
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let method = match call.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        };
        let request = HttpRequest {
            method: method.into(),
            path: call.path.into(),
            query: call.query.into(),
            body: String::new(),
            api_key: call.api_key.into(),
        };
        let answer = lock(&self.venue).on_http(&request, 0).ok_or("no answer")?;
        let mut failing = self.failing.lock().unwrap();
        let odds = failing.1;
        // The request was carried out; its answer is lost in one of the ways it can be.
        if failing.0.chance(odds) {
            return match failing.0.below(3) {
                0 => Err("timed out".into()),
                1 => Ok(Answer {
                    status: 502,
                    body: b"<html>Bad Gateway</html>".to_vec(),
                    ..Answer::default()
                }),
                _ => Ok(Answer { status: 200, body: b"{\"orderId\":".to_vec(), ..Answer::default() }),
            };
        }
        Ok(Answer { status: answer.status, body: answer.body.into_bytes(), ..Answer::default() })
    }
}

pub fn lock(venue: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    venue.lock().unwrap()
}
