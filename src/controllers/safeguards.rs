//! What has to stand before any fix: the approval gate, the job-shape gate and the budget ledger, read live.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, call};
use crate::gate;
use crate::heal::budget::Reservation;

/// Name of the ledger, a ConfigMap in the operator's namespace: outside of everything that a fix or a user deletes.
pub const LEDGER: &str = "dbmedic-ledger";
const LEDGER_FIELD: &str = "take a slot of the budget";

/// Whether the gates stand exactly as shipped; the text says what is missing or changed.
///
/// # Errors
/// [`Error`] when the API server cannot be asked: then nothing may be fixed either.
pub async fn gate(client: &Client) -> Result<Result<(), String>, Error> {
    let expected = gate::expected()
        .map_err(|error| Error::Content { step: "read the approval gate", reason: error.to_string() })?;
    for gate::Expected { kind, name, spec } in expected {
        let read = if kind == "ValidatingAdmissionPolicy" {
            let api: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
            call("read the approval gate", api.get_opt(&name)).await.map(json)
        } else {
            let api: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
            call("read the approval gate", api.get_opt(&name)).await.map(json)
        };
        let found = match read {
            // Not a passing fault: without the right nothing is fixed, and people have to be told.
            Err(error) if error.category() == "forbidden" => {
                return Ok(Err(format!("{kind} {name} may not be read: {error}; apply config/operator.yaml")));
            }
            read => read?,
        };
        let Some(found) = found else {
            return Ok(Err(format!("{kind} {name} is not installed; apply config/gate")));
        };
        if let Some(difference) = gate::differs(&spec, &found["spec"]) {
            return Ok(Err(format!("{kind} {name} is not as shipped: {difference}; apply config/gate")));
        }
    }
    Ok(Ok(()))
}

fn json<T: Serialize>(object: Option<T>) -> Option<Value> {
    object.and_then(|object| serde_json::to_value(object).ok())
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    policy: String,
    at: i64,
}

/// The ledger as it is now.
pub struct Ledger {
    object: ConfigMap,
    /// Reservations of all policies.
    pub reservations: Vec<Reservation>,
}

/// Reads the ledger live. `None` when it is absent or damaged: a lost record means no fixes, not a fresh budget.
///
/// # Errors
/// [`Error`] when the API server cannot be asked.
pub async fn ledger(client: &Client, namespace: &str) -> Result<Option<Ledger>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    Ok(call("read the budget ledger", api.get_opt(LEDGER)).await?.and_then(|object| {
        let reservations = object
            .data
            .iter()
            .flatten()
            .map(|(uid, text)| {
                let entry: Entry = serde_json::from_str(text).ok()?;
                Some(Reservation { uid: uid.clone(), policy: entry.policy, at_ms: entry.at })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Ledger { object, reservations })
    }))
}

/// Takes a slot: refused with a conflict when anybody wrote the ledger since it was read.
///
/// # Errors
/// [`Error`] when the API server refuses or cannot be told.
pub async fn reserve(
    client: &Client,
    namespace: &str,
    ledger: Ledger,
    uid: &str,
    policy: &str,
    now_ms: i64,
) -> Result<(), Error> {
    let mut object = ledger.object;
    let entry = serde_json::to_string(&Entry { policy: policy.to_owned(), at: now_ms })
        .map_err(|error| Error::Content { step: LEDGER_FIELD, reason: error.to_string() })?;
    let data = object.data.get_or_insert_default();
    let expired: Vec<String> = ledger
        .reservations
        .iter()
        .filter(|reservation| !reservation.is_live(now_ms))
        .map(|reservation| reservation.uid.clone())
        .collect();
    for uid in expired {
        data.remove(&uid);
    }
    data.insert(uid.to_owned(), entry);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    call(LEDGER_FIELD, api.replace(LEDGER, &PostParams::default(), &object)).await?;
    Ok(())
}
