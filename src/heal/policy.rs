//! A policy as it is meant: durations parsed, conditions compiled, names checked. Resolved once, never consulted as text.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::actions::{self, Prescribed};
use crate::api::{
    self, ActionName, AddIndex, Backoff, DurationText, IndexCandidate, Mode, Priority, RemediationPolicySpec, RiskLevel,
};

use super::condition::{self, Condition};

/// Longest time for a step; above it the plan's seconds would make no sense to a person.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Limit of an index build when the step names none.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Limit of a looking step when it names none, and of all of them together.
pub const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// A field that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: found {found}; allowed: {allowed}")]
pub struct FieldError {
    /// Path of the field below `spec`.
    pub field: String,
    /// What is there.
    pub found: String,
    /// What may be there.
    pub allowed: String,
}

/// A policy as it is meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How far it goes by itself.
    pub mode: Mode,
    /// Highest risk that needs no person.
    pub auto_up_to: RiskLevel,
    /// Most changes begun in any 60 minutes.
    pub fixes_per_hour: u32,
    /// The approver must be another person than the requester.
    pub second_person: bool,
    /// Time after which an unanswered question expires, in ms.
    pub expire_after_ms: i64,
    /// Time after the end of a change in which the metric has to come back.
    pub rollback_timeout: Duration,
    /// Most further attempts of an interrupted change.
    pub retries: u32,
    /// How the wait between attempts grows.
    pub backoff: Backoff,
    /// Secret of the executor.
    pub executor_secret: Option<String>,
    /// Risk levels set by name.
    pub risk_overrides: BTreeMap<String, RiskLevel>,
    /// Strategies by name.
    pub strategies: BTreeMap<String, Strategy>,
}

/// Steps in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strategy {
    /// Which of several waiting changes goes first.
    pub priority: Priority,
    /// Steps.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What to do.
    pub action: ActionName,
    /// When; always without one.
    pub when: Option<Condition>,
    /// Most time for it.
    pub timeout: Duration,
    /// What a person prescribed instead of the advisor's finding.
    pub prescribed: Option<Prescribed>,
}

impl Policy {
    /// Wait before the attempt that follows the `attempt`-th (counted from 1), in ms: 5 s, doubled each time when
    /// exponential, at most 5 min.
    pub fn backoff_ms(&self, attempt: u32) -> i64 {
        backoff_ms(self.backoff, attempt)
    }

    /// Whether a strategy still asks for a change: by a step of the action that prescribes exactly it, or that takes what
    /// was `advised`, and that was it.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn asks_for(
        &self,
        strategy: &str,
        action: ActionName,
        change: &AddIndex,
        advised: Option<&IndexCandidate>,
    ) -> Result<(), String> {
        let Some(steps) = self.strategies.get(strategy).map(|strategy| &strategy.steps) else {
            return Err(format!("the policy has no strategy {strategy:?} any more"));
        };
        let wanted = (&change.schema, &change.table, &change.columns);
        let asks = |step: &Step| match &step.prescribed {
            Some(index) => (&index.schema, &index.table, &index.columns) == wanted,
            None => advised.is_some_and(|index| (&index.schema, &index.table, &index.columns) == wanted),
        };
        if steps.iter().any(|step| step.action == action && asks(step)) {
            return Ok(());
        }
        Err(format!("no step of strategy {strategy:?} asks for this change any more"))
    }
}

impl Strategy {
    /// Most time for one look, which does the work of all looking steps: what they have together, at most 30 s.
    pub fn look_limit(&self) -> Duration {
        let looks = |step: &&Step| matches!(step.action, ActionName::AnalyzeQuery | ActionName::CheckIndexes);
        let limits: Vec<Duration> = self.steps.iter().filter(looks).map(|step| step.timeout).collect();
        if limits.is_empty() { LOOK_LIMIT } else { limits.iter().sum::<Duration>().min(LOOK_LIMIT) }
    }
}

/// See [`Policy::backoff_ms`].
pub fn backoff_ms(backoff: Backoff, attempt: u32) -> i64 {
    let doubled = match backoff {
        Backoff::Constant => 0,
        Backoff::Exponential => attempt.saturating_sub(1).min(6),
    };
    (5_000_i64 << doubled).min(300_000)
}

/// Resolves what a person wrote.
///
/// # Errors
/// [`FieldError`] of the first field that cannot be used.
pub fn resolve(spec: &RemediationPolicySpec) -> Result<Policy, FieldError> {
    if spec.auto_up_to >= RiskLevel::High {
        return Err(FieldError {
            field: "autoUpTo".into(),
            found: super::risk::name(spec.auto_up_to).into(),
            allowed: "low, medium: high and critical are never automatic".into(),
        });
    }
    if spec.limits.fixes_per_hour == 0 {
        return Err(FieldError {
            field: "limits.fixesPerHour".into(),
            found: "0".into(),
            allowed: "1 to 100; mode observe changes nothing".into(),
        });
    }
    for name in spec.risk_overrides.keys() {
        if !actions::ACTIONS.iter().any(|action| action.changing && action.text == name) {
            return Err(FieldError {
                field: "riskOverrides".into(),
                found: format!("{name:?}"),
                allowed: actions::changing_names(),
            });
        }
    }
    let mut strategies = BTreeMap::new();
    for (name, strategy) in &spec.strategies {
        strategies.insert(name.clone(), resolve_strategy(&format!("strategies.{name}"), strategy)?);
    }
    Ok(Policy {
        mode: spec.mode,
        auto_up_to: spec.auto_up_to,
        fixes_per_hour: spec.limits.fixes_per_hour,
        second_person: spec.approvals.second_person,
        expire_after_ms: duration("approvals.expireAfter", &spec.approvals.expire_after, LONGEST)?
            .as_millis()
            .try_into()
            .unwrap_or(i64::MAX),
        rollback_timeout: duration("rollbackTimeout", &spec.rollback_timeout, LONGEST)?,
        retries: spec.retries.max,
        backoff: spec.retries.backoff,
        executor_secret: spec.executor.as_ref().map(|executor| executor.secret_ref.name.clone()),
        risk_overrides: spec.risk_overrides.clone(),
        strategies,
    })
}

fn duration(field: &str, text: &DurationText, longest: Duration) -> Result<Duration, FieldError> {
    let error = |allowed: &str| FieldError {
        field: field.to_owned(),
        found: format!("{:?}", text.0),
        allowed: allowed.to_owned(),
    };
    let duration = text.resolve().map_err(|_| error("a whole number with one unit of ms, s, m, h, d, such as 5m"))?;
    if duration < Duration::from_secs(1) || duration > longest {
        return Err(error("1s to 24h"));
    }
    Ok(duration)
}

fn resolve_strategy(field: &str, strategy: &api::Strategy) -> Result<Strategy, FieldError> {
    let steps = strategy
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| resolve_step(&format!("{field}.steps[{index}]"), step))
        .collect::<Result<_, _>>()?;
    Ok(Strategy { priority: strategy.priority, steps })
}

fn resolve_step(field: &str, step: &api::Step) -> Result<Step, FieldError> {
    let when = step.when.as_deref().map(condition::compile).transpose().map_err(|error| FieldError {
        field: format!("{field}.when"),
        found: format!("{:?}: {} at character {}", error.source_text, error.message, error.position),
        allowed: error.allowed,
    })?;
    if step.action == ActionName::Notify && step.timeout.is_some() {
        return Err(FieldError {
            field: format!("{field}.timeout"),
            found: "a timeout of notify".into(),
            allowed: "no timeout: telling people takes no time".into(),
        });
    }
    let timeout = match &step.timeout {
        Some(text) => duration(&format!("{field}.timeout"), text, LONGEST)?,
        None if actions::action(step.action).changing => BUILD_LIMIT,
        None => LOOK_LIMIT,
    };
    let prescribed = match (&step.table, &step.columns) {
        (None, None) => None,
        (Some(table), Some(columns)) if step.action == ActionName::AddIndex => {
            let (schema, table) = split_table(table).ok_or_else(|| FieldError {
                field: format!("{field}.table"),
                found: format!("{table:?}"),
                allowed: "schema.table, each part in double quotes if it holds a dot or a quote".into(),
            })?;
            if columns.is_empty() || columns.len() > 3 {
                return Err(FieldError {
                    field: format!("{field}.columns"),
                    found: format!("{} columns", columns.len()),
                    allowed: "1 to 3 columns".into(),
                });
            }
            let repeated = columns.iter().enumerate().any(|(index, column)| columns[..index].contains(column));
            if repeated {
                return Err(FieldError {
                    field: format!("{field}.columns"),
                    found: "a column twice".into(),
                    allowed: "each column once".into(),
                });
            }
            Some(Prescribed { schema, table, columns: columns.clone() })
        }
        _ => {
            return Err(FieldError {
                field: field.to_owned(),
                found: "table or columns".into(),
                allowed: "table and columns together, with add_index".into(),
            });
        }
    };
    Ok(Step { action: step.action, when, timeout, prescribed })
}

/// Splits `schema.table`; a part may be in double quotes, with inner double quotes doubled.
fn split_table(text: &str) -> Option<(String, String)> {
    let (schema, rest) = part(text)?;
    let (table, rest) = part(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((schema, table))
}

fn part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let name = &text[..end];
        return (!name.is_empty() && !name.contains('"')).then(|| (name.to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return (!name.is_empty()).then_some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(steps: serde_json::Value) -> RemediationPolicySpec {
        serde_json::from_value(serde_json::json!({
            "mode": "auto", "executor": {"secretRef": {"name": "fixer"}}, "strategies": {"slow": {"steps": steps}}
        }))
        .unwrap()
    }

    #[test]
    fn defaults_are_resolved() {
        let policy = resolve(&spec(serde_json::json!([
            {"action": "analyze_query"},
            {"action": "add_index", "when": "facts.missing_index && facts.safe", "timeout": "10m"}
        ])))
        .unwrap();
        assert_eq!(policy.rollback_timeout, Duration::from_secs(300));
        assert_eq!(policy.expire_after_ms, 86_400_000);
        let steps = &policy.strategies["slow"].steps;
        assert_eq!(steps[0].timeout, LOOK_LIMIT);
        assert_eq!(steps[1].timeout, Duration::from_secs(600));
        assert_eq!([policy.backoff_ms(1), policy.backoff_ms(2), policy.backoff_ms(99)], [5_000, 10_000, 300_000]);
    }

    #[test]
    fn a_wrong_field_is_named_with_what_was_found_and_what_is_allowed() {
        for (steps, field) in [
            (serde_json::json!([{"action": "notify", "when": "facts.unknown"}]), "strategies.slow.steps[0].when"),
            (serde_json::json!([{"action": "notify", "timeout": "10s"}]), "strategies.slow.steps[0].timeout"),
            (serde_json::json!([{"action": "add_index", "timeout": "0s"}]), "strategies.slow.steps[0].timeout"),
            (serde_json::json!([{"action": "add_index", "timeout": "5 m"}]), "strategies.slow.steps[0].timeout"),
            (
                serde_json::json!([{"action": "add_index", "table": "a.b", "columns": ["c", "d", "c"]}]),
                "strategies.slow.steps[0].columns",
            ),
            (
                serde_json::json!([{"action": "add_index", "table": "orders", "columns": ["a"]}]),
                "strategies.slow.steps[0].table",
            ),
        ] {
            let error = resolve(&spec(steps)).unwrap_err();
            assert_eq!(error.field, field);
            assert!(!error.found.is_empty() && !error.allowed.is_empty());
        }
        let mut overridden = spec(serde_json::json!([{"action": "notify"}]));
        overridden.risk_overrides.insert("drop_table".into(), RiskLevel::Low);
        assert_eq!(resolve(&overridden).unwrap_err().field, "riskOverrides");
    }

    #[test]
    fn nothing_above_medium_is_ever_automatic() {
        for level in [RiskLevel::High, RiskLevel::Critical] {
            let mut spec = spec(serde_json::json!([{"action": "notify"}]));
            spec.auto_up_to = level;
            assert_eq!(resolve(&spec).unwrap_err().field, "autoUpTo");
        }
    }

    #[test]
    fn a_look_has_the_time_of_all_looking_steps() {
        let limit = |steps| resolve(&spec(steps)).unwrap().strategies["slow"].look_limit();
        let steps = serde_json::json!([
            {"action": "analyze_query", "timeout": "5s"}, {"action": "check_indexes", "timeout": "2s"}, {"action": "add_index"}
        ]);
        assert_eq!(limit(steps), Duration::from_secs(7));
        assert_eq!(limit(serde_json::json!([{"action": "analyze_query"}, {"action": "check_indexes"}])), LOOK_LIMIT);
        assert_eq!(limit(serde_json::json!([{"action": "add_index"}])), LOOK_LIMIT);
    }

    #[test]
    fn a_strategy_asks_for_what_a_step_of_it_prescribes_or_was_advised() {
        let change = |column: &str| AddIndex {
            schema: "s".into(),
            table: "t".into(),
            columns: vec![column.into()],
            ..AddIndex::default()
        };
        let advised = IndexCandidate {
            schema: "s".into(),
            table: "t".into(),
            columns: vec!["b".into()],
            ..IndexCandidate::default()
        };
        let asks = |steps, change: &AddIndex, strategy: &str| {
            let policy = resolve(&spec(steps)).unwrap();
            policy.asks_for(strategy, ActionName::AddIndex, change, Some(&advised))
        };
        let prescribed = serde_json::json!([{"action": "add_index", "table": "s.t", "columns": ["a"]}]);
        assert_eq!(asks(prescribed.clone(), &change("a"), "slow"), Ok(()));
        assert!(asks(prescribed.clone(), &change("b"), "slow").unwrap_err().contains("no step of strategy"));
        assert!(asks(prescribed, &change("a"), "other").unwrap_err().contains("no strategy"));
        assert_eq!(asks(serde_json::json!([{"action": "add_index"}]), &change("b"), "slow"), Ok(()));
        assert!(asks(serde_json::json!([{"action": "add_index"}]), &change("a"), "slow").is_err());
        assert!(asks(serde_json::json!([{"action": "notify"}]), &change("b"), "slow").is_err());
    }

    #[test]
    fn tables_may_be_quoted() {
        let split = |text| split_table(text).map(|(schema, table)| format!("{schema}|{table}"));
        assert_eq!(split("public.orders").as_deref(), Some("public|orders"));
        assert_eq!(split(r#""a.b"."c""d""#).as_deref(), Some(r#"a.b|c"d"#));
        for wrong in ["orders", "a.b.c", ".b", "a.", r#""a"#, r#""a"b.c"#, r#"a.b"c"#, ""] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
