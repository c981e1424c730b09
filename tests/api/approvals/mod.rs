//! Who may let a change run: the admission policies, and the operator behind them.

mod authors;
mod gate;
mod jobs;
mod requester;
mod waiting;

use anyhow::{Result, ensure};
use dbmedic::api::{Decision, Remediation, RemediationApproval, RemediationApprovalSpec};
use dbmedic_test_support::Cluster;
use kube::api::ObjectMeta;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error, ResourceExt};

/// A client that acts as somebody, by the admin's right to impersonate.
pub async fn somebody(cluster: &Cluster, name: &str, groups: &[&str]) -> Result<Client> {
    let mut kubeconfig = Kubeconfig::read_from(cluster.kubeconfig("admin")?)?;
    for user in &mut kubeconfig.auth_infos {
        if let Some(rights) = &mut user.auth_info {
            rights.impersonate = Some(name.to_owned());
            rights.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        }
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// What an attempt led to: the refusal's text, or none.
pub fn refused<T>(attempt: kube::Result<T>) -> Result<Option<String>> {
    match attempt {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Collects what did not end as expected. An empty expectation means that it is let through.
#[derive(Default)]
pub struct Verdicts {
    cases: usize,
    wrong: Vec<String>,
}

impl Verdicts {
    /// One case.
    pub fn expect<T>(&mut self, case: &str, attempt: kube::Result<T>, expected: &str) -> Result<()> {
        self.cases += 1;
        let found = refused(attempt)?;
        let right = match &found {
            None => expected.is_empty(),
            Some(message) => !expected.is_empty() && message.contains(expected),
        };
        if !right {
            self.wrong.push(format!("{case}: expected {expected:?}, found {found:?}"));
        }
        Ok(())
    }

    /// All were as expected, and there were so many at least.
    pub fn finish(self, least: usize) -> Result<()> {
        ensure!(self.wrong.is_empty(), "{} of {} cases\n{}", self.wrong.len(), self.cases, self.wrong.join("\n"));
        ensure!(self.cases >= least, "only {} cases", self.cases);
        Ok(())
    }
}

/// An approval of a Remediation as it stands, by somebody.
pub fn approval_of(remediation: &Remediation, name: &str, user: &str) -> RemediationApproval {
    RemediationApproval {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: RemediationApprovalSpec {
            remediation: remediation.name_any(),
            remediation_uid: remediation.uid().unwrap_or_default(),
            plan_hash: remediation.spec.plan_hash.clone(),
            decision: Decision::Approve,
            decided_by: user.to_owned(),
            expires_at: None,
            comment: None,
        },
    }
}
