//! One request, from its head to its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tower::BoxError;

use super::{
    Shared,
    core::WriteOptions,
    delete, discovery,
    failure::Failure,
    intercept::{Seen, Verdict},
    list::Scope,
    query::Query,
    resource::Resource,
    respond::{self, Body, View},
    route::{self, Target},
    store::Key,
    sub::{self, Sub},
    watch::{Watch, WatchFaults},
    write::{PatchKind, manager_missing, unsupported},
};

/// The real server's limit for a request body.
const BODY: usize = 3 * 1024 * 1024;

/// Everything known about a request once it is read.
struct Call {
    method: Method,
    headers: HeaderMap,
    path: String,
    target: Option<Target>,
    query: Query,
    body: Bytes,
    seen: Seen,
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Serves a request by `who`.
pub(crate) async fn serve<B>(shared: Arc<Shared>, who: String, request: Request<B>) -> Result<Response<Body>, BoxError>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let why = format!("Request entity too large: limit is {BODY}");
            return Ok(respond::refusal(&Failure::new(413, "RequestEntityTooLarge", why)));
        }
        Err(error) => return Err(error),
    };
    let call = match Call::read(who, parts, body) {
        Ok(call) => call,
        Err(failure) => return Ok(respond::refusal(&failure)),
    };
    shared.record(&call.seen);
    let verdict = match shared.interceptor() {
        Some(interceptor) => interceptor.before(&call.seen).await,
        None => Verdict::Pass,
    };
    let mut faults = WatchFaults::default();
    match verdict {
        Verdict::Pass => {}
        Verdict::Fail(failure) => return Ok(respond::refusal(&failure)),
        Verdict::Answer(response) => return Ok(response.map(respond::full)),
        Verdict::Hang => return std::future::pending().await,
        Verdict::Refuse => return Err(super::reset()),
        Verdict::LoseAnswer => {
            drop(answer(&shared, &call, faults));
            return Err(super::reset());
        }
        Verdict::LoseAnswerAndHang => {
            drop(answer(&shared, &call, faults));
            return std::future::pending().await;
        }
        Verdict::Delay(time) => tokio::time::sleep(time).await,
        Verdict::DelayAnswer(time) => {
            let response = answer(&shared, &call, faults);
            tokio::time::sleep(time).await;
            return Ok(response);
        }
        Verdict::DropWatchAfter(time) => faults.break_after = Some(time),
        Verdict::LagWatch(time) => faults.lag = Some(time),
    }
    Ok(answer(&shared, &call, faults))
}

impl Call {
    fn read(who: String, parts: Parts, body: Bytes) -> Result<Self, Failure> {
        let path = parts.uri.path().to_owned();
        let target = route::target(&path);
        let mut query = Query::parse(parts.uri.query().unwrap_or_default())?;
        if parts.method == Method::DELETE && !body.is_empty() {
            let options: Value = serde_json::from_slice(&body).map_err(|error| {
                Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
            })?;
            query.take_delete_body(&options)?;
        }
        let mut seen = Seen { who, path: path.clone(), dry_run: query.dry_run, ..Seen::default() };
        seen.field_manager.clone_from(&query.field_manager);
        if let Some(target) = &target {
            let verb = route::verb(&parts.method, target, query.watch).ok_or_else(Failure::method_not_allowed)?;
            verb.clone_into(&mut seen.verb);
            seen.group.clone_from(&target.group);
            seen.resource.clone_from(&target.plural);
            seen.subresource.clone_from(&target.subresource);
            seen.namespace.clone_from(&target.namespace);
            seen.name = target.name.clone().or_else(|| named(verb, &query, &body));
        } else {
            seen.verb = parts.method.as_str().to_lowercase();
        }
        Ok(Self { method: parts.method, headers: parts.headers, path, target, query, body, seen })
    }
}

/// The name that a request without one in its path is about.
fn named(verb: &str, query: &Query, body: &Bytes) -> Option<String> {
    if verb == "create" {
        let body: Value = serde_json::from_slice(body).ok()?;
        return body["metadata"]["name"].as_str().map(str::to_owned);
    }
    let fields = super::selector::Fields::parse(&query.field_selector, &|_| true).ok()?;
    fields.name().map(str::to_owned)
}

fn answer(shared: &Arc<Shared>, call: &Call, faults: WatchFaults) -> Response<Body> {
    let result = match &call.target {
        Some(target) => resource_answer(shared, call, target, faults),
        None => Ok(discovery::answer(&shared.core(), &call.path, &call.headers)),
    };
    result.unwrap_or_else(|failure| respond::refusal(&failure))
}

fn resource_answer(
    shared: &Arc<Shared>,
    call: &Call,
    target: &Target,
    faults: WatchFaults,
) -> Result<Response<Body>, Failure> {
    let found = shared.core().registry.find(&target.group, &target.version, &target.plural).cloned();
    let Some(resource) = found else { return Ok(respond::text(404, "404 page not found\n")) };
    if target.namespace.is_some() && !resource.namespaced {
        return Ok(respond::text(404, "404 page not found\n"));
    }
    let view = View::from_headers(&call.headers)?;
    let verb = call.seen.verb.as_str();
    if matches!(verb, "list" | "watch") {
        let mut scope = Scope::new(&resource, target.namespace.as_deref(), &call.query)?;
        if let Some(name) = &target.name {
            scope.fields = super::selector::Fields::named(name);
        }
        if verb == "watch" {
            let watch = Watch::open(shared, &resource, scope, view, &call.query, faults)?;
            return Ok(respond::stream(watch.into_stream()));
        }
        let core = shared.core();
        let listed = core.list(&resource, &scope, &call.query)?;
        return Ok(respond::json(200, &view.list(&resource, &listed.items, &listed.meta, core.clock.now())));
    }
    let response = one(shared, call, target, &resource, view);
    shared.announce();
    response
}

/// Reads or writes one object, or deletes a collection.
fn one(
    shared: &Arc<Shared>,
    call: &Call,
    target: &Target,
    resource: &Arc<Resource>,
    view: View,
) -> Result<Response<Body>, Failure> {
    let mut core = shared.core();
    let now = core.clock.now();
    let namespace = target.namespace.clone().unwrap_or_default();
    if resource.namespaced && namespace.is_empty() {
        return Err(Failure::method_not_allowed());
    }
    json_only(call)?;
    let options = WriteOptions {
        dry_run: call.query.dry_run,
        manager: manager(call),
        validation: call.query.validation,
        subresource: target.subresource.clone(),
    };
    let Some(name) = target.name.clone() else {
        if call.method == Method::DELETE {
            return delete_all(&mut core, call, target, resource, view);
        }
        let written = core.create(resource, &namespace, &call.body, &options)?;
        core.settle();
        let body = view.object(resource, written.object, now, true);
        return Ok(respond::with_warnings(respond::json(201, &body), &written.warnings));
    };
    let key: Key = (namespace, name);
    let status = target.subresource == "status" && resource.status;
    if !(target.subresource.is_empty() || status) {
        let sub = Sub {
            resource,
            key: &key,
            method: call.method.as_str(),
            content_type: header_text(&call.headers, header::CONTENT_TYPE),
            body: &call.body,
            options: &options,
            query: &call.query,
        };
        return sub::answer(&mut core, &sub);
    }
    let written = match call.method.as_str() {
        "GET" | "HEAD" => {
            let object = core.fetch(resource, &key)?;
            return Ok(respond::json(200, &view.object(resource, resource.show(&object), now, true)));
        }
        "PUT" => core.replace(resource, &key, &call.body, &options)?,
        "PATCH" => {
            let kind = PatchKind::from_media_type(header_text(&call.headers, header::CONTENT_TYPE))
                .ok_or_else(|| unsupported(resource.custom))?;
            if kind == PatchKind::Apply && call.query.field_manager.is_none() {
                return Err(manager_missing());
            }
            core.patch(resource, &key, kind, &call.body, call.query.force, &options)?
        }
        "DELETE" if !status => {
            let deleted = core.delete(resource, &key, &call.query.delete, options.dry_run)?;
            core.settle();
            let body = if deleted.gone && !resource.answers_deleted {
                delete::success(resource, &deleted.object)
            } else {
                view.object(resource, resource.show(&deleted.object), now, true)
            };
            return Ok(respond::json(200, &body));
        }
        _ => return Err(Failure::method_not_allowed()),
    };
    core.settle();
    let body = view.object(resource, written.object, now, true);
    let response = respond::json(if written.created { 201 } else { 200 }, &body);
    Ok(respond::with_warnings(response, &written.warnings))
}

/// Documents come as JSON; protobuf (which `kubectl create namespace` sends) is not spoken here.
fn json_only(call: &Call) -> Result<(), Failure> {
    let kind = header_text(&call.headers, header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !matches!(call.method.as_str(), "POST" | "PUT") || matches!(kind, "" | "application/json") {
        return Ok(());
    }
    let message = "the body of the request was in an unknown format - accepted media types include: application/json";
    Err(Failure::new(415, "UnsupportedMediaType", message))
}

fn delete_all(
    core: &mut super::core::Core,
    call: &Call,
    target: &Target,
    resource: &Arc<Resource>,
    view: View,
) -> Result<Response<Body>, Failure> {
    let scope = Scope::new(resource, target.namespace.as_deref(), &call.query)?;
    let listed = core.list(resource, &scope, &Query::default())?;
    let mut items = Vec::new();
    for item in &listed.items {
        let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
        let deleted =
            core.delete(resource, &(text("namespace"), text("name")), &call.query.delete, call.query.dry_run)?;
        items.push(resource.show(&deleted.object));
    }
    core.settle();
    let now = core.clock.now();
    Ok(respond::json(200, &view.list(resource, &items, &listed.meta, now)))
}

/// The field manager: as given, else the user agent's first word, as the real server takes it.
fn manager(call: &Call) -> String {
    if let Some(manager) = &call.query.field_manager {
        return manager.clone();
    }
    let agent = header_text(&call.headers, header::USER_AGENT).split('/').next().unwrap_or_default();
    if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() }
}
