//! What one field manager owns of an object, read back from `managedFields`. Pure.

use serde_json::{Map, Value};

use crate::api::{GroupSpec, JitsiShard};

/// What `manager` applied to `spec.groups`.
pub(super) fn groups(shard: &JitsiShard, manager: &str) -> Vec<GroupSpec> {
    let entries = shard.metadata.managed_fields.as_deref().unwrap_or_default();
    let entry = entries.iter().find(|entry| {
        entry.manager.as_deref() == Some(manager)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.is_none()
    });
    let Some(fields) = entry.and_then(|entry| entry.fields_v1.as_ref()) else { return Vec::new() };
    let Ok(live) = serde_json::to_value(shard) else { return Vec::new() };
    let Some(own) = part(&fields.0, &live) else { return Vec::new() };
    let groups = own.pointer("/spec/groups").and_then(Value::as_array).cloned().unwrap_or_default();
    groups.into_iter().filter_map(read).collect()
}

/// A word of which somebody took half is no word of ours any more.
fn read(mut group: Value) -> Option<GroupSpec> {
    if let Ok(whole) = serde_json::from_value(group.clone()) {
        return Some(whole);
    }
    group.as_object_mut()?.remove("desired");
    serde_json::from_value(group).ok()
}

/// The part of `live` that `fields` (in the form of `fieldsV1`) names.
fn part(fields: &Value, live: &Value) -> Option<Value> {
    let fields = fields.as_object()?;
    let names: Vec<_> = fields.iter().filter(|(name, _)| *name != ".").collect();
    // A leaf: all of it.
    if names.is_empty() {
        return Some(live.clone());
    }
    match live {
        Value::Object(map) => {
            let owned = names.into_iter().filter_map(|(name, below)| {
                let name = name.strip_prefix("f:")?;
                Some((name.to_owned(), part(below, map.get(name)?)?))
            });
            Some(Value::Object(owned.collect()))
        }
        Value::Array(list) => {
            let owned = names.into_iter().filter_map(|(name, below)| {
                if let Some(keys) = name.strip_prefix("k:") {
                    let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
                    let item = list.iter().find(|item| keys.iter().all(|(key, value)| item.get(key) == Some(value)))?;
                    let mut item = part(below, item)?;
                    // The keys belong to it whoever owns them.
                    item.as_object_mut()?.extend(keys);
                    return Some(item);
                }
                let value: Value = serde_json::from_str(name.strip_prefix("v:")?).ok()?;
                list.contains(&value).then_some(value)
            });
            Some(Value::Array(owned.collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_owned_comes_back() {
        let shard: JitsiShard = serde_json::from_value(json!({
            "apiVersion": "apps.jit.si/v1alpha1", "kind": "JitsiShard",
            "metadata": {"name": "x", "managedFields": [
                {"manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1":
                    {"f:spec": {"f:domain": {}, "f:groups": {"k:{\"kind\":\"jvb\"}": {".": {}, "f:kind": {}, "f:maxDesired": {}}}}}},
                {"manager": "roompin-rest", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1":
                    {"f:spec": {"f:groups": {
                        "k:{\"kind\":\"jvb\"}": {".": {}, "f:kind": {}, "f:minDesired": {}, "f:desired": {"f:count": {}, "f:saidAt": {}},
                            "f:scaling": {"f:scaleUpQuantity": {}, "f:scheduledScaling": {"f:enabled": {}, "f:periods": {}}},
                            "f:tags": {"f:a": {}}, "f:kept": {}},
                        "k:{\"kind\":\"jigasi\"}": {".": {}, "f:kind": {}},
                    }}}},
                {"manager": "roompin-rest", "operation": "Apply", "subresource": "status", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:status": {}}},
            ]},
            "spec": {"domain": "x.example.org", "groups": [
                {"kind": "jvb", "minDesired": 1, "maxDesired": 9, "desired": {"count": 3, "saidAt": "t"},
                    "scaling": {"scaleUpQuantity": 2, "scaleDownQuantity": 3, "scheduledScaling": {"enabled": true, "periods": [
                        {"name": "day", "dayOfWeek": [1], "startHour": 8, "endHour": 20}]}},
                    "tags": {"a": "1", "b": "2"}, "kept": {"cloud": "x"}},
                {"kind": "jigasi", "minDesired": 2},
            ]},
        }))
        .unwrap();
        let own = groups(&shard, "roompin-rest");
        assert_eq!(own.len(), 2);
        let jvb = own.iter().find(|group| group.kind == crate::api::GroupKind::Jvb).unwrap();
        assert_eq!((jvb.min_desired, jvb.max_desired), (Some(1), None));
        let scaling = jvb.scaling.as_ref().unwrap();
        assert_eq!((scaling.scale_up_quantity, scaling.scale_down_quantity), (Some(2), None));
        assert_eq!(scaling.scheduled_scaling.as_ref().unwrap().periods.len(), 1);
        assert_eq!(jvb.tags.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(jvb.kept, Some(json!({"cloud": "x"})));
        assert_eq!(jvb.desired.as_ref().unwrap().count, 3);
        assert_eq!(groups(&shard, "somebody"), []);

        // Somebody took the number and left the time.
        let mut half = shard.clone();
        for entry in half.metadata.managed_fields.as_mut().unwrap() {
            let fields = &mut entry.fields_v1.as_mut().unwrap().0;
            if let Some(desired) = fields.pointer_mut("/f:spec/f:groups/k:{\"kind\":\"jvb\"}/f:desired") {
                *desired = json!({"f:saidAt": {}});
            }
        }
        let own = groups(&half, "roompin-rest");
        let jvb = own.iter().find(|group| group.kind == crate::api::GroupKind::Jvb).unwrap();
        assert_eq!((jvb.min_desired, &jvb.desired), (Some(1), &None));
    }
}
