//! Status writes: only on a change, server-side apply, one field manager per controller.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Error, call};

/// Applies a status under the field manager of its controller.
///
/// With `resource_version` the write is refused when the object changed since it was read.
///
/// # Errors
/// [`Error`] when the API server refuses or does not answer.
pub async fn apply<K>(
    api: &Api<K>,
    name: &str,
    manager: &'static str,
    resource_version: Option<&str>,
    status: &impl Serialize,
) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": name },
        "status": status,
    });
    if let Some(version) = resource_version {
        body["metadata"]["resourceVersion"] = Value::from(version);
    }
    call("write the status", api.patch_status(name, &PatchParams::apply(manager).force(), &Patch::Apply(&body))).await
}
