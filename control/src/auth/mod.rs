//! Who may do what: roles, tokens, and how often anybody may ask.

mod door;
mod jwt;
mod token;

pub use door::{Door, Refusal, Visit};
pub use jwt::{JwtError, JwtKeys, LIFE_S_MAX, NewJwt, revoke_jwt};
pub(crate) use token::hex;
pub use token::{NewToken, Token, TokenError, TokenFile};

tickpath_shared::labelled_enum! {
    /// What somebody may do. Each role may do what those before it may.
    pub enum Role: u8 {
        Anyone = 0, "anyone", "Whoever reaches the interface: probes and the page itself.";
        Viewer = 1, "viewer", "Read everything.";
        Trader = 2, "trader", "Take risk away: disarm, stop, cancel, flatten, kill; answer orders that wait.";
        Admin = 3, "admin", "Let risk in: arm, place orders, release what is latched, change parameters; read the audit log.";
    }
}

/// Somebody, as far as the interface knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name of the token; `local` for a reader of this host without one.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Principal {
    /// Whoever comes without a token.
    pub(crate) fn without_token(is_reader: bool) -> Self {
        let (name, role) = if is_reader { ("local", Role::Viewer) } else { ("anyone", Role::Anyone) };
        Self { name: name.to_owned(), role }
    }
}
