//! The people of the story, with real kubectl and real rights: alice may approve, bob may not.

use anyhow::Result;
use dbmedic_test_support::Cluster;

use crate::stage::{NAMESPACE, Stage};

/// What a command said.
pub struct Said {
    pub success: bool,
    out: String,
    error: String,
}

impl Said {
    /// Both streams, one after the other.
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.error)
    }

    /// What was said to the person, not to the pipe.
    pub fn error(&self) -> &str {
        &self.error
    }
}

/// Runs kubectl in the story's namespace.
pub async fn kubectl(stage: &Stage, user: &str, arguments: &[&str]) -> Result<Said> {
    let all: Vec<&str> = arguments.iter().copied().chain(["-n", NAMESPACE]).collect();
    let output = stage.cluster.kubectl(user, &all).await?;
    Ok(Said {
        success: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Alice gets the role that may approve. Bob may read, and may even create the object of a decision: what he lacks is
/// the verb `approve` on Remediations.
pub async fn grant(cluster: &Cluster) -> Result<()> {
    let binding = |user: &str, role: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\n\
             kind: RoleBinding\n\
             metadata: {{name: {user}-{role}, namespace: {NAMESPACE}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}]\n"
        )
    };
    cluster.apply_yaml(&binding("alice", "dbmedic-approver"), NAMESPACE).await?;
    cluster.apply_yaml(&binding("bob", "dbmedic-viewer"), NAMESPACE).await?;
    cluster.grant(NAMESPACE, "bob", "dbmedic.io", &["remediationapprovals"], &["create"]).await
}
