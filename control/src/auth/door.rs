//! The door that every request passes: whose it is, whether that is enough, and whether it comes too often.

use super::{JwtKeys, Principal, Role, TokenFile};
use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};
use tickpath_shared::Nanos;

const SECOND_NS: Nanos = 1_000_000_000;
/// Requests without a token by address, and changes by token: 100 a minute, 20 at once.
const STRANGERS: Rate = Rate { burst: 20, interval_ns: 60 * SECOND_NS / 100 };
/// Reads: 200 a second, 200 at once, by token.
const READS: Rate = Rate { burst: 200, interval_ns: SECOND_NS / 200 };
/// Tokens that open nothing: 10 a minute by address; whoever guesses more often is not listened to.
const GUESSES: Rate = Rate { burst: 10, interval_ns: 60 * SECOND_NS / 10 };
/// Names or addresses that a limit keeps in mind.
const KEYS_MAX: usize = 4096;

/// A request at the door.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Address of whoever sent it.
    pub peer: IpAddr,
    /// Its `Authorization` header.
    pub authorization: Option<&'a str>,
    /// Role that the route asks for.
    pub role: Role,
    /// It changes something.
    pub is_change: bool,
    /// It takes risk away at once and is never told to wait.
    pub is_urgent: bool,
    /// Unix seconds.
    pub now_unix_s: u64,
}

/// Why somebody may not come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or none that opens anything.
    Unknown,
    /// A token of a lesser role.
    TooLow {
        /// Whose it is.
        who: Principal,
        /// The role that is needed.
        needed: Role,
    },
    /// Too often.
    TooOften {
        /// Seconds until it may be tried again.
        wait_s: u64,
    },
    /// The tokens cannot be read.
    Broken(String),
}

/// Tokens and limits.
#[derive(Debug)]
pub struct Door {
    tokens: TokenFile,
    jwt: JwtKeys,
    is_open_to_readers: bool,
    strangers: Limiter<IpAddr>,
    changes: Limiter<String>,
    reads: Limiter<String>,
    guesses: Limiter<IpAddr>,
}

impl Door {
    /// A door with these tokens; readers need none when `is_open_to_readers`.
    pub fn new(tokens: TokenFile, jwt: JwtKeys, is_open_to_readers: bool) -> Self {
        Self {
            tokens,
            jwt,
            is_open_to_readers,
            strangers: Limiter::new(STRANGERS),
            changes: Limiter::new(STRANGERS),
            reads: Limiter::new(READS),
            guesses: Limiter::new(GUESSES),
        }
    }

    /// Lets a request in, or not. `now` is any clock that does not go back.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn admit(&self, visit: &Visit<'_>, now: Nanos) -> Result<Principal, Refusal> {
        let Visit { peer, authorization, role, is_change, is_urgent, .. } = *visit;
        let who = match authorization {
            Some(header) => self.known(header, visit, now)?,
            None => Principal::without_token(self.is_open_to_readers),
        };
        if who.role < role {
            self.strangers.take(peer, now)?;
            let is_known = authorization.is_some();
            return Err(if is_known { Refusal::TooLow { who, needed: role } } else { Refusal::Unknown });
        }
        if is_urgent {
            return Ok(who);
        }
        if who.role == Role::Anyone {
            self.strangers.take(peer, now)?;
        } else if is_change {
            self.changes.take(who.name.clone(), now)?;
        } else {
            self.reads.take(who.name.clone(), now)?;
        }
        Ok(who)
    }

    /// Whether anything that an address calls a secret is looked at.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooOften`].
    pub fn may_guess(&self, peer: IpAddr, now: Nanos) -> Result<(), Refusal> {
        self.guesses.look(&peer, now)
    }

    /// What an address called a secret was none.
    pub fn guessed(&self, peer: IpAddr, now: Nanos) {
        // Whoever may not guess any more has been told so before.
        let _ = self.guesses.take(peer, now);
    }

    fn known(&self, header: &str, visit: &Visit<'_>, now: Nanos) -> Result<Principal, Refusal> {
        // Before anything is computed for whoever guesses. What must not wait is looked at even so: nobody guesses a
        // token of 256 bits, and somebody else's guesses must not keep a kill out.
        if !visit.is_urgent {
            self.may_guess(visit.peer, now)?;
        }
        let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let known = match token {
            // No opaque token has a dot.
            Some((_, token)) if token.contains('.') => {
                self.jwt.judge(token.trim(), visit.now_unix_s).map_err(|e| format!("revoked tokens: {e}"))
            }
            Some((_, token)) => self.tokens.judge(token.trim(), visit.now_unix_s).map_err(|e| e.to_string()),
            None => Ok(None),
        };
        match known {
            Ok(Some(who)) => Ok(who),
            Ok(None) => {
                self.guesses.take(visit.peer, now)?;
                Err(Refusal::Unknown)
            }
            Err(why) => Err(Refusal::Broken(why)),
        }
    }
}

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Times at once.
    burst: u64,
    /// Time after which once more is allowed.
    interval_ns: Nanos,
}

/// A limit by key: the generic cell rate algorithm, one number a key.
#[derive(Debug)]
struct Limiter<K> {
    rate: Rate,
    /// When everything that was let pass is worked off, by key.
    until: Mutex<HashMap<K, Nanos>>,
}

impl<K: Eq + Hash> Limiter<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, until: Mutex::new(HashMap::new()) }
    }

    /// Whether once more would be let pass.
    fn look(&self, key: &K, now: Nanos) -> Result<(), Refusal> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        self.room(until.get(key).copied().unwrap_or(0), now)
    }

    /// Once more.
    fn take(&self, key: K, now: Nanos) -> Result<(), Refusal> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= KEYS_MAX && !until.contains_key(&key) {
            until.retain(|_, until| *until > now);
            if until.len() >= KEYS_MAX {
                return Err(Refusal::TooOften { wait_s: 60 });
            }
        }
        let held = until.entry(key).or_insert(0);
        self.room(*held, now)?;
        *held = (*held).max(now) + self.rate.interval_ns;
        Ok(())
    }

    fn room(&self, until: Nanos, now: Nanos) -> Result<(), Refusal> {
        let Rate { burst, interval_ns } = self.rate;
        let wait = until.saturating_sub(now).saturating_sub((burst - 1) * interval_ns);
        if wait == 0 { Ok(()) } else { Err(Refusal::TooOften { wait_s: wait.div_ceil(SECOND_NS) }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::NewToken;
    use tickpath_shared::paths::DataDir;

    struct House {
        _dir: tempfile::TempDir,
        door: Door,
        tokens: Vec<(Role, String)>,
    }

    fn house(is_open_to_readers: bool) -> House {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let file = TokenFile::new(&data);
        let make = |role: Role| {
            let new = NewToken { name: role.label(), role, expires_unix_s: Some(1_000) };
            (role, format!("Bearer {}", file.create(&new, 1).unwrap()))
        };
        let tokens = [Role::Viewer, Role::Trader, Role::Admin].map(make).to_vec();
        let jwt = JwtKeys::load(&data, &tickpath_shared::config::Control::default()).unwrap();
        House { _dir: dir, door: Door::new(TokenFile::new(&data), jwt, is_open_to_readers), tokens }
    }

    fn visit(authorization: Option<&str>, role: Role) -> Visit<'_> {
        let peer = IpAddr::from([127, 0, 0, 1]);
        Visit { peer, authorization, role, is_change: false, is_urgent: false, now_unix_s: 10 }
    }

    #[test]
    fn each_role_opens_what_those_before_it_open() {
        let house = house(false);
        for (role, token) in &house.tokens {
            for needed in Role::ALL {
                let admitted = house.door.admit(&visit(Some(token), *needed), 0);
                assert_eq!(admitted.is_ok(), role >= needed, "{role} for {needed}");
            }
        }
        assert_eq!(house.door.admit(&visit(None, Role::Viewer), 0), Err(Refusal::Unknown));
        assert_eq!(house.door.admit(&visit(None, Role::Anyone), 0).unwrap().role, Role::Anyone);
    }

    #[test]
    fn readers_of_this_host_need_no_token_where_that_is_configured() {
        let house = house(true);
        assert_eq!(house.door.admit(&visit(None, Role::Viewer), 0).unwrap().name, "local");
        assert_eq!(house.door.admit(&visit(None, Role::Trader), 0), Err(Refusal::Unknown));
    }

    #[test]
    fn expired_and_foreign_tokens_open_nothing() {
        let house = house(true);
        let token = house.tokens[2].1.as_str();
        let late = Visit { now_unix_s: 1_000, ..visit(Some(token), Role::Viewer) };
        assert_eq!(house.door.admit(&late, 0), Err(Refusal::Unknown));
        for header in ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer tickpath_", &token[7..]] {
            let refused = house.door.admit(&visit(Some(header), Role::Viewer), SECOND_NS * 100);
            assert_eq!(refused, Err(Refusal::Unknown), "{header:?}");
        }
    }

    #[test]
    fn whoever_guesses_is_not_listened_to_for_a_while() {
        let house = house(true);
        let guess = || house.door.admit(&visit(Some("Bearer x"), Role::Viewer), 0);
        assert!((0..10).all(|_| guess() == Err(Refusal::Unknown)));
        assert_eq!(guess(), Err(Refusal::TooOften { wait_s: 6 }));
        let honest = house.tokens[0].1.as_str();
        let locked = house.door.admit(&visit(Some(honest), Role::Viewer), 0);
        assert_eq!(locked, Err(Refusal::TooOften { wait_s: 6 }), "not even with the right one");
        let trader = house.tokens[1].1.as_str();
        let kill = Visit { is_change: true, is_urgent: true, ..visit(Some(trader), Role::Trader) };
        assert!(house.door.admit(&kill, 0).is_ok(), "a kill is not kept out by what others guess");
        let elsewhere = Visit { peer: IpAddr::from([10, 0, 0, 1]), ..visit(Some(honest), Role::Viewer) };
        assert!(house.door.admit(&elsewhere, 0).is_ok());
        assert!(house.door.admit(&visit(Some(honest), Role::Viewer), 6 * SECOND_NS).is_ok());
        let attempts = (0..3_600).filter(|s| {
            let guess = house.door.admit(&visit(Some("Bearer y"), Role::Viewer), (100 + s) * SECOND_NS);
            guess == Err(Refusal::Unknown)
        });
        assert!((590..=611).contains(&attempts.count()), "ten a minute");
    }

    #[test]
    fn changes_and_reads_have_limits_and_urgent_ones_have_none() {
        let house = house(false);
        let token = house.tokens[2].1.as_str();
        let change = Visit { is_change: true, ..visit(Some(token), Role::Trader) };
        assert_eq!((0..50).filter(|_| house.door.admit(&change, 0).is_ok()).count(), 20);
        let urgent = Visit { is_urgent: true, ..change };
        assert!((0..500).all(|_| house.door.admit(&urgent, 0).is_ok()));
        let in_a_minute =
            (0..6_000).filter(|i| house.door.admit(&change, i * SECOND_NS / 100).is_ok()).count();
        assert!((99..=101).contains(&in_a_minute), "{in_a_minute}");
        let read = visit(Some(token), Role::Viewer);
        assert_eq!((0..500).filter(|_| house.door.admit(&read, 0).is_ok()).count(), 200);
        assert!(house.door.admit(&visit(Some(&house.tokens[0].1), Role::Viewer), 0).is_ok(), "another token");
    }

    #[test]
    fn strangers_from_everywhere_fill_no_memory() {
        let limiter = Limiter::new(STRANGERS);
        let taken = (0..10_000_u32).filter(|i| limiter.take(*i, 0).is_ok()).count();
        assert_eq!(taken, KEYS_MAX);
        assert!(limiter.take(20_000, SECOND_NS).is_ok(), "what is over is forgotten");
    }
}
