//! The Job of a fix: a pure function of the Remediation. What it may look like is pinned by the job-shape gate.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, KeyToPath, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

use crate::api::{Remediation, Tls};
use crate::controllers::stores::REMEDIATION_LABEL;
use crate::heal::machine::Purpose;
use crate::heal::plan;

/// Service account of the Jobs; it has no rights and its token is not mounted.
const SERVICE_ACCOUNT: &str = "dbmedic-fix";
/// Label that tells applying from undoing.
pub const PURPOSE_LABEL: &str = "dbmedic.io/purpose";
/// Label with the number of the attempt, from 1.
pub const ATTEMPT_LABEL: &str = "dbmedic.io/attempt";
/// A Job removed before it was seen loses its report: a week outlasts any outage of the operator.
const KEEP_SECONDS: i32 = 7 * 86_400;
/// On top of the plan's limit: pulling the image, connecting, waiting for a predecessor, reading the catalogue.
const OVERHEAD_SECONDS: i64 = 180;
/// User and group of the process, as in the operator's own Deployment.
const USER: i64 = 65_532;
const CREDENTIALS: &str = "/var/run/dbmedic/credentials";

/// Where the database is and how to reach it, as observed now.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Address of the pod.
    pub host: String,
    /// Port of the database.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: Tls,
}

/// Which attempt a Job is.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Earlier ones that may have begun the change: what is found in the database can be theirs.
    pub predecessors: u32,
}

/// Builds the Job.
pub fn build(
    remediation: &Remediation,
    name: &str,
    purpose: Purpose,
    attempt: Attempt,
    destination: &Destination,
    secret: &str,
    image: &str,
) -> Job {
    let uid = remediation.uid().unwrap_or_default();
    let labels: std::collections::BTreeMap<String, String> = [
        ("app.kubernetes.io/managed-by".to_owned(), "dbmedic".to_owned()),
        (REMEDIATION_LABEL.to_owned(), uid.clone()),
        (PURPOSE_LABEL.to_owned(), purpose.as_str().to_owned()),
        (ATTEMPT_LABEL.to_owned(), attempt.number.to_string()),
    ]
    .into();
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: remediation.namespace(),
            labels: Some(labels.clone()),
            // Blocking the owner's deletion would need a right over its finalizers on some clusters.
            owner_references: remediation
                .controller_owner_ref(&())
                .map(|owner| vec![OwnerReference { block_owner_deletion: Some(false), ..owner }]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            active_deadline_seconds: Some(i64::from(remediation.spec.plan.timeout_seconds) + OVERHEAD_SECONDS),
            ttl_seconds_after_finished: Some(KEEP_SECONDS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                spec: Some(pod(remediation, &uid, purpose, attempt, destination, secret, image)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn pod(
    remediation: &Remediation,
    uid: &str,
    purpose: Purpose,
    attempt: Attempt,
    destination: &Destination,
    secret: &str,
    image: &str,
) -> PodSpec {
    let arguments = [
        "fix",
        "--remediation",
        uid,
        "--plan-hash",
        &remediation.spec.plan_hash,
        "--purpose",
        purpose.as_str(),
        "--attempt",
        &(attempt.predecessors + 1).to_string(),
        "--host",
        &destination.host,
        "--port",
        &destination.port.to_string(),
        "--tls",
        tls(destination.tls),
        "--credentials",
        CREDENTIALS,
        "--report",
        "/dev/termination-log",
    ]
    .map(str::to_owned);
    PodSpec {
        automount_service_account_token: Some(false),
        service_account_name: Some(SERVICE_ACCOUNT.to_owned()),
        restart_policy: Some("Never".to_owned()),
        // A fix in flight is given the time to tell how it ended.
        termination_grace_period_seconds: Some(30),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            // The kubelet gives a Secret's files to this group: without it nobody but root could read them.
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            name: "fix".to_owned(),
            image: Some(image.to_owned()),
            args: Some(arguments.to_vec()),
            env: Some(vec![EnvVar {
                name: "DBMEDIC_PLAN".to_owned(),
                // `$(NAME)` would be expanded in an environment value: a dollar sign is written as its JSON escape.
                value: Some(plan::canonical(&remediation.spec.plan).replace('$', "\\u0024")),
                ..EnvVar::default()
            }]),
            resources: Some(ResourceRequirements {
                requests: Some(
                    [("cpu", "10m"), ("memory", "32Mi")]
                        .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
                        .into(),
                ),
                limits: Some(
                    [("memory", "64Mi")].map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).into(),
                ),
                ..ResourceRequirements::default()
            }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                run_as_non_root: Some(true),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(vec![VolumeMount {
                name: "credentials".to_owned(),
                mount_path: CREDENTIALS.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            }]),
            ..Container::default()
        }],
        volumes: Some(vec![Volume {
            name: "credentials".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.to_owned()),
                default_mode: Some(0o440),
                optional: Some(false),
                items: None::<Vec<KeyToPath>>,
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn tls(tls: Tls) -> &'static str {
    match tls {
        Tls::Disable => "disable",
        Tls::Prefer => "prefer",
        Tls::Require => "require",
        Tls::VerifyFull => "verify-full",
    }
}
