//! add_index: builds an index concurrently; the way back is `DROP INDEX CONCURRENTLY`.
//!
//! Risk: `heal::risk::add_index`. Prechecks, post-condition and adoption of a running build: the executor.

use sha2::{Digest, Sha256};

use super::{Action, PlanError, PlanRequest};
use crate::api::{
    ActionName, AddIndex, Change, Evidence, IndexCandidate, Plan, RootCause, StatementEvidence, Verification,
};
use crate::database::postgresql::quote::{IDENTIFIER_BYTES, QuoteError, quote_identifier};
use crate::diagnose::text::printable;
use crate::heal::plan::figure;
use crate::heal::risk::{self, IndexFacts};

/// The action.
pub const ACTION: Action = Action {
    name: ActionName::AddIndex,
    text: "add_index",
    changing: true,
    description: "builds an index concurrently, and drops it again if it does not help",
    plan: Some(plan),
};

/// Most targeted statements of a plan.
const MOST_STATEMENTS: usize = 5;

/// Plans the index that the step prescribes, else the one that the advisor found.
fn plan(request: &PlanRequest<'_>) -> Result<Plan, PlanError> {
    let (schema, table, columns) = match (request.prescribed, &request.cause.missing_index) {
        (Some(prescribed), _) => (&prescribed.schema, &prescribed.table, &prescribed.columns),
        (None, Some(candidate)) => (&candidate.schema, &candidate.table, &candidate.columns),
        (None, None) => return Err(PlanError::NothingToDo),
    };
    if columns.is_empty() || columns.len() > 3 {
        return Err(PlanError::Columns(columns.len()));
    }
    // The advisor's estimates speak of the prescribed index only if it is the same one.
    let estimate =
        request.cause.missing_index.as_ref().filter(|candidate| {
            &candidate.schema == schema && &candidate.table == table && &candidate.columns == columns
        });
    let readers = readers(request.cause, schema, table);
    let (query_ids, statements_before_ms) = targeted(request.cause, estimate, &readers);
    let add_index = AddIndex {
        schema: schema.clone(),
        table: table.clone(),
        columns: columns.clone(),
        name: index_name(schema, table, columns),
    };
    let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    Ok(Plan {
        target: request.target.clone(),
        statement: statement(&add_index)?,
        undo: undo(&add_index)?,
        change: Change { add_index: Some(add_index) },
        verification: Verification {
            metric: request.metric.to_owned(),
            before: figure(request.before).ok_or(PlanError::NoMeasurement)?,
            lower: request.lower.and_then(figure),
            upper: request.upper.and_then(figure),
            // Of a prescribed index too: a round that holds only quick statements looks healthy by its metric alone.
            query_ids,
            statements_before_ms: statements_before_ms.and_then(figure),
            timeout_seconds: seconds(request.rollback_timeout),
        },
        risk: risk::add_index(
            &IndexFacts {
                table_bytes: estimate.map(|candidate| candidate.table_bytes),
                build_seconds: estimate.map(|candidate| candidate.build_seconds),
                statements: (!readers.is_empty())
                    .then(|| (readers.len(), readers.iter().map(|statement| statement.share).sum::<f64>().min(1.0))),
                surroundings: surroundings(request.cause),
            },
            request.rollback_timeout,
        ),
        timeout_seconds: seconds(request.timeout),
    })
}

/// The statements that grew and are known to read the table, by the dearest node of their plans.
fn readers<'a>(cause: &'a RootCause, schema: &str, table: &str) -> Vec<&'a StatementEvidence> {
    let relation = printable(&format!("{schema}.{table}"), 140);
    let reads = |statement: &&StatementEvidence| statement.node.as_ref().is_some_and(|node| node.relation == relation);
    cause.statements.iter().filter(reads).collect()
}

/// The statements that the change is measured by, and their mean time before it: the one that the index was advised for,
/// else those that read the table. None when nobody knows any: then the metric alone has to show it.
fn targeted(
    cause: &RootCause,
    estimate: Option<&IndexCandidate>,
    readers: &[&StatementEvidence],
) -> (Vec<String>, Option<f64>) {
    if let Some(advised) = estimate.filter(|candidate| !candidate.query_id.is_empty()) {
        let seen = cause.statements.iter().find(|statement| statement.query_id == advised.query_id);
        let before_ms = advised.statement_ms.or(seen.map(|statement| statement.mean_now_ms));
        return (vec![advised.query_id.clone()], before_ms);
    }
    let readers = &readers[..readers.len().min(MOST_STATEMENTS)];
    let calls: f64 = readers.iter().map(|statement| statement.calls_per_second).sum();
    let spent: f64 = readers.iter().map(|statement| statement.calls_per_second * statement.mean_now_ms).sum();
    let ids = readers.iter().map(|statement| statement.query_id.clone()).collect();
    (ids, (calls > 0.0).then(|| spent / calls))
}

/// What the checks of `safe` found about load and replicas.
fn surroundings(cause: &RootCause) -> Vec<&str> {
    let told = |evidence: &&Evidence| ["safe: load", "safe: replica"].contains(&evidence.name.as_str());
    cause.evidence.iter().filter(told).map(|evidence| evidence.value.as_str()).collect()
}

/// Name of the index: `dbmedic_<table>_<hash8>`, the table's name cut so that the whole has at most 63 bytes. The hash
/// covers schema, table and columns: equal changes have equal names.
pub fn index_name(schema: &str, table: &str, columns: &[String]) -> String {
    let mut hasher = Sha256::new();
    for part in [schema, table].into_iter().chain(columns.iter().map(String::as_str)) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let hash8: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let room = IDENTIFIER_BYTES - "dbmedic__".len() - hash8.len();
    let mut end = table.len().min(room);
    while !table.is_char_boundary(end) {
        end -= 1;
    }
    format!("dbmedic_{}_{hash8}", &table[..end])
}

/// The statement of the change; the executor renders it again and compares.
///
/// # Errors
/// [`QuoteError`] when a name cannot exist.
pub fn statement(index: &AddIndex) -> Result<String, QuoteError> {
    let columns = index.columns.iter().map(|column| quote_identifier(column)).collect::<Result<Vec<_>, _>>()?;
    Ok(format!(
        "CREATE INDEX CONCURRENTLY {} ON {}.{} USING btree ({})",
        quote_identifier(&index.name)?,
        quote_identifier(&index.schema)?,
        quote_identifier(&index.table)?,
        columns.join(", ")
    ))
}

/// The statement of the way back.
///
/// # Errors
/// [`QuoteError`] when a name cannot exist.
pub fn undo(index: &AddIndex) -> Result<String, QuoteError> {
    Ok(format!("DROP INDEX CONCURRENTLY {}.{}", quote_identifier(&index.schema)?, quote_identifier(&index.name)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::parser::Parser;

    use super::*;
    use crate::actions::Prescribed;
    use crate::api::{PlanNode, PlanTarget, RiskLevel};

    fn planned(prescribed: Option<&Prescribed>, cause: &RootCause) -> Result<Plan, PlanError> {
        plan(&PlanRequest {
            target: &PlanTarget::default(),
            timeout: Duration::from_secs(600),
            prescribed,
            cause,
            metric: "response_time",
            before: 123.456_789,
            lower: None,
            upper: Some(8.0),
            rollback_timeout: Duration::from_secs(300),
        })
    }

    fn statement_of(query_id: &str, relation: &str, mean_now_ms: f64, calls_per_second: f64) -> StatementEvidence {
        StatementEvidence {
            query_id: query_id.into(),
            mean_now_ms,
            calls_per_second,
            share: 0.4,
            node: Some(PlanNode { relation: relation.into(), ..PlanNode::default() }),
            ..StatementEvidence::default()
        }
    }

    /// The statement that grew most reads another table than the one that an index was advised for.
    fn cause() -> RootCause {
        RootCause {
            statements: vec![
                statement_of("1", "public.other", 500.0, 1.0),
                statement_of("2", "public.orders", 90.0, 8.0),
            ],
            missing_index: Some(IndexCandidate {
                schema: "public".into(),
                table: "orders".into(),
                columns: vec!["customer_id".into()],
                build_seconds: 4.0,
                table_bytes: 1 << 28,
                query_id: "2".into(),
                statement_ms: Some(90.0),
                ..IndexCandidate::default()
            }),
            evidence: vec![Evidence { name: "safe: load".into(), value: "holds: 3 sessions are active".into() }],
            ..RootCause::default()
        }
    }

    #[test]
    fn the_advisors_finding_becomes_a_plan() {
        let plan = planned(None, &cause()).unwrap();
        let name = plan.change.add_index.as_ref().unwrap().name.clone();
        assert_eq!(
            plan.statement,
            format!(r#"CREATE INDEX CONCURRENTLY "{name}" ON "public"."orders" USING btree ("customer_id")"#)
        );
        assert_eq!(plan.undo, format!(r#"DROP INDEX CONCURRENTLY "public"."{name}""#));
        assert_eq!(plan.risk.level, RiskLevel::Low);
        assert!((plan.verification.before - 123.457).abs() < 1e-9);
        assert!(plan.risk.reasons.iter().any(|reason| reason.contains("1 of the statements that grew read the table")));
        assert!(plan.risk.reasons.iter().any(|reason| reason.contains("3 sessions are active")));
        assert_eq!((plan.timeout_seconds, plan.verification.timeout_seconds), (600, 300));
    }

    #[test]
    fn a_change_is_measured_by_the_statement_that_it_is_for() {
        let by = |prescribed: Option<&Prescribed>, cause: &RootCause| {
            let verification = planned(prescribed, cause).unwrap().verification;
            (verification.query_ids, verification.statements_before_ms)
        };
        assert_eq!(by(None, &cause()), (vec!["2".to_owned()], Some(90.0)), "not by the one that grew most");
        let same = Prescribed { schema: "public".into(), table: "orders".into(), columns: vec!["customer_id".into()] };
        assert_eq!(by(Some(&same), &cause()), (vec!["2".to_owned()], Some(90.0)));
        let other = Prescribed { columns: vec!["status".into()], ..same.clone() };
        let mut two = cause();
        two.statements.push(statement_of("3", "public.orders", 10.0, 32.0));
        assert_eq!(
            by(Some(&other), &two),
            (vec!["2".to_owned(), "3".to_owned()], Some(26.0)),
            "those that read the table"
        );
        let unread = Prescribed { table: "elsewhere".into(), ..same };
        assert_eq!(by(Some(&unread), &two), (vec![], None), "by the metric alone");
    }

    #[test]
    fn what_a_person_prescribes_goes_before_the_finding() {
        let prescribed = Prescribed { schema: "s".into(), table: "t".into(), columns: vec!["c".into()] };
        let plan = planned(Some(&prescribed), &cause()).unwrap();
        assert!(plan.statement.contains(r#""s"."t""#));
        assert_eq!(plan.risk.level, RiskLevel::Medium);
    }

    #[test]
    fn without_finding_and_prescription_there_is_no_plan() {
        assert_eq!(planned(None, &RootCause::default()), Err(PlanError::NothingToDo));
    }

    proptest! {
        #[test]
        fn names_fit_and_statements_stay_one_statement(
            schema in r#"[ -~äß\n"';$-]{1,30}"#, table in r#"[ -~äß漢\n"';$-]{1,30}"#, column in r#"[ -~äß\n"';$-]{1,30}"#,
        ) {
            let name = index_name(&schema, &table, std::slice::from_ref(&column));
            prop_assert!(name.len() <= 63 && name.starts_with("dbmedic_"));
            let index = AddIndex { schema, table, columns: vec![column], name };
            if let (Ok(statement), Ok(undo)) = (statement(&index), undo(&index)) {
                for text in [statement, undo] {
                    // The parser does not know this word after DROP INDEX.
                    let known = text.replacen("DROP INDEX CONCURRENTLY", "DROP INDEX", 1);
                    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &known);
                    prop_assert_eq!(parsed.map(|statements| statements.len()).ok(), Some(1), "{}", text);
                }
            }
        }

        #[test]
        fn different_changes_have_different_names(left in "[a-c]{1,3}", right in "[a-c]{1,3}", third in "[a-c]{0,2}") {
            let one = index_name(&left, &right, std::slice::from_ref(&third));
            let other = index_name(&right, &left, std::slice::from_ref(&third));
            prop_assert_eq!(one == other, left == right);
        }
    }
}
