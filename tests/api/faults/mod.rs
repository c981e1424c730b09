//! Bad input and faults: what is wrong is said where a person looks, and mended by itself when its cause is.

mod away;
mod credentials;
mod custom;
mod history;
mod hostile;
mod leaders;
mod objects;
mod quiet;
mod rights;
mod server;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dbmedic::api::{
    Anomaly, AnomalyRule, Baseline, IncidentState, Remediation, RemediationPolicy, RemediationState, conditions,
};
use dbmedic_test_support::shop::{OPERATOR, Operator, Options, POD, Shop};
use dbmedic_test_support::{ApiProxy, Cluster, eventually};
use kube::{Api, Client};
use serde_json::Value;

use super::world::{PATIENCE, learnt, list, programs};

/// A shop and the kinds in its namespace, seen by the administrator.
struct World {
    cluster: &'static Cluster,
    shop: Shop,
    client: Client,
    baselines: Api<Baseline>,
    rules: Api<AnomalyRule>,
    policies: Api<RemediationPolicy>,
    anomalies: Api<Anomaly>,
    remediations: Api<Remediation>,
}

impl World {
    /// A shop without history and without an operator.
    async fn open(options: Options) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let shop = Shop::open(cluster, programs(), options).await?;
        let client = cluster.client("admin").await?;
        let namespace = shop.namespace.clone();
        Ok(Self {
            cluster,
            shop,
            baselines: Api::namespaced(client.clone(), &namespace),
            rules: Api::namespaced(client.clone(), &namespace),
            policies: Api::namespaced(client.clone(), &namespace),
            anomalies: Api::namespaced(client.clone(), &namespace),
            remediations: Api::namespaced(client.clone(), &namespace),
            client,
        })
    }

    /// A shop for tests that need no load and no history.
    async fn small(replace: &[(&str, &str)]) -> Result<Self> {
        let replace = replace.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Self::open(Options { rows: 1000, replace, ..Options::default() }).await
    }

    async fn operator(&self) -> Result<Operator> {
        let operator = self.shop.start_operator(self.cluster).await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// An operator whose every request to the API server passes a proxy.
    async fn operator_behind_a_proxy(&self) -> Result<(ApiProxy, Operator)> {
        let proxy = ApiProxy::start(self.cluster).await?;
        let token = self.cluster.service_account_token(OPERATOR.0, OPERATOR.1).await?;
        let operator = self.shop.start_operator_with(proxy.kubeconfig(&token)?, "operator-0")?;
        operator.ready().await?;
        Ok((proxy, operator))
    }

    /// Applies YAML in the shop's namespace.
    async fn apply(&self, text: &str) -> Result<()> {
        self.cluster.apply_yaml(text, &self.shop.namespace).await
    }

    /// Applies one of the quickstart's files, changed.
    async fn apply_example(&self, file: &str, replace: &[(&str, &str)]) -> Result<()> {
        let mut text = self.shop.examples()?.remove(file).with_context(|| file.to_owned())?;
        for (from, to) in replace {
            ensure!(text.contains(from), "{file} does not contain {from:?}");
            text = text.replace(from, to);
        }
        self.apply(&text).await
    }

    /// Waits until a condition has this status, and `parts` are in its reason and message together. What is said is said
    /// of the object as it is: kstatus and `kubectl wait` go by the observed generation.
    async fn says<K>(&self, api: &Api<K>, name: &str, type_: &str, status: &str, parts: &[&str]) -> Result<String>
    where
        K: Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        let mut last = Value::Null;
        let mut generations = (Value::Null, Value::Null);
        eventually(PATIENCE, format!("{name}: {type_}={status} with {parts:?}"), async || {
            let object = serde_json::to_value(api.get_opt(name).await?)?;
            last = object["status"]["conditions"].clone();
            generations = (object["status"]["observedGeneration"].clone(), object["metadata"]["generation"].clone());
            let found = last.as_array().into_iter().flatten().find(|condition| condition["type"] == type_);
            let words = found.filter(|condition| condition["status"] == status).map(|condition| {
                let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                format!("{}: {}", text("reason"), text("message"))
            });
            // Said of an earlier generation it is not said yet.
            let words = words.filter(|_| generations.0 == generations.1);
            Ok(words.filter(|words| parts.iter().all(|part| words.contains(part))))
        })
        .await
        .with_context(|| format!("(observed generation, generation): {generations:?}"))
        .with_context(|| format!("conditions: {last:#}\n{}", self.log()))
    }

    /// Waits until the quickstart's Baseline works and has learnt from the imported history.
    async fn learnt(&self) -> Result<()> {
        learnt(&self.baselines).await.with_context(|| self.log())
    }

    /// Waits until a rule says this of the database pod.
    async fn rule_is(&self, rule: &str, wanted: IncidentState) -> Result<()> {
        eventually(PATIENCE, format!("rule {rule} is {wanted:?}"), async || {
            let status = self.rules.get(rule).await?.status.unwrap_or_default();
            Ok(status.targets.iter().any(|target| target.pod == POD && target.state == wanted).then_some(()))
        })
        .await
        .with_context(|| self.log())
    }

    /// Waits until an Anomaly is open, and returns the only one.
    async fn one_anomaly(&self) -> Result<Anomaly> {
        let anomaly = eventually(PATIENCE, "an Anomaly", async || Ok(list(&self.anomalies).await?.pop()))
            .await
            .with_context(|| self.log())?;
        ensure!(list(&self.anomalies).await?.len() == 1, "more than one Anomaly");
        Ok(anomaly)
    }

    /// Waits until the only Remediation has succeeded.
    async fn fixed(&self) -> Result<Remediation> {
        let done = eventually(PATIENCE * 2, "a Remediation has succeeded", async || {
            let all = list(&self.remediations).await?;
            let succeeded = |one: &Remediation| {
                one.status.as_ref().and_then(|status| status.state) == Some(RemediationState::Succeeded)
            };
            Ok(all.into_iter().find(succeeded))
        })
        .await;
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                for anomaly in list(&self.anomalies).await? {
                    eprintln!("{}", serde_json::to_string_pretty(&anomaly)?);
                }
                for one in list(&self.remediations).await? {
                    eprintln!("{}", serde_json::to_string_pretty(&one)?);
                }
                return Err(error).with_context(|| self.log());
            }
        };
        ensure!(list(&self.remediations).await?.len() == 1, "one fault, one change");
        Ok(done)
    }

    /// Fails when there is any Anomaly.
    async fn no_anomaly(&self) -> Result<bool> {
        let found = list(&self.anomalies).await?;
        for anomaly in &found {
            eprintln!("{}", serde_json::to_string_pretty(anomaly)?);
        }
        Ok(found.is_empty())
    }

    /// The history of the quickstart's database as CSV; the operator must not run.
    async fn exported(&self) -> Result<Vec<csv::StringRecord>> {
        let output = tokio::process::Command::new(programs().join("dbmedic"))
            .args(["history", "export", "--pod", POD, "--baseline", &format!("{}/orders", self.shop.namespace)])
            .arg("--data-dir")
            .arg(self.shop.data_directory())
            .output()
            .await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(output.stdout.as_slice());
        Ok(reader.records().collect::<Result<_, _>>()?)
    }

    /// The operator's log, for an error message.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.shop.operator_log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

/// A rule over a limit, without any remedy.
fn limit_rule(name: &str, metric: &str, side: &str, limit: &str) -> String {
    format!(
        "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: {name}}}\nspec:\n  baselineRef: {{name: \
         orders}}\n  detect: {{metric: {metric}, limit: {{{side}: {limit}}}}}\n  for: 1s\n"
    )
}

/// Ends an operator as a kubelet would.
async fn stop(operator: Operator) -> Result<()> {
    operator.process.signal(dbmedic_test_support::Signal::SIGTERM);
    let ended = operator.process.wait(Duration::from_secs(20)).await?;
    ensure!(ended.success(), "the operator ended with {ended}");
    Ok(())
}

/// A condition's status.
fn status_of(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition], type_: &str) -> String {
    conditions::find(conditions, type_).map(|condition| condition.status.clone()).unwrap_or_default()
}
