//! Subresources other than status.

use std::sync::Arc;

use http::{HeaderMap, Response};

use super::{
    core::{Core, WriteOptions},
    failure::Failure,
    query::Query,
    resource::Resource,
    respond::Body,
    store::Key,
};

#[allow(clippy::too_many_arguments)]
pub(crate) fn answer(
    _core: &mut Core,
    _resource: &Arc<Resource>,
    _key: &Key,
    _method: &str,
    _headers: &HeaderMap,
    _body: &[u8],
    _options: &WriteOptions,
    _query: &Query,
) -> Result<Response<Body>, Failure> {
    Err(Failure::method_not_allowed())
}
