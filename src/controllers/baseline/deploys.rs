//! When there were deploys in a namespace: the creation times of its ReplicaSets and ControllerRevisions, of which each
//! change of a pod template makes one. Read now and then, by metadata only; never watched, never cached as objects.
//!
//! A roll-back to a template that is still there makes none, and is not seen.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::controllers::{Error, call};

/// Time between two readings of a namespace: what is learnt from them is learnt once a day.
pub const EVERY: Duration = Duration::from_hours(1);
/// How old a deploy is at most: as long as hours are kept that patterns are found in.
const OLDEST_MS: i64 = 400 * 86_400_000;
/// Deploys that are known of a namespace at most, the latest ones.
const MOST: usize = 200;
/// Objects that one request is for, and requests for one kind at most.
const PAGE: u32 = 500;
const PAGES: usize = 4;

/// The deploys of each namespace, as far as they were read.
#[derive(Default)]
pub struct Deploys {
    namespaces: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>,
    /// Kinds of which it was said that they cannot be listed.
    told: Mutex<HashSet<(String, &'static str)>>,
}

/// What is known of one namespace; times in ms since the Unix epoch.
#[derive(Default)]
struct Known {
    read_at: Option<i64>,
    times: Arc<[i64]>,
}

impl Deploys {
    /// When there were deploys, ascending, each once; read anew when that is due. What cannot be read is not worth
    /// failing a pass for: patterns then do without. `now` and the answer in ms since the Unix epoch.
    pub async fn of(&self, namespace: &str, client: &Client, now: i64) -> Arc<[i64]> {
        let known = {
            let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
            namespaces.entry(namespace.to_owned()).or_default().clone()
        };
        let mut known = known.lock().await;
        if is_due(known.read_at, now) {
            known.read_at = Some(now);
            let sets = self.created::<ReplicaSet>("ReplicaSets", namespace, client).await;
            let revisions = self.created::<ControllerRevision>("ControllerRevisions", namespace, client).await;
            let times: Arc<[i64]> = latest(&known.times, sets.into_iter().chain(revisions), now).into();
            if times != known.times {
                tracing::info!(namespace, deploys = times.len(), "read when there were deploys");
                known.times = times;
            }
        }
        known.times.clone()
    }

    /// When the objects of a kind were created, in ms since the Unix epoch; nothing when they cannot be listed, which is
    /// said once until they can.
    async fn created<K>(&self, kind: &'static str, namespace: &str, client: &Client) -> Vec<i64>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let found = list(&Api::<K>::namespaced(client.clone(), namespace)).await;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(found) => {
                told.remove(&(namespace.to_owned(), kind));
                found
            }
            Err(error) => {
                if told.insert((namespace.to_owned(), kind)) {
                    tracing::warn!(kind, namespace, %error, "deploys are not known; patterns are found without them");
                }
                Vec::new()
            }
        }
    }
}

async fn list<K>(api: &Api<K>) -> Result<Vec<i64>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut times = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    for _ in 0..PAGES {
        let page = call("list when there were deploys", api.list_metadata(&parameters)).await?;
        times.extend(page.items.iter().filter_map(|object| Some(object.creation_timestamp()?.0.as_millisecond())));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    Ok(times)
}

/// Whether a namespace that was read then is to be read now.
fn is_due(read_at: Option<i64>, now: i64) -> bool {
    let every = i64::try_from(EVERY.as_millis()).unwrap_or(i64::MAX);
    // A clock that was set back is no reason to wait for it.
    read_at.is_none_or(|read| now < read || now.saturating_sub(read) >= every)
}

/// The latest deploys of those known before and those found, ascending, each once. An object that is gone by now, as old
/// ReplicaSets are, was a deploy all the same.
fn latest(before: &[i64], found: impl Iterator<Item = i64>, now: i64) -> Vec<i64> {
    let oldest = now.saturating_sub(OLDEST_MS);
    let mut times: Vec<i64> = before.iter().copied().chain(found).filter(|at| (oldest..=now).contains(at)).collect();
    times.sort_unstable();
    times.dedup();
    times.drain(..times.len().saturating_sub(MOST));
    times
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::{BoxError, Service};

    use super::*;

    /// An API server that answers each path with a status and a body, and remembers what it was asked.
    #[derive(Clone)]
    struct Server {
        answer: fn(&str) -> (u16, Value),
        asked: Arc<Mutex<Vec<Request<Body>>>>,
    }

    impl Service<Request<Body>> for Server {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = Ready<Result<Response<Body>, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let (status, body) = (self.answer)(&request.uri().to_string());
            self.asked.lock().unwrap().push(request);
            let mut response = Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = status.try_into().unwrap();
            ready(Ok(response))
        }
    }

    fn server(answer: fn(&str) -> (u16, Value)) -> (Client, Arc<Mutex<Vec<Request<Body>>>>) {
        let asked = Arc::default();
        (Client::new(Server { answer, asked: Arc::clone(&asked) }, "shop"), asked)
    }

    /// A page with objects that were created at these times.
    fn page(created: &[&str], next: &str) -> (u16, Value) {
        let items: Vec<Value> = created
            .iter()
            .map(|at| {
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                       "metadata": {"name": "one", "creationTimestamp": at}})
            })
            .collect();
        let list = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                          "metadata": {"continue": next}, "items": items});
        (200, list)
    }

    fn forbidden() -> (u16, Value) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                            "message": "may not", "reason": "Forbidden", "code": 403});
        (403, status)
    }

    #[tokio::test]
    async fn both_kinds_are_listed_by_metadata_only_page_by_page_and_once_an_hour() {
        let (client, asked) = server(|uri| match uri {
            uri if uri.contains("/controllerrevisions") => page(&["2026-03-01T12:00:00Z"], ""),
            uri if uri.contains("continue=more") => page(&["2026-03-01T23:00:00Z", "2026-03-01T22:00:00Z"], ""),
            _ => page(&["2026-03-01T22:00:00Z"], "more"),
        });
        let deploys = Deploys::default();
        let expected = [NOW - 12 * HOUR_MS, NOW - 2 * HOUR_MS, NOW - HOUR_MS];
        assert_eq!(*deploys.of("shop", &client, NOW).await, expected);
        assert_eq!(*deploys.of("shop", &client, NOW + HOUR_MS - 1).await, expected);
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let paths: Vec<String> = asked.iter().map(|request| request.uri().to_string()).collect();
        assert_eq!(paths.len(), 3, "{paths:?}");
        for request in &asked {
            let accept = request.headers()["accept"].to_str().unwrap();
            assert!(accept.contains("as=PartialObjectMetadataList"), "{accept}");
            assert!(request.uri().path().starts_with("/apis/apps/v1/namespaces/shop/"), "{paths:?}");
            assert!(request.uri().query().is_some_and(|query| query.contains("limit=500")), "{paths:?}");
        }
    }

    #[tokio::test]
    async fn a_namespace_with_ever_more_objects_is_not_read_for_ever() {
        let (client, asked) = server(|_| page(&["2026-03-01T12:00:00Z"], "more"));
        assert_eq!(Deploys::default().of("shop", &client, NOW).await.len(), 1);
        assert_eq!(asked.lock().unwrap().len(), 2 * PAGES);
    }

    #[tokio::test]
    async fn without_the_right_to_one_kind_the_other_is_known_and_without_any_nothing_is() {
        let (client, _) = server(|uri| match uri {
            uri if uri.contains("/controllerrevisions") => forbidden(),
            _ => page(&["2026-03-01T22:00:00Z"], ""),
        });
        let deploys = Deploys::default();
        assert_eq!(*deploys.of("shop", &client, NOW).await, [NOW - 2 * HOUR_MS]);
        let (client, asked) = server(|_| forbidden());
        assert_eq!(*deploys.of("shop", &client, NOW + HOUR_MS).await, [NOW - 2 * HOUR_MS], "it is still known");
        assert!(deploys.of("carts", &client, NOW).await.is_empty());
        assert_eq!(asked.lock().unwrap().len(), 4);
        assert_eq!(deploys.told.lock().unwrap().len(), 4, "each kind of a namespace is said once");
    }

    /// 2026-03-02 00:00:00 UTC.
    const NOW: i64 = 1_772_409_600_000;
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_namespace_is_read_at_first_and_then_once_an_hour() {
        let table = [
            (None, true),
            (Some(NOW), false),
            (Some(NOW - HOUR_MS + 1), false),
            (Some(NOW - HOUR_MS), true),
            (Some(NOW + 1), true),
        ];
        for (read_at, due) in table {
            assert_eq!(is_due(read_at, NOW), due, "{read_at:?}");
        }
    }

    #[test]
    fn deploys_are_in_order_each_once_with_those_whose_objects_are_gone() {
        let found = [NOW - 5, NOW - 20, NOW - 5, NOW];
        assert_eq!(latest(&[NOW - 30, NOW - 20], found.into_iter(), NOW), [NOW - 30, NOW - 20, NOW - 5, NOW]);
        assert_eq!(latest(&[NOW - 30], std::iter::empty(), NOW), [NOW - 30], "nothing could be read");
    }

    #[test]
    fn what_is_too_old_to_matter_or_yet_to_come_is_left_out() {
        let edge = NOW - OLDEST_MS;
        assert_eq!(latest(&[edge - 1, edge], [NOW + 1].into_iter(), NOW), [edge]);
    }

    #[test]
    fn of_many_the_latest_are_kept() {
        let times = latest(&[], (0..1_000).map(|number| NOW - number), NOW);
        assert_eq!((times.len(), times.first(), times.last()), (MOST, Some(&(NOW - 199)), Some(&NOW)));
    }
}
