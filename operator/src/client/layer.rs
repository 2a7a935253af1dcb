//! The layer around every call: rate, lease, time, numbers.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Bytes, HttpBody};
use http::{HeaderValue, Request, Response, header::USER_AGENT};
use http_body_util::{BodyExt, Either, Full};
use kube::client::Body;
use tower::{BoxError, Layer, Service, ServiceExt};

use super::{CALL_TIMEOUT, request::Call};
use crate::{clock, leader::Guard, limits::Bucket, metrics::Metrics};

/// How the process names itself.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("floe-operator/", env!("CARGO_PKG_VERSION")));
/// Longest time until a watch begins.
const WATCH_BEGINS: Duration = Duration::from_secs(30);

/// Why a call got no answer, beyond what the connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer in time.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Another operator may work now.
    #[error("not sent: this process does not hold the lease")]
    LeaseLost,
}

/// Makes the services of one client.
#[derive(Clone)]
pub(super) struct Calls {
    bucket: Arc<Mutex<Bucket>>,
    metrics: Metrics,
    guard: Guard,
    timeout: Duration,
}

impl Calls {
    pub(super) fn new(bucket: Bucket, metrics: Metrics, guard: Guard) -> Self {
        Self { bucket: Arc::new(Mutex::new(bucket)), metrics, guard, timeout: CALL_TIMEOUT }
    }
}

impl<S> Layer<S> for Calls {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner: Arc::new(tokio::sync::Mutex::new(inner)), calls: self.clone() }
    }
}

/// The service of one client with the layer around it.
pub(super) struct Guarded<S> {
    /// Locked only until a call is on its way.
    inner: Arc<tokio::sync::Mutex<S>>,
    calls: Calls,
}

impl<S> Clone for Guarded<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), calls: self.calls.clone() }
    }
}

type Answer<B> = Response<Either<Full<Bytes>, B>>;

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT, AGENT);
        let this = self.clone();
        Box::pin(async move {
            let call = Call::of(request.method(), request.uri());
            this.wait_for_turn(&call).await;
            let started = clock::instant();
            let answer = this.send(&call, request).await;
            this.calls.metrics.api_request(call.verb, &call.resource, &code(&answer), started.elapsed());
            answer
        })
    }
}

impl<S, B> Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    async fn wait_for_turn(&self, call: &Call) {
        if call.is_own() {
            return;
        }
        let wait = self.calls.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(clock::instant());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
            self.calls.metrics.api_throttled(wait);
        }
    }

    async fn send(&self, call: &Call, request: Request<Body>) -> Result<Answer<B>, BoxError> {
        let limit = if call.is_watch() { WATCH_BEGINS } else { self.calls.timeout };
        let answer = async {
            let sent = {
                let mut inner = self.inner.lock().await;
                let ready = inner.ready().await?;
                // The last moment before it leaves: a process that slept meanwhile must not write.
                if call.needs_lease() && !self.calls.guard.is_open(clock::instant()) {
                    return Err(CallError::LeaseLost.into());
                }
                ready.call(request)
            };
            let (parts, body) = sent.await?.into_parts();
            if call.is_watch() {
                return Ok(Response::from_parts(parts, Either::Right(body)));
            }
            let whole = body.collect().await.map_err(Into::into)?.to_bytes();
            Ok(Response::from_parts(parts, Either::Left(Full::new(whole))))
        };
        tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(CallError::TimedOut(limit).into()))
    }
}

fn code<B>(answer: &Result<Answer<B>, BoxError>) -> String {
    match answer {
        Ok(answer) => answer.status().as_str().to_string(),
        Err(error) => match error.downcast_ref::<CallError>() {
            Some(CallError::TimedOut(_)) => "timeout",
            Some(CallError::LeaseLost) => "refused",
            None => "error",
        }
        .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::service_fn;

    use super::*;
    use crate::metrics::Detail;

    fn request(method: &str, uri: &str) -> Request<Body> {
        Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
    }

    fn layer(guard: Guard) -> (Calls, Metrics) {
        let metrics = Metrics::new(Detail::Dataset).unwrap();
        (Calls::new(Bucket::new(1000.0, 1), metrics.clone(), guard), metrics)
    }

    async fn answer(request: Request<Body>) -> Result<Response<Full<Bytes>>, BoxError> {
        if request.uri().path() == "/version" {
            std::future::pending::<Infallible>().await;
        }
        assert_eq!(request.headers()[USER_AGENT], AGENT);
        Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
    }

    async fn call(calls: &Calls, request: Request<Body>) -> Result<Bytes, String> {
        let mut service = calls.layer(service_fn(answer));
        match service.call(request).await {
            Ok(answer) => Ok(answer.into_body().collect().await.unwrap().to_bytes()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn calls_are_limited_in_time_and_counted() {
        let guard = Guard::always_open();
        let (mut calls, metrics) = layer(guard);
        calls.timeout = Duration::from_millis(20);
        assert_eq!(call(&calls, request("GET", "/api/v1/namespaces/a/pods/p")).await.unwrap(), "{}");
        assert_eq!(call(&calls, request("GET", "/version")).await.unwrap_err(), "the API server did not answer within 0 s");
        let text = metrics.expose(jiff::Timestamp::UNIX_EPOCH).unwrap();
        for line in [
            "floe_operator_api_requests_total{code=\"200\",resource=\"pods\",verb=\"get\"} 1",
            "floe_operator_api_requests_total{code=\"timeout\",resource=\"other\",verb=\"get\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn nothing_is_written_without_the_lease() {
        let guard = Guard::closed();
        let (calls, _) = layer(guard.clone());
        let write = || request("POST", "/apis/batch/v1/namespaces/a/jobs");
        let refused = "not sent: this process does not hold the lease";
        assert_eq!(call(&calls, write()).await.unwrap_err(), refused);
        assert!(call(&calls, request("GET", "/api/v1/namespaces/a/pods/p")).await.is_ok());
        assert!(call(&calls, request("POST", "/apis/coordination.k8s.io/v1/namespaces/a/leases")).await.is_ok());
        guard.open_until(clock::instant() + Duration::from_mins(1));
        assert!(call(&calls, write()).await.is_ok());
        guard.open_until(clock::instant().checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(call(&calls, write()).await.unwrap_err(), refused);
    }
}
