//! The admission policies without which nothing is fixed: what they must say, and how a found one differs.
//!
//! They can be deleted or weakened by whoever may write policies, so the operator compares them with the files that it
//! was built from before it honours an approval or creates a Job. Pure: reading them is the caller's business.

use serde_json::Value;

const APPROVAL_GATE: &str = include_str!("../config/gate/approval-gate.yaml");
const JOB_SHAPE: &str = include_str!("../config/gate/job-shape.yaml");

/// One object that has to be in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// `ValidatingAdmissionPolicy` or `ValidatingAdmissionPolicyBinding`.
    pub kind: String,
    /// Name: fixed, because roles grant reading by name.
    pub name: String,
    /// The spec as it was written.
    pub spec: Value,
}

/// An embedded file that is no list of admission policies: a defect of the build.
#[derive(Debug, thiserror::Error)]
#[error("the embedded gate cannot be read: {0}")]
pub struct GateError(String);

/// The objects that have to be in the cluster: policies and bindings of the approval gate and of the shape of Jobs.
///
/// # Errors
/// [`GateError`] when an embedded file cannot be read; a test keeps that from being built.
pub fn expected() -> Result<Vec<Expected>, GateError> {
    let mut found = Vec::new();
    for file in [APPROVAL_GATE, JOB_SHAPE] {
        let documents: Vec<Value> = serde_saphyr::from_multiple(file).map_err(|error| GateError(error.to_string()))?;
        for document in documents {
            let text = |pointer: &str| {
                let value = document.pointer(pointer).and_then(Value::as_str);
                value.map(str::to_owned).ok_or_else(|| GateError(format!("{pointer} is missing")))
            };
            let spec = document.get("spec").cloned().ok_or_else(|| GateError("/spec is missing".to_owned()))?;
            found.push(Expected { kind: text("/kind")?, name: text("/metadata/name")?, spec });
        }
    }
    Ok(found)
}

/// The first difference between an expected and a found spec, as `path: found .., expected ..`; `None` when they agree.
///
/// Fields that the API server defaults are let pass with their default only: any other addition (a match condition, an
/// excluded resource, a narrower selector) can switch a policy off and is a difference.
pub fn differs(expected: &Value, found: &Value) -> Option<String> {
    difference("spec", expected, found)
}

fn difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(wanted), Value::Object(present)) => {
            let changed = wanted.iter().find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match present.get(name) {
                    Some(found) => difference(&path, value, found),
                    None => Some(format!("{path}: found nothing, expected {value}")),
                }
            });
            changed.or_else(|| {
                let added =
                    present.iter().find(|(name, value)| !wanted.contains_key(*name) && !is_default(name, value));
                added.map(|(name, value)| format!("{path}.{name}: found {value}, expected nothing"))
            })
        }
        (Value::Array(wanted), Value::Array(present)) if wanted.len() == present.len() => wanted
            .iter()
            .zip(present)
            .enumerate()
            .find_map(|(index, (wanted, present))| difference(&format!("{path}[{index}]"), wanted, present)),
        _ if expected == found => None,
        _ => Some(format!("{path}: found {found}, expected {expected}")),
    }
}

// Fields that the API server fills in by itself, with the only value that leaves a policy as strict as it was written.
fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "matchPolicy" => value.as_str() == Some("Equivalent"),
        "namespaceSelector" | "objectSelector" => value.as_object().is_some_and(serde_json::Map::is_empty),
        "scope" => value.as_str() == Some("*"),
        _ => value.is_null(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_gate_comes_with_policy_and_binding() {
        let names: Vec<(String, String)> =
            expected().unwrap().into_iter().map(|object| (object.kind, object.name)).collect();
        let pair = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
        assert_eq!(
            names,
            [
                pair("ValidatingAdmissionPolicy", "dbmedic-approval-gate"),
                pair("ValidatingAdmissionPolicyBinding", "dbmedic-approval-gate"),
                pair("ValidatingAdmissionPolicy", "dbmedic-requester-gate"),
                pair("ValidatingAdmissionPolicyBinding", "dbmedic-requester-gate"),
                pair("ValidatingAdmissionPolicy", "dbmedic-author-gate"),
                pair("ValidatingAdmissionPolicyBinding", "dbmedic-author-gate"),
                pair("ValidatingAdmissionPolicy", "dbmedic-job-shape"),
                pair("ValidatingAdmissionPolicyBinding", "dbmedic-job-shape"),
            ]
        );
    }

    #[test]
    fn the_same_spec_with_the_servers_defaults_is_no_difference() {
        for object in expected().unwrap() {
            let mut found = object.spec.clone();
            if let Some(constraints) = found.get_mut("matchConstraints") {
                constraints["matchPolicy"] = json!("Equivalent");
                constraints["namespaceSelector"] = json!({});
                constraints["objectSelector"] = json!({});
                constraints["resourceRules"][0]["scope"] = json!("*");
            }
            assert_eq!(differs(&object.spec, &found), None, "{}", object.name);
        }
    }

    #[test]
    fn whatever_weakens_a_gate_is_a_difference() {
        let all = expected().unwrap();
        let (policy, binding) = (&all[0].spec, &all[1].spec);
        let weakened = |spec: &Value, pointer: &str, name: &str, value: Value| {
            let mut found = spec.clone();
            found.pointer_mut(pointer).unwrap()[name] = value;
            differs(spec, &found)
        };
        let expression = json!({"name": "never", "expression": "false"});
        for (spec, pointer, name, value) in [
            (policy, "", "failurePolicy", json!("Ignore")),
            (policy, "", "matchConditions", json!([expression])),
            (policy, "", "validations", json!([])),
            (policy, "/matchConstraints", "namespaceSelector", json!({"matchLabels": {"a": "b"}})),
            (policy, "/matchConstraints", "objectSelector", json!({"matchLabels": {"a": "b"}})),
            (policy, "/matchConstraints", "matchPolicy", json!("Exact")),
            (policy, "/matchConstraints", "excludeResourceRules", json!([{"resources": ["*"]}])),
            (policy, "/matchConstraints/resourceRules/0", "operations", json!(["DELETE"])),
            (policy, "/validations/1", "expression", json!("true")),
            (binding, "", "validationActions", json!(["Warn"])),
            (binding, "", "matchResources", json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
            (binding, "", "policyName", json!("another")),
        ] {
            assert!(weakened(spec, pointer, name, value).is_some(), "{pointer} {name}");
        }
        assert_eq!(
            weakened(binding, "", "policyName", json!("another")),
            Some("spec.policyName: found \"another\", expected \"dbmedic-approval-gate\"".to_owned())
        );
    }
}
