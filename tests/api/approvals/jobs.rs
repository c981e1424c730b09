//! The shape of Jobs: with the operator's own token nothing but a fix can be created.

use anyhow::Result;
use dbmedic_test_support::{Cluster, shop};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::Verdicts;
use crate::validation::put;

fn job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "fix"},
        "spec": {
            "backoffLimit": 0, "activeDeadlineSeconds": 600,
            "template": {"spec": {
                "automountServiceAccountToken": false, "serviceAccountName": "dbmedic-fix", "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "fix", "image": "dbmedic:test", "args": ["fix", "--purpose", "apply"],
                    "env": [{"name": "DBMEDIC_PLAN", "value": "{}"}],
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "credentials", "mountPath": "/credentials", "readOnly": true}],
                }],
                "volumes": [{"name": "credentials", "secret": {"secretName": "fixer"}}],
            }},
        },
    })
}

#[tokio::test]
async fn the_operator_can_create_nothing_but_a_fix() -> Result<()> {
    const POD: &str = "/spec/template/spec";
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("jobs").await?;
    let rights = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: fixer, namespace: {namespace}}}\nrules:\n\
         - {{apiGroups: [''], resources: [secrets], resourceNames: [fixer], verbs: [mount]}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: fixer, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: fixer}}\n\
         subjects: [{{kind: ServiceAccount, name: {}, namespace: {}}}]\n",
        shop::OPERATOR.1,
        shop::OPERATOR.0
    );
    cluster.apply_yaml(&rights, &namespace).await?;
    let client = cluster.service_account_client(shop::OPERATOR.0, shop::OPERATOR.1).await?;
    let jobs: Api<Job> = Api::namespaced(client, &namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let proper: Job = serde_json::from_value(job())?;
    dbmedic_test_support::eventually(std::time::Duration::from_secs(30), "a proper fix is let through", async || {
        Ok(jobs.create(&dry, &proper).await.is_ok().then_some(()))
    })
    .await?;

    let other = job()["spec"]["template"]["spec"]["containers"][0].clone();
    let secret = |name: &str| json!({"name": name, "secret": {"secretName": name}});
    let (container, volumes) = ("/containers/0", "/volumes");
    let one = "exactly one container";
    let token = "without a token";
    let host = "no host namespaces";
    let secrets = "only Secret volumes";
    let environment = "no environment from Secrets";
    let once = "a fix runs once";
    let pod_context = "the pod needs runAsNonRoot";
    let container_context = "the container needs readOnlyRootFilesystem";
    let cases: Vec<(String, Value, &str)> = vec![
        ("/containers".to_owned(), json!([other.clone(), put_name(&other, "second")]), one),
        ("/initContainers".to_owned(), json!([put_name(&other, "first")]), one),
        (format!("{container}/args"), Value::Null, "the first argument must be fix"),
        (format!("{container}/args"), json!(["operator"]), "the first argument must be fix"),
        (format!("{container}/args"), json!(["--log", "fix"]), "the first argument must be fix"),
        (format!("{container}/command"), json!(["/bin/sh", "-c", "cat /credentials/*"]), "the command must be"),
        (format!("{container}/command"), json!(["sh"]), "the command must be"),
        (format!("{container}/command"), json!(["/bin/sh#/dbmedic"]), "the command must be"),
        ("/serviceAccountName".to_owned(), json!("default"), token),
        ("/serviceAccountName".to_owned(), Value::Null, token),
        ("/automountServiceAccountToken".to_owned(), json!(true), token),
        ("/automountServiceAccountToken".to_owned(), Value::Null, token),
        ("/hostNetwork".to_owned(), json!(true), host),
        ("/hostPID".to_owned(), json!(true), host),
        ("/hostIPC".to_owned(), json!(true), host),
        (format!("{container}/ports"), json!([{"containerPort": 80, "hostPort": 80}]), host),
        (volumes.to_owned(), json!([{"name": "credentials", "hostPath": {"path": "/"}}]), secrets),
        (volumes.to_owned(), json!([{"name": "credentials", "emptyDir": {}}]), secrets),
        (volumes.to_owned(), json!([{"name": "credentials", "configMap": {"name": "a"}}]), secrets),
        (
            volumes.to_owned(),
            json!([{"name": "credentials", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]),
            secrets,
        ),
        (volumes.to_owned(), json!([{"name": "credentials", "persistentVolumeClaim": {"claimName": "data"}}]), secrets),
        (volumes.to_owned(), json!([secret("credentials"), secret("b"), secret("c")]), secrets),
        (
            volumes.to_owned(),
            json!([{"name": "credentials", "secret": {"secretName": "orders-superuser"}}]),
            "was not given the verb get or mount on the first Secret",
        ),
        (
            volumes.to_owned(),
            json!([{"name": "credentials", "secret": {"secretName": "fixer"}}, secret("orders-superuser")]),
            "was not given the verb get or mount on the second Secret",
        ),
        (
            format!("{container}/env"),
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "orders-superuser", "key": "password"}}}]),
            environment,
        ),
        (
            format!("{container}/env"),
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]),
            environment,
        ),
        (format!("{container}/envFrom"), json!([{"secretRef": {"name": "orders-superuser"}}]), environment),
        (format!("{container}/lifecycle"), json!({"preStop": {"exec": {"command": ["sh"]}}}), "no hooks and no probes"),
        (format!("{container}/livenessProbe"), json!({"exec": {"command": ["sh"]}}), "no hooks and no probes"),
        ("/restartPolicy".to_owned(), json!("OnFailure"), once),
        ("/securityContext".to_owned(), Value::Null, pod_context),
        ("/securityContext/runAsNonRoot".to_owned(), json!(false), pod_context),
        ("/securityContext/runAsUser".to_owned(), json!(0), pod_context),
        ("/securityContext/seccompProfile/type".to_owned(), json!("Unconfined"), pod_context),
        (format!("{container}/securityContext"), Value::Null, container_context),
        (format!("{container}/securityContext/privileged"), json!(true), "rivileged"),
        (format!("{container}/securityContext/allowPrivilegeEscalation"), json!(true), container_context),
        (format!("{container}/securityContext/readOnlyRootFilesystem"), json!(false), container_context),
        (format!("{container}/securityContext/runAsUser"), json!(0), container_context),
        (format!("{container}/securityContext/capabilities"), json!({"drop": ["NET_RAW"]}), container_context),
        (format!("{container}/securityContext/capabilities/add"), json!(["SYS_ADMIN"]), container_context),
        (format!("{container}/securityContext/seccompProfile"), json!({"type": "Unconfined"}), container_context),
    ];
    let mut verdicts = Verdicts::default();
    for (pointer, value, expected) in cases {
        let mut changed = job();
        put(&mut changed, &format!("{POD}{pointer}"), &value);
        let changed: Job = serde_json::from_value(changed)?;
        verdicts.expect(&format!("{pointer} = {value}"), jobs.create(&dry, &changed).await, expected)?;
    }
    for (pointer, value) in [
        ("/spec/backoffLimit", json!(1)),
        ("/spec/backoffLimit", Value::Null),
        ("/spec/activeDeadlineSeconds", Value::Null),
        ("/spec/parallelism", json!(2)),
        ("/spec/completions", json!(5)),
    ] {
        let mut changed = job();
        put(&mut changed, pointer, &value);
        let changed: Job = serde_json::from_value(changed)?;
        verdicts.expect(&format!("{pointer} = {value}"), jobs.create(&dry, &changed).await, once)?;
    }
    let mut elsewhere = proper.clone();
    elsewhere.metadata.namespace = Some("default".to_owned());
    let there: Api<Job> = Api::namespaced(jobs.clone().into_client(), "default");
    verdicts.expect(
        "another namespace, whose Secrets it was not given",
        there.create(&dry, &elsewhere).await,
        "first Secret",
    )?;
    verdicts.finish(48)
}

fn put_name(container: &Value, name: &str) -> Value {
    let mut container = container.clone();
    put(&mut container, "/name", &json!(name));
    container
}
