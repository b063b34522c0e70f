//! Whom a path is about.

/// Longest name of a pod or namespace that there can be.
const NAME: usize = 253;

/// The pod that a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Its namespace, where the path has one.
    pub(super) namespace: Option<&'a str>,
    /// Its name.
    pub(super) pod: &'a str,
    /// Its secret, where the path has one.
    pub(super) secret: Option<&'a str>,
}

/// `/webhook/<pod>/v1/status`, `/webhook/<namespace>/<pod>/v1/status`, `/webhook/<namespace>/<pod>/<secret>/v1/status`.
/// jibri also reports to `/v1/session/status` for services that were started by HTTP; nothing follows from those.
pub(super) fn parse(path: &str) -> Option<Target<'_>> {
    let inner = path.strip_prefix("/webhook/")?.strip_suffix("/v1/status")?;
    let mut parts = inner.split('/');
    let target = match [(); 4].map(|()| parts.next()) {
        [Some(pod), None, None, None] => Target { namespace: None, pod, secret: None },
        [Some(namespace), Some(pod), None, None] => Target { namespace: Some(namespace), pod, secret: None },
        [Some(namespace), Some(pod), Some(secret), None] => {
            Target { namespace: Some(namespace), pod, secret: Some(secret) }
        }
        _ => return None,
    };
    let secret = |text: &str| !text.is_empty() && text.len() <= 128 && text.bytes().all(|c| c.is_ascii_alphanumeric());
    let good = target.namespace.is_none_or(is_name) && is_name(target.pod) && target.secret.is_none_or(secret);
    good.then_some(target)
}

/// What Kubernetes lets pods and namespaces be called. So no name can lead a request to the API astray.
fn is_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= NAME && bytes.iter().all(|c| inner(*c)) && edge(bytes.first()) && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_paths_and_no_other() {
        let target = |namespace, pod, secret| Some(Target { namespace, pod, secret });
        assert_eq!(parse("/webhook/jibri-1/v1/status"), target(None, "jibri-1", None));
        assert_eq!(parse("/webhook/meet/jibri-1/v1/status"), target(Some("meet"), "jibri-1", None));
        assert_eq!(parse("/webhook/meet/jibri-1/a0B/v1/status"), target(Some("meet"), "jibri-1", Some("a0B")));
        // A pod may be called v1.
        assert_eq!(parse("/webhook/v1/v1/status"), target(None, "v1", None));
        for path in [
            "/webhook/jibri-1/v1/session/status",
            "/webhook//v1/status",
            "/webhook/v1/status",
            "/webhook/a/b/c/d/v1/status",
            "/webhook/a//c/v1/status",
            "/webhook/a/b/v1/status/",
            "/webhook/../v1/status",
            "/webhook/a%2fb/v1/status",
            "/webhook/A/v1/status",
            "/webhook/-a/v1/status",
            "/webhook/meet/jibri-1/se-cret/v1/status",
            "/webhook/jibri-1/v2/status",
            "/v1/status",
            "",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
        assert_eq!(parse(&format!("/webhook/{}/v1/status", "a".repeat(254))), None);
    }
}
