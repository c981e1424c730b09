//! Series from the operator's own history. Reads only: a running operator goes on beside it.

use std::path::PathBuf;

use super::error::listed;
use super::{Column, SeriesError, Table, TimestampFormat, unit_of};
use crate::history::{FILE, HistoryError, Store};
use crate::measure::TargetKey;

/// Which series of which history.
#[derive(Clone, Debug)]
pub struct HistoryChoice {
    /// Folder of the history.
    pub data_dir: PathBuf,
    /// Namespace of the Baseline; any, when it is left out and the name is found in one only.
    pub namespace: Option<String>,
    /// Name of the Baseline.
    pub baseline: String,
    /// Name of the pod; it may be left out when the Baseline has one only.
    pub pod: Option<String>,
    /// Name of the metric; all of them when left out.
    pub metric: Option<String>,
}

/// Reads the operator's own history of one database.
///
/// # Errors
/// [`SeriesError::History`]: no history there, an unknown Baseline, pod or metric (lists those that there are), a file
/// that is damaged or not ours.
pub async fn read_history(choice: &HistoryChoice) -> Result<Table, SeriesError> {
    let data_dir = |message: String| SeriesError::History { flag: "--data-dir", message };
    let path = choice.data_dir.join(FILE);
    if !path.is_file() {
        return Err(data_dir(format!("found no {FILE} in {}", choice.data_dir.display())));
    }
    if path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Err(data_dir(format!("{} is empty: it holds no history", path.display())));
    }
    let failed = |error: HistoryError| {
        data_dir(match error {
            HistoryError::Unwritable(message) => format!("{} cannot be read: {message}", path.display()),
            HistoryError::Corrupt(message) => format!("{} is damaged: {message}", path.display()),
            other => other.to_string(),
        })
    };
    let store = Store::open_read_only(&path).await.map_err(failed)?;
    let found = read(&store, choice).await;
    store.close().await;
    found.map_err(failed)?
}

async fn read(store: &Store, choice: &HistoryChoice) -> Result<Result<Table, SeriesError>, HistoryError> {
    let key = match chosen(&store.targets().await?, choice) {
        Ok(key) => key,
        Err(error) => return Ok(Err(error)),
    };
    let there = store.metrics(&key).await?;
    let metrics: Vec<&str> = there
        .iter()
        .map(String::as_str)
        .filter(|name| choice.metric.as_deref().is_none_or(|one| one == *name))
        .collect();
    if metrics.is_empty() {
        let found = choice.metric.as_deref().unwrap_or("no metric");
        let message = format!("found {found}, allowed: {}", listed(there.iter().map(String::as_str)));
        return Ok(Err(SeriesError::History { flag: "--metric", message }));
    }
    let (at, values) = store.read_rounds(&key, &metrics, i64::MIN, i64::MAX).await?;
    let columns = metrics.iter().zip(values).map(|(name, values)| Column {
        name: (*name).to_owned(),
        unit: unit_of(name).to_owned(),
        values: values.into_iter().map(f64::from).collect(),
    });
    Ok(Ok(Table { format: TimestampFormat::default(), at, columns: columns.collect(), passed_over: 0 }))
}

/// The one target that was meant.
fn chosen(targets: &[TargetKey], choice: &HistoryChoice) -> Result<TargetKey, SeriesError> {
    let of_baseline = |key: &&TargetKey| {
        key.baseline == choice.baseline && choice.namespace.as_ref().is_none_or(|namespace| key.namespace == *namespace)
    };
    let baselines: Vec<&TargetKey> = targets.iter().filter(of_baseline).collect();
    let mut names: Vec<String> = Vec::new();
    for key in if baselines.is_empty() { targets.iter().collect() } else { baselines.clone() } {
        let name = format!("{}/{}", key.namespace, key.baseline);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if baselines.is_empty() || names.len() > 1 {
        let namespace = choice.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let message =
            format!("found {namespace}{}, allowed: {}", choice.baseline, listed(names.iter().map(String::as_str)));
        return Err(SeriesError::History { flag: "--baseline", message });
    }
    let meant: Vec<&&TargetKey> =
        baselines.iter().filter(|key| choice.pod.as_ref().is_none_or(|pod| key.pod == *pod)).collect();
    match meant.as_slice() {
        [one] => Ok((**one).clone()),
        _ => {
            let found = choice.pod.as_deref().unwrap_or("none");
            let message = format!("found {found}, allowed: {}", listed(baselines.iter().map(|key| key.pod.as_str())));
            Err(SeriesError::History { flag: "--pod", message })
        }
    }
}
