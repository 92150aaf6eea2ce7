//! Bearer tokens: 32 random bytes that are shown once, of which the file keeps only the hash.

use super::{Principal, Role};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tickpath_shared::paths::{DataDir, FileLock, create_private_dir, replace_file};

/// What every token begins with, so that people and scanners recognise one.
const PREFIX: &str = "tickpath_";
const SECRET_BYTES: usize = 32;
const NAME_BYTES_MAX: usize = 32;
/// Tokens of a data directory.
const TOKENS_MAX: usize = 256;

/// Why a token was not made, listed or revoked.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file system refused.
    #[error("token file: {0}")]
    Io(#[from] io::Error),
    /// The file is not what this program writes.
    #[error("token file: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A name that cannot stand in a log line.
    #[error("token name {0:?}: 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, '.', '_' and '-' are needed")]
    Name(String),
    /// A name of the interface's own.
    #[error("token name {0:?} stands for whoever has no token")]
    Reserved(String),
    /// The name is in use.
    #[error("there is a token {0:?} already; revoke it first")]
    Taken(String),
    /// There is none of that name.
    #[error("there is no token {0:?}")]
    Unknown(String),
    /// Too many.
    #[error("{TOKENS_MAX} tokens are the most")]
    Full,
    /// Whoever has it could do nothing with it.
    #[error("a token of role anyone opens nothing")]
    Useless,
    /// Another process changes the file.
    #[error("another process changes the token file")]
    Busy,
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// By what it is called in lists and in the audit log.
    pub name: String,
    /// What it opens.
    pub role: Role,
    /// SHA-256 of the whole token, hexadecimal.
    pub sha256: String,
    /// Unix seconds at which it was made.
    pub created_unix_s: u64,
    /// Unix seconds from which on it opens nothing.
    pub expires_unix_s: Option<u64>,
}

/// What a new token shall be.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it opens.
    pub role: Role,
    /// Unix seconds from which on it opens nothing.
    pub expires_unix_s: Option<u64>,
}

/// The tokens of a data directory; changes of the file are seen at the next look.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    held: Mutex<Option<(Stamp, Vec<Token>)>>,
}

/// What tells one version of the file from another: every change makes a new file.
type Stamp = (u64, i64, i64, u64);

impl TokenFile {
    /// The file of a data directory, which need not exist.
    pub fn new(data: &DataDir) -> Self {
        Self { path: data.root().join("secrets").join("tokens.json"), held: Mutex::new(None) }
    }

    /// Every token, the oldest first.
    ///
    /// # Errors
    ///
    /// [`TokenError::Io`] and [`TokenError::Malformed`].
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let stamp = (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tokens)) = held.as_ref().filter(|(of, _)| *of == stamp) {
            return Ok(tokens.clone());
        }
        let tokens: Vec<Token> = serde_json::from_slice(&fs::read(&self.path)?)?;
        *held = Some((stamp, tokens.clone()));
        Ok(tokens)
    }

    /// Makes a token and returns it: it cannot be shown again.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn create(&self, new: &NewToken<'_>, now_unix_s: u64) -> Result<String, TokenError> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if new.name.is_empty() || new.name.len() > NAME_BYTES_MAX || !new.name.bytes().all(is_plain) {
            return Err(TokenError::Name(new.name.to_owned()));
        }
        if [true, false]
            .map(|is_reader| Principal::without_token(is_reader).name)
            .contains(&new.name.to_owned())
        {
            return Err(TokenError::Reserved(new.name.to_owned()));
        }
        if new.role == Role::Anyone {
            return Err(TokenError::Useless);
        }
        let _lock = self.lock()?;
        let mut tokens = self.list()?;
        if tokens.iter().any(|token| token.name == new.name) {
            return Err(TokenError::Taken(new.name.to_owned()));
        }
        if tokens.len() == TOKENS_MAX {
            return Err(TokenError::Full);
        }
        let mut secret = [0; SECRET_BYTES];
        io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut secret)?;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        tokens.push(Token {
            name: new.name.to_owned(),
            role: new.role,
            sha256: hash(&text),
            created_unix_s: now_unix_s,
            expires_unix_s: new.expires_unix_s,
        });
        self.store(&tokens)?;
        Ok(text)
    }

    /// Forgets a token; it opens nothing from the next request on.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let _lock = self.lock()?;
        let mut tokens = self.list()?;
        let before = tokens.len();
        tokens.retain(|token| token.name != name);
        if tokens.len() == before {
            return Err(TokenError::Unknown(name.to_owned()));
        }
        self.store(&tokens)
    }

    /// Whose token this is, if it opens anything at `now_unix_s`. Takes the same time for any text of a length.
    ///
    /// # Errors
    ///
    /// Those of [`Self::list`].
    pub(crate) fn judge(&self, text: &str, now_unix_s: u64) -> Result<Option<Principal>, TokenError> {
        let presented = hash(text);
        let mut found = None;
        for token in self.list()? {
            let is_it = bool::from(presented.as_bytes().ct_eq(token.sha256.as_bytes()));
            let is_valid = token.expires_unix_s.is_none_or(|end| now_unix_s < end);
            if is_it && is_valid {
                found = Some(Principal { name: token.name, role: token.role });
            }
        }
        Ok(found)
    }

    fn lock(&self) -> Result<FileLock, TokenError> {
        if let Some(dir) = self.path.parent() {
            create_private_dir(dir)?;
        }
        FileLock::try_take(&self.path.with_extension("lock"))?.ok_or(TokenError::Busy)
    }

    fn store(&self, tokens: &[Token]) -> Result<(), TokenError> {
        Ok(replace_file(&self.path, &serde_json::to_vec_pretty(tokens)?)?)
    }
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(name: &str) -> NewToken<'_> {
        NewToken { name, role: Role::Viewer, expires_unix_s: Some(100) }
    }

    fn file() -> (tempfile::TempDir, TokenFile) {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::new(&DataDir::open(dir.path()).unwrap());
        (dir, file)
    }

    #[test]
    fn a_token_opens_until_it_expires_or_is_revoked() {
        let (_dir, file) = file();
        let text = file.create(&viewer("grafana"), 10).unwrap();
        assert!(text.starts_with(PREFIX) && text.len() == PREFIX.len() + 43, "{text}");
        let known = Some(Principal { name: "grafana".into(), role: Role::Viewer });
        assert_eq!(file.judge(&text, 99).unwrap(), known);
        assert_eq!(file.judge(&text, 100).unwrap(), None, "expired");
        assert_eq!(file.judge(&text[..text.len() - 1], 10).unwrap(), None);
        file.revoke("grafana").unwrap();
        assert_eq!(file.judge(&text, 10).unwrap(), None, "revoked");
        assert!(matches!(file.revoke("grafana"), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn the_file_keeps_hashes_and_is_private() {
        let (_dir, file) = file();
        let text = file.create(&viewer("a"), 10).unwrap();
        let stored = fs::read_to_string(&file.path).unwrap();
        assert!(!stored.contains(text.strip_prefix(PREFIX).unwrap()), "{stored}");
        assert_eq!(fs::metadata(&file.path).unwrap().mode() & 0o777, 0o600);
        assert_ne!(file.create(&viewer("b"), 10).unwrap(), text);
        assert_eq!(file.list().unwrap().len(), 2);
    }

    #[test]
    fn changes_of_another_process_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let (ours, theirs) = (TokenFile::new(&data), TokenFile::new(&data));
        assert!(ours.list().unwrap().is_empty());
        let text = theirs.create(&viewer("a"), 10).unwrap();
        assert!(ours.judge(&text, 10).unwrap().is_some());
        theirs.revoke("a").unwrap();
        assert!(ours.judge(&text, 10).unwrap().is_none());
    }

    #[test]
    fn names_are_plain_and_taken_once() {
        let (_dir, file) = file();
        for name in ["", "a b", "ä", "a\n", &"x".repeat(33)] {
            assert!(matches!(file.create(&viewer(name), 1), Err(TokenError::Name(_))), "{name:?}");
        }
        assert!(matches!(file.create(&viewer("local"), 1), Err(TokenError::Reserved(_))));
        file.create(&viewer("x"), 1).unwrap();
        assert!(matches!(file.create(&viewer("x"), 1), Err(TokenError::Taken(_))));
        let nobody = NewToken { role: Role::Anyone, ..viewer("n") };
        assert!(matches!(file.create(&nobody, 1), Err(TokenError::Useless)));
    }
}
