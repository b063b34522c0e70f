//! Where recorders report, and by what each of them is known.

/// A secret of the controller, and its own address.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    url: String,
    key: [u8; 32],
}

// The key must not end in a log.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What the key of secrets is derived for.
const CONTEXT: &str = "roompin 2026-11-21 webhook secret of a recorder";

impl Webhook {
    /// `url` is how recorders reach the controller: `http://roompin-controller.meet.svc:9090`.
    pub fn new(url: &str, secret: &[u8]) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), key: blake3::derive_key(CONTEXT, secret) }
    }

    /// The secret of one recorder: nobody who does not hold the key can tell it, and nothing has to be kept for it.
    pub fn secret(&self, namespace: &str, pod: &str) -> String {
        blake3::keyed_hash(&self.key, format!("{namespace}/{pod}").as_bytes()).to_hex()[..40].to_owned()
    }

    /// Whether this is that recorder's secret, in a time that does not depend on how much of it is right.
    pub fn is_secret(&self, namespace: &str, pod: &str, given: &str) -> bool {
        // The comparison of hashes is constant in time.
        blake3::hash(given.as_bytes()) == blake3::hash(self.secret(namespace, pod).as_bytes())
    }

    /// Where one recorder reports; it adds `/v1/status`.
    pub fn subscriber(&self, namespace: &str, pod: &str) -> String {
        format!("{}/webhook/{namespace}/{pod}/{}", self.url, self.secret(namespace, pod))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recorder_has_a_secret_of_its_own() {
        let webhook = Webhook::new("http://ctl:9090/", b"secret");
        let secret = webhook.secret("meet", "x-0-jibri-0");
        assert_eq!(secret.len(), 40);
        assert!(webhook.is_secret("meet", "x-0-jibri-0", &secret));
        assert!(!webhook.is_secret("meet", "x-0-jibri-0", &secret[..39]));
        assert!(!webhook.is_secret("meet", "x-0-jibri-0", ""));
        // A name cannot be cut elsewhere into the same text: neither part may hold a slash.
        for (namespace, pod) in [("meet", "x-0-jibri-1"), ("other", "x-0-jibri-0")] {
            assert!(!webhook.is_secret(namespace, pod, &secret), "{namespace}/{pod}");
        }
        assert!(!Webhook::new("http://ctl:9090", b"other").is_secret("meet", "x-0-jibri-0", &secret));
        assert_eq!(
            webhook.subscriber("meet", "x-0-jibri-0"),
            format!("http://ctl:9090/webhook/meet/x-0-jibri-0/{secret}")
        );
        assert!(!format!("{webhook:?}").contains("key"));
    }
}
