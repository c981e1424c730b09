//! Applying YAML as a person with kubectl would.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use serde_json::Value;

use crate::eventually::eventually;

const PATIENCE: Duration = Duration::from_secs(30);

pub async fn path(client: &Client, path: &Path, namespace: &str) -> Result<()> {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        files = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
    }
    for file in files {
        let content = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        text(client, &content, namespace).await.with_context(|| format!("applying {}", file.display()))?;
    }
    Ok(())
}

pub async fn text(client: &Client, text: &str, namespace: &str) -> Result<()> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("reading YAML")?;
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let kind = document["kind"].as_str().unwrap_or("(no kind)").to_owned();
        let name = document["metadata"]["name"].as_str().unwrap_or("(no name)").to_owned();
        one(client, document, namespace).await.with_context(|| format!("applying {kind} {name}"))?;
    }
    Ok(())
}

async fn one(client: &Client, document: Value, namespace: &str) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(document)?;
    let types = object.types.as_ref().context("apiVersion and kind are missing")?;
    let kind = GroupVersionKind::try_from(types)?;
    // A kind that was just defined takes a moment until discovery shows it.
    let (resource, capabilities) = eventually(PATIENCE, format!("the API server to know {}", kind.kind), async || {
        Ok(pinned_kind(client, &kind).await.ok())
    })
    .await?;
    let Some(name) = object.metadata.name.clone() else { bail!("metadata.name is missing") };
    let api: Api<DynamicObject> = if capabilities.scope == Scope::Cluster {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), object.metadata.namespace.as_deref().unwrap_or(namespace), &resource)
    };
    let mut parameters = PatchParams::apply("dbmedic-tests").force();
    parameters.field_validation = Some(ValidationDirective::Strict);
    api.patch(&name, &parameters, &Patch::Apply(&object)).await?;
    if kind.kind == "CustomResourceDefinition" {
        await_established(client, &name).await?;
    }
    Ok(())
}

async fn await_established(client: &Client, name: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    eventually(PATIENCE, format!("{name} to be established"), async || {
        let conditions = definitions.get(name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
        let established = conditions.iter().any(|found| found.type_ == "Established" && found.status == "True");
        Ok(established.then_some(()))
    })
    .await
}
