//! Reads of the past: the API server is asked for what was true at an older version.

use axum::body::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};

use super::call::{Call, Verb};

/// The answer to `call` as it was at `version`. A list goes on from there by its watch, as after a list from a server that lags behind.
pub(super) async fn read(upstream: &Client, call: &Call, request: &Request<Bytes>, version: &str) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let exact = format!("resourceVersion={version}&resourceVersionMatch=Exact");
    let path = request.uri().path();
    let uri = if call.verb == Verb::Get {
        let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        format!("{folder}?fieldSelector=metadata.name%3D{}&{exact}", call.name)
    } else {
        let query = request.uri().query().unwrap_or_default();
        let mut parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("resourceVersion")).collect();
        parts.push(&exact);
        format!("{path}?{}", parts.join("&"))
    };
    let mut asked = Request::get(uri);
    if let Some(headers) = asked.headers_mut() {
        headers.clone_from(request.headers());
    }
    let answer = upstream.send(asked.body(Vec::new().into())?).await?;
    let (status, body) = (answer.status(), answer.into_body().collect().await?.to_bytes().to_vec());
    if call.verb != Verb::Get || !status.is_success() {
        return Ok((status, body));
    }
    let mut list: Value = serde_json::from_slice(&body)?;
    let (kind, version) = (list["kind"].as_str().unwrap_or_default().trim_end_matches("List").to_string(), list["apiVersion"].take());
    let Some(found) = list["items"].get_mut(0) else {
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": format!("{} \"{}\" not found", call.resource, call.name)});
        return Ok((StatusCode::NOT_FOUND, serde_json::to_vec(&missing)?));
    };
    found["kind"] = kind.into();
    found["apiVersion"] = version;
    Ok((status, serde_json::to_vec(found)?))
}
