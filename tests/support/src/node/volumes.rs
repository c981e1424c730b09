//! The volumes of a pod as directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccount, Volume};
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::environment::{config_map, field, secret};
use crate::cluster::service_account_token;

type Files = BTreeMap<String, Vec<u8>>;

/// Fills a directory with what a volume shows.
///
/// # Errors
/// Something that it refers to is missing, or it is of a kind that the node does not know.
pub async fn fill(client: &Client, pod: &Pod, volume: &Volume, directory: &Path) -> Result<()> {
    let content = content(client, pod, volume).await.with_context(|| format!("volume {}", volume.name))?;
    fs::create_dir_all(directory)?;
    for (name, bytes) in content {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, bytes)?;
    }
    Ok(())
}

async fn content(client: &Client, pod: &Pod, volume: &Volume) -> Result<Files> {
    let namespace = pod.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        return chosen(secret(&secrets, name, source.optional).await?, source.items.as_deref());
    }
    if let Some(source) = &volume.config_map {
        return chosen(config_map(&maps, &source.name, source.optional).await?, source.items.as_deref());
    }
    if let Some(source) = &volume.downward_api {
        return fields(pod, source.items.as_deref());
    }
    if volume.empty_dir.is_some() {
        return Ok(Files::new());
    }
    let Some(projected) = &volume.projected else {
        bail!("the node knows secret, configMap, downwardAPI, emptyDir and projected volumes only");
    };
    let mut all = Files::new();
    for source in projected.sources.iter().flatten() {
        if let Some(source) = &source.secret {
            all.extend(chosen(secret(&secrets, &source.name, source.optional).await?, source.items.as_deref())?);
        }
        if let Some(source) = &source.config_map {
            all.extend(chosen(config_map(&maps, &source.name, source.optional).await?, source.items.as_deref())?);
        }
        if let Some(source) = &source.downward_api {
            all.extend(fields(pod, source.items.as_deref())?);
        }
        if let Some(source) = &source.service_account_token {
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
            let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
            let token = service_account_token(&accounts, account.unwrap_or("default")).await?;
            all.insert(source.path.clone(), token.into_bytes());
        }
    }
    Ok(all)
}

fn chosen(mut found: Files, items: Option<&[KeyToPath]>) -> Result<Files> {
    let Some(items) = items else { return Ok(found) };
    let pick = |item: &KeyToPath| {
        let value = found.remove(&item.key).with_context(|| format!("there is no key {}", item.key))?;
        Ok((item.path.clone(), value))
    };
    items.iter().map(pick).collect()
}

fn fields(pod: &Pod, items: Option<&[DownwardAPIVolumeFile]>) -> Result<Files> {
    let value = |item: &DownwardAPIVolumeFile| {
        let reference = item.field_ref.as_ref().context("the node knows fieldRef only")?;
        Ok((item.path.clone(), field(pod, &reference.field_path)?.into_bytes()))
    };
    items.unwrap_or_default().iter().map(value).collect()
}
