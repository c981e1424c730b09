//! The API server as the commands see it: every call has a time limit and an error for people.

use std::error::Error as _;
use std::fmt::Debug;
use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::arguments::Common;
use super::failure::Failure;
use super::text::clean;

/// A kind of ours as the commands use it.
pub(super) trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

impl<K> Kind for K where K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{}

/// What is wrong where no kubeconfig was named.
fn not_inferred(error: &InferConfigError) -> String {
    let of_file = error.source().and_then(|source| source.downcast_ref::<KubeconfigError>());
    of_file.map_or_else(|| error.to_string(), not_read)
}

/// What is wrong with a kubeconfig: of a file that is not there, what to do.
fn not_read(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(read, path) if read.kind() == ErrorKind::NotFound => {
            format!("{} does not exist; set KUBECONFIG or give --kubeconfig", path.display())
        }
        _ => error.to_string(),
    }
}

/// A connection, a namespace and a time limit.
pub(super) struct Cluster {
    client: Client,
    pub namespace: String,
    pub all_namespaces: bool,
    timeout: Option<Duration>,
}

impl Cluster {
    /// Reads the kubeconfig as kubectl does and connects at the first call.
    pub(super) async fn connect(common: &Common) -> Result<Self, Failure> {
        let options = KubeConfigOptions { context: common.context.clone(), ..KubeConfigOptions::default() };
        let config = match &common.kubeconfig {
            Some(path) => match Kubeconfig::read_from(path) {
                Ok(read) => Config::from_custom_kubeconfig(read, &options).await.map_err(|error| error.to_string()),
                Err(error) => Err(not_read(&error)),
            },
            None if common.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| error.to_string())
            }
            None => Config::infer().await.map_err(|error| not_inferred(&error)),
        };
        let mut config = config.map_err(|error| Failure::Other(format!("kubeconfig: {error}")))?;
        // One time limit, ours: it covers connecting, answering and kube's own retries, and has an exit code of its own.
        config.connect_timeout = None;
        let namespace = common.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| Failure::Other(format!("kubeconfig: {error}")))?;
        Ok(Self { client, namespace, all_namespaces: common.all_namespaces, timeout: common.request_timeout.0 })
    }

    /// ` in namespace x`, or nothing when all are asked.
    pub(super) fn place(&self) -> String {
        if self.all_namespaces { String::new() } else { format!(" in namespace {}", self.namespace) }
    }

    /// Every object of a kind; one that cannot be read is left out and said on stderr.
    pub(super) async fn list<K: Kind>(&self) -> Result<Vec<K>, Failure> {
        let api: Api<DeserializeGuard<K>> = if self.all_namespaces {
            Api::all(self.client.clone())
        } else {
            Api::namespaced(self.client.clone(), &self.namespace)
        };
        let plural = K::plural(&());
        let what = format!("cannot list {plural}");
        let needs = format!("Needed: the verb list on {plural}.dbmedic.io{} (role dbmedic-viewer).", self.place());
        let parameters = ListParams::default();
        let list = self.within(&what, &needs, api.list(&parameters)).await?;
        let mut objects = Vec::with_capacity(list.items.len());
        for object in list.items {
            match object.0 {
                Ok(object) => objects.push(object),
                Err(invalid) => {
                    let name = invalid.metadata.name.unwrap_or_default();
                    eprintln!("Warning: {plural} {} cannot be read: {}", clean(&name), clean(&invalid.error));
                }
            }
        }
        Ok(objects)
    }

    /// One object; `None` when there is none of that name.
    pub(super) async fn get<K: Kind>(&self, name: &str) -> Result<Option<K>, Failure> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let plural = K::plural(&());
        let what = format!("cannot get {plural} {name}");
        let needs = format!("Needed: the verb get on {plural}.dbmedic.io{} (role dbmedic-viewer).", self.place());
        self.within(&what, &needs, api.get_opt(name)).await
    }

    /// Creates an object.
    pub(super) async fn create<K: Kind + Serialize>(&self, object: &K, needs: &str) -> Result<K, Failure> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("cannot create {}", K::plural(&()));
        let parameters = PostParams::default();
        self.within(&what, needs, api.create(&parameters, object)).await
    }

    /// The name by which the API server knows the caller.
    pub(super) async fn who_am_i(&self) -> Result<String, Failure> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let (parameters, question) = (PostParams::default(), SelfSubjectReview::default());
        let needs = "Needed: the verb create on selfsubjectreviews.authentication.k8s.io (role system:basic-user).";
        let answer = self.within("cannot ask who you are", needs, api.create(&parameters, &question)).await?;
        let user = answer.status.and_then(|status| status.user_info).and_then(|user| user.username);
        user.filter(|name| !name.is_empty())
            .ok_or_else(|| Failure::Other("the API server does not know you".to_owned()))
    }

    async fn within<T>(
        &self,
        what: &str,
        needs: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let answer = match self.timeout {
            None => call.await,
            Some(after) => tokio::time::timeout(after, call)
                .await
                .map_err(|_| Failure::Timeout { what: what.to_owned(), after })?,
        };
        answer.map_err(|error| Failure::of_api(error, what, needs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named_and_what_to_do() {
        let common = Common { kubeconfig: Some("nowhere/config".into()), ..Common::default() };
        let failure = Cluster::connect(&common).await.err().map(|failure| failure.to_string());
        let said = "kubeconfig: nowhere/config does not exist; set KUBECONFIG or give --kubeconfig";
        assert_eq!(failure.as_deref(), Some(said));
    }
}
