//! Which decision of a person counts. Every decision that does not is returned with the reason, for display.

use crate::api::{Decision, RemediationApprovalSpec};

/// A RemediationApproval, read live.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalSeen {
    /// Name of the object.
    pub name: String,
    /// When it was created, ms since the Unix epoch.
    pub created_ms: i64,
    /// Its spec.
    pub spec: RemediationApprovalSpec,
}

/// What a decision must match.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Name of the Remediation.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// When it was created, ms since the Unix epoch.
    pub created_ms: i64,
    /// Hash of its plan.
    pub plan_hash: &'a str,
    /// Now, ms since the Unix epoch.
    pub now_ms: i64,
    /// The operator's own user.
    pub operator_user: &'a str,
    /// Who last wrote the policy, when known.
    pub requested_by: Option<&'a str>,
    /// Whether the approver must be another person.
    pub second_person: bool,
}

/// A decision that does not count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// Name of the object.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What people decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement<'a> {
    /// The refusal that counts; it wins over every approval.
    pub refused: Option<&'a ApprovalSeen>,
    /// The approval that counts, the oldest one.
    pub approved: Option<&'a ApprovalSeen>,
    /// Decisions on this Remediation that do not count.
    pub rejected: Vec<Rejected>,
}

/// Judges every decision that names this Remediation.
pub fn judge<'a>(question: &Question<'_>, approvals: &'a [ApprovalSeen]) -> Judgement<'a> {
    let mut judgement = Judgement::default();
    let mut sorted: Vec<&ApprovalSeen> =
        approvals.iter().filter(|approval| approval.spec.remediation == question.name).collect();
    sorted.sort_by(|left, right| (left.created_ms, &left.name).cmp(&(right.created_ms, &right.name)));
    for approval in sorted {
        match (objection(question, approval), approval.spec.decision) {
            (Some(reason), _) => judgement.rejected.push(Rejected { name: approval.name.clone(), reason }),
            (None, Decision::Refuse) => judgement.refused = judgement.refused.or(Some(approval)),
            (None, Decision::Approve) => judgement.approved = judgement.approved.or(Some(approval)),
        }
    }
    judgement
}

fn objection(question: &Question<'_>, approval: &ApprovalSeen) -> Option<String> {
    let spec = &approval.spec;
    if spec.remediation_uid != question.uid {
        return Some("it was given to an earlier Remediation of this name".into());
    }
    if spec.plan_hash != question.plan_hash {
        return Some("it was given to another plan: the hash differs".into());
    }
    if approval.created_ms < question.created_ms {
        return Some("it is older than the Remediation".into());
    }
    if let Some(text) = &spec.expires_at {
        match text.parse::<jiff::Timestamp>() {
            Err(_) => return Some("its expiresAt is no RFC 3339 time".into()),
            Ok(expires) if expires.as_millisecond() <= question.now_ms => return Some("it has expired".into()),
            Ok(_) => {}
        }
    }
    if spec.decided_by.is_empty() {
        return Some("it names nobody as the decider".into());
    }
    if spec.decided_by == question.operator_user {
        return Some("the operator cannot approve its own plan".into());
    }
    if question.second_person && spec.decision == Decision::Approve {
        match question.requested_by {
            None => {
                return Some(
                    "a second person is required, and the policy does not say who requested it \
                     (annotation dbmedic.io/requested-by)"
                        .into(),
                );
            }
            Some(requester) if requester == spec.decided_by => {
                return Some("a second person is required: the approver wrote the policy".into());
            }
            Some(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question<'static> {
        Question {
            name: "fix",
            uid: "u-1",
            created_ms: 1_000_000,
            plan_hash: "sha256:a",
            now_ms: 2_000_000,
            operator_user: "system:serviceaccount:dbmedic:operator",
            requested_by: Some("erin"),
            second_person: false,
        }
    }

    fn approval(change: impl FnOnce(&mut ApprovalSeen)) -> ApprovalSeen {
        let mut seen = ApprovalSeen {
            name: "a".into(),
            created_ms: 1_500_000,
            spec: RemediationApprovalSpec {
                remediation: "fix".into(),
                remediation_uid: "u-1".into(),
                plan_hash: "sha256:a".into(),
                decision: Decision::Approve,
                decided_by: "alice".into(),
                expires_at: None,
                comment: None,
            },
        };
        change(&mut seen);
        seen
    }

    #[test]
    fn an_approval_of_this_plan_counts() {
        let approvals = [approval(|_| {})];
        assert_eq!(judge(&question(), &approvals).approved, Some(&approvals[0]));
    }

    #[test]
    fn what_does_not_match_is_rejected_with_a_reason() {
        let cases: [(&str, ApprovalSeen); 8] = [
            ("earlier Remediation", approval(|a| a.spec.remediation_uid = "u-0".into())),
            ("another plan", approval(|a| a.spec.plan_hash = "sha256:b".into())),
            ("older than", approval(|a| a.created_ms = 999_999)),
            ("expired", approval(|a| a.spec.expires_at = Some("1970-01-01T00:33:20Z".into()))),
            ("RFC 3339", approval(|a| a.spec.expires_at = Some("soon".into()))),
            ("nobody", approval(|a| a.spec.decided_by = String::new())),
            ("operator", approval(|a| a.spec.decided_by = "system:serviceaccount:dbmedic:operator".into())),
            (
                "operator",
                approval(|a| {
                    a.spec.decided_by = "system:serviceaccount:dbmedic:operator".into();
                    a.spec.decision = Decision::Refuse;
                }),
            ),
        ];
        for (reason, seen) in cases {
            let approvals = [seen];
            let judgement = judge(&question(), &approvals);
            assert_eq!((judgement.approved, judgement.refused), (None, None), "{reason}");
            assert!(judgement.rejected[0].reason.contains(reason), "{:?}", judgement.rejected);
        }
    }

    #[test]
    fn a_decision_on_another_remediation_is_not_looked_at() {
        let approvals = [approval(|a| a.spec.remediation = "other".into())];
        assert_eq!(judge(&question(), &approvals), Judgement::default());
    }

    #[test]
    fn a_refusal_wins() {
        let approvals = [approval(|_| {}), approval(|a| a.spec.decision = Decision::Refuse)];
        let judgement = judge(&question(), &approvals);
        assert!(judgement.refused.is_some() && judgement.approved.is_some());
    }

    #[test]
    fn a_second_person_is_another_one_and_must_be_known_to_be() {
        let second = Question { second_person: true, ..question() };
        let approvals = [approval(|a| a.spec.decided_by = "erin".into())];
        assert!(judge(&question(), &approvals).approved.is_some());
        assert!(judge(&second, &approvals).approved.is_none());
        let alice = [approval(|_| {})];
        assert!(judge(&second, &alice).approved.is_some());
        assert!(judge(&Question { requested_by: None, ..second }, &alice).approved.is_none());
        let refusal = [approval(|a| {
            a.spec.decided_by = "erin".into();
            a.spec.decision = Decision::Refuse;
        })];
        assert!(judge(&second, &refusal).refused.is_some());
    }
}
