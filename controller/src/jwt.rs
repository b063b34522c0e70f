//! Signed tokens: RS256 and nothing else.
//!
//! `ring` checks the signature; it is in the tree anyway, under TLS. The crate `jsonwebtoken` would bring a second
//! cryptography library (aws-lc, or the `rsa` crate with its open advisory) to do what is a few lines here. There is no
//! choice of algorithm to be confused by: a token that does not say RS256 is refused before anything of it is used.

mod pem;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;

pub use self::pem::PublicKey;

/// Longest token that is looked at, bytes.
pub const LIMIT: usize = 8 * 1024;
/// How far the clock of the one who signed may be off.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not a token at all.
    #[error("it is not a signed token")]
    Malformed,
    /// Another algorithm than RS256, `none` above all.
    #[error("it is not signed with RS256")]
    Algorithm,
    /// It does not say by which key.
    #[error("it does not name its key")]
    NoKeyId,
    /// None of the keys fits.
    #[error("its signature is not right")]
    Signature,
    /// It is over, or never ends.
    #[error("it has expired")]
    Expired,
    /// It does not count yet.
    #[error("it does not count yet")]
    Early,
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// It is from somebody else.
    #[error("it is from another issuer")]
    Issuer,
    /// A key that is no RSA key in PEM.
    #[error("the key is not an RSA public key in PEM")]
    Key,
}

/// What is asked of a token beside its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// One of these must be its audience; empty: any.
    pub audiences: Vec<String>,
    /// One of these must be its issuer; empty: any.
    pub issuers: Vec<String>,
}

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Claims {
    /// Who made it.
    #[serde(default)]
    pub iss: Option<String>,
    /// Whom it is about.
    #[serde(default)]
    pub sub: Option<String>,
    /// Whom it is for.
    #[serde(default)]
    pub aud: Audience,
    /// Until when it counts, in Unix seconds.
    #[serde(default)]
    pub exp: Option<f64>,
    /// From when on it counts, in Unix seconds.
    #[serde(default)]
    pub nbf: Option<f64>,
}

/// One audience or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audience {
    fn any_of(&self, wanted: &[String]) -> bool {
        match self {
            Self::One(one) => wanted.contains(one),
            Self::Several(all) => all.iter().any(|one| wanted.contains(one)),
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

/// A token whose form is right. Nothing of it may be believed before [`Token::verify`].
#[derive(Clone, Debug)]
pub struct Token<'a> {
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
    kid: Option<String>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When it is malformed or not RS256.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let text = text.trim();
        if text.len() > LIMIT {
            return Err(Error::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Error::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Error::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Error::Malformed)?;
        if header.alg != "RS256" {
            return Err(Error::Algorithm);
        }
        Ok(Self { signed, payload: decode(payload)?, signature: decode(signature)?, kid: header.kid })
    }

    /// The name of its key, as it claims.
    ///
    /// # Errors
    /// When it has none.
    pub fn kid(&self) -> Result<&str, Error> {
        self.kid.as_deref().filter(|kid| !kid.is_empty() && kid.len() <= 512).ok_or(Error::NoKeyId)
    }

    /// What it says, if one of the keys signed it and the rules are met.
    ///
    /// # Errors
    /// When it is not to be believed.
    pub fn verify(&self, keys: &[PublicKey], rules: &Rules, now: Timestamp) -> Result<Claims, Error> {
        let signed_by = |key: &PublicKey| {
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.der());
            key.verify(self.signed.as_bytes(), &self.signature).is_ok()
        };
        if !keys.iter().any(signed_by) {
            return Err(Error::Signature);
        }
        let claims: Claims = serde_json::from_slice(&self.payload).map_err(|_| Error::Malformed)?;
        #[allow(clippy::cast_precision_loss, reason = "seconds of this millennium fit")]
        let (now, leeway) = (now.as_second() as f64, LEEWAY.as_secs_f64());
        match claims.exp {
            Some(exp) if now < exp + leeway => {}
            _ => return Err(Error::Expired),
        }
        if claims.nbf.is_some_and(|nbf| now + leeway < nbf) {
            return Err(Error::Early);
        }
        if !rules.audiences.is_empty() && !claims.aud.any_of(&rules.audiences) {
            return Err(Error::Audience);
        }
        if !rules.issuers.is_empty() && !claims.iss.as_ref().is_some_and(|iss| rules.issuers.contains(iss)) {
            return Err(Error::Issuer);
        }
        Ok(claims)
    }
}

/// The file that a key server has for a key: the SHA-256 of its name, in hexadecimal.
#[must_use]
pub fn file_of(kid: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, kid.as_bytes());
    digest.as_ref().iter().fold(String::with_capacity(68), |text, byte| format!("{text}{byte:02x}")) + ".pem"
}

#[cfg(test)]
mod tests;
