//! `baseline NAME`: what was learnt: statistics, bounds, patterns, whether it held, confidence and readiness.

use serde::Serialize;

use super::cluster::Cluster;
use super::failure::Failure;
use super::figures::{span, value};
use super::output::Report;
use super::table::{Cell, Table, Tone};
use super::text::clean;
use crate::api::conditions::{find, types};
use crate::api::{Baseline, DatabaseStatus, MetricStatus, PatternStatus, ValidationStatus};

/// What was learnt for one Baseline.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Learnt {
    pub namespace: String,
    pub name: String,
    pub ready: String,
    pub confidence: Option<String>,
    /// Whether the profile is still learnt: until then rules that need one may wait.
    pub learning: bool,
    /// What the condition `Learning` says.
    pub message: Option<String>,
    pub databases: Vec<Database>,
    #[serde(skip)]
    validate: bool,
}

/// One database.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Database {
    pub pod: String,
    pub role: Option<String>,
    pub version: Option<String>,
    pub days: Option<i32>,
    pub learnt_at: Option<String>,
    pub metrics: Vec<MetricStatus>,
}

/// Reads a Baseline's status. With `validate` only what came of the profile is shown.
pub(super) async fn read(cluster: &Cluster, name: &str, validate: bool) -> Result<Learnt, Failure> {
    if cluster.all_namespaces {
        return Err(Failure::Usage("one Baseline is shown at a time: name its namespace with -n".to_owned()));
    }
    let found = cluster.get::<Baseline>(name).await?;
    let namespace = cluster.namespace.clone();
    let missing = || Failure::Other(format!("no Baseline {name} in namespace {namespace}"));
    Ok(model(found.ok_or_else(missing)?, validate))
}

fn model(baseline: Baseline, validate: bool) -> Learnt {
    let status = baseline.status.unwrap_or_default();
    let condition = |kind| find(&status.conditions, kind);
    let learning = condition(types::LEARNING);
    Learnt {
        namespace: baseline.metadata.namespace.unwrap_or_default(),
        name: baseline.metadata.name.unwrap_or_default(),
        ready: condition(types::READY).map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone()),
        confidence: status.confidence.as_deref().map(clean),
        learning: learning.is_none_or(|learning| learning.status != "False"),
        message: learning.map(|learning| clean(&learning.message)),
        databases: status.databases.into_iter().map(database).collect(),
        validate,
    }
}

fn database(database: DatabaseStatus) -> Database {
    Database {
        pod: clean(&database.pod),
        role: database.role.as_deref().map(clean),
        version: database.version.as_deref().map(clean),
        days: database.days,
        learnt_at: database.learnt_at.as_deref().map(clean),
        metrics: database.metrics.into_iter().map(metric).collect(),
    }
}

fn metric(metric: MetricStatus) -> MetricStatus {
    let pattern = |pattern: PatternStatus| PatternStatus {
        kind: clean(&pattern.kind),
        when: clean(&pattern.when),
        message: clean(&pattern.message),
        ..pattern
    };
    let validation = |validation: ValidationStatus| ValidationStatus {
        verdict: clean(&validation.verdict),
        message: clean(&validation.message),
        ..validation
    };
    MetricStatus {
        name: clean(&metric.name),
        unit: clean(&metric.unit),
        patterns: metric.patterns.into_iter().map(pattern).collect(),
        validation: metric.validation.map(validation),
        ..metric
    }
}

impl Database {
    fn statistics(&self) -> Table {
        let rows = self.metrics.iter().map(|metric| {
            let figure = |figure: f64| Cell::from(value(figure, &metric.unit));
            vec![
                metric.name.as_str().into(),
                figure(metric.mean),
                figure(metric.median),
                figure(metric.standard_deviation),
                figure(metric.p95),
                figure(metric.p99),
                span(metric.minimum, metric.maximum, &metric.unit).into(),
                span(metric.lower, metric.upper, &metric.unit).into(),
                if metric.ready {
                    Cell::toned(format!("✓ {} days", metric.days), Tone::Good)
                } else {
                    Cell::from(format!("… {} days", metric.days))
                },
            ]
        });
        let headers = vec!["METRIC", "MEAN", "MEDIAN", "STD-DEV", "P95", "P99", "RANGE", "NORMAL", "READY"];
        Table { headers, rows: rows.collect() }
    }

    fn patterns(&self) -> Table {
        let rows = self.metrics.iter().flat_map(|metric| {
            metric.patterns.iter().map(|pattern| {
                vec![
                    metric.name.as_str().into(),
                    pattern.kind.as_str().into(),
                    pattern.when.as_str().into(),
                    format!("{:.0} %", pattern.strength * 100.0).into(),
                    pattern.message.as_str().into(),
                ]
            })
        });
        Table { headers: vec!["METRIC", "PATTERN", "WHEN", "STRENGTH", "MESSAGE"], rows: rows.collect() }
    }

    fn validations(&self) -> Table {
        let rows = self.metrics.iter().filter_map(|metric| {
            let validation = metric.validation.as_ref()?;
            let verdict = match validation.verdict.as_str() {
                "Held" => Cell::toned("✓ Held", Tone::Good),
                "TooEarly" => Cell::from("… TooEarly"),
                other => Cell::toned(format!("✗ {other}"), Tone::Watch),
            };
            Some(vec![
                metric.name.as_str().into(),
                verdict,
                format!("{:.1} %", validation.coverage * 100.0).into(),
                format!("{:.2} %", validation.once_in_hundred * 100.0).into(),
                format!("{:.3} %", validation.once_in_thousand * 100.0).into(),
                format!("{:+.1}", validation.bias_sigmas).into(),
                validation.message.as_str().into(),
            ])
        });
        let headers = vec!["METRIC", "VALIDATION", "WITHIN-3S", "1-IN-100", "1-IN-1000", "BIAS", "MESSAGE"];
        Table { headers, rows: rows.collect() }
    }

    fn headline(&self) -> String {
        let known: Vec<&str> = [&self.role, &self.version].into_iter().flatten().map(String::as_str).collect();
        let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
        let learnt = match (&self.learnt_at, self.days) {
            (Some(at), Some(days)) => format!("learnt {at} from {days} days"),
            _ => "nothing learnt yet".to_owned(),
        };
        format!("Database:    {}{known}, {learnt}\n", self.pod)
    }
}

impl Learnt {
    fn tables_of(&self, database: &Database) -> Vec<Table> {
        if self.validate {
            return vec![database.validations()];
        }
        vec![database.statistics(), database.patterns(), database.validations()]
    }
}

impl Report for Learnt {
    fn tables(&self, _: bool) -> Vec<Table> {
        self.databases.iter().flat_map(|database| self.tables_of(database)).collect()
    }

    fn names(&self) -> Vec<String> {
        vec![format!("baseline.dbmedic.io/{}", self.name)]
    }

    fn text(&self, _: bool, headers: bool, colour: bool) -> String {
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let message = self.message.as_deref().map_or(String::new(), |message| format!(": {message}"));
        let mut text = format!(
            "Baseline:    {} in namespace {}\nReady:       {}\nConfidence:  {}\nLearning:    {}{message}\n",
            self.name,
            self.namespace,
            yes(self.ready == "True"),
            self.confidence.as_deref().unwrap_or("unknown"),
            yes(self.learning)
        );
        for database in &self.databases {
            text += &format!("\n{}", database.headline());
            if self.validate && database.metrics.iter().all(|metric| metric.validation.is_none()) {
                text += "Validation:  none yet; a profile is held against the days after those it was learnt from\n";
            }
            for table in self.tables_of(database) {
                let table = table.render(headers, colour);
                if !table.is_empty() {
                    text += &format!("\n{table}");
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline() -> Baseline {
        let spec = serde_json::json!({
            "engine": "postgresql",
            "pods": {"selector": {}},
            "connection": {"database": "orders", "secretRef": {"name": "orders-monitor"}}
        });
        Baseline::new("orders", serde_json::from_value(spec).unwrap())
    }

    fn learnt(validate: bool) -> Learnt {
        let pattern = PatternStatus {
            kind: "DailyCycle".into(),
            when: "peak 09:00-17:00 UTC".into(),
            strength: 0.85,
            message: "Follows the hour of the day\u{1b}[31m".into(),
        };
        let validation = ValidationStatus {
            verdict: "Held".into(),
            days: 1.0,
            coverage: 0.9973,
            once_in_hundred: 0.011,
            once_in_thousand: 0.0012,
            bias_sigmas: -0.2,
            message: "held: 99.7 % of 8640 samples of 1.0 days lay within three sigma".into(),
        };
        let metric = MetricStatus {
            name: "response_time".into(),
            unit: "ms".into(),
            ready: true,
            days: 14.0,
            confidence: 0.94,
            samples: 120_960,
            mean: 23.0,
            median: 19.0,
            standard_deviation: 12.0,
            p95: 45.0,
            p99: 67.0,
            minimum: 2.0,
            maximum: 234.0,
            lower: 0.0,
            upper: 59.0,
            patterns: vec![pattern],
            validation: Some(validation),
        };
        let database = DatabaseStatus {
            pod: "orders-db-0".into(),
            role: Some("primary".into()),
            version: Some("15.18".into()),
            days: Some(14),
            learnt_at: Some("2026-11-22T02:00:00Z".into()),
            metrics: vec![metric],
            ..DatabaseStatus::default()
        };
        let mut orders = baseline();
        orders.metadata.namespace = Some("shop".into());
        orders.status = Some(crate::api::BaselineStatus {
            confidence: Some("94%".into()),
            databases: vec![database],
            ..crate::api::BaselineStatus::default()
        });
        model(orders, validate)
    }

    #[test]
    fn what_was_learnt_is_shown_with_its_figures_patterns_and_what_came_of_it() {
        let text = learnt(false).text(false, true, false);
        for shown in [
            "Baseline:    orders in namespace shop",
            "Confidence:  94%",
            "Database:    orders-db-0 (primary, 15.18), learnt 2026-11-22T02:00:00Z from 14 days",
            "response_time   23 ms   19 ms    12 ms     45 ms   67 ms   2 to 234 ms   0 to 59 ms   ✓ 14 days",
            "response_time   DailyCycle   peak 09:00-17:00 UTC   85 %",
            "response_time   ✓ Held       99.7 %      1.10 %     0.120 %     -0.2",
        ] {
            assert!(text.contains(shown), "{shown}\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "what comes from a status is cleaned");
    }

    #[test]
    fn validation_alone_leaves_the_rest_out() {
        let text = learnt(true).text(false, true, false);
        assert!(text.contains("✓ Held") && !text.contains("STD-DEV") && !text.contains("DailyCycle"), "{text}");
    }

    #[test]
    fn where_nothing_was_validated_yet_it_is_said() {
        let mut learnt = learnt(true);
        learnt.databases[0].metrics[0].validation = None;
        let text = learnt.text(false, true, false);
        assert!(text.contains("Validation:  none yet; a profile is held against the days after"), "{text}");
    }

    #[test]
    fn a_baseline_that_has_learnt_nothing_says_so() {
        let text = model(baseline(), false).text(false, true, false);
        assert!(text.contains("Ready:       no") && text.contains("Learning:    yes"), "{text}");
    }
}
