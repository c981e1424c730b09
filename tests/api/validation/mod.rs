//! What the API server refuses by schema and CEL, kind by kind: one accepted object, changed at one place at a time.

mod exceptions;
mod immutable;
mod policies;
mod watched;
pub mod written;

use anyhow::{Result, ensure};
use dbmedic_test_support::{Cluster, shop};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use serde_json::{Map, Value, json};

/// Where, what (null removes), and a part of the refusal; empty means that it is accepted.
pub type Case = (&'static str, Value, &'static str);

/// A value of another type; server-side apply and the schema say it differently.
pub const TYPE: &str = "must be of type";

/// The resource of a kind of ours.
pub fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("dbmedic.io", "v1alpha1", kind), plural)
}

/// An object with this spec.
pub fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "dbmedic.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Applies an object strictly, as a dry run if wanted; the refusal's text if there is one.
pub async fn refusal(api: &Api<DynamicObject>, object: &Value, dry_run: bool) -> Result<Option<String>> {
    let mut parameters = PatchParams::apply("validation").force();
    parameters.dry_run = dry_run;
    parameters.field_validation = Some(ValidationDirective::Strict);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match api.patch(name, &parameters, &Patch::Apply(object)).await {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Sets a place of an object, making what is on the way; null removes it.
pub fn put(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let mut place = object;
    for part in parent.split('/').skip(1) {
        place = match part.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[part],
        };
    }
    if place.is_null() {
        *place = Value::Object(Map::new());
    }
    match (place, name.parse::<usize>()) {
        (Value::Array(list), Ok(index)) => list[index] = value.clone(),
        (Value::Object(members), _) if value.is_null() => drop(members.remove(name)),
        (place, _) => place[name] = value.clone(),
    }
}

/// Tries the spec itself and every change of it.
pub async fn check(
    client: Client,
    namespace: &str,
    kind: &str,
    plural: &str,
    spec: &Value,
    cases: &[Case],
) -> Result<()> {
    let api = Api::namespaced_with(client, namespace, &resource(kind, plural));
    let mut wrong = Vec::new();
    let unchanged: Case = ("", Value::Null, "");
    for (pointer, value, expected) in std::iter::once(&unchanged).chain(cases) {
        let mut object = object(kind, "case", spec);
        if !pointer.is_empty() {
            put(&mut object, pointer, value);
        }
        let refused = refusal(&api, &object, true).await?;
        let right = match &refused {
            None => expected.is_empty(),
            Some(message) if *expected == TYPE => message.contains(TYPE) || message.contains(": expected "),
            Some(message) => !expected.is_empty() && message.contains(expected),
        };
        if !right {
            wrong.push(format!("{pointer} = {value}: expected {expected:?}, found {refused:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{kind}: {} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}

/// The operator's account, here also with the right to change what it may only create: so that the schema answers, and
/// not the right that it lacks.
pub async fn author(cluster: &Cluster, namespace: &str) -> Result<Client> {
    let user = format!("system:serviceaccount:{}:{}", shop::OPERATOR.0, shop::OPERATOR.1);
    cluster.grant(namespace, &user, "dbmedic.io", &["anomalies", "remediations"], &["patch"]).await?;
    cluster.service_account_client(shop::OPERATOR.0, shop::OPERATOR.1).await
}
