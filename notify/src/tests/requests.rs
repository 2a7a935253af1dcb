//! Requests to a real server.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use floe_crds::run::notify::{CLOUD_EVENTS, Tried, Verdict, signature};
use jiff::Timestamp;
use tokio::net::TcpListener;

use crate::{Hosts, Message, Signing, Webhooks, hosts::Lookup};

type Requests = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Answers with `status` and the header `Retry-After: 120`; 302 leads back to it; 0: never.
async fn server(status: u16) -> (SocketAddr, Requests) {
    let requests = Requests::default();
    let kept = requests.clone();
    let answer = move |headers: HeaderMap, body: Bytes| async move {
        kept.lock().unwrap().push((headers, body));
        if status == 0 {
            std::future::pending::<()>().await;
        }
        let headers = [("retry-after", "120"), ("location", "/again")];
        (StatusCode::from_u16(status).unwrap(), headers, "who reads this").into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (address, requests)
}

fn message(url: String) -> Message {
    Message {
        url,
        headers: vec![("Authorization".to_string(), "Bearer token".to_string())],
        content_type: CLOUD_EVENTS,
        body: "{\"specversion\":\"1.0\"}".to_string(),
        key: "abc".to_string(),
        signing: Some(Signing { key: b"new".to_vec(), previous: Some(b"old".to_vec()) }),
        timeout: Duration::from_secs(5),
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_769_824_800).unwrap()
}

async fn send(message: &Message) -> Tried {
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    Webhooks::new(Hosts::new(loopback)).unwrap().send(message, now()).await
}

#[tokio::test]
async fn j47_requests_carry_id_signature_and_headers() {
    let (address, requests) = server(204).await;
    let message = message(format!("http://{address}/hook"));
    assert_eq!(send(&message).await, Tried::delivered());
    let (headers, body) = requests.lock().unwrap().remove(0);
    assert_eq!(body, message.body);
    assert_eq!(headers["content-type"], CLOUD_EVENTS);
    assert_eq!(headers["floe-delivery"], "abc");
    assert_eq!(headers["authorization"], "Bearer token");
    assert_eq!(headers["floe-signature"], signature(b"new", Some(b"old"), now().as_second(), &body));
    assert!(headers["user-agent"].to_str().unwrap().starts_with("floe/"));
}

#[tokio::test]
async fn j47_answers_decide_what_follows() {
    let of = async |status| {
        let (address, requests) = server(status).await;
        let tried = send(&message(format!("http://{address}/"))).await;
        let count = requests.lock().unwrap().len();
        (tried, count)
    };
    assert_eq!(of(500).await, (Tried { pause_seconds: Some(120), ..Tried::again("the server answered 500") }, 1));
    assert_eq!(of(429).await.0.pause_seconds, Some(120));
    assert_eq!(of(400).await, (Tried::given_up("the server answered 400"), 1));
    assert_eq!(of(302).await, (Tried::given_up("the server answered 302; redirects are not followed"), 1));
    let (address, _) = server(0).await;
    let slow = Message { timeout: Duration::from_secs(1), ..message(format!("http://{address}/")) };
    assert_eq!(send(&slow).await, Tried::again("the server did not answer within 1 s"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tried = send(&message(format!("http://{nobody}/"))).await;
    assert_eq!(tried.verdict, Verdict::Again);
    assert!(tried.message.starts_with("no connection: "), "{}", tried.message);
}

#[tokio::test]
async fn what_cannot_be_sent_is_given_up_and_tells_no_secret() {
    let tried = send(&message("hooks.example.com/token".to_string())).await;
    assert_eq!(tried, Tried::given_up("the URL cannot be read: relative URL without a base"));
    let reserved =
        Message { headers: vec![("Floe-Signature".to_string(), "t=0".to_string())], ..message("http://127.0.0.1:9/".to_string()) };
    assert_eq!(send(&reserved).await, Tried::given_up("header floe-signature is reserved"));
    let broken = Message { headers: vec![("X-Key".to_string(), "to\nken".to_string())], ..message("http://127.0.0.1:9/".to_string()) };
    let tried = send(&broken).await;
    assert_eq!(tried, Tried::given_up("the value of header x-key holds characters that no header may hold"));
}

/// Counts connections.
async fn silent() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, connections)
}

#[tokio::test]
async fn j48_internal_hosts_get_no_connection() {
    let (address, connections) = silent().await;
    let port = address.port();
    let lookup: Lookup = Arc::new(|_| Box::pin(async { Ok(vec!["127.0.0.1:0".parse().unwrap()]) }));
    let webhooks = Webhooks::new(Hosts::with_lookup(Vec::new(), lookup.clone())).unwrap();
    for host in ["127.0.0.1", "169.254.169.254", "[::1]", "0x7f000001", "localhost", "hooks.example.com", "hooks.data.svc.cluster.local"] {
        let tried = webhooks.send(&message(format!("http://{host}:{port}/")), now()).await;
        assert_eq!(tried.verdict, Verdict::GivenUp, "{host}: {}", tried.message);
        assert!(
            tried.message.ends_with("the address is internal and no allowed network holds it; nothing was sent"),
            "{host}: {}",
            tried.message
        );
    }
    let open = Webhooks::new(Hosts::with_lookup(vec!["127.0.0.1/32".parse().unwrap()], lookup)).unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let impatient = Message { timeout: Duration::from_secs(1), ..message(format!("http://hooks.example.com:{port}/")) };
    assert_eq!(open.send(&impatient, now()).await.verdict, Verdict::Again);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
