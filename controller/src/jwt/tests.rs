//! What is believed and what is not.
#![allow(clippy::unwrap_used, reason = "a test")]

use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

fn keys() -> Vec<PublicKey> {
    PublicKey::all_of(include_str!("../../tests/data/jwt/signer.pub.pem")).unwrap()
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token signed by the signer's key, whatever it says.
fn token(header: &Value, claims: &Value) -> String {
    let pem = include_str!("../../tests/data/jwt/signer.pem");
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let key = ring::signature::RsaKeyPair::from_pkcs8(&der).unwrap();
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(&ring::signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn good() -> Value {
    json!({"iss": "sidecar", "aud": "autoscaler", "exp": NOW + 60})
}

fn rs256() -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": "a"})
}

fn check(token: &str) -> Result<Claims, Error> {
    let rules =
        Rules { audiences: vec!["autoscaler".to_owned()], issuers: vec!["homer".to_owned(), "sidecar".to_owned()] };
    Token::parse(token)?.verify(&keys(), &rules, Timestamp::from_second(NOW).unwrap())
}

#[test]
fn a_good_one_is_believed() {
    let text = token(&rs256(), &good());
    assert_eq!(Token::parse(&text).unwrap().kid(), Ok("a"));
    assert_eq!(check(&text).unwrap().iss.as_deref(), Some("sidecar"));
    let several = json!({"iss": "homer", "aud": ["x", "autoscaler"], "exp": NOW + 60, "sub": "meet-0-jvb-1"});
    assert_eq!(check(&token(&rs256(), &several)).unwrap().sub.as_deref(), Some("meet-0-jvb-1"));
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    for (claims, error) in [
        (json!({"iss": "sidecar", "aud": "autoscaler", "exp": NOW - 31}), Error::Expired),
        (json!({"iss": "sidecar", "aud": "autoscaler"}), Error::Expired),
        (json!({"iss": "sidecar", "aud": "autoscaler", "exp": NOW + 60, "nbf": NOW + 31}), Error::Early),
        (json!({"iss": "sidecar", "aud": "other", "exp": NOW + 60}), Error::Audience),
        (json!({"iss": "sidecar", "exp": NOW + 60}), Error::Audience),
        (json!({"iss": "other", "aud": "autoscaler", "exp": NOW + 60}), Error::Issuer),
        (json!({"aud": "autoscaler", "exp": NOW + 60}), Error::Issuer),
        (json!("text"), Error::Malformed),
        (json!({"iss": "sidecar", "aud": "autoscaler", "exp": "soon"}), Error::Malformed),
    ] {
        assert_eq!(check(&token(&rs256(), &claims)), Err(error), "{claims}");
    }
    // A clock may be off a little.
    assert!(check(&token(&rs256(), &json!({"iss": "sidecar", "aud": "autoscaler", "exp": NOW - 29}))).is_ok());
}

#[test]
fn only_rs256_counts() {
    let none = format!("{}.{}.", encode(&json!({"alg": "none", "kid": "a"})), encode(&good()));
    assert_eq!(check(&none), Err(Error::Algorithm));
    // The public key taken for a shared secret.
    let text = format!("{}.{}", encode(&json!({"alg": "HS256", "kid": "a"})), encode(&good()));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, include_bytes!("../../tests/data/jwt/signer.pub.pem"));
    let forged = format!("{text}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, text.as_bytes())));
    assert_eq!(check(&forged), Err(Error::Algorithm));
    for alg in ["RS384", "PS256", "ES256", "rs256", ""] {
        assert_eq!(check(&token(&json!({"alg": alg, "kid": "a"}), &good())), Err(Error::Algorithm), "{alg}");
    }
    // What says RS256 and is signed otherwise.
    let text = format!("{}.{}", encode(&rs256()), encode(&good()));
    let forged = format!("{text}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, text.as_bytes())));
    assert_eq!(check(&forged), Err(Error::Signature));
}

#[test]
fn what_was_touched_is_refused() {
    let whole = token(&rs256(), &good());
    let parts: Vec<_> = whole.split('.').collect();
    let other = encode(&json!({"iss": "sidecar", "aud": "autoscaler", "exp": NOW + 6000}));
    assert_eq!(check(&format!("{}.{other}.{}", parts[0], parts[2])), Err(Error::Signature));
    let foreign = PublicKey::all_of(include_str!("../../tests/data/jwt/other.pub.pem")).unwrap();
    let parsed = Token::parse(&whole).unwrap();
    let now = Timestamp::from_second(NOW).unwrap();
    assert_eq!(parsed.verify(&foreign, &Rules::default(), now), Err(Error::Signature));
    assert_eq!(parsed.verify(&[], &Rules::default(), now), Err(Error::Signature));
    let both = [foreign, keys()].concat();
    assert!(parsed.verify(&both, &Rules::default(), now).is_ok(), "both keys of a change count");
    for junk in ["", ".", "..", "a.b.c", "a.b", &"a".repeat(LIMIT + 1), &format!("{whole}.x")] {
        assert!(check(junk).is_err(), "{junk}");
    }
    let nameless = token(&json!({"alg": "RS256"}), &good());
    assert_eq!(Token::parse(&nameless).unwrap().kid(), Err(Error::NoKeyId));
}

#[test]
fn keys_come_in_two_forms() {
    let pkcs1 = PublicKey::all_of(include_str!("../../tests/data/jwt/signer.pkcs1.pem")).unwrap();
    assert_eq!(pkcs1, keys());
    let both = format!(
        "{}{}",
        include_str!("../../tests/data/jwt/signer.pub.pem"),
        include_str!("../../tests/data/jwt/other.pub.pem")
    );
    assert_eq!(PublicKey::all_of(&both).unwrap().len(), 2);
    for bad in [
        "",
        "hello",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        include_str!("../../tests/data/jwt/elliptic.pub.pem"),
        include_str!("../../tests/data/jwt/signer.pem"),
    ] {
        assert_eq!(PublicKey::all_of(bad), Err(Error::Key), "{bad}");
    }
}

#[test]
fn a_key_server_names_its_files_by_a_hash() {
    assert_eq!(file_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.pem");
}
