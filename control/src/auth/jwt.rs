//! JSON Web Tokens (RFC 7515, RFC 7519) by the rules of RFC 8725: one key an algorithm, no key and no algorithm from the
//! token itself, issuer, audience, end and name are demanded, and nothing lives longer than an hour.

use super::{Principal, Role};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey, pkcs8::DecodePublicKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;
use tickpath_shared::{
    config,
    paths::{DataDir, create_private_dir, open_private, read_private},
};

/// Shortest secret, bytes: that of the hash.
const SECRET_BYTES_MIN: usize = 32;
const SECRET_BYTES_MAX: usize = 1024;
/// Longest token, bytes.
const TOKEN_BYTES_MAX: usize = 4096;
/// Longest life, seconds.
pub const LIFE_S_MAX: u64 = 3_600;
/// How far two clocks may be apart, seconds.
const SKEW_S: u64 = 30;
/// Longest name and longest `jti`.
const NAME_BYTES_MAX: usize = 32;
const ID_BYTES_MAX: usize = 64;

/// Why tokens of this kind cannot be taken at all, or one not be made.
#[derive(Debug, Error)]
pub enum JwtError {
    /// A key cannot be read.
    #[error("{key}: {path}: {source}")]
    Read {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too short to be a secret, or longer than what is read.
    #[error(
        "control.jwt_secret_file: {0} holds {1} characters, {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are needed"
    )]
    Length(PathBuf, usize),
    /// Not a public key.
    #[error("control.jwt_public_key_file: {0} is no Ed25519 public key in PEM: {1}")]
    PublicKey(PathBuf, String),
    /// There is nothing to sign with.
    #[error("control.jwt_secret_file is not set: there is nothing to sign with")]
    NoSecret,
    /// The list of revoked tokens cannot be used.
    #[error("revoked tokens: {0}")]
    Revoked(#[from] io::Error),
    /// Not a name that can stand in a log line.
    #[error("{0:?}: 1 to {1} of a-z, A-Z, 0-9, '.', '_' and '-' are needed")]
    Name(String, usize),
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    /// Label of a role.
    role: String,
    jti: String,
    iat: u64,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewJwt<'a> {
    /// Whose it is.
    pub name: &'a str,
    /// What it opens.
    pub role: Role,
    /// Seconds that it lives, at most [`LIFE_S_MAX`].
    pub life_s: u64,
    /// Its id, by which it can be revoked.
    pub id: &'a str,
}

/// Keys, and for whom tokens must have been made.
pub struct JwtKeys {
    secret: Option<Vec<u8>>,
    public: Option<VerifyingKey>,
    issuer: String,
    audience: String,
    revoked: PathBuf,
}

impl std::fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtKeys").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl JwtKeys {
    /// The keys that are configured; without one no token of this kind is taken.
    ///
    /// # Errors
    ///
    /// [`JwtError`].
    pub fn load(data: &DataDir, config: &config::Control) -> Result<Self, JwtError> {
        let file = |path: &Path| (!path.as_os_str().is_empty()).then(|| data.root().join(path));
        Ok(Self {
            secret: file(&config.jwt_secret_file).map(|path| read_secret(&path)).transpose()?,
            public: file(&config.jwt_public_key_file).map(|path| read_public(&path)).transpose()?,
            issuer: config.jwt_issuer.clone(),
            audience: config.jwt_audience.clone(),
            revoked: revoked_file(data),
        })
    }

    /// No keys: no token of this kind is taken.
    pub(crate) fn none(data: &DataDir) -> Self {
        let (issuer, audience) = (String::new(), String::new());
        Self { secret: None, public: None, issuer, audience, revoked: revoked_file(data) }
    }

    /// Whose token it is; `None` for one that opens nothing.
    ///
    /// # Errors
    ///
    /// The list of revoked tokens cannot be read.
    pub(super) fn judge(&self, token: &str, now_unix_s: u64) -> io::Result<Option<Principal>> {
        let Some(claims) = self.verified(token).filter(|claims| self.is_for_us(claims, now_unix_s)) else {
            return Ok(None);
        };
        let opening = |role: &&Role| **role > Role::Anyone && role.label() == claims.role;
        let Some(role) = Role::ALL.iter().find(opening).copied() else { return Ok(None) };
        if self.is_revoked(&claims.jti)? {
            return Ok(None);
        }
        // No opaque token has such a name; with its id, so that one can be revoked that did something.
        Ok(Some(Principal { name: format!("jwt:{}#{}", claims.sub, claims.jti), role }))
    }

    fn verified(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, body) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let head: Head = serde_json::from_slice(&decode(head)?).ok()?;
        let is_jwt = head.typ.is_none_or(|typ| typ.eq_ignore_ascii_case("jwt"));
        if !is_jwt || head.crit.is_some() {
            return None;
        }
        let signature = decode(signature)?;
        let is_signed = match head.alg.as_str() {
            "HS256" => is_hs256(self.secret.as_ref()?, signed.as_bytes(), &signature),
            "EdDSA" => is_ed25519(self.public.as_ref()?, signed.as_bytes(), &signature),
            _ => false,
        };
        if is_signed { serde_json::from_slice(&decode(body)?).ok() } else { None }
    }

    fn is_for_us(&self, claims: &Claims, now_unix_s: u64) -> bool {
        let is_audience = match &claims.aud {
            Audience::One(name) => *name == self.audience,
            Audience::Several(names) => names.contains(&self.audience),
        };
        let life_s = claims.exp.checked_sub(claims.iat);
        is_audience
            && claims.iss == self.issuer
            && is_plain(&claims.sub, NAME_BYTES_MAX)
            && is_plain(&claims.jti, ID_BYTES_MAX)
            && life_s.is_some_and(|life_s| (1..=LIFE_S_MAX).contains(&life_s))
            && now_unix_s < claims.exp.saturating_add(SKEW_S)
            && now_unix_s.saturating_add(SKEW_S) >= claims.iat.max(claims.nbf.unwrap_or(0))
    }

    fn is_revoked(&self, id: &str) -> io::Result<bool> {
        match fs::read_to_string(&self.revoked) {
            Ok(text) => Ok(text.lines().any(|line| line == id)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Makes a token, signed with HS256.
    ///
    /// # Errors
    ///
    /// [`JwtError::NoSecret`] and [`JwtError::Name`].
    pub fn sign(&self, new: &NewJwt<'_>, now_unix_s: u64) -> Result<String, JwtError> {
        let secret = self.secret.as_ref().ok_or(JwtError::NoSecret)?;
        for (text, most) in [(new.name, NAME_BYTES_MAX), (new.id, ID_BYTES_MAX)] {
            if !is_plain(text, most) {
                return Err(JwtError::Name(text.to_owned(), most));
            }
        }
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: Audience::One(self.audience.clone()),
            sub: new.name.to_owned(),
            role: new.role.label().to_owned(),
            jti: new.id.to_owned(),
            iat: now_unix_s,
            exp: now_unix_s + new.life_s.min(LIFE_S_MAX),
            nbf: None,
        };
        let body = serde_json::to_vec(&claims).map_err(io::Error::from)?;
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", part(br#"{"alg":"HS256","typ":"JWT"}"#), part(&body));
        let signature = hs256(secret, signed.as_bytes()).finalize().into_bytes();
        Ok(format!("{signed}.{}", part(&signature)))
    }
}

/// Revokes the token with this `jti`; it opens nothing from the next request on.
///
/// # Errors
///
/// [`JwtError`].
pub fn revoke_jwt(data: &DataDir, id: &str) -> Result<(), JwtError> {
    if !is_plain(id, ID_BYTES_MAX) {
        return Err(JwtError::Name(id.to_owned(), ID_BYTES_MAX));
    }
    let path = revoked_file(data);
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    let mut file = open_private(&path, OpenOptions::new().append(true).create(true))?;
    file.write_all(format!("{id}\n").as_bytes())?;
    Ok(file.sync_all()?)
}

fn revoked_file(data: &DataDir) -> PathBuf {
    data.root().join("secrets").join("revoked-jti")
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(is_plain)
}

fn read_secret(path: &Path) -> Result<Vec<u8>, JwtError> {
    let read = |source| JwtError::Read { key: "control.jwt_secret_file", path: path.to_owned(), source };
    let secret = read_private(path).map_err(read)?.trim().as_bytes().to_vec();
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
        return Err(JwtError::Length(path.to_owned(), secret.len()));
    }
    Ok(secret)
}

fn read_public(path: &Path) -> Result<VerifyingKey, JwtError> {
    let read = |source| JwtError::Read { key: "control.jwt_public_key_file", path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(read)?;
    VerifyingKey::from_public_key_pem(&text).map_err(|e| JwtError::PublicKey(path.to_owned(), e.to_string()))
}

fn hs256(secret: &[u8], signed: &[u8]) -> Hmac<Sha256> {
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    };
    mac.update(signed);
    mac
}

fn is_hs256(secret: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    hs256(secret, signed).verify_slice(signature).is_ok()
}

fn is_ed25519(public: &VerifyingKey, signed: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature).is_ok_and(|signature| public.verify_strict(signed, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;
    const SECRET: &[u8] = b"a secret of at least 32 characters";

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    /// RFC 7515, appendix A.1.
    #[test]
    fn the_published_vector_of_hs256() {
        let key =
            decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
                      Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert!(is_hs256(&key, signed.as_bytes(), &signature));
        assert!(!is_hs256(&key, signed.as_bytes(), &signature[..31]), "a part of it is none");
        assert!(!is_hs256(&key[1..], signed.as_bytes(), &signature));
    }

    /// RFC 8037, appendix A.4.
    #[test]
    fn the_published_vector_of_ed25519() {
        let public = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let public = VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap();
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let text = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let mut signature = decode(text);
        assert!(is_ed25519(&public, signed.as_bytes(), &signature));
        signature[3] ^= 1;
        assert!(!is_ed25519(&public, signed.as_bytes(), &signature));
    }

    struct Keys {
        dir: tempfile::TempDir,
        keys: JwtKeys,
        signing: SigningKey,
    }

    fn keys() -> Keys {
        let dir = tempfile::tempdir().unwrap();
        let signing = SigningKey::from_bytes(&[7; 32]);
        let keys = JwtKeys {
            secret: Some(SECRET.to_vec()),
            public: Some(signing.verifying_key()),
            issuer: "desk".into(),
            audience: "tickpath".into(),
            revoked: dir.path().join("secrets/revoked-jti"),
        };
        Keys { dir, keys, signing }
    }

    fn claims() -> serde_json::Value {
        json!({"iss": "desk", "aud": "tickpath", "sub": "anna", "role": "trader", "jti": "1", "iat": NOW, "exp": NOW + 600})
    }

    fn token(head: &str, body: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", part(head.as_bytes()), part(body.as_bytes()));
        let signature = sign(signed.as_bytes());
        format!("{signed}.{}", part(&signature))
    }

    fn with_secret(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
        move |signed| hs256(secret, signed).finalize().into_bytes().to_vec()
    }

    #[test]
    fn both_algorithms_open_with_their_own_key_only() {
        let k = keys();
        let body = claims().to_string();
        let judged = |token: &str| k.keys.judge(token, NOW).unwrap().map(|who| (who.name, who.role));
        let anna = Some(("jwt:anna#1".to_owned(), Role::Trader));
        let by_key = |signed: &[u8]| k.signing.sign(signed).to_vec();
        assert_eq!(judged(&token(r#"{"alg":"HS256","typ":"JWT"}"#, &body, with_secret(SECRET))), anna);
        assert_eq!(judged(&token(r#"{"alg":"EdDSA"}"#, &body, by_key)), anna);
        // The public key taken for a secret, each algorithm with the other's key, and none at all.
        let public = k.signing.verifying_key().to_bytes();
        for (head, sign) in [
            (r#"{"alg":"HS256"}"#, Box::new(with_secret(&public)) as Box<dyn Fn(&[u8]) -> Vec<u8>>),
            (r#"{"alg":"HS256"}"#, Box::new(by_key)),
            (r#"{"alg":"EdDSA"}"#, Box::new(with_secret(SECRET))),
            (r#"{"alg":"HS256"}"#, Box::new(with_secret(b"another secret of 32 characters.."))),
            (r#"{"alg":"none"}"#, Box::new(|_| Vec::new())),
            (r#"{"alg":"None"}"#, Box::new(|_| Vec::new())),
            (r#"{"alg":"HS512"}"#, Box::new(with_secret(SECRET))),
            (r#"{"alg":"hs256"}"#, Box::new(with_secret(SECRET))),
            (r#"{"alg":"HS256","typ":"at+jwt"}"#, Box::new(with_secret(SECRET))),
            (r#"{"alg":"HS256","crit":["b64"]}"#, Box::new(with_secret(SECRET))),
            (r#"{"alg":"none","alg":"HS256"}"#, Box::new(with_secret(SECRET))),
            (r#"{"typ":"JWT"}"#, Box::new(with_secret(SECRET))),
        ] {
            assert_eq!(judged(&token(head, &body, sign)), None, "{head}");
        }
        for text in ["", ".", "..", "...", "a.b.c", "\u{e9}.\u{e9}.\u{e9}", &"a.".repeat(3_000)] {
            assert_eq!(judged(text), None);
        }
        // Without keys nothing opens.
        let none = JwtKeys { secret: None, public: None, ..keys().keys };
        let token = token(r#"{"alg":"HS256"}"#, &body, with_secret(b""));
        assert_eq!(none.judge(&token, NOW).unwrap(), None);
    }

    #[test]
    fn every_claim_is_demanded_and_looked_at() {
        let k = keys();
        let judged = |body: &serde_json::Value, now| {
            let token = token(r#"{"alg":"HS256"}"#, &body.to_string(), with_secret(SECRET));
            k.keys.judge(&token, now).unwrap().is_some()
        };
        assert!(judged(&claims(), NOW) && judged(&claims(), NOW - 30) && judged(&claims(), NOW + 629));
        assert!(!judged(&claims(), NOW - 31), "of the future");
        assert!(!judged(&claims(), NOW + 630), "over");
        for name in ["iss", "aud", "sub", "role", "jti", "iat", "exp"] {
            let mut without = claims();
            without.as_object_mut().unwrap().remove(name);
            assert!(!judged(&without, NOW), "{name}");
        }
        for (name, value) in [
            ("iss", json!("another")),
            ("aud", json!("another")),
            ("aud", json!(["a", "b"])),
            ("sub", json!("")),
            ("sub", json!("a b")),
            ("sub", json!("a".repeat(33))),
            ("role", json!("anyone")),
            ("role", json!("root")),
            ("jti", json!("")),
            ("exp", json!(NOW + 3_601)),
            ("exp", json!(NOW)),
            ("exp", json!(u64::MAX)),
            ("iat", json!(-1)),
            ("nbf", json!(NOW + 31)),
        ] {
            let mut wrong = claims();
            wrong[name] = value.clone();
            assert!(!judged(&wrong, NOW), "{name} {value}");
        }
        for (name, value) in [("aud", json!(["another", "tickpath"])), ("nbf", json!(NOW + 30))] {
            let mut sound = claims();
            sound[name] = value.clone();
            assert!(judged(&sound, NOW), "{name} {value}");
        }
        let twice = claims().to_string().replace(r#""role":"trader""#, r#""role":"viewer","role":"admin""#);
        let token = token(r#"{"alg":"HS256"}"#, &twice, with_secret(SECRET));
        assert_eq!(k.keys.judge(&token, NOW).unwrap(), None, "a claim that stands there twice");
    }

    #[test]
    fn what_is_signed_here_opens_until_it_is_revoked() {
        let k = keys();
        let new = NewJwt { name: "anna", role: Role::Admin, life_s: 9_999, id: "ab12" };
        let token = k.keys.sign(&new, NOW).unwrap();
        let who = k.keys.judge(&token, NOW + LIFE_S_MAX).unwrap().unwrap();
        assert_eq!((who.name.as_str(), who.role), ("jwt:anna#ab12", Role::Admin));
        let data = DataDir::open(k.dir.path()).unwrap();
        revoke_jwt(&data, "ab1").unwrap();
        assert!(k.keys.judge(&token, NOW).unwrap().is_some(), "another one");
        revoke_jwt(&data, "ab12").unwrap();
        assert_eq!(k.keys.judge(&token, NOW).unwrap(), None);
        assert!(revoke_jwt(&data, "a\nb").is_err());
        assert!(k.keys.sign(&NewJwt { name: "a b", ..new }, NOW).is_err());
    }

    #[test]
    fn keys_that_are_none_are_refused_with_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let write = |name: &str, text: &str| {
            let mut options = OpenOptions::new();
            open_private(&dir.path().join(name), options.write(true).create(true))
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
        };
        let load = |secret: &str, public: &str| {
            let config = config::Control {
                jwt_secret_file: secret.into(),
                jwt_public_key_file: public.into(),
                ..config::Control::default()
            };
            JwtKeys::load(&data, &config).map_err(|e| e.to_string())
        };
        assert!(load("", "").is_ok_and(|keys| keys.secret.is_none() && keys.public.is_none()));
        assert!(load("gone", "").unwrap_err().contains("control.jwt_secret_file"));
        write("short", "too short");
        assert!(load("short", "").unwrap_err().contains("holds 9 characters"));
        write("pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
        assert!(load("", "pem").unwrap_err().contains("no Ed25519 public key"));
        write(
            "ed",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
        );
        assert!(load("", "ed").is_ok_and(|keys| keys.public.is_some()));
    }
}
