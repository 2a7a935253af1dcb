//! One request to a server.

use std::time::Duration;

use floe_crds::run::notify::{Tried, Verdict, of_http, retry_after, signature};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use reqwest::{Client, redirect::Policy};
use url::Url;

use crate::{Fault, Hosts, Refused, causes};

const AGENT: &str = concat!("floe/", env!("CARGO_PKG_VERSION"));
const DELIVERY: &str = "floe-delivery";
const SIGNATURE: &str = "floe-signature";
/// They describe the message itself; who may choose them could send another one.
const RESERVED: &[&str] = &["content-length", "content-type", "host", "transfer-encoding", DELIVERY, SIGNATURE];

/// What is sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where to.
    pub url: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// The same in all tries.
    pub key: String,
    /// The keys that sign it.
    pub signing: Option<Signing>,
    /// The server must answer in this time.
    pub timeout: Duration,
}

/// The keys that sign a message.
#[derive(Clone)]
pub struct Signing {
    /// The key.
    pub key: Vec<u8>,
    /// The one before, while it is being replaced.
    pub previous: Option<Vec<u8>>,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing(***)")
    }
}

/// Sends messages to servers.
#[derive(Clone, Debug)]
pub struct Webhooks {
    client: Client,
    hosts: Hosts,
}

impl Webhooks {
    /// Sends to `hosts` only. Neither proxies of the environment nor redirects are followed: both would hide who is connected to.
    pub fn new(hosts: Hosts) -> Result<Self, Fault> {
        let builder = Client::builder().dns_resolver(hosts.clone()).no_proxy().redirect(Policy::none());
        // A connection is used once, so each request looks up its host.
        let client = builder.pool_max_idle_per_host(0).user_agent(AGENT).build().map_err(Fault::Client)?;
        Ok(Self { client, hosts })
    }

    /// Makes one try at `now`.
    pub async fn send(&self, message: &Message, now: Timestamp) -> Tried {
        let request = match self.request(message, now) {
            Ok(request) => request,
            Err(problem) => return Tried::given_up(problem),
        };
        match request.send().await {
            Ok(answer) => told(answer.status().as_u16(), answer.headers(), now),
            Err(error) => failed(error, message.timeout),
        }
    }

    fn request(&self, message: &Message, now: Timestamp) -> Result<reqwest::RequestBuilder, String> {
        // The text may be a secret: it is not repeated.
        let url = Url::parse(message.url.trim()).map_err(|error| format!("the URL cannot be read: {error}"))?;
        self.hosts.check(&url).map_err(|refused| match refused {
            Refused::NotHttp => format!("the URL {refused}"),
            Refused::Address(_) => refused.to_string(),
        })?;
        let headers = headers(message, now)?;
        Ok(self.client.post(url).timeout(message.timeout).headers(headers).body(message.body.clone()))
    }
}

fn headers(message: &Message, now: Timestamp) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        let name = HeaderName::try_from(name).map_err(|_| format!("'{name}' is no name of a header"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(format!("header {name} is reserved"));
        }
        // A secret: it is not repeated.
        let mut value = HeaderValue::try_from(value.trim())
            .map_err(|_| format!("the value of header {name} holds characters that no header may hold"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(message.content_type));
    headers
        .insert(DELIVERY, HeaderValue::try_from(&message.key).map_err(|_| "the key of the delivery is no text of a header".to_string())?);
    if let Some(Signing { key, previous }) = &message.signing {
        let signature = signature(key, previous.as_deref(), now.as_second(), message.body.as_bytes());
        let signature = HeaderValue::try_from(signature).map_err(|_| "the signature is no text of a header".to_string())?;
        headers.insert(SIGNATURE, signature);
    }
    Ok(headers)
}

fn told(status: u16, headers: &HeaderMap, now: Timestamp) -> Tried {
    let asked = || retry_after(headers.get(header::RETRY_AFTER)?.to_str().ok()?, now);
    match of_http(status) {
        Verdict::Delivered => Tried::delivered(),
        Verdict::Again => Tried { pause_seconds: asked(), ..Tried::again(format!("the server answered {status}")) },
        Verdict::GivenUp if (300..400).contains(&status) => {
            Tried::given_up(format!("the server answered {status}; redirects are not followed"))
        }
        Verdict::GivenUp => Tried::given_up(format!("the server answered {status}")),
    }
}

fn failed(error: reqwest::Error, timeout: Duration) -> Tried {
    if let Some(refused) = causes(&error).find_map(|cause| cause.downcast_ref::<Refused>()) {
        return Tried::given_up(refused.to_string());
    }
    if error.is_timeout() {
        return Tried::again(format!("the server did not answer within {} s", timeout.as_secs()));
    }
    // The URL may be a secret.
    let error = error.without_url();
    let message = causes(&error).last().map_or_else(|| error.to_string(), ToString::to_string);
    if error.is_builder() { Tried::given_up(message) } else { Tried::again(format!("no connection: {message}")) }
}
