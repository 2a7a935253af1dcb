//! People are told of runs: requests and letters to real servers, by an operator that may be killed in between.

use std::{collections::BTreeSet, path::PathBuf};

use floe_crds::{
    job_run::{Delivery, DeliveryState, JobRun},
    run::notify::signature,
    state::RunResultState,
};
use floe_e2e::{
    operator::Settings,
    receivers::{Answer, MailServer, Post, Webhook},
    runs::{RunSeen, job, task},
    scene::Scene,
    tenant::Tenant,
    virtual_pods::{Script, VirtualPods},
};
use serde_json::{Value, json};

/// What the operator is started with, as a file.
fn notifications(tenant: &Tenant, content: &Value) -> anyhow::Result<PathBuf> {
    let file = tenant.logs()?.join(format!("{}.notifications.yaml", tenant.name));
    std::fs::write(&file, serde_json::to_string(content)?)?;
    Ok(file)
}

async fn settings(tenant: &Tenant, content: &Value) -> anyhow::Result<Settings> {
    let file = notifications(tenant, content)?;
    Ok(Settings::of(tenant).await?.with("--notifications", &file.to_string_lossy()))
}

fn at_once(left: &str) -> Value {
    json!([task("compare", &[], &json!({"condition": {"left": left, "op": "EqualTo", "right": "a"}}))])
}

async fn secret(tenant: &Tenant, name: &str, data: &Value) -> anyhow::Result<()> {
    tenant.apply_one(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})).await.map(drop)
}

/// What a tenant does so that the operator may read one Secret.
async fn grant(tenant: &Tenant, secret: &str) -> anyhow::Result<()> {
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": secret}, "rules": rules});
    tenant.apply_one(&role).await?;
    tenant.bind_operator("Role", secret).await
}

fn all_in(state: DeliveryState) -> impl Fn(&JobRun) -> bool {
    move |run| !run.seen().notifications.is_empty() && run.seen().notifications.iter().all(|delivery| delivery.state == state)
}

fn of(run: &JobRun, target: &str) -> Delivery {
    run.seen().notifications.into_iter().find(|delivery| delivery.target == target).unwrap()
}

fn is_signed(post: &Post, key: &str) -> bool {
    let header = post.header("Floe-Signature");
    let at = header.split(',').next().and_then(|part| part.strip_prefix("t=")).and_then(|at| at.parse().ok()).unwrap();
    header == signature(key.as_bytes(), None, at, post.body.as_bytes())
}

#[tokio::test]
async fn j47_webhook_delivery() -> anyhow::Result<()> {
    let tenant = Tenant::new("j47").await?;
    let settings = settings(&tenant, &json!({"allowedCidrs": ["127.0.0.0/8"]})).await?;
    let _pods = VirtualPods::start(&tenant);
    let fails_twice = Webhook::start(&[Answer::Silence, Answer::Status(500), Answer::Status(500), Answer::Status(200)]).await?;
    let refuses = Webhook::start(&[Answer::Status(400); 10]).await?;
    let takes = Webhook::start(&[]).await?;
    secret(&tenant, "hook", &json!({"key": "a secret"})).await?;
    grant(&tenant, "hook").await?;
    secret(&tenant, "unread", &json!({"url": takes.url})).await?;
    let notifications = json!([
        {"name": "patient", "events": ["Failure"], "webhook": {"url": fails_twice.url, "signingKeyFrom": {"secretKeyRef": {"name": "hook", "key": "key"}}}},
        {"name": "refused", "events": ["Failure"], "webhook": {"url": refuses.url}},
        {"name": "unread", "events": ["Failure"], "webhook": {"urlFrom": {"secretKeyRef": {"name": "unread", "key": "url"}}}},
        {"name": "chat", "events": ["Start", "Failure"], "webhook": {"url": takes.url, "format": "Slack"}},
        {"name": "other", "events": ["Success", "Canceled", "Skipped"], "webhook": {"url": takes.url}},
    ]);
    let mut operator = settings.start().await?;
    // A comparison of texts that differ is no failure; one of a text as a number is.
    let fails = json!([task("compare", &[], &json!({"condition": {"left": "b", "op": "GreaterThan", "right": "1"}}))]);
    tenant.apply_one(&job("work", &fails, &json!({"notifications": notifications}))).await?;
    tenant.create(&json!({"apiVersion": floe_crds::API_VERSION, "kind": "JobRun", "metadata": {"name": "r"}, "spec": {"jobRef": {"name": "work"}}})).await?;

    // The request is on its way and the operator dies: the next process sends it again.
    fails_twice.wait(1).await?;
    operator.kill().await?;
    operator = settings.start().await?;
    fails_twice.wait(2).await?;
    // It dies again after the first answer.
    tenant.wait::<JobRun>("r", "know of the first answer", |run| of(run, "patient").attempts == 1).await?;
    operator.kill().await?;
    let _operator = settings.start().await?;
    let posts = fails_twice.wait(4).await?;
    let run = tenant.wait::<JobRun>("r", "know of the last answer", |run| of(run, "patient").state == DeliveryState::Delivered).await?;
    let patient = of(&run, "patient");
    assert_eq!((patient.attempts, patient.event.as_str(), fails_twice.posts().len()), (3, "Failure", 4));
    for post in &posts {
        assert_eq!((post.header("Floe-Delivery"), post.header("content-type")), (patient.key.as_str(), "application/cloudevents+json"));
        assert!(is_signed(post, "a secret"), "{post:?}");
    }
    let event = posts[3].json();
    assert_eq!(
        (event["id"].as_str(), event["type"].as_str(), event["subject"].as_str()),
        (Some(patient.key.as_str()), Some("dev.floe.jobrun.failure"), Some("r"))
    );
    assert_eq!(event["source"], format!("/namespaces/{}/jobs.floe.dev/work", tenant.name));
    let data = &event["data"];
    assert_eq!(
        (&data["resultState"], &data["terminationCode"], &data["tasks"]["failed"]),
        (&json!("FAILED"), &json!("INVALID_CONDITION_OPERAND"), &json!(1))
    );

    let given_up = of(&run, "refused");
    // What a process has sent and not written down is sent again by the next one, with the same id.
    let of_refused: BTreeSet<String> = refuses.posts().iter().map(|post| post.header("Floe-Delivery").to_string()).collect();
    assert_eq!((given_up.state, given_up.attempts), (DeliveryState::Failed, 1));
    assert_eq!(of_refused, BTreeSet::from([given_up.key]));
    let unread = of(&run, "unread");
    assert_eq!(unread.state, DeliveryState::Failed);
    assert!(unread.message.as_ref().is_some_and(|message| message.contains("create role")), "{unread:?}");
    assert_eq!(run.result(), Some(RunResultState::Failed), "what is told changes no run");
    Ok(())
}

#[tokio::test]
async fn j48_webhook_refuses_internal_hosts() -> anyhow::Result<()> {
    let scene = Scene::open("j48").await?;
    let server = Webhook::start(&[]).await?;
    let port = server.url.rsplit(':').next().unwrap().trim_end_matches("/hook").to_string();
    let urls = [
        server.url.clone(),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://169.254.169.254/latest".to_string(),
    ];
    let notifications: Vec<Value> = urls
        .iter()
        .enumerate()
        .map(|(number, url)| json!({"name": format!("n{number}"), "events": ["Success"], "webhook": {"url": url}}))
        .collect();
    scene.job("work", at_once("a"), json!({"notifications": notifications})).await?;
    scene.run("r", "work", json!({})).await?;
    let run = scene.run_is("r", "give all up", all_in(DeliveryState::Failed)).await?;
    assert_eq!(run.seen().notifications.len(), urls.len());
    for delivery in run.seen().notifications {
        assert_eq!(delivery.attempts, 1);
        assert!(delivery.message.as_ref().is_some_and(|message| message.contains("nothing was sent")), "{delivery:?}");
    }
    assert!(server.posts().is_empty());
    assert_eq!(scene.run_ends("r", RunResultState::Success).await?.tasks(), "compare SUCCESS");
    Ok(())
}

#[tokio::test]
async fn letters_go_through_the_mail_server() -> anyhow::Result<()> {
    let tenant = Tenant::new("j02-mail").await?;
    let server = MailServer::start().await?;
    let smtp = json!({"host": "127.0.0.1", "port": server.port, "tls": "None", "from": "Floe <floe@example.org>"});
    let settings = settings(&tenant, &json!({"allowedCidrs": [], "smtp": smtp})).await?;
    let scene = Scene::of(tenant, &settings).await?;
    let email = |events: &[&str], more: Value| {
        let mut email = json!({"to": ["data@example.org", "ops@example.org"]});
        if !more.is_null() {
            email["subject"] = more;
        }
        json!({"name": events.join("-").to_lowercase(), "events": events, "email": email})
    };
    let told = json!([email(&["Failure"], Value::Null)]);
    let tasks = json!([
        task("a", &[], &json!({"retry": {"maxRetries": 1}, "notifications": [email(&["Start", "Success"], json!("a is done"))]})),
        task("b", &["a"], &json!({}))
    ]);
    scene.job("work", tasks, json!({"notifications": told})).await?;
    scene.pods.attempt("r-a-1", Script::new().exits(1));
    scene.pods.attempt("r-b-1", Script::new().exits(10));
    scene.run("r", "work", json!({})).await?;
    scene.run_ends("r", RunResultState::Failed).await?;
    scene.run_is("r", "have told all", all_in(DeliveryState::Delivered)).await?;
    let letters = server.wait(3).await?;
    let subjects: Vec<&str> =
        letters.iter().filter_map(|letter| letter.text.lines().find_map(|line| line.strip_prefix("Subject: "))).collect();
    let namespace = &scene.tenant.name;
    assert_eq!(
        subjects.iter().filter(|subject| **subject == "a is done").count(),
        2,
        "the first start and the end of a, not its retry: {subjects:?}"
    );
    assert!(subjects.contains(&format!("[Floe] {namespace}/work FAILED").as_str()), "{subjects:?}");
    for letter in &letters {
        let to = letter.commands.iter().filter(|command| command.starts_with("RCPT TO:")).count();
        assert_eq!((to, letter.commands.iter().filter(|command| command.contains("floe@example.org")).count()), (2, 1), "{letter:?}");
    }
    let failed = letters.iter().find(|letter| letter.text.contains("FAILED")).unwrap();
    assert!(failed.text.contains("RUN_EXECUTION_ERROR"), "{}", failed.text);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(server.letters().len(), 3);
    let sent = scene.operator.metric("floe_operator_notifications_total", &[("target", "email"), ("result", "delivered")]).await?;
    assert_eq!(sent, Some(3.0));
    Ok(())
}

#[tokio::test]
async fn without_a_mail_server_a_letter_is_given_up() -> anyhow::Result<()> {
    let scene = Scene::open("j02-no-mail").await?;
    let told = json!([{"name": "all", "events": ["Success"], "email": {"to": ["a@example.org"]}}]);
    scene.job("work", at_once("a"), json!({"notifications": told})).await?;
    scene.run("r", "work", json!({})).await?;
    let run = scene.run_is("r", "give it up", all_in(DeliveryState::Failed)).await?;
    let message = of(&run, "all").message.unwrap();
    assert!(message.starts_with("SmtpNotConfigured: "), "{message}");
    assert_eq!(run.result(), Some(RunResultState::Success));
    Ok(())
}
