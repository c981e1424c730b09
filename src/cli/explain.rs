//! `explain NAME`: what, since when, how far from normal, why, what is done about it, what comes next.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::anomalies::{state_cell as anomaly_state, word};
use super::cluster::Cluster;
use super::explain_model::{Explanation, Fix, Incident};
use super::failure::Failure;
use super::figures::{age, bytes, number, percent, time, value};
use super::fixes::{action_word, risk_word, state_cell as fix_state};
use super::output::Report;
use super::table::Table;
use crate::api::{Anomaly, Evidence, IndexCandidate, Measured, Remediation, RootCause, StatementEvidence};

/// Reads the object of that name and what belongs to it: an Anomaly with its changes, or a change with its Anomaly.
pub(super) async fn read(cluster: &Cluster, name: &str, now: Timestamp) -> Result<Explanation, Failure> {
    if cluster.all_namespaces {
        return Err(Failure::Usage("one object is explained at a time: name its namespace with -n".to_owned()));
    }
    let namespace = cluster.namespace.clone();
    if let Some(anomaly) = cluster.get::<Anomaly>(name).await? {
        let mut remediations: Vec<Remediation> = cluster.list().await?;
        remediations.retain(|remediation| Some(&remediation.spec.anomaly_ref.uid) == anomaly.metadata.uid.as_ref());
        remediations.sort_by(|left, right| {
            let key = |object: &Remediation| (object.metadata.creation_timestamp.clone(), object.name_any());
            key(left).cmp(&key(right))
        });
        return Ok(Explanation::new(
            format!("anomaly.dbmedic.io/{name}"),
            namespace,
            Some(&anomaly),
            &remediations,
            now,
        ));
    }
    let Some(remediation) = cluster.get::<Remediation>(name).await? else {
        return Err(Failure::Other(format!("no Anomaly and no Remediation {name} in namespace {namespace}")));
    };
    let reference = &remediation.spec.anomaly_ref;
    let anomaly =
        cluster.get::<Anomaly>(&reference.name).await?.filter(|anomaly| anomaly.uid() == Some(reference.uid.clone()));
    Ok(Explanation::new(
        format!("remediation.dbmedic.io/{name}"),
        namespace,
        anomaly.as_ref(),
        std::slice::from_ref(&remediation),
        now,
    ))
}

impl Report for Explanation {
    fn tables(&self, _: bool) -> Vec<Table> {
        Vec::new()
    }

    fn names(&self) -> Vec<String> {
        vec![self.object.clone()]
    }

    fn text(&self, wide: bool, _: bool, colour: bool) -> String {
        let mut page = Page { text: String::new(), colour, now: self.now };
        match &self.anomaly {
            Some(incident) => page.incident(incident, &self.namespace),
            None => page.line(0, "Anomaly", "gone: it was deleted, or is another one of the same name"),
        }
        page.text.push('\n');
        match self.anomaly.as_ref().and_then(|incident| incident.walk.as_deref()) {
            Some(message) => page.line(0, "Done", message),
            None if self.remediations.is_empty() => page.line(0, "Done", "nothing yet"),
            None => page.line(0, "Done", ""),
        }
        for fix in &self.remediations {
            let unit = self.anomaly.as_ref().map_or("", |incident| incident.unit.as_str());
            page.fix(fix, unit, wide);
        }
        page.text.push('\n');
        page.line(0, "Next", &self.next);
        page.text
    }
}

/// Text for people: labels in a column of their own, details indented.
struct Page {
    text: String,
    colour: bool,
    now: Timestamp,
}

impl Page {
    fn line(&mut self, indent: usize, label: &str, content: &str) {
        let line = format!("{:indent$}{label:<width$}{content}", "", width = 14 - indent);
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn since(&self, at: &str) -> String {
        time(at).map_or_else(|| at.to_owned(), |instant| format!("{at} ({} ago)", age(Some(instant), self.now)))
    }

    fn incident(&mut self, incident: &Incident, namespace: &str) {
        let state = anomaly_state(incident.state, incident.severity);
        self.line(0, "Anomaly", &format!("{} in namespace {namespace}", incident.name));
        let painted = state.tone.paint(&state.text, self.colour);
        self.line(0, "State", &format!("{painted}, severity {}", word(incident.severity)));
        let (observed, unit) = (&incident.observed, incident.unit.as_str());
        let found = value(observed.value, unit);
        self.line(0, "What", &format!("{} of {} was {found}; {}", incident.metric, incident.pod, band(incident)));
        self.line(0, "Since", &self.since(&incident.onset));
        if let Some(at) = &incident.resolved_at {
            self.line(0, "Over", &self.since(at));
        }
        let far = incident.deviation.clone().or_else(|| observed.sigmas.map(|far| format!("{} sigma", number(far))));
        let far = far.unwrap_or_else(|| "beyond a fixed limit".to_owned());
        self.line(0, "How far", &format!("{far} (confidence {} %)", number(observed.confidence)));
        self.line(
            0,
            "Seen by",
            &format!("rule {} ({}), Baseline {}", incident.rule, incident.detector, incident.baseline),
        );
        self.evidence(0, &incident.evidence);
        self.text.push('\n');
        match &incident.cause {
            Some(cause) => self.cause(cause),
            None => self.line(0, "Why", "not yet known"),
        }
    }

    fn cause(&mut self, cause: &RootCause) {
        self.line(0, "Why", &format!("{:?}: {}", cause.kind, cause.summary));
        for statement in &cause.statements {
            self.statement(statement);
        }
        if let Some(index) = &cause.missing_index {
            self.line(2, "Missing", &missing(index));
        }
        if !cause.facts.is_empty() {
            let facts: Vec<String> = cause.facts.iter().map(|fact| format!("{}={}", fact.name, fact.value)).collect();
            self.line(2, "Facts", &facts.join(", "));
        }
        self.evidence(2, &cause.evidence);
    }

    fn evidence(&mut self, indent: usize, list: &[Evidence]) {
        for (index, evidence) in list.iter().enumerate() {
            let label = if index == 0 { "Evidence" } else { "" };
            self.line(indent, label, &format!("{}: {}", evidence.name, evidence.value));
        }
    }

    fn statement(&mut self, statement: &StatementEvidence) {
        self.line(2, "Statement", &statement.text);
        let before = statement.mean_before_ms.map_or_else(String::new, |ms| format!(", before {}", value(ms, "ms")));
        self.line(
            4,
            "",
            &format!(
                "{} now{before}; {} calls/s, {} rows per call; {} of the growth (queryid {})",
                value(statement.mean_now_ms, "ms"),
                number(statement.calls_per_second),
                number(statement.rows_per_call),
                percent(statement.share),
                statement.query_id
            ),
        );
        if let Some(node) = &statement.node {
            let filter = node.filter.as_ref().map_or_else(String::new, |filter| format!(" where {filter}"));
            self.line(
                4,
                "Plan",
                &format!(
                    "{} on {}{filter}: reads {} rows, returns {}; {} of the cost",
                    node.node_type,
                    node.relation,
                    number(node.rows_read),
                    number(node.rows_returned),
                    percent(node.cost_share)
                ),
            );
        }
    }

    fn fix(&mut self, fix: &Fix, unit: &str, wide: bool) {
        let state = fix_state(fix.state);
        let painted = state.tone.paint(&state.text, self.colour);
        let message = fix.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
        self.line(2, "Fix", &format!("{} ({})", fix.name, action_word(fix.action)));
        self.line(4, "State", &format!("{painted}{message}"));
        self.line(4, "Risk", &format!("{}: {}", risk_word(fix.risk), fix.reasons.join("; ")));
        self.line(4, "SQL", &fix.statement);
        self.line(4, "Undo", &fix.undo);
        if fix.hidden_characters {
            self.line(4, "Warning", "the SQL holds control characters that are not shown; the hash covers them");
        }
        self.line(4, "Plan hash", &fix.plan_hash);
        if let Some(by) = &fix.decided_by {
            self.line(4, "Decided", &format!("by {by}"));
        }
        if let Some(found) = &fix.verification {
            for (label, figures) in [("Before", &found.before), ("After", &found.after)] {
                if *figures != Measured::default() {
                    self.line(4, label, &measured(figures, &fix.metric, unit));
                }
            }
            if !found.verdict.is_empty() {
                self.line(4, "Verdict", &found.verdict);
            }
        }
        if wide {
            for (index, seen) in fix.transitions.iter().enumerate() {
                let label = if index == 0 { "Timeline" } else { "" };
                self.line(4, label, &format!("{} {:?}: {}", seen.at, seen.state, seen.message));
            }
        }
    }
}

fn band(incident: &Incident) -> String {
    let (band, unit) = (&incident.observed.band, incident.unit.as_str());
    let edges = match (band.lower, band.upper) {
        (Some(lower), Some(upper)) => format!("{} to {}", value(lower, unit), value(upper, unit)),
        (Some(lower), None) => format!("at least {}", value(lower, unit)),
        (None, Some(upper)) => format!("at most {}", value(upper, unit)),
        (None, None) => "unknown".to_owned(),
    };
    match band.centre {
        Some(centre) => format!("normal is {} (band {edges})", value(centre, unit)),
        None => format!("allowed is {edges}"),
    }
}

fn missing(index: &IndexCandidate) -> String {
    format!(
        "index on {}.{} ({}): about {}, built in about {} s, saves {} of the cost; the table has {} rows, {}",
        index.schema,
        index.table,
        index.columns.join(", "),
        bytes(index.size_bytes as f64),
        number(index.build_seconds),
        percent(index.gain),
        number(index.table_rows),
        bytes(index.table_bytes as f64)
    )
}

fn measured(figures: &Measured, metric: &str, unit: &str) -> String {
    let mut parts = Vec::new();
    if let Some(found) = figures.value {
        parts.push(format!("{metric} {}", value(found, unit)));
    }
    if let Some(found) = figures.statements_ms {
        let calls = figures.calls.map_or_else(String::new, |calls| format!(" over {calls} calls"));
        parts.push(format!("statements {}{calls}", value(found, "ms")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        AnomalySpec, AnomalyState, AnomalyStatus, Band, Evidence, LocalReference, ObjectReference, Observed, PlanNode,
        RemediationState, RootCauseKind, Severity, VerificationStatus, Walk,
    };
    use crate::cli::fixes::tests::waiting;

    fn anomaly() -> Anomaly {
        let observed = Observed {
            at: "2026-11-22T10:05:00Z".into(),
            value: 412.3,
            band: Band { centre: Some(8.2), lower: Some(6.1), upper: Some(12.4) },
            sigmas: Some(41.2),
            confidence: 99.9,
        };
        let mut object = Anomaly::new(
            "slow-queries-1",
            AnomalySpec {
                rule_ref: ObjectReference { name: "slow-queries".into(), uid: "u".into() },
                baseline_ref: LocalReference::from("orders"),
                pod: "orders-db-0".into(),
                metric: "response_time".into(),
                unit: "ms".into(),
                detector: "sigma".into(),
                severity: Severity::High,
                onset: "2026-11-22T10:00:00Z".into(),
                observed,
            },
        );
        let node = PlanNode {
            node_type: "Seq Scan".into(),
            relation: "public.orders".into(),
            filter: Some("(customer_id = $1)".into()),
            rows_read: 3_000_000.0,
            rows_returned: 12.0,
            cost: 60_000.0,
            cost_share: 0.98,
        };
        let statement = StatementEvidence {
            query_id: "-42".into(),
            text: "SELECT * FROM orders\nWHERE customer_id = $1 -- \u{1b}[2Jgone".into(),
            mean_before_ms: Some(0.4),
            mean_now_ms: 410.0,
            calls_per_second: 20.0,
            share: 0.93,
            rows_per_call: 12.0,
            node: Some(node),
        };
        let index = IndexCandidate {
            schema: "public".into(),
            table: "orders".into(),
            columns: vec!["customer_id".into()],
            size_bytes: 62 << 20,
            build_seconds: 8.0,
            gain: 0.99,
            table_bytes: 412 << 20,
            table_rows: 3_000_000.0,
            ..IndexCandidate::default()
        };
        object.status = Some(AnomalyStatus {
            state: Some(AnomalyState::Open),
            deviation: Some("+41.2 sigma".into()),
            root_cause: Some(RootCause {
                looked: None,
                kind: RootCauseKind::MissingIndex,
                summary: "orders is read whole for want of an index on customer_id".into(),
                statements: vec![statement],
                missing_index: Some(index),
                facts: vec![Evidence { name: "missing_index".into(), value: "true".into() }],
                evidence: vec![Evidence { name: "scans of orders".into(), value: "0 by index".into() }],
            }),
            walk: Some(Walk { message: "step 3, add_index: planned".into(), finished: false, notified: Vec::new() }),
            ..AnomalyStatus::default()
        });
        object
    }

    fn explain(remediation: &Remediation) -> Explanation {
        let now = "2026-11-22T10:06:00Z".parse().unwrap();
        let object = "anomaly.dbmedic.io/slow-queries-1".to_owned();
        Explanation::new(object, "shop".into(), Some(&anomaly()), std::slice::from_ref(remediation), now)
    }

    #[test]
    fn a_person_reads_what_why_and_what_will_be_done() {
        let hash = "ab".repeat(32);
        let expected = format!(
            "\
Anomaly       slow-queries-1 in namespace shop
State         ✗ Open, severity high
What          response_time of orders-db-0 was 412 ms; normal is 8.2 ms (band 6.1 ms to 12.4 ms)
Since         2026-11-22T10:00:00Z (6m ago)
How far       +41.2 sigma (confidence 99.9 %)
Seen by       rule slow-queries (sigma), Baseline orders

Why           MissingIndex: orders is read whole for want of an index on customer_id
  Statement   SELECT * FROM orders WHERE customer_id = $1 -- gone
              410 ms now, before 0.4 ms; 20 calls/s, 12 rows per call; 93 % of the growth (queryid -42)
    Plan      Seq Scan on public.orders where (customer_id = $1): reads 3000000 rows, returns 12; 98 % of the cost
  Missing     index on public.orders (customer_id): about 62 MiB, built in about 8 s, saves 99 % of the cost; the table has 3000000 rows, 412 MiB
  Facts       missing_index=true
  Evidence    scans of orders: 0 by index

Done          step 3, add_index: planned
  Fix         orders-add-index (add_index)
    State     ? AwaitingApproval: mode is suggest
    Risk      low: table of 412 MiB, below 1 GiB
    SQL       CREATE INDEX CONCURRENTLY \"dbmedic_orders_customer_id\" ON \"public\".\"orders\" (\"customer_id\")
    Undo      DROP INDEX CONCURRENTLY \"public\".\"dbmedic_orders_customer_id\"
    Plan hash sha256:{hash}

Next          decide: kubectl dbmedic approve orders-add-index -n shop, or kubectl dbmedic refuse orders-add-index -n shop
"
        );
        assert_eq!(explain(&waiting()).text(false, true, false), expected);
    }

    #[test]
    fn before_and_after_are_shown_when_they_were_measured() {
        let mut remediation = waiting();
        if let Some(status) = &mut remediation.status {
            status.state = Some(RemediationState::Succeeded);
            status.verification = Some(VerificationStatus {
                before: Measured { value: Some(412.3), statements_ms: Some(409.0), calls: None },
                after: Measured { value: Some(8.3), statements_ms: Some(0.41), calls: Some(300) },
                verdict: "back in its band".into(),
            });
        }
        let text = explain(&remediation).text(false, true, false);
        assert!(text.contains("    Before    response_time 412 ms, statements 409 ms\n"), "{text}");
        assert!(text.contains("    After     response_time 8.3 ms, statements 0.41 ms over 300 calls\n"), "{text}");
        assert!(text.ends_with("Next          wait until it is clear: orders-add-index succeeded\n"), "{text}");
    }

    #[test]
    fn every_form_comes_from_the_same_cleaned_model() {
        let json = serde_json::to_string(&explain(&waiting())).unwrap();
        assert!(!json.contains("u001b") && json.contains("customer_id = $1 -- gone"), "{json}");
    }
}
