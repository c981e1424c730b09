//! The fence: a process whose Lease has run out writes nothing, even before it learns that somebody else has it.
//!
//! What manages the Lease only tells of a loss that it could read. A leader that is cut off reads nothing, and what it
//! had in hand would go out with the first packet that comes through again. So the client itself refuses: every write
//! but those of the Lease needs a renewal that is younger than the Lease lasts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::http::{Method, Request, Response};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// Lets writes through while the Lease is known to be held. Every clone is the same fence.
#[derive(Clone, Debug)]
pub struct Fence {
    lease: Arc<str>,
    lasts: Duration,
    began: Instant,
    /// Milliseconds after `began` at which the Lease runs out.
    until: Arc<AtomicU64>,
}

impl Fence {
    /// A closed fence. The Lease lasts `lasts` from the moment in which a renewal is sent.
    pub fn new(namespace: &str, lease: &str, lasts: Duration) -> Self {
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}").into();
        Self { lease, lasts, began: Instant::now(), until: Arc::default() }
    }

    /// Whether writes go through now.
    pub fn is_open(&self) -> bool {
        self.is_open_at(Instant::now())
    }

    fn is_open_at(&self, now: Instant) -> bool {
        self.at(now) < self.until.load(Ordering::Acquire)
    }

    /// The Lease is held until then at least.
    pub fn open_until(&self, until: Instant) {
        self.until.fetch_max(self.at(until), Ordering::AcqRel);
    }

    fn at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced { inner, fence: self.clone() }
    }
}

/// A client's transport behind a [`Fence`].
#[derive(Debug)]
pub struct Fenced<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<Body>> for Fenced<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method());
        let of_lease = request.uri().path() == &*self.fence.lease;
        // Creating the Lease goes to the collection above it.
        let creates_lease = self.fence.lease.rsplit_once('/').is_some_and(|(all, _)| request.uri().path() == all);
        if writes && !of_lease && !creates_lease && !self.fence.is_open() {
            return Box::pin(async { Err("the Lease has run out: nothing is written until it is renewed".into()) });
        }
        let renewed = (writes && of_lease).then(Instant::now);
        let (fence, answer) = (self.fence.clone(), self.inner.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(sent) = renewed
                && answer.status().is_success()
            {
                fence.open_until(sent + fence.lasts);
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every request with this status.
    struct Server(u16);

    impl Service<Request<Body>> for Server {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = self.0.try_into().unwrap();
            std::future::ready(Ok(response))
        }
    }

    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/n/leases/dbmedic";
    const POD: &str = "/api/v1/namespaces/n/pods/p";

    async fn send(fence: &Fence, status: u16, method: Method, path: &str) -> bool {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        fence.layer(Server(status)).call(request).await.is_ok()
    }

    #[tokio::test]
    async fn only_reads_and_the_lease_pass_until_a_renewal_succeeds() {
        let fence = Fence::new("n", "dbmedic", Duration::from_hours(1));
        assert!(send(&fence, 200, Method::GET, POD).await);
        assert!(!send(&fence, 200, Method::PATCH, POD).await);
        assert!(send(&fence, 409, Method::PATCH, LEASE).await);
        assert!(!send(&fence, 200, Method::DELETE, POD).await, "a refused renewal is none");
        assert!(send(&fence, 200, Method::PATCH, LEASE).await);
        assert!(send(&fence, 200, Method::POST, POD).await);
    }

    #[tokio::test]
    async fn a_lease_that_ran_out_closes_the_fence_to_all_but_reads() {
        let fence = Fence::new("n", "dbmedic", Duration::ZERO);
        assert!(send(&fence, 200, Method::PATCH, LEASE).await);
        assert!(!send(&fence, 200, Method::PUT, POD).await);
        assert!(send(&fence, 200, Method::GET, POD).await);
    }

    #[test]
    fn the_fence_is_open_until_the_last_of_the_renewals_runs_out() {
        let fence = Fence::new("n", "dbmedic", Duration::from_secs(30));
        let after = |seconds| fence.began + Duration::from_secs(seconds);
        assert!(!fence.is_open_at(after(0)));
        fence.open_until(after(30));
        fence.open_until(after(10));
        assert!(fence.is_open_at(after(0)) && fence.is_open_at(after(29)));
        assert!(!fence.is_open_at(after(30)));
        fence.open_until(after(60));
        assert!(fence.is_open_at(after(30)));
    }
}
