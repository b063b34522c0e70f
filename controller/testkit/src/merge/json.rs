//! JSON merge patch (RFC 7386) and JSON patch (RFC 6902), as Kubernetes' Go libraries do them.

use super::PatchError;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The API server takes no more operations than this in one JSON patch.
const MAX_OPERATIONS: usize = 10_000;

/// `live` with the JSON merge patch `patch`: objects merge, null deletes, everything else replaces.
pub fn merge_patch(live: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else { return patch.clone() };
    let mut out = live.as_object().cloned().unwrap_or_else(Map::new);
    for (name, value) in fields {
        if value.is_null() {
            out.remove(name);
        } else {
            let merged = merge_patch(out.get(name).unwrap_or(&Value::Null), value);
            out.insert(name.clone(), merged);
        }
    }
    Value::Object(out)
}

#[derive(Deserialize)]
struct Operation {
    op: String,
    path: String,
    from: Option<String>,
    // Present-and-null differs from absent only for `add` and `replace`, where both mean null.
    #[serde(default)]
    value: Value,
}

/// `live` with the JSON patch `patch`, all operations or none.
///
/// As in the Go library behind the API server, `test` of a missing path against null holds: kube's finalizer helper
/// adds its first finalizer that way.
///
/// # Errors
/// 400 for what is no JSON patch; 422 for an operation that fails, a failed `test` above all.
pub fn json_patch(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations: Vec<Operation> = serde_json::from_value(patch.clone())
        .map_err(|error| PatchError::bad_request(format!("error decoding patch: {error}")))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError {
            code: 413,
            reason: "RequestEntityTooLarge",
            message: format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            ),
        });
    }
    let mut out = live.clone();
    for operation in &operations {
        run(&mut out, operation)?;
    }
    Ok(out)
}

fn run(document: &mut Value, operation: &Operation) -> Result<(), PatchError> {
    let path = tokens(&operation.path)?;
    match operation.op.as_str() {
        "add" => add(document, &path, operation.value.clone(), operation),
        "remove" => remove(document, &path, operation).map(drop),
        "replace" => match get_mut(document, &path) {
            Some(place) => {
                *place = operation.value.clone();
                Ok(())
            }
            None => Err(failed(operation, "replace operation does not apply: doc is missing key")),
        },
        "move" | "copy" => {
            let from = tokens(operation.from.as_deref().unwrap_or_default())?;
            let value = if operation.op == "move" {
                if path.len() > from.len() && path.starts_with(&from) {
                    return Err(failed(operation, "move operation does not apply: cannot move into itself"));
                }
                remove(document, &from, operation)?
            } else {
                get(document, &from)
                    .cloned()
                    .ok_or_else(|| failed(operation, "copy operation does not apply: doc is missing from path"))?
            };
            add(document, &path, value, operation)
        }
        "test" => {
            let found = get(document, &path).unwrap_or(&Value::Null);
            if *found == operation.value {
                return Ok(());
            }
            Err(PatchError::invalid(format!(
                "the server rejected our request due to an error in our request: testing value {} failed",
                operation.path
            )))
        }
        other => Err(PatchError::bad_request(format!("Unexpected kind: {other}"))),
    }
}

fn failed(operation: &Operation, words: &str) -> PatchError {
    PatchError::invalid(format!(
        "the server rejected our request due to an error in our request: {words}: {}",
        operation.path
    ))
}

fn tokens(pointer: &str) -> Result<Vec<String>, PatchError> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(PatchError::bad_request(format!("invalid JSON pointer {pointer:?}: it must start with a slash")));
    };
    Ok(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

fn get<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, token| match value {
        Value::Object(fields) => fields.get(token),
        Value::Array(items) => items.get(token.parse::<usize>().ok()?),
        _ => None,
    })
}

fn get_mut<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, token| match value {
        Value::Object(fields) => fields.get_mut(token),
        Value::Array(items) => items.get_mut(token.parse::<usize>().ok()?),
        _ => None,
    })
}

fn add(document: &mut Value, path: &[String], value: Value, operation: &Operation) -> Result<(), PatchError> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match get_mut(document, parents) {
        Some(Value::Object(fields)) => {
            fields.insert(last.clone(), value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            let index = if last == "-" { Some(items.len()) } else { last.parse::<usize>().ok() };
            match index.filter(|index| *index <= items.len()) {
                Some(index) => {
                    items.insert(index, value);
                    Ok(())
                }
                None => Err(failed(operation, "add operation does not apply: invalid index")),
            }
        }
        _ => Err(failed(operation, "add operation does not apply: doc is missing path")),
    }
}

fn remove(document: &mut Value, path: &[String], operation: &Operation) -> Result<Value, PatchError> {
    let missing = || failed(operation, "remove operation does not apply: doc is missing path");
    let (last, parents) = path.split_last().ok_or_else(missing)?;
    match get_mut(document, parents) {
        Some(Value::Object(fields)) => fields.remove(last).ok_or_else(missing),
        Some(Value::Array(items)) => match last.parse::<usize>().ok().filter(|index| *index < items.len()) {
            Some(index) => Ok(items.remove(index)),
            None => Err(missing()),
        },
        _ => Err(missing()),
    }
}
