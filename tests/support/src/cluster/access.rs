//! Who may use a cluster and how: kubeconfigs, tokens, roles.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{AuthInfo, Kubeconfig};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::scratch::{random_text, write_private};

/// A kubeconfig (JSON, which is YAML) for a server that is known by `authority`.
pub fn kubeconfig(url: &str, authority: &Path, token: &str) -> String {
    named(&json!({"server": url, "certificate-authority": authority}), token)
}

/// A kubeconfig for a server without TLS.
pub fn plain_kubeconfig(url: &str, token: &str) -> String {
    named(&json!({"server": url}), token)
}

fn named(cluster: &serde_json::Value, token: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
    })
    .to_string()
}

/// The same cluster as another kubeconfig's current context, with a token.
pub fn with_token(given: &Path, token: &str) -> Result<String> {
    let mut config = current(given)?;
    for user in &mut config.auth_infos {
        user.auth_info = Some(AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() });
    }
    Ok(serde_json::to_string(&config)?)
}

/// Writes a kubeconfig that acts as `user` by the rights of the given one.
pub fn impersonating(given: &Path, user: &str, directory: &Path) -> Result<PathBuf> {
    let mut config = current(given)?;
    for entry in &mut config.auth_infos {
        if let Some(rights) = &mut entry.auth_info
            && user != "admin"
        {
            rights.impersonate = Some(user.to_owned());
        }
    }
    let path = directory.join(format!("{user}.kubeconfig"));
    write_private(&path, serde_json::to_string(&config)?)?;
    Ok(path)
}

/// A kubeconfig reduced to its current context, so that nobody else's rights are in it.
fn current(given: &Path) -> Result<Kubeconfig> {
    let mut config = Kubeconfig::read_from(given).with_context(|| format!("reading {}", given.display()))?;
    let name = config.current_context.clone().context("the kubeconfig has no current-context")?;
    config.contexts.retain(|context| context.name == name);
    let context = config.contexts.first().and_then(|context| context.context.clone());
    let context = context.with_context(|| format!("the kubeconfig has no context {name}"))?;
    config.clusters.retain(|cluster| cluster.name == context.cluster);
    config.auth_infos.retain(|user| Some(&user.name) == context.user.as_ref());
    Ok(config)
}

/// A token of a service account, made if it does not exist.
pub async fn token(accounts: &Api<ServiceAccount>, name: &str) -> Result<String> {
    if accounts.get_opt(name).await?.is_none() {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        accounts.create(&PostParams::default(), &account).await?;
    }
    let spec = TokenRequestSpec { expiration_seconds: Some(86_400), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made: TokenRequest = accounts.create_subresource("token", name, &PostParams::default(), &request).await?;
    Ok(made.status.context("the API server made no token")?.token)
}

/// Lets a user or service account use `verbs` on `resources` of `group` in a namespace.
pub async fn grant(
    client: Client,
    namespace: &str,
    user: &str,
    group: &str,
    resources: &[&str],
    verbs: &[&str],
) -> Result<()> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let metadata = ObjectMeta { name: Some(format!("grant-{}", &random_text()?[..8])), ..ObjectMeta::default() };
    let rule = PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    };
    let role = Role { metadata: metadata.clone(), rules: Some(vec![rule]) };
    let role = Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &role).await?;
    let binding = RoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: role.name_any(),
        },
        subjects: Some(vec![subject(user)]),
    };
    Api::namespaced(client, namespace).create(&PostParams::default(), &binding).await?;
    Ok(())
}

fn subject(user: &str) -> Subject {
    let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
    if let Some((namespace, name)) = account {
        return Subject {
            kind: "ServiceAccount".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
            api_group: None,
        };
    }
    Subject {
        kind: "User".to_owned(),
        name: user.to_owned(),
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        namespace: None,
    }
}
