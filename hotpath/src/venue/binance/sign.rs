//! Signatures of the Binance family: HMAC-SHA256 (hex) and Ed25519 (base64).

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey, pkcs8::DecodePrivateKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a secret cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// An empty HMAC secret.
    #[error("the secret is empty")]
    Empty,
    /// Not an Ed25519 private key in PKCS#8 PEM.
    #[error("the secret is no Ed25519 private key in PKCS#8 PEM")]
    Pem,
}

/// Signs requests. The key material is zeroed when dropped.
pub enum Secret {
    /// Shared secret.
    Hmac(Zeroizing<Vec<u8>>),
    /// Private key.
    Ed25519(Box<SigningKey>),
}

/// Longest signature text: base64 of 64 bytes.
pub const SIGNATURE_TEXT_MAX: usize = 88;

impl Secret {
    /// A shared secret.
    ///
    /// # Errors
    ///
    /// [`KeyError::Empty`].
    pub fn hmac(secret: &str) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self::Hmac(Zeroizing::new(secret.as_bytes().to_vec())))
    }

    /// A private key in PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// [`KeyError::Pem`].
    pub fn ed25519_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem.trim()).map(|k| Self::Ed25519(Box::new(k))).map_err(|_| KeyError::Pem)
    }

    /// A private key from its 32-byte seed.
    pub fn ed25519_seed(seed: [u8; 32]) -> Self {
        Self::Ed25519(Box::new(SigningKey::from_bytes(&seed)))
    }

    /// Writes the signature of `payload` as text and returns its length. Allocates nothing.
    ///
    /// # Panics
    ///
    /// Never: both texts fit [`SIGNATURE_TEXT_MAX`].
    pub fn sign(&self, payload: &[u8], out: &mut [u8; SIGNATURE_TEXT_MAX]) -> usize {
        match self {
            Self::Hmac(secret) => {
                let digest = hmac_sha256(secret, payload);
                for (pair, byte) in out.chunks_exact_mut(2).zip(digest) {
                    pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
                    pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
                }
                64
            }
            Self::Ed25519(key) => {
                let signature = key.sign(payload).to_bytes();
                BASE64_STANDARD
                    .encode_slice(signature, out)
                    .unwrap_or_else(|_| unreachable!("64 bytes are 88 in base64"))
            }
        }
    }

    /// The signature as a string, for cold requests.
    pub fn sign_to_string(&self, payload: &[u8]) -> String {
        let mut out = [0; SIGNATURE_TEXT_MAX];
        let len = self.sign(payload, &mut out);
        String::from_utf8_lossy(&out[..len]).into_owned()
    }
}

fn hmac_sha256(secret: &[u8], payload: &[u8]) -> [u8; 32] {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.chain_update(payload).finalize().into_bytes().into()
}

/// Checks an HMAC signature text in constant time; hex digits of either case.
pub fn verify_hmac(secret: &[u8], payload: &[u8], signature: &str) -> bool {
    let bytes: Option<Vec<u8>> = (0..signature.len())
        .step_by(2)
        .map(|i| signature.get(i..i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    bytes.is_some_and(|bytes| mac.chain_update(payload).verify_slice(&bytes).is_ok())
}

/// Checks an Ed25519 signature text.
pub fn verify_ed25519(public: &[u8; 32], payload: &[u8], signature: &str) -> bool {
    let Ok(bytes) = BASE64_STANDARD.decode(signature) else { return false };
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_bytes(public), Signature::from_slice(&bytes)) else {
        return false;
    };
    key.verify(payload, &signature).is_ok()
}

/// Percent-encodes what a base64 signature needs in a URL.
pub fn percent_encode(text: &str) -> String {
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

/// Parameters of a request of the WebSocket API as the string to sign: all but the signature, sorted by
/// name, with the textual values of the JSON.
pub fn sorted_query<'a>(parameters: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut pairs: Vec<_> = parameters.filter(|(name, _)| *name != "signature").collect();
    pairs.sort();
    let joined: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    joined.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Published by the venue; reproduced independently with OpenSSL and Python.
    const HMAC_SECRET: &str = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9";
    const WS_SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
    const SEED: &str = "8244616b4606b8400a66fd0efcbea9af1611fd2540e975b3808b20007d9bcf6e";
    const PUBLIC: &str = "19420abfd752a565c15625e9da6eaf0086fc40c14960183214442c14996a800d";

    fn bytes32(hex: &str) -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    #[test]
    fn hmac_matches_the_published_vectors() {
        let cases = [
            (
                HMAC_SECRET,
                "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
                "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
            ),
            (
                HMAC_SECRET,
                "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
                "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
            ),
            (
                WS_SECRET,
                "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
                "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
            ),
            (
                WS_SECRET,
                "timestamp=1578963600000",
                "d84e6641b1e328e7b418fff030caed655c266299c9355e36ce801ed14631eed4",
            ),
        ];
        for (secret, payload, expected) in cases {
            assert_eq!(Secret::hmac(secret).unwrap().sign_to_string(payload.as_bytes()), expected);
            assert!(verify_hmac(secret.as_bytes(), payload.as_bytes(), expected));
            assert!(verify_hmac(secret.as_bytes(), payload.as_bytes(), &expected.to_uppercase()));
            assert!(!verify_hmac(secret.as_bytes(), payload.as_bytes(), &expected.replace('a', "b")));
        }
    }

    #[test]
    fn ed25519_matches_the_published_vectors() {
        let key = "4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO";
        let cases = [
            (
                "A\u{1}EXAMPLE\u{1}SPOT\u{1}1\u{1}20240627-11:17:25.223".to_owned(),
                "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA==",
            ),
            (
                format!("apiKey={key}&timestamp=1649729878532"),
                "cGkloHLHGGNbrduoWDYBlzIPwRHyDVYVfCE0rDkPwKdKedurBgm2JNWRkwloQDBFG6Mcloavo1siYfEtZbV/Ag==",
            ),
            (
                format!("apiKey={key}&recvWindow=5000&timestamp=1649729878532"),
                "61dXDnlk+m1Gbva0mKlRSc70BnAPjz0x/c40jKDUOjbL8RfBCxbm2MYZz0C2jGNByv62j6Hg9iX9lEwDmIxBBg==",
            ),
            (
                format!(
                    "apiKey={key}&newClientOrderId=lle-0001&newOrderRespType=RESULT&positionSide=BOTH&price=52000.00&quantity=0.001&recvWindow=5000&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
                ),
                "Rr/K0iDgDGj+Cw9HfRRWZTFC044+6vhVapO9H8KK8PSNWaJ2O4JD5Z95Vqp/rY5P27lcAF3AlXda3xy17wOxBA==",
            ),
        ];
        let secret = Secret::ed25519_seed(bytes32(SEED));
        for (payload, expected) in cases {
            assert_eq!(secret.sign_to_string(payload.as_bytes()), expected);
            assert!(verify_ed25519(&bytes32(PUBLIC), payload.as_bytes(), expected));
            assert!(!verify_ed25519(&bytes32(PUBLIC), b"other", expected));
        }
        assert_eq!(percent_encode("V/Ag=="), "V%2FAg%3D%3D");
    }
}
