//! The environment and arguments of a container: where values come from, `$(NAME)`, and mount paths.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};
use kube::api::Api;
use kube::{Client, ResourceExt as _};

/// Mount paths and the directories that stand for them.
pub type Mounts = Vec<(String, String)>;

/// The environment of a container, in order; later values of a name replace earlier ones.
pub async fn of_container(client: &Client, pod: &Pod, container: &Container) -> Result<BTreeMap<String, String>> {
    let namespace = pod.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let mut found = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.clone().unwrap_or_default();
        if let Some(reference) = &source.secret_ref {
            for (name, value) in secret(&secrets, &reference.name, reference.optional).await? {
                found.insert(format!("{prefix}{name}"), String::from_utf8(value)?);
            }
        }
        if let Some(reference) = &source.config_map_ref {
            for (name, value) in config_map(&maps, &reference.name, reference.optional).await? {
                found.insert(format!("{prefix}{name}"), String::from_utf8(value)?);
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = if let Some(source) = &variable.value_from {
            from_source(&secrets, &maps, pod, source).await.with_context(|| format!("env {}", variable.name))?
        } else {
            Some(expand(variable.value.as_deref().unwrap_or_default(), &found))
        };
        if let Some(value) = value {
            found.insert(variable.name.clone(), value);
        }
    }
    Ok(found)
}

async fn from_source(
    secrets: &Api<Secret>,
    maps: &Api<ConfigMap>,
    pod: &Pod,
    source: &EnvVarSource,
) -> Result<Option<String>> {
    let (mut values, key, optional) = if let Some(reference) = &source.secret_key_ref {
        (secret(secrets, &reference.name, reference.optional).await?, &reference.key, reference.optional)
    } else if let Some(reference) = &source.config_map_key_ref {
        (config_map(maps, &reference.name, reference.optional).await?, &reference.key, reference.optional)
    } else if let Some(reference) = &source.field_ref {
        return field(pod, &reference.field_path).map(Some);
    } else {
        bail!("the node knows secretKeyRef, configMapKeyRef and fieldRef only");
    };
    match values.remove(key) {
        Some(value) => Ok(Some(String::from_utf8(value)?)),
        None if optional == Some(true) => Ok(None),
        None => bail!("there is no key {key}"),
    }
}

/// The content of a Secret; nothing if it is missing and optional.
pub async fn secret(api: &Api<Secret>, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, Vec<u8>>> {
    let Some(found) = api.get_opt(name).await? else {
        return missing("Secret", name, optional);
    };
    Ok(found.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// The content of a ConfigMap; nothing if it is missing and optional.
pub async fn config_map(api: &Api<ConfigMap>, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, Vec<u8>>> {
    let Some(found) = api.get_opt(name).await? else {
        return missing("ConfigMap", name, optional);
    };
    let texts = found.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    let binary = found.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    Ok(texts.chain(binary).collect())
}

fn missing(kind: &str, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, Vec<u8>>> {
    if optional == Some(true) {
        return Ok(BTreeMap::new());
    }
    bail!("there is no {kind} {name}")
}

/// A field of the pod, as the downward API names it.
pub fn field(pod: &Pod, path: &str) -> Result<String> {
    let lines = |values: &BTreeMap<String, String>| {
        values.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
    };
    let keyed = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.strip_suffix("']"));
    if let Some(key) = keyed("metadata.labels['") {
        return Ok(pod.labels().get(key).cloned().unwrap_or_default());
    }
    if let Some(key) = keyed("metadata.annotations['") {
        return Ok(pod.annotations().get(key).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "metadata.labels" => lines(pod.labels()),
        "metadata.annotations" => lines(pod.annotations()),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default(),
        "status.podIP" | "status.hostIP" => "127.0.0.1".to_owned(),
        _ => bail!("the node does not know the field {path}"),
    })
}

/// Replaces `$(NAME)` by the variable's value; an unknown name stays as it is, and `$$` is a dollar sign.
pub fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(place) = rest.find('$') {
        out.push_str(&rest[..place]);
        rest = &rest[place..];
        let reference = rest.strip_prefix("$(").and_then(|after| after.split_once(')'));
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((value, after)) = reference.and_then(|(name, after)| Some((variables.get(name)?, after))) {
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Replaces mount paths by the directories that stand for them, wherever they occur as whole paths.
pub fn relocate(text: &str, mounts: &Mounts) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before = None;
    while let Some(next) = rest.chars().next() {
        let mount = mounts.iter().filter(|(path, _)| is_at(rest, path)).max_by_key(|(path, _)| path.len());
        match mount {
            Some((path, directory)) if !before.is_some_and(|before: char| part_of_path(before)) => {
                out.push_str(directory);
                rest = &rest[path.len()..];
                before = path.chars().last();
            }
            _ => {
                out.push(next);
                rest = &rest[next.len_utf8()..];
                before = Some(next);
            }
        }
    }
    out
}

fn is_at(text: &str, path: &str) -> bool {
    text.strip_prefix(path).is_some_and(|after| !after.starts_with(|next| next != '/' && part_of_path(next)))
}

fn part_of_path(character: char) -> bool {
    character.is_alphanumeric() || "/._-".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_expanded_and_unknown_ones_stay() {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expand("$(A) $(B) $$(A) $ $(A", &variables), "1 $(B) $(A) $ $(A");
    }

    #[test]
    fn mount_paths_are_replaced_only_as_whole_paths() {
        let mounts = vec![
            ("/credentials".to_owned(), "/new/c".to_owned()),
            ("/credentials/extra".to_owned(), "/new/x".to_owned()),
        ];
        assert_eq!(relocate("--dir=/credentials", &mounts), "--dir=/new/c");
        assert_eq!(relocate("/credentials/password:/credentials", &mounts), "/new/c/password:/new/c");
        assert_eq!(relocate("/credentials/extra/a", &mounts), "/new/x/a");
        assert_eq!(relocate("/credentials2 /old/credentials", &mounts), "/credentials2 /old/credentials");
    }
}
