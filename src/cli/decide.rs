//! What approving and refusing have in common: read the plan, show it, ask, write the decision down.

use std::io::{BufRead, IsTerminal, Write};

use kube::ResourceExt;
use serde::Serialize;

use super::arguments::Decide;
use super::cluster::Cluster;
use super::failure::Failure;
use super::figures::value;
use super::fixes::{action_word, risk_word};
use super::output::{Output, Report, yaml};
use super::table::Table;
use super::text::{clean, hides};
use crate::api::{Decision, Remediation, RemediationApproval, RemediationApprovalSpec, RemediationState, Verification};

/// A decision that was written down.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided {
    namespace: String,
    name: String,
    remediation: String,
    decision: Decision,
    #[serde(rename = "decidedBy")]
    by: String,
    plan_hash: String,
}

impl Report for Decided {
    fn tables(&self, _: bool) -> Vec<Table> {
        let headers = vec!["REMEDIATION", "DECISION", "BY", "APPROVAL", "PLAN-HASH"];
        let row = [&self.remediation, word(self.decision), &self.by, &self.name, &self.plan_hash];
        vec![Table { headers, rows: vec![row.into_iter().map(Into::into).collect()] }]
    }

    fn names(&self) -> Vec<String> {
        vec![format!("remediationapproval.dbmedic.io/{}", self.name)]
    }
}

/// Shows the plan, asks, and writes the decision down.
pub(super) async fn run(
    cluster: &Cluster,
    output: &Output,
    arguments: &Decide,
    decision: Decision,
) -> Result<u8, Failure> {
    if cluster.all_namespaces {
        return Err(Failure::Usage("one change is decided on at a time: name its namespace with -n".to_owned()));
    }
    let remediation = cluster.get::<Remediation>(&arguments.name).await?.ok_or_else(|| {
        Failure::Other(format!("no Remediation {} in namespace {}", arguments.name, cluster.namespace))
    })?;
    check(&remediation, decision, arguments.plan_hash.as_deref())?;
    let user = cluster.who_am_i().await?;
    let approval = manifest(&remediation, decision, &user, arguments.comment.as_deref());
    if arguments.export {
        // Named, not generated: `kubectl apply` refuses generated names.
        let mut named = approval;
        named.metadata.generate_name = None;
        named.metadata.name = Some(format!("{}-{}", arguments.name, word(decision)));
        super::print(&yaml(&named)?)?;
        return Ok(0);
    }
    eprint!("{}", question(&remediation, decision, &user));
    if !arguments.yes && !confirmed(decision).await? {
        return Err(Failure::Other("nothing was decided".to_owned()));
    }
    let created = cluster.create(&approval, &needs(&arguments.name, &cluster.namespace, &user)).await?;
    let decided = Decided {
        namespace: created.namespace().unwrap_or_default(),
        name: created.name_any(),
        remediation: created.spec.remediation,
        decision,
        by: clean(&created.spec.decided_by),
        plan_hash: created.spec.plan_hash,
    };
    super::print(&output.render(&decided)?)?;
    Ok(0)
}

fn needs(name: &str, namespace: &str, user: &str) -> String {
    format!(
        "You are {user}. Needed in namespace {namespace}: the verb create on remediationapprovals.dbmedic.io and the \
         verb approve on remediations.dbmedic.io {name} (role dbmedic-approver)."
    )
}

fn check(remediation: &Remediation, decision: Decision, pinned: Option<&str>) -> Result<(), Failure> {
    let (name, hash) = (remediation.name_any(), &remediation.spec.plan_hash);
    if let Some(pinned) = pinned.filter(|pinned| pinned != hash) {
        return Err(Failure::Other(format!(
            "{name} has another plan than the one you name: found {hash}, --plan-hash {pinned}"
        )));
    }
    match remediation.status.as_ref().and_then(|status| status.state).unwrap_or_default() {
        RemediationState::Planned | RemediationState::AwaitingApproval | RemediationState::Deferred => Ok(()),
        // What was let through and has not begun can still be stopped.
        RemediationState::Cleared | RemediationState::Reserved if decision == Decision::Refuse => Ok(()),
        state => Err(Failure::Other(format!("{name} waits for no decision: it is {state:?}"))),
    }
}

fn manifest(remediation: &Remediation, decision: Decision, user: &str, comment: Option<&str>) -> RemediationApproval {
    let mut approval = RemediationApproval::new(
        "",
        RemediationApprovalSpec {
            remediation: remediation.name_any(),
            remediation_uid: remediation.uid().unwrap_or_default(),
            plan_hash: remediation.spec.plan_hash.clone(),
            decision,
            decided_by: user.to_owned(),
            expires_at: None,
            comment: comment.map(str::to_owned),
        },
    );
    approval.metadata.name = None;
    approval.metadata.generate_name = Some(format!("{}-", remediation.name_any()));
    approval.metadata.namespace = remediation.namespace();
    approval
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Refuse => "refuse",
    }
}

// What, where, how long, how undone: on stderr, because it is talk.
fn question(remediation: &Remediation, decision: Decision, user: &str) -> String {
    let plan = &remediation.spec.plan;
    let target = &plan.target;
    let headline = match decision {
        Decision::Approve => "You are about to approve",
        Decision::Refuse => "You are about to refuse",
    };
    let mut lines = vec![
        format!("{headline}, as {}:", clean(user)),
        format!("  Change     {} {}", action_word(remediation.spec.action), remediation.name_any()),
        format!("  SQL        {}", clean(&plan.statement)),
        format!(
            "  Where      database {} on pod {} in namespace {}",
            clean(&target.database),
            clean(&target.pod),
            remediation.namespace().unwrap_or_default()
        ),
        format!("  Risk       {}: {}", risk_word(plan.risk.level), clean(&plan.risk.reasons.join("; "))),
        format!("  How long   at most {} s for the change itself", plan.timeout_seconds),
        format!("  Undo       {}", clean(&plan.undo)),
        format!("  Undone if  {}", undone_if(&plan.verification)),
        format!("  Plan hash  {}", clean(&remediation.spec.plan_hash)),
    ];
    if hides(&plan.statement) || hides(&plan.undo) {
        lines.push(
            "  Warning    the SQL holds control characters that are not shown; see it with kubectl get -o json".into(),
        );
    }
    lines.join("\n") + "\n"
}

/// What condemns the change, in short.
fn undone_if(verification: &Verification) -> String {
    let Verification { metric, before, lower, upper, query_ids, timeout_seconds, .. } = verification;
    if lower.is_none() && upper.is_none() {
        return format!("the statements that it is for become slower ({} has no band of its own)", clean(metric));
    }
    let unless =
        if query_ids.is_empty() { "" } else { ", unless the statements that it is for take a fifth of the time" };
    format!("{} is not back within {timeout_seconds} s (now {}){unless}", clean(metric), value(*before, ""))
}

async fn confirmed(decision: Decision) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("no terminal to ask on: say --yes to decide without being asked".to_owned()));
    }
    let word = word(decision);
    eprint!("Type yes to {word}: ");
    let _ = std::io::stderr().flush();
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = answer.await.map_err(|error| Failure::Other(error.to_string()))?;
    let line = line.map_err(|error| Failure::Other(format!("cannot read the answer: {error}")))?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixes::tests::waiting;

    #[test]
    fn the_question_says_what_where_how_long_and_how_undone() {
        assert_eq!(
            question(&waiting(), Decision::Approve, "alice"),
            format!(
                "\
You are about to approve, as alice:
  Change     add_index orders-add-index
  SQL        CREATE INDEX CONCURRENTLY \"dbmedic_orders_customer_id\" ON \"public\".\"orders\" (\"customer_id\")
  Where      database orders on pod orders-db-0 in namespace shop
  Risk       low: table of 412 MiB, below 1 GiB
  How long   at most 600 s for the change itself
  Undo       DROP INDEX CONCURRENTLY \"public\".\"dbmedic_orders_customer_id\"
  Undone if  response_time is not back within 300 s (now 412)
  Plan hash  sha256:{}
",
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn what_condemns_a_change_is_said_as_it_is_judged() {
        let banded = waiting().spec.plan.verification;
        let targeted = Verification { upper: Some(10.0), query_ids: vec!["1".into()], ..banded.clone() };
        assert!(undone_if(&targeted).ends_with("unless the statements that it is for take a fifth of the time"));
        let boundless = Verification { lower: None, upper: None, ..targeted };
        assert!(undone_if(&boundless).starts_with("the statements that it is for become slower"));
    }

    #[test]
    fn hidden_characters_in_the_sql_are_said() {
        let mut remediation = waiting();
        remediation.spec.plan.statement = "CREATE INDEX \u{1b}[8mx".into();
        let text = question(&remediation, Decision::Approve, "alice");
        assert!(text.contains("SQL        CREATE INDEX x\n") && text.contains("Warning"), "{text}");
    }

    #[test]
    fn another_hash_or_a_finished_change_is_not_decided_on() {
        let mut remediation = waiting();
        assert!(check(&remediation, Decision::Approve, Some("sha256:00")).is_err());
        assert!(check(&remediation, Decision::Approve, Some(&remediation.spec.plan_hash)).is_ok());
        if let Some(status) = &mut remediation.status {
            status.state = Some(RemediationState::Succeeded);
        }
        let said = check(&remediation, Decision::Approve, None).unwrap_err().to_string();
        assert_eq!(said, "orders-add-index waits for no decision: it is Succeeded");
    }

    #[test]
    fn the_decision_is_bound_to_object_and_hash() {
        let approval = manifest(&waiting(), Decision::Approve, "alice", None);
        assert_eq!(approval.spec.remediation_uid, "r-1");
        assert_eq!(approval.spec.plan_hash, waiting().spec.plan_hash);
        assert_eq!(approval.spec.decided_by, "alice");
    }
}
