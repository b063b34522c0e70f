use super::*;

fn found(ips: &[&str], ttl: u64) -> Family {
    Ok(Found { records: ips.iter().map(|ip| ip.parse().unwrap()).collect(), ttl: Duration::from_secs(ttl) })
}

fn denied() -> Family {
    Err(Nothing::Denied(DiscoveryError::NoRecords { query: "AAAA x".into() }, None))
}

fn failed() -> Family {
    Err(Nothing::Failed(DiscoveryError::Timeout { query: "AAAA x".into() }))
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|ip| ip.parse().unwrap()).collect()
}

#[test]
fn both_families_count_with_the_shorter_life() {
    let merged = merge_families(found(&["10.0.0.1"], 30), found(&["fd00::1"], 5), &[]);
    assert_eq!(merged.addresses, ips(&["10.0.0.1", "fd00::1"]));
    assert_eq!(merged.ttl, Some(Duration::from_secs(5)));
    assert_eq!(merged.failure, None);
}

#[test]
fn a_failed_family_keeps_its_old_addresses() {
    let before = ips(&["10.0.0.9", "fd00::9"]);
    let merged = merge_families(found(&["10.0.0.1"], 30), failed(), &before);
    assert_eq!(merged.addresses, ips(&["10.0.0.1", "fd00::9"]));
    assert!(merged.failure.is_some());
    let merged = merge_families(failed(), failed(), &before);
    assert_eq!(merged.addresses, before);
    assert_eq!(merged.ttl, None);
}

#[test]
fn a_denied_family_loses_its_addresses() {
    let merged = merge_families(found(&["10.0.0.1"], 30), denied(), &ips(&["fd00::9"]));
    assert_eq!(merged.addresses, ips(&["10.0.0.1"]));
    assert_eq!(merged.failure, None);
}

#[test]
fn servers_that_never_answer_aaaa_are_no_trouble() {
    assert_eq!(merge_families(found(&["10.0.0.1"], 30), failed(), &[]).failure, None);
    assert!(merge_families(denied(), failed(), &[]).failure.is_some(), "but not knowing any address is");
}
