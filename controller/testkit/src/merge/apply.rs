//! Server-side apply, and what other writes do to `managedFields`.

use super::fields::Set;
use super::managed::{Entry, Id, Managed, list, strip, tracked};
use super::typed;
use super::{ApplyConflict, ApplyError, FieldManagerConflict, PatchError, Writer};
use crate::schema::Schema;
use serde_json::{Map, Value, json};

/// Owns all there was before the first apply to an object nobody tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Server-side apply of `applied` on `live`: the document to store, `managedFields` included.
///
/// Defaults are not filled in here: the caller runs [`Schema::default`] on the result, and then [`super::is_noop`]
/// tells whether anything is to be stored. An apply that changes nothing gives back a value equal to `live`.
///
/// # Errors
/// [`ApplyError::Conflict`] when another manager holds a field with another value and `force` is off;
/// [`ApplyError::Refused`] when the document does not fit the schema.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    writer: &Writer,
    force: bool,
    schema: &Schema,
) -> Result<Value, ApplyError> {
    refuse_unfit(applied, schema)?;
    let root = schema.root();
    let subresource = writer.subresource.as_deref();
    let config = tracked(applied, subresource, schema);
    let nothing = Value::Object(Map::new());
    let base = live.map(|live| tracked(live, subresource, schema)).unwrap_or_else(|| nothing.clone());
    let before = live.map(Managed::read).unwrap_or_default();
    let mut managed = before.clone();
    if let (Some(live), true) = (live, before.0.is_empty()) {
        adopt(&mut managed, live, writer, schema);
    }

    let id = Id::new(writer, true);
    let mut own = typed::fields_of(root, &config);
    own.member = false;
    strip(&mut own);
    let last = managed.0.remove(&id);
    let mut others = managed.clone();
    let time = last.as_ref().and_then(|last| last.time.clone());
    managed.0.insert(id.clone(), Entry { fields: own, version: writer.api_version.clone(), time });

    let merged = typed::merge(root, &base, &config);
    let merged = drop_abandoned(&merged, &last.map(|last| last.fields).unwrap_or_default(), &managed, schema);
    let change = typed::compare(root, &base, &merged);
    let conflicts = conflicts(&others, &change.written);
    if let (false, Some(conflicts)) = (force, conflicts) {
        return Err(conflicts.into());
    }
    others.0.clear();
    managed.take(&change, Some(&id));
    if managed.0.get(&id).is_some_and(|entry| entry.fields.is_empty()) {
        managed.0.remove(&id);
    }

    let unchanged = live.is_some() && change.is_empty();
    if unchanged && managed.same_fields(&before) {
        return Ok(live.cloned().unwrap_or_default());
    }
    if let Some(entry) = managed.0.get_mut(&id) {
        entry.time = Some(writer.time.clone());
    }
    // Lists that differ only in order do not differ.
    let merged = if unchanged { base } else { merged };
    let mut out = assemble(live, applied, merged, subresource, schema);
    managed.write(&mut out);
    Ok(out)
}

fn refuse_unfit(applied: &Value, schema: &Schema) -> Result<(), PatchError> {
    if list(applied).is_some_and(|entries| !entries.is_empty()) {
        return Err(PatchError::bad_request("metadata.managedFields must be nil"));
    }
    let errors = typed::errors(schema.root(), applied);
    if errors.is_empty() {
        return Ok(());
    }
    let word = |place: &Value, name: &str| place.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let metadata = applied.get("metadata").unwrap_or(&Value::Null);
    let errors = match errors.as_slice() {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    Err(PatchError {
        code: 500,
        reason: "",
        message: format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): {errors}",
            word(metadata, "namespace"),
            word(metadata, "name"),
            word(applied, "apiVersion"),
            word(applied, "kind"),
        ),
    })
}

/// Gives all of an untracked object to a manager of its own, so that the first apply takes nothing away unseen.
fn adopt(managed: &mut Managed, live: &Value, writer: &Writer, schema: &Schema) {
    let whole = tracked(live, writer.subresource.as_deref(), schema);
    let mut fields = typed::compare(schema.root(), &json!({}), &whole).written;
    strip(&mut fields);
    if !fields.is_empty() {
        let first = Writer { manager: BEFORE_FIRST_APPLY.to_owned(), ..writer.clone() };
        let entry = Entry { fields, version: first.api_version.clone(), time: Some(first.time.clone()) };
        managed.0.insert(Id::new(&first, false), entry);
    }
}

/// Takes out of `merged` what the manager applied last time and nobody (itself included) holds now.
fn drop_abandoned(merged: &Value, last: &Set, managed: &Managed, schema: &Schema) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let root = schema.root();
    let all = managed.0.values().fold(Set::default(), |all, entry| all.union(&entry.fields));
    let held = typed::with_parents(root, &all);
    let abandoned = typed::with_parents(root, last).difference(&held);
    typed::without(root, merged, &abandoned)
}

fn conflicts(others: &Managed, written: &Set) -> Option<ApplyConflict> {
    let mut causes = Vec::new();
    let mut groups = Vec::new();
    for (id, entry) in &others.0 {
        let paths = entry.fields.intersection(written).paths();
        if paths.is_empty() {
            continue;
        }
        let name = id.print();
        groups.push(format!(
            "conflicts with {name}:\n{}",
            paths.iter().map(|p| format!("- {p}")).collect::<Vec<_>>().join("\n")
        ));
        causes.extend(paths.into_iter().map(|field| FieldManagerConflict {
            field,
            message: format!("conflict with {name}"),
            manager: id.manager.clone(),
        }));
    }
    let message = match causes.as_slice() {
        [] => return None,
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        many => format!("Apply failed with {} conflicts: {}", many.len(), groups.join("\n")),
    };
    Some(ApplyConflict { message, causes })
}

/// The whole document: the merged part, and from `live` (on a create: from `applied`) what is not tracked.
fn assemble(live: Option<&Value>, applied: &Value, merged: Value, subresource: Option<&str>, schema: &Schema) -> Value {
    let source = live.unwrap_or(applied);
    let mut out = source.clone();
    let (Some(fields), Value::Object(mut merged)) = (out.as_object_mut(), merged) else { return out };
    let side = |name: &str| match subresource {
        Some("status") => name == "status",
        _ => !(schema.has_status() && name == "status"),
    };
    fields
        .retain(|name, _| ["apiVersion", "kind", "metadata"].contains(&name.as_str()) || live.is_some() && !side(name));
    if subresource != Some("status") {
        // What the server keeps in `metadata` comes from the source, the rest from the merge.
        let tracked_part = tracked(&json!({"metadata": source.get("metadata")}), None, schema);
        let is_tracked =
            |key: &str| tracked_part.pointer("/metadata").is_some_and(|metadata| metadata.get(key).is_some());
        let kept = fields.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut metadata: Map<String, Value> = kept.into_iter().filter(|(key, _)| !is_tracked(key)).collect();
        metadata.extend(merged.remove("metadata").and_then(|merged| merged.as_object().cloned()).unwrap_or_default());
        fields.insert("metadata".to_owned(), Value::Object(metadata));
    }
    fields.extend(merged);
    out
}

/// Keeps `metadata.managedFields` of `new` right for a create (`old` is none), an update or a patch other than apply.
///
/// `new` must already be pruned and defaulted, as the API server records ownership of defaults too. A list of one empty
/// entry in `new` resets; an empty list or none does not.
pub fn record_write(old: Option<&Value>, new: &mut Value, writer: &Writer, schema: &Schema) {
    if !new.is_object() {
        return;
    }
    let given = list(new).cloned().unwrap_or_default();
    let reset =
        matches!(given.as_slice(), [only] if *only == json!({}) || *only == json!({"operation": "", "apiVersion": ""}));
    let mut managed = if reset { Managed::default() } else { Managed::read(new) };
    if managed.0.is_empty() && !reset {
        managed = old.map(Managed::read).unwrap_or_default();
    }
    if old.is_some() && managed.0.is_empty() {
        // Nobody tracks this object; the next apply starts over.
        managed.write(new);
        return;
    }
    let subresource = writer.subresource.as_deref();
    let base = old.map_or_else(|| blank(schema), |old| tracked(old, subresource, schema));
    let mut change = typed::compare(schema.root(), &base, &tracked(new, subresource, schema));
    change.written.member = false;
    strip(&mut change.written);
    let before = managed.clone();
    managed.take(&change, None);
    if !change.written.is_empty() {
        let id = Id::new(writer, false);
        let earlier = managed.0.remove(&id).map(|entry| entry.fields).unwrap_or_default();
        let fields = earlier.union(&change.written);
        let entry = Entry { fields, version: writer.api_version.clone(), time: Some(writer.time.clone()) };
        managed.0.insert(id, entry);
    }
    // Unread or unchanged entries keep their very words.
    match old.and_then(list).filter(|_| managed == before && old.is_some_and(|old| Managed::read(old) == managed)) {
        Some(words) => new["metadata"]["managedFields"] = Value::Array(words.clone()),
        None => managed.write(new),
    }
}

/// What a new object of Kubernetes' own kinds is compared with: the structs that Go's zero value has.
fn blank(schema: &Schema) -> Value {
    if !schema.is_builtin() {
        return json!({});
    }
    let pod = json!({"containers": []});
    let template = json!({"metadata": {}, "spec": pod});
    match schema.kind() {
        "Pod" => json!({"metadata": {}, "spec": pod, "status": {}}),
        "Deployment" => json!({"metadata": {}, "spec": {"strategy": {}, "template": template}, "status": {}}),
        "StatefulSet" | "DaemonSet" => {
            json!({"metadata": {}, "spec": {"updateStrategy": {}, "template": template}, "status": {}})
        }
        "ReplicaSet" => json!({"metadata": {}, "spec": {"template": template}, "status": {}}),
        "Service" | "Ingress" => json!({"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}),
        _ => json!({"metadata": {}, "spec": {}, "status": {}}),
    }
}
