//! Paths and methods, as the words of an RBAC rule.

use http::Method;
use percent_encoding::percent_decode_str;

/// The resource that a path names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: String,
}

/// Reads a path. `None` for discovery and everything else that is no resource.
pub(crate) fn target(path: &str) -> Option<Target> {
    let decode = |s: &str| percent_decode_str(s).decode_utf8_lossy().into_owned();
    let mut steps: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
    let (group, version) = match steps.first().map(String::as_str) {
        Some("api") if steps.len() > 2 => (String::new(), steps[1].clone()),
        Some("apis") if steps.len() > 3 => (steps[1].clone(), steps[2].clone()),
        _ => return None,
    };
    steps.drain(..if group.is_empty() { 2 } else { 3 });
    let mut target = Target { group, version, ..Target::default() };
    // `namespaces/x` and its own subresources are the Namespace; anything longer lies inside it.
    let own = matches!(steps.get(2).map(String::as_str), Some("status" | "finalize")) && steps.len() == 3;
    if steps[0] == "namespaces" && steps.len() > 2 && !own {
        target.namespace = Some(steps[1].clone());
        steps.drain(..2);
    }
    if steps.len() > 3 || steps.iter().any(String::is_empty) {
        return None;
    }
    let mut steps = steps.into_iter();
    target.plural = steps.next()?;
    target.name = steps.next();
    target.subresource = steps.next().unwrap_or_default();
    Some(target)
}

/// The verb that RBAC would check.
pub(crate) fn verb(method: &Method, target: &Target, watch: bool) -> Option<&'static str> {
    let named = target.name.is_some();
    Some(match method.as_str() {
        "GET" | "HEAD" if watch => "watch",
        "GET" | "HEAD" if named => "get",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> (String, String, String, String, String) {
        let t = target(path).unwrap();
        (t.group, t.plural, t.namespace.unwrap_or_default(), t.name.unwrap_or_default(), t.subresource)
    }

    fn want(group: &str, plural: &str, ns: &str, name: &str, sub: &str) -> (String, String, String, String, String) {
        (group.into(), plural.into(), ns.into(), name.into(), sub.into())
    }

    #[test]
    fn paths_name_their_target() {
        assert_eq!(read("/api/v1/namespaces/a/pods/b/status"), want("", "pods", "a", "b", "status"));
        assert_eq!(read("/api/v1/pods"), want("", "pods", "", "", ""));
        assert_eq!(read("/api/v1/namespaces"), want("", "namespaces", "", "", ""));
        assert_eq!(read("/api/v1/namespaces/a"), want("", "namespaces", "", "a", ""));
        assert_eq!(read("/api/v1/namespaces/a/finalize"), want("", "namespaces", "", "a", "finalize"));
        assert_eq!(read("/api/v1/nodes/n"), want("", "nodes", "", "n", ""));
        assert_eq!(
            read("/apis/apps/v1/namespaces/a/deployments/d/scale"),
            want("apps", "deployments", "a", "d", "scale")
        );
        for other in ["/", "/api", "/api/v1", "/apis/apps/v1", "/version", "/api/v1/namespaces/a/pods/b/status/x"] {
            assert_eq!(target(other), None, "{other}");
        }
    }
}
