//! The generated kinds on a real API server, and how kubectl shows them.

use anyhow::{Context, Result, ensure};
use dbmedic::api::crds;
use dbmedic_test_support::Cluster;

/// Short names, and the columns that people see.
const COLUMNS: [(&str, &[&str]); 7] = [
    ("bl", &["NAME", "READY", "DATABASES", "CONFIDENCE", "LEARNING", "ANOMALOUS", "AGE"]),
    ("ar", &["NAME", "METRIC", "SEVERITY", "READY", "OPEN", "AGE"]),
    ("ae", &["NAME", "BASELINE", "EFFECT", "ACTIVE", "FROM", "TO", "READY", "AGE"]),
    ("rp", &["NAME", "MODE", "AUTO-UP-TO", "CAN-FIX", "FIXES-1H", "SUCCESS", "AGE"]),
    ("an", &["NAME", "STATE", "SEVERITY", "METRIC", "DATABASE", "DEVIATION", "CAUSE", "SINCE"]),
    ("rem", &["NAME", "STATE", "ACTION", "RISK", "DATABASE", "REASON", "AGE"]),
    ("ra", &["NAME", "REMEDIATION", "DECISION", "BY", "AGE"]),
];

#[tokio::test]
async fn every_generated_kind_is_accepted_and_can_be_listed() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("kinds").await?;
    for (file, definition) in crds::all() {
        cluster.apply_yaml(&serde_json::to_string(&definition)?, &namespace).await?;
        let plural = format!("{}.{}", definition.spec.names.plural, definition.spec.group);
        get(cluster, &namespace, &plural).await.context(file)?;
    }
    let short = COLUMNS.map(|(short, _)| short).join(",");
    get(cluster, &namespace, &short).await?;
    get(cluster, &namespace, "dbmedic").await?;
    Ok(())
}

/// Each kind's objects are shown with its columns, and none of them is empty.
pub async fn are_shown(cluster: &Cluster, namespace: &str) -> Result<()> {
    for (short, columns) in COLUMNS {
        let shown = get(cluster, namespace, short).await?;
        let mut lines = shown.lines();
        let headers = lines.next().context("nothing is shown")?;
        ensure!(headers.split_whitespace().eq(columns.iter().copied()), "{short}: {headers}");
        let line = lines.next().with_context(|| format!("{short}: no object"))?;
        let begins: Vec<usize> = columns.iter().filter_map(|column| headers.find(column)).collect();
        for (place, column) in columns.iter().enumerate() {
            let end = begins.get(place + 1).copied().unwrap_or(line.len());
            let cell = line.get(begins[place]..end).with_context(|| format!("{short}: {column}: {line}"))?.trim();
            ensure!(!cell.is_empty() && cell != "<none>" && cell != "<unknown>", "{short}: no {column}:\n{shown}");
        }
    }
    let all = get(cluster, namespace, "dbmedic").await?;
    let watched = ["baseline", "anomalyrule", "anomalyexception", "remediationpolicy"];
    for kind in watched.into_iter().chain(["anomaly", "remediation", "remediationapproval"]) {
        ensure!(all.contains(&format!("{kind}.dbmedic.io/")), "{kind} is not in the category:\n{all}");
    }
    Ok(())
}

async fn get(cluster: &Cluster, namespace: &str, what: &str) -> Result<String> {
    let got = cluster.kubectl("admin", &["get", what, "-n", namespace]).await?;
    ensure!(got.status.success(), "{what}: {}", String::from_utf8_lossy(&got.stderr));
    Ok(String::from_utf8(got.stdout)?)
}
