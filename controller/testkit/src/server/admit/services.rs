//! Services: cluster IPs and node ports are allocated, kept over updates, and refused when taken.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::{core::Core, failure::Cause};

const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

impl Core {
    pub(super) fn admit_service(&mut self, old: Option<&Value>, new: &mut Value) -> Vec<Cause> {
        let mut causes = Vec::new();
        let spec = &mut new["spec"];
        if let Some(old) = old {
            keep_allocated(&old["spec"], spec);
        }
        let uid = new["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if new["spec"]["type"] == "ExternalName" {
            if let Some(spec) = new["spec"].as_object_mut() {
                spec.retain(|k, _| !matches!(k.as_str(), "clusterIP" | "clusterIPs" | "ipFamilies" | "ipFamilyPolicy"));
            }
            return causes;
        }
        causes.extend(self.cluster_ip(old, &mut new["spec"], &uid));
        if matches!(new["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
            causes.extend(self.node_ports(&mut new["spec"], &uid));
        } else if let Some(spec) = new["spec"].as_object_mut() {
            for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                port.as_object_mut().and_then(|p| p.remove("nodePort"));
            }
            spec.remove("externalTrafficPolicy");
        }
        if old.is_none() {
            new["status"] = json!({ "loadBalancer": {} });
        }
        causes
    }

    fn others(&self, uid: &str) -> Vec<Value> {
        let services = self.store.collection("/services").objects.values();
        services.filter(|s| s["metadata"]["uid"] != uid).map(|s| s["spec"].clone()).collect()
    }

    fn cluster_ip(&mut self, old: Option<&Value>, spec: &mut Value, uid: &str) -> Vec<Cause> {
        let mut causes = Vec::new();
        let wanted = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
        let had = old.and_then(|o| o["spec"]["clusterIP"].as_str()).unwrap_or_default().to_owned();
        if !had.is_empty() && had != wanted {
            causes.push(Cause::new(
                "spec.clusterIPs[0]",
                "FieldValueInvalid",
                format!("Invalid value: []string{{{wanted:?}}}: may not change once set"),
            ));
            return causes;
        }
        let taken: BTreeSet<String> =
            self.others(uid).iter().filter_map(|s| s["clusterIP"].as_str().map(str::to_owned)).collect();
        let ip = match wanted.as_str() {
            "" => loop {
                let n = self.dice.below(65_000) + 20;
                let ip = format!("10.96.{}.{}", n / 256, n % 256);
                if !taken.contains(&ip) {
                    break ip;
                }
            },
            "None" => wanted,
            _ if taken.contains(&wanted) => {
                causes.push(Cause::new(
                    "spec.clusterIPs",
                    "FieldValueInvalid",
                    format!(
                        "Invalid value: []string{{{wanted:?}}}: failed to allocate IP {wanted}: provided IP is already allocated"
                    ),
                ));
                return causes;
            }
            _ => wanted,
        };
        spec["clusterIP"] = ip.clone().into();
        spec["clusterIPs"] = json!([ip]);
        if spec["ipFamilies"].is_null() {
            spec["ipFamilies"] = json!(["IPv4"]);
        }
        if spec["ipFamilyPolicy"].is_null() {
            spec["ipFamilyPolicy"] = "SingleStack".into();
        }
        if spec["internalTrafficPolicy"].is_null() {
            spec["internalTrafficPolicy"] = "Cluster".into();
        }
        causes
    }

    fn node_ports(&mut self, spec: &mut Value, uid: &str) -> Vec<Cause> {
        let mut causes = Vec::new();
        if spec["externalTrafficPolicy"].is_null() {
            spec["externalTrafficPolicy"] = "Cluster".into();
        }
        let balanced = spec["type"] == "LoadBalancer";
        if balanced && spec["allocateLoadBalancerNodePorts"].is_null() {
            spec["allocateLoadBalancerNodePorts"] = true.into();
        }
        let id = |p: &Value, number: i64| (number, p["protocol"].as_str().unwrap_or("TCP").to_owned());
        let mut taken = BTreeSet::new();
        for other in self.others(uid) {
            let ports = other["ports"].as_array().into_iter().flatten();
            taken.extend(ports.filter_map(|p| Some(id(p, p["nodePort"].as_i64()?))));
            taken.extend(other["healthCheckNodePort"].as_i64().map(|n| (n, "TCP".to_owned())));
        }
        let allocate = !balanced || spec["allocateLoadBalancerNodePorts"] != false;
        let mut ports = spec["ports"].as_array().cloned().unwrap_or_default();
        for (i, port) in ports.iter_mut().enumerate() {
            let at = format!("spec.ports[{i}].nodePort");
            match port["nodePort"].as_i64().filter(|n| *n != 0) {
                Some(n) if !NODE_PORTS.contains(&n) => causes.push(Cause::invalid(
                    &at,
                    &n.into(),
                    "provided port is not in the valid range. The range of valid ports is 30000-32767",
                )),
                Some(n) if !taken.insert(id(port, n)) => {
                    causes.push(Cause::invalid(&at, &n.into(), "provided port is already allocated"));
                }
                Some(_) => {}
                None if allocate => {
                    let free = self.free_port(&taken);
                    taken.insert(id(port, free));
                    port["nodePort"] = free.into();
                }
                None => {}
            }
        }
        spec["ports"] = ports.into();
        if balanced
            && spec["externalTrafficPolicy"] == "Local"
            && spec["healthCheckNodePort"].as_i64().unwrap_or(0) == 0
        {
            spec["healthCheckNodePort"] = self.free_port(&taken).into();
        }
        causes
    }

    /// A node port that no protocol uses.
    fn free_port(&mut self, taken: &BTreeSet<(i64, String)>) -> i64 {
        let used: BTreeSet<i64> = taken.iter().map(|(n, _)| *n).collect();
        let span = NODE_PORTS.end() - NODE_PORTS.start() + 1;
        let from = i64::try_from(self.dice.below(span.unsigned_abs())).unwrap_or_default();
        let candidates = (0..span).map(|step| NODE_PORTS.start() + (from + step) % span);
        candidates.into_iter().find(|n| !used.contains(n)).unwrap_or(*NODE_PORTS.start())
    }
}

/// An update that leaves out what was allocated keeps it.
fn keep_allocated(old: &Value, new: &mut Value) {
    if old["type"] == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if new[field].is_null() && !old[field].is_null() {
            new[field] = old[field].clone();
        }
    }
    if new["healthCheckNodePort"].is_null() && old["type"] == new["type"] && !old["healthCheckNodePort"].is_null() {
        new["healthCheckNodePort"] = old["healthCheckNodePort"].clone();
    }
    let same = |a: &Value, b: &Value| a["port"] == b["port"] && a["protocol"] == b["protocol"];
    for port in new["ports"].as_array_mut().into_iter().flatten() {
        let before = old["ports"].as_array().into_iter().flatten().find(|o| same(o, port));
        if let Some(kept) = before.map(|b| b["nodePort"].clone())
            && port["nodePort"].is_null()
            && !kept.is_null()
        {
            port["nodePort"] = kept;
        }
    }
}
