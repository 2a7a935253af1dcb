//! The HTTP server: metrics, health, readiness, and the level of log lines.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::TEXT_FORMAT;
use tokio::net::TcpListener;

use crate::telemetry::LogLevel;

/// Longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A controller through whose queue nothing went for longer is stuck.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);

/// What the server asks the process.
pub trait Process: Send + Sync + 'static {
    /// Kinds whose caches have not seen their first list.
    fn unsynced(&self) -> Vec<&'static str>;

    /// Controllers that run, and since when nothing went through their queues.
    fn silences(&self) -> Vec<(&'static str, Duration)>;

    /// All metrics in the text format, or why there are none.
    fn exposition(&self) -> Result<String, String>;
}

#[derive(Clone)]
struct Shared {
    process: Arc<dyn Process>,
    log_level: LogLevel,
}

/// Takes the address, so that a taken one is an error before anything starts.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers requests until `stop`.
pub async fn serve(
    listener: TcpListener,
    process: Arc<dyn Process>,
    log_level: LogLevel,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = router(Shared { process, log_level }).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/debug/log-level", get(log_level).put(set_log_level))
        .layer(middleware::from_fn(limit_time))
        .with_state(shared)
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "took too long\n").into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match shared.process.exposition() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn healthz(State(shared): State<Shared>) -> Response {
    let stuck = shared.process.silences().into_iter().filter(|(_, silence)| *silence > LONGEST_SILENCE);
    let stuck =
        stuck.map(|(controller, silence)| format!("controller {controller}: nothing went through its queue for {} s", silence.as_secs()));
    let stuck: Vec<String> = stuck.collect();
    answer(&stuck)
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let unsynced = shared.process.unsynced();
    let unsynced: Vec<String> = unsynced.iter().map(|kind| format!("{kind}: the first list is not complete")).collect();
    answer(&unsynced)
}

fn answer(problems: &[String]) -> Response {
    if problems.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", problems.join("\n"))).into_response()
}

async fn log_level(State(shared): State<Shared>, ConnectInfo(from): ConnectInfo<SocketAddr>) -> Response {
    if !is_local(from) {
        return forbidden();
    }
    format!("{}\n", shared.log_level.get()).into_response()
}

async fn set_log_level(State(shared): State<Shared>, ConnectInfo(from): ConnectInfo<SocketAddr>, filter: String) -> Response {
    if !is_local(from) {
        return forbidden();
    }
    match shared.log_level.set(filter.trim()) {
        Ok(()) => format!("{}\n", shared.log_level.get()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

fn is_local(from: SocketAddr) -> bool {
    from.ip().to_canonical().is_loopback()
}

fn forbidden() -> Response {
    (StatusCode::FORBIDDEN, "only from the machine or pod itself\n").into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::telemetry;

    /// A process in some state.
    #[derive(Clone, Default)]
    struct Played {
        unsynced: Vec<&'static str>,
        silences: Vec<(&'static str, Duration)>,
    }

    impl Process for Played {
        fn unsynced(&self) -> Vec<&'static str> {
            self.unsynced.clone()
        }

        fn silences(&self) -> Vec<(&'static str, Duration)> {
            self.silences.clone()
        }

        fn exposition(&self) -> Result<String, String> {
            Ok("up 1\n".to_string())
        }
    }

    async fn ask(shared: &Shared, from: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let from: SocketAddr = format!("{from}:1").parse().unwrap();
        let request = Request::builder().method(method).uri(path).extension(ConnectInfo(from)).body(Body::from(body.to_string())).unwrap();
        let answer = router(shared.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn shared(process: Played) -> Shared {
        Shared { process: Arc::new(process), log_level: telemetry::level("info").1 }
    }

    #[tokio::test]
    async fn a_stuck_controller_is_unhealthy_and_an_empty_cache_not_ready() {
        let well = shared(Played { silences: vec![("pipeline", Duration::from_mins(1))], ..Played::default() });
        assert_eq!(ask(&well, "10.0.0.1", "GET", "/healthz", "").await, (200, "ok\n".to_string()));
        assert_eq!(ask(&well, "10.0.0.1", "GET", "/readyz", "").await, (200, "ok\n".to_string()));
        assert_eq!(ask(&well, "10.0.0.1", "GET", "/metrics", "").await, (200, "up 1\n".to_string()));
        let stuck = Played { silences: vec![("pipeline", Duration::ZERO), ("table", Duration::from_secs(75))], unsynced: vec!["Pod"] };
        let stuck = shared(stuck);
        let expected = "controller table: nothing went through its queue for 75 s\n".to_string();
        assert_eq!(ask(&stuck, "10.0.0.1", "GET", "/healthz", "").await, (503, expected));
        let expected = "Pod: the first list is not complete\n".to_string();
        assert_eq!(ask(&stuck, "10.0.0.1", "GET", "/readyz", "").await, (503, expected));
    }

    #[tokio::test]
    async fn the_log_level_is_changed_from_the_pod_itself_only() {
        let (layer, log_level) = telemetry::level("info");
        let shared = Shared { process: Arc::new(Played::default()), log_level };
        assert_eq!(ask(&shared, "127.0.0.1", "GET", "/debug/log-level", "").await, (200, "info\n".to_string()));
        assert_eq!(ask(&shared, "127.0.0.1", "PUT", "/debug/log-level", "debug\n").await, (200, "debug\n".to_string()));
        assert_eq!(ask(&shared, "10.0.0.1", "PUT", "/debug/log-level", "trace").await.0, 403);
        assert_eq!(ask(&shared, "127.0.0.1", "PUT", "/debug/log-level", "floe=loud").await.0, 400);
        assert_eq!(ask(&shared, "127.0.0.1", "GET", "/debug/log-level", "").await, (200, "debug\n".to_string()));
        drop(layer);
    }
}
