//! What a Baseline's world looks like: pods, Secret, other Baselines, what the engine sees.

use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use kube::{Api, ResourceExt};
use secrecy::SecretString;

use crate::api::Baseline;
use crate::controllers::{Context, Error, call};
use crate::engine::{BaselineKey, TargetView};
use crate::history::Health;
use crate::measure::TargetKey;

/// A pod that the selector matches.
#[derive(Clone, Debug)]
pub struct SeenPod {
    pub name: String,
    /// Its address; none while it is not running.
    pub address: Option<String>,
    /// Older Baselines that select it with the same port.
    pub claimed_by: Option<String>,
}

/// The Secret with the credentials.
pub enum Credentials {
    Found { username: String, password: SecretString, ca: Option<Vec<u8>> },
    Wrong(String),
}

/// Everything that is decided from.
pub struct Observed {
    /// `Err`: the selector itself cannot be used.
    pub pods: Result<Vec<SeenPod>, String>,
    pub credentials: Credentials,
    pub targets: Vec<(TargetKey, TargetView)>,
    pub history: Health,
    pub open_anomalies: usize,
}

pub async fn observe(baseline: &Baseline, context: &Context) -> Result<Observed, Error> {
    let namespace = baseline.namespace().unwrap_or_default();
    Ok(Observed {
        pods: pods(baseline, context),
        credentials: credentials(baseline, &namespace, context).await?,
        targets: context.engine.targets_of(&BaselineKey { namespace, name: baseline.name_any() }),
        history: context.engine.history_health(),
        open_anomalies: open_anomalies(baseline, context),
    })
}

fn pods(baseline: &Baseline, context: &Context) -> Result<Vec<SeenPod>, String> {
    let selector = selector(&baseline.spec.pods.selector)?;
    let others: Vec<(String, Selector)> = context
        .stores
        .baselines
        .state()
        .iter()
        .filter(|other| {
            other.namespace() == baseline.namespace()
                && other.name_any() != baseline.name_any()
                && other.spec.pods.port == baseline.spec.pods.port
                && is_older(other, baseline)
        })
        .filter_map(|other| Some((other.name_any(), self::selector(&other.spec.pods.selector).ok()?)))
        .collect();
    let mut pods: Vec<SeenPod> = context
        .stores
        .pods
        .state()
        .iter()
        .filter(|pod| pod.namespace() == baseline.namespace() && selector.matches(pod.labels()))
        .map(|pod| SeenPod {
            name: pod.name_any(),
            address: address(pod),
            claimed_by: others.iter().find(|(_, other)| other.matches(pod.labels())).map(|(name, _)| name.clone()),
        })
        .collect();
    pods.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(pods)
}

fn selector(selector: &LabelSelector) -> Result<Selector, String> {
    let empty = selector.match_labels.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    if empty {
        return Err("pods.selector: found an empty selector, which would match every pod; allowed is at least one label or expression".into());
    }
    Selector::try_from(selector.clone()).map_err(|error| format!("pods.selector: found a selector that cannot be used ({error}); allowed are matchLabels and matchExpressions with operators In, NotIn, Exists, DoesNotExist"))
}

fn is_older(other: &Baseline, this: &Baseline) -> bool {
    let age =
        |baseline: &Baseline| (baseline.metadata.creation_timestamp.clone().map(|time| time.0), baseline.name_any());
    age(other) < age(this)
}

fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    (status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none())
        .then(|| status.pod_ip.clone().filter(|address| !address.is_empty()))
        .flatten()
}

async fn credentials(baseline: &Baseline, namespace: &str, context: &Context) -> Result<Credentials, Error> {
    let name = &baseline.spec.connection.secret_ref.name;
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let field = "connection.secretRef.name";
    let secret = match call("read the monitor's Secret", api.get_opt(name)).await {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            return Ok(Credentials::Wrong(format!(
                "{field}: found {name:?}, which does not exist in namespace {namespace}; allowed is a Secret with the keys username and password"
            )));
        }
        Err(Error::Api { source, .. }) if matches!(source.as_ref(), kube::Error::Api(status) if status.is_forbidden()) =>
        {
            return Ok(Credentials::Wrong(format!(
                "{field}: the operator may not read Secret {name:?}; allow its service account to get it (a Role with resourceNames: [{name}])"
            )));
        }
        Err(error) => return Err(error),
    };
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| {
        data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).filter(|text| !text.is_empty())
    };
    Ok(match (text("username"), text("password")) {
        (Some(username), Some(password)) => Credentials::Found {
            username,
            password: SecretString::from(password),
            ca: data.get("ca.crt").map(|bytes| bytes.0.clone()),
        },
        (username, _) => {
            let missing = if username.is_none() { "username" } else { "password" };
            let found: Vec<&str> = data.keys().map(String::as_str).collect();
            Credentials::Wrong(format!(
                "{field}: Secret {name:?} lacks the key {missing}; found the keys [{}], allowed are username, password and ca.crt",
                found.join(", ")
            ))
        }
    })
}

fn open_anomalies(baseline: &Baseline, context: &Context) -> usize {
    context
        .stores
        .anomalies
        .state()
        .iter()
        .filter(|anomaly| {
            anomaly.namespace() == baseline.namespace()
                && anomaly.spec.baseline_ref.name == baseline.name_any()
                && anomaly.status.as_ref().is_none_or(|status| status.resolved_at.is_none())
        })
        .count()
}
