//! From requests to the store and back, as HTTP.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::State,
    response::Response,
};
use futures::StreamExt;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::{
    Shared,
    ask::{Ask, Query},
    refusal::Refusal,
    selector::Selector,
    store::{Page, Place},
    watch::{self, Watched},
    write::{Change, Deletion, Part, Written},
};

/// The same bound as that of an API server.
const MAX_BODY: usize = 3 << 20;
/// How long a watch lasts that does not say it.
const WATCH: u64 = 1800;
/// Who may do what is not played: everybody may do everything.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Answers one request.
pub async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    answer(&shared, &parts.method, &parts.uri, &parts.headers, &body).unwrap_or_else(|refusal| refused(&refusal))
}

fn refused(refusal: &Refusal) -> Response {
    reply(StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal.to_value().to_string().into())
}

fn reply(code: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn answer(shared: &Arc<Shared>, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Response, Refusal> {
    match uri.path() {
        "/readyz" | "/livez" | "/healthz" => return Ok(Response::new(Body::from("ok"))),
        "/metrics" => return Ok(Response::new(Body::from(shared.counts.page()))),
        "/version" => {
            return Ok(reply(StatusCode::OK, json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0-stand-in"}).to_string().into()));
        }
        REVIEWS => {
            let mut review = parsed(body)?;
            review["status"] = json!({"allowed": true});
            return Ok(reply(StatusCode::CREATED, review.to_string().into()));
        }
        _ => {}
    }
    let content = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let accept = headers.get(header::ACCEPT).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if accept.contains("as=") || accept.contains("protobuf") {
        return Err(Refusal::not_played(&format!("answers as {accept}")));
    }
    let ask = Ask::of(uri)?;
    shared.counts.count(ask.verb(method, content.contains("apply-patch")), &ask.kind.plural, &ask.part);
    match (method.as_str(), &ask.name) {
        ("GET", None) if ask.query.is_set("watch") => watch_it(shared, ask),
        ("GET", None) => list(shared, &ask),
        ("GET", Some(_)) => Ok(reply(StatusCode::OK, shared.store().get(&place(&ask))?.bytes.clone())),
        ("POST", name) => post(shared, &ask, name.is_some(), body),
        ("PUT" | "PATCH", Some(_)) => {
            let part = part(&ask.part)?;
            let change = change(method, content, &ask.query, body)?;
            let by = manager(&ask.query, headers);
            Ok(written(&shared.write(|store| store.change(&place(&ask), change, &by, part))?))
        }
        ("DELETE", Some(name)) if ask.part.is_empty() => {
            let gone = shared.write(|store| store.delete(&place(&ask), &deletion(body)?))?;
            if !gone.is_gone || ask.kind.is_pod() {
                return Ok(reply(StatusCode::OK, gone.object.bytes.clone()));
            }
            let details = json!({"name": name, "group": ask.kind.group, "kind": ask.kind.plural, "uid": gone.object.meta("uid")});
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
            Ok(reply(StatusCode::OK, status.to_string().into()))
        }
        _ => Err(Refusal::not_played(&format!("{method} {}", uri.path()))),
    }
}

fn place(ask: &Ask) -> Place {
    Place { kind: ask.kind, key: (ask.namespace.clone().unwrap_or_default(), ask.name.clone().unwrap_or_default()) }
}

fn part(name: &str) -> Result<Part, Refusal> {
    match name {
        "" => Ok(Part::Main),
        "status" => Ok(Part::Status),
        other => Err(Refusal::not_played(&format!("writes of {other}"))),
    }
}

fn parsed(body: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the body is no JSON: {error}")))
}

/// Who writes: what the request says, or else the program's name.
fn manager(query: &Query, headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("unknown");
    query.get("fieldManager").unwrap_or_else(|| agent.split('/').next().unwrap_or(agent)).to_string()
}

fn change(method: &Method, content: &str, query: &Query, body: &Bytes) -> Result<Change, Refusal> {
    if method == Method::PUT {
        return Ok(Change::Replace(parsed(body)?));
    }
    match content.split(';').next().unwrap_or_default() {
        "application/merge-patch+json" => Ok(Change::Merge(parsed(body)?)),
        "application/strategic-merge-patch+json" => Ok(Change::Strategic(parsed(body)?)),
        "application/apply-patch+yaml" => {
            if query.get("fieldManager").is_none() {
                return Err(Refusal::bad("fieldManager is required for apply patch"));
            }
            Ok(Change::Apply(parsed(body)?, query.is_set("force")))
        }
        other => Err(Refusal::new(415, "UnsupportedMediaType", format!("the stand-in for an API server does not play {other}"))),
    }
}

fn deletion(body: &Bytes) -> Result<Deletion, Refusal> {
    if body.is_empty() {
        return Ok(Deletion::default());
    }
    let options = parsed(body)?;
    let text = |value: &Value| value.as_str().map(str::to_string);
    Ok(Deletion {
        uid: text(&options["preconditions"]["uid"]),
        resource_version: text(&options["preconditions"]["resourceVersion"]),
        propagation: text(&options["propagationPolicy"]),
        grace_seconds: options["gracePeriodSeconds"].as_i64(),
    })
}

fn written(made: &Written) -> Response {
    reply(if made.is_new { StatusCode::CREATED } else { StatusCode::OK }, made.object.bytes.clone())
}

fn post(shared: &Arc<Shared>, ask: &Ask, is_named: bool, body: &Bytes) -> Result<Response, Refusal> {
    let mut object = parsed(body)?;
    match (ask.kind.plural.as_str(), ask.part.as_str()) {
        ("pods", "binding") => {
            shared.write(|store| store.bind(&place(ask), &object))?;
            let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            return Ok(reply(StatusCode::CREATED, done.to_string().into()));
        }
        ("serviceaccounts", "token") => {
            shared.store().get(&place(ask))?;
            object["status"] = json!({"token": "everybody", "expirationTimestamp": "2100-01-01T00:00:00Z"});
            return Ok(reply(StatusCode::CREATED, object.to_string().into()));
        }
        (_, "") if !is_named => {}
        (_, other) => return Err(Refusal::not_played(&format!("creates of {other}"))),
    }
    let mut place = place(ask);
    place.key.1 = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let by = ask.query.get("fieldManager").unwrap_or("unknown").to_string();
    Ok(written(&shared.write(|store| store.create(&place, object, &by))?))
}

fn list(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    if ask.query.get("resourceVersionMatch") == Some("Exact") {
        return Err(Refusal::not_played("lists of an exact version"));
    }
    let limit = ask.query.number("limit").map(|limit| limit as usize);
    let page = {
        let mut store = shared.store();
        if let Some(token) = ask.query.get("continue").filter(|token| !token.is_empty()) {
            store.next_page(token, limit)?
        } else {
            let items = store.list(ask.kind, ask.namespace.as_deref(), &selector(&ask.query)?);
            store.first_page(items, limit)
        }
    };
    Ok(reply(StatusCode::OK, body_of(ask, &page).into()))
}

fn body_of(ask: &Ask, page: &Page) -> Vec<u8> {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some((token, left)) = &page.next {
        metadata["continue"] = token.as_str().into();
        metadata["remainingItemCount"] = (*left).into();
    }
    let head =
        format!("{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[", ask.kind.kind, ask.kind.api_version());
    let mut body = head.into_bytes();
    for (number, object) in page.items.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&object.bytes);
    }
    body.extend_from_slice(b"]}");
    body
}

fn selector(query: &Query) -> Result<Selector, Refusal> {
    Selector::parse(query.get("labelSelector").unwrap_or_default(), query.get("fieldSelector").unwrap_or_default())
}

fn watch_it(shared: &Arc<Shared>, ask: Ask) -> Result<Response, Refusal> {
    let after = watch::revision(ask.query.get("resourceVersion"))?;
    let seconds = ask.query.number("timeoutSeconds").unwrap_or(WATCH);
    let watched = Watched {
        kind: ask.kind,
        selector: selector(&ask.query)?,
        bookmarks: ask.query.is_set("allowWatchBookmarks"),
        namespace: ask.namespace,
        end: Instant::now() + Duration::from_secs(seconds),
    };
    let lines = watch::lines(shared, watched, after).map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}
