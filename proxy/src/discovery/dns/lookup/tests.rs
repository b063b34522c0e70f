use super::*;

fn tried(name: &str, search: &[&str], ndots: usize) -> Vec<String> {
    let search: Vec<_> = search.iter().map(|suffix| Name::from_str_relaxed(suffix).unwrap()).collect();
    candidates(name, &search, ndots).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn a_final_dot_or_no_search_list_means_the_name_as_it_is() {
    assert_eq!(tried("web.jitsi.", &["svc.cluster.local"], 5), ["web.jitsi."]);
    assert_eq!(tried("web.jitsi", &[], 5), ["web.jitsi."]);
}

#[test]
fn kubernetes_search_list() {
    let search = ["jitsi.svc.cluster.local", "svc.cluster.local"];
    assert_eq!(
        tried("_http._tcp.web", &search, 5),
        ["_http._tcp.web.jitsi.svc.cluster.local.", "_http._tcp.web.svc.cluster.local.", "_http._tcp.web."]
    );
    assert_eq!(
        tried("_http._tcp.web.jitsi.svc.cluster.local", &search, 5)[0],
        "_http._tcp.web.jitsi.svc.cluster.local."
    );
}

#[test]
fn names_are_canonical_and_the_root_is_empty() {
    assert_eq!(canonical(&Name::from_str_relaxed("Web-0.Test.").unwrap()), "web-0.test");
    assert_eq!(canonical(&Name::root()), "");
}

#[test]
fn a_name_that_is_none_is_an_error() {
    assert!(candidates(&"a".repeat(64), &[], 1).is_err());
}
