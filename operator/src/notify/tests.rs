//! Deliveries from the status of a run to a real server, with an API server that is played.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, http::HeaderMap};
use floe_crds::{
    job::JobSpec,
    job_run::{DeliveryState, JobRunStatus, RunTrigger},
    run::notify::{RunRef, due, keep, next_look, signature},
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};
use tower::service_fn;

use super::{
    Deliveries,
    settings::{Notifications, NotificationsFile},
};
use crate::{
    key::Key,
    metrics::{Detail, Metrics},
};

type Requests = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Answers with one code after the other, the last one for ever.
async fn server(codes: &'static [u16]) -> (SocketAddr, Requests) {
    let requests = Requests::default();
    let kept = requests.clone();
    let answer = move |headers: HeaderMap, body: Bytes| async move {
        let mut kept = kept.lock().unwrap();
        kept.push((headers, body));
        let code = codes[(kept.len() - 1).min(codes.len() - 1)];
        (StatusCode::from_u16(code).unwrap(), [("retry-after", "100")])
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (address, requests)
}

/// The API server: the Secret `hook`, a Secret that may not be read, and nothing else.
fn api_server(url: String) -> Client {
    let answer = move |request: Request<Body>| {
        let hook = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook"},
            "data": {"url": base64(&url), "key": base64("new"), "key-previous": base64("old")}});
        let status =
            |code: u16, message: &str| json!({"kind": "Status", "status": "Failure", "code": code, "reason": "", "message": message});
        let (code, body) = match request.uri().path() {
            "/api/v1/namespaces/data/secrets/hook" => (200, hook),
            "/api/v1/namespaces/data/secrets/closed" => {
                let message = "secrets \"closed\" is forbidden: User \"system:serviceaccount:floe-system:floe-operator\" cannot get resource \"secrets\"";
                (403, status(403, message))
            }
            _ => (404, status(404, "not found")),
        };
        let answer = Response::builder().status(code).body(Full::new(Bytes::from(body.to_string()))).unwrap();
        async move { Ok::<_, Infallible>(answer) }
    };
    Client::new(service_fn(answer), "default")
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

/// A run of a Job with one notification, and who makes its tries.
struct World {
    deliveries: Deliveries,
    metrics: Metrics,
    spec: JobSpec,
    trigger: RunTrigger,
    status: JobRunStatus,
    woken: Arc<Notify>,
}

impl World {
    fn new(url: &str, known: &str, notification: &Value) -> Self {
        let metrics = Metrics::new(Detail::Dataset).unwrap();
        let file: NotificationsFile = serde_yaml::from_str(known).unwrap();
        let known: Notifications = file.check(|problem| panic!("{problem}"));
        let deliveries = Deliveries::new(api_server(url.to_string()), known, "https://floe.example.com", metrics.clone()).unwrap();
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        deliveries.on_end(move |run| {
            assert_eq!(*run, key());
            wake.notify_one();
        });
        let spec = serde_json::from_value(json!({"tasks": [{"name": "a", "container": {"image": "i"}}], "notifications": [notification]}))
            .unwrap();
        let mut world = Self { deliveries, metrics, spec, trigger: RunTrigger::default(), status: JobRunStatus::default(), woken };
        let before: JobRunStatus = serde_json::from_value(json!({"state": "RUNNING"})).unwrap();
        world.status =
            serde_json::from_value(json!({"state": "TERMINATED", "resultState": "FAILED", "message": "a: exit code 1"})).unwrap();
        let due = due(&world.spec, &world.run(), &before, &world.status, now());
        assert!(keep(&mut world.status, due).is_empty());
        world
    }

    fn run(&self) -> RunRef<'_> {
        RunRef { namespace: "data", job: "nightly", name: "nightly-1", uid: "uid-1", trigger: &self.trigger }
    }

    /// Makes the try that is due and writes down what it came to; the deliveries that it gave up.
    async fn look(&mut self) -> usize {
        let at = next_look(&self.spec, &self.status, now()).unwrap();
        self.deliveries.start_due(&self.spec, self.run(), &self.status, at);
        tokio::time::timeout(Duration::from_secs(20), self.woken.notified()).await.unwrap();
        let given_up = self.deliveries.fold(&key(), &mut self.status);
        // Seen in the status: forgotten.
        assert!(self.deliveries.fold(&key(), &mut self.status.clone()).is_empty());
        assert!(self.deliveries.outcome(&key(), &self.status.notifications[0].key).is_none());
        given_up.len()
    }

    fn told(&self) -> (DeliveryState, i32, Option<&str>) {
        let delivery = &self.status.notifications[0];
        (delivery.state, delivery.attempts, delivery.message.as_deref())
    }

    fn counted(&self, series: &str) -> bool {
        self.metrics.expose(now()).unwrap().lines().any(|line| line == format!("floe_operator_notifications_total{series}"))
    }
}

fn key() -> Key {
    Key::new("data", "nightly-1")
}

fn now() -> Timestamp {
    crate::clock::now()
}

const LOOPBACK: &str = "allowedCidrs: [127.0.0.0/8]";

fn hook(webhook: &Value) -> Value {
    json!({"name": "ops", "events": ["Failure"], "webhook": webhook})
}

#[tokio::test]
async fn j47_a_server_in_trouble_gets_the_same_event_until_it_takes_it() {
    let (address, requests) = server(&[500, 500, 200]).await;
    let secret = |key: &str| json!({"secretKeyRef": {"name": "hook", "key": key}});
    let notification =
        hook(&json!({"urlFrom": secret("url"), "signingKeyFrom": secret("key"), "headers": [{"name": "X-Team", "value": "data"}]}));
    let mut world = World::new(&format!("http://{address}/hook"), LOOPBACK, &notification);
    assert_eq!(world.look().await, 0);
    assert_eq!(world.told(), (DeliveryState::Pending, 1, Some("the server answered 500")));
    let next = world.status.notifications[0].next_attempt_time.clone().unwrap().0;
    let pause = next.duration_since(now());
    assert!(pause > SignedDuration::from_secs(90) && pause <= SignedDuration::from_secs(100), "Retry-After was 100 s: {pause}");
    // Not before its time.
    world.deliveries.start_due(&world.spec, world.run(), &world.status, now());
    world.look().await;
    assert_eq!(world.told(), (DeliveryState::Pending, 2, Some("the server answered 500")));
    world.look().await;
    assert_eq!(world.told(), (DeliveryState::Delivered, 3, None));

    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    for (headers, body) in requests.iter() {
        assert_eq!(headers["floe-delivery"], world.status.notifications[0].key);
        assert_eq!(headers["x-team"], "data");
        let event: Value = serde_json::from_slice(body).unwrap();
        assert_eq!((&event["id"], &event["type"]), (&json!(world.status.notifications[0].key), &json!("dev.floe.jobrun.failure")));
        assert_eq!(event["data"]["link"], "https://floe.example.com/namespaces/data/jobruns.floe.dev/nightly-1");
        let signed = headers["floe-signature"].to_str().unwrap();
        let instant: i64 = signed.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(signed, signature(b"new", Some(b"old"), instant, body));
    }
    assert!(world.counted("{result=\"retried\",target=\"webhook\"} 2") && world.counted("{result=\"delivered\",target=\"webhook\"} 1"));
}

#[tokio::test]
async fn j47_a_refusal_is_final_and_a_stale_status_starts_nothing_twice() {
    let (address, requests) = server(&[400]).await;
    let mut world = World::new("", LOOPBACK, &hook(&json!({"url": format!("http://{address}/")})));
    let stale = world.status.clone();
    world.deliveries.start_due(&world.spec, world.run(), &stale, now());
    world.deliveries.start_due(&world.spec, world.run(), &stale, now());
    world.woken.notified().await;
    // The status that was read does not know the try yet.
    world.deliveries.start_due(&world.spec, world.run(), &stale, now());
    assert_eq!(world.deliveries.fold(&key(), &mut world.status).len(), 1);
    assert_eq!(world.told(), (DeliveryState::Failed, 1, Some("the server answered 400")));
    world.deliveries.close(Duration::from_secs(5)).await;
    assert_eq!(requests.lock().unwrap().len(), 1);
    assert!(world.counted("{result=\"failed\",target=\"webhook\"} 1"));
    // After the end nothing starts.
    world.deliveries.forget(&key());
    world.deliveries.start_due(&world.spec, world.run(), &stale, now());
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_can_never_work_is_given_up_with_what_to_do() {
    let secret = |name: &str, key: &str| json!({"urlFrom": {"secretKeyRef": {"name": name, "key": key}}});
    let cases = [
        (
            hook(&secret("closed", "url")),
            "the operator may not read Secret data/closed. Allow it: \
             kubectl -n data create role floe-reads-closed --verb=get --resource=secrets --resource-name=closed; \
             kubectl -n data create rolebinding floe-reads-closed --role=floe-reads-closed --serviceaccount=floe-system:floe-operator",
        ),
        (hook(&secret("gone", "url")), "Secret data/gone does not exist"),
        (hook(&secret("hook", "address")), "Secret data/hook has no key 'address'"),
        (hook(&json!({"receiver": "ops"})), "ReceiverNotFound: the operator knows no receiver 'ops'; it knows slack"),
        (
            hook(&json!({"url": "http://169.254.169.254/latest"})),
            "169.254.169.254: the address is internal and no allowed network holds it; nothing was sent",
        ),
        (
            json!({"name": "ops", "events": ["Failure"], "email": {"to": ["data@example.org"]}}),
            "SmtpNotConfigured: the operator knows no mail server; set smtp in the values of its chart",
        ),
    ];
    for (notification, expected) in cases {
        let mut world = World::new("", "receivers: [{name: slack, url: https://slack.example.com}]", &notification);
        assert_eq!(world.look().await, 1);
        assert_eq!(world.told(), (DeliveryState::Failed, 1, Some(expected)));
    }
}

#[tokio::test]
async fn receivers_of_the_operator_bring_url_key_and_headers() {
    let (address, requests) = server(&[200]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (url, signing) = (file("url", &format!("http://{address}/\n")), file("key", "new"));
    let (token, _) = (file("token", "Bearer t\n"), file("key-previous", "old"));
    let known = format!(
        "{LOOPBACK}\nreceivers: [{{name: slack-ops, urlFile: {url}, signingKeyFile: {signing}, headers: [{{name: Authorization, valueFile: {token}}}]}}]"
    );
    let mut world = World::new("", &known, &hook(&json!({"receiver": "slack-ops", "format": "Slack"})));
    world.look().await;
    assert_eq!(world.told(), (DeliveryState::Delivered, 1, None));
    let (headers, body) = requests.lock().unwrap().remove(0);
    assert_eq!(headers["authorization"], "Bearer t");
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["floe-signature"].to_str().unwrap().matches("v1=").count() == 2);
    let text = "*data/nightly* FAILED\na: exit code 1\n<https://floe.example.com/namespaces/data/jobruns.floe.dev/nightly-1|nightly-1>";
    assert_eq!(serde_json::from_slice::<BTreeMap<String, String>>(&body).unwrap()["text"], text);
}

#[tokio::test]
async fn j47_what_was_underway_when_the_operator_died_is_made_again_with_the_same_key() {
    let (address, requests) = server(&[200]).await;
    let first = World::new("", LOOPBACK, &hook(&json!({"url": format!("http://{address}/")})));
    first.deliveries.start_due(&first.spec, first.run(), &first.status, now());
    first.woken.notified().await;
    // Nobody wrote it down: the next process finds it pending.
    let mut second = World::new("", LOOPBACK, &hook(&json!({"url": format!("http://{address}/")})));
    second.status = first.status.clone();
    second.look().await;
    assert_eq!(second.told(), (DeliveryState::Delivered, 1, None));
    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].0["floe-delivery"], requests[1].0["floe-delivery"]);
}

#[tokio::test]
async fn one_host_gets_five_requests_at_once() {
    let (most, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let answer = move || async move {
        seen.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        open.fetch_sub(1, Ordering::SeqCst);
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let world = World::new("", LOOPBACK, &hook(&json!({"url": format!("http://{address}/")})));
    let mut status = world.status.clone();
    let one = status.notifications[0].clone();
    status.notifications = (0..15).map(|n| floe_crds::job_run::Delivery { key: format!("{n}"), ..one.clone() }).collect();
    world.deliveries.start_due(&world.spec, world.run(), &status, now());
    world.deliveries.close(Duration::from_secs(20)).await;
    world.deliveries.fold(&key(), &mut status);
    assert!(status.notifications.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
    assert_eq!(most.load(Ordering::SeqCst), 5);
}
