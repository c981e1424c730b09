//! One readable timeline of an act: seconds since the fault.

use dbmedic::api::{Anomaly, Remediation};
use k8s_openapi::jiff::Timestamp;

use crate::observer::Seen;

/// Prints what happened, in order: what was seen from outside, and the times that the objects carry.
pub fn print(fault: Timestamp, what: &str, anomaly: &Anomaly, remediation: &Remediation, seen: Vec<Seen>) {
    let mut lines = vec![Seen { at: fault, what: what.to_owned() }];
    lines.extend(seen);
    lines.extend(of_anomaly(anomaly));
    lines.extend(of_remediation(remediation));
    // Stable: of two with the same time, the object's own comes after what was seen.
    lines.sort_by_key(|line| line.at);
    println!("\n   seconds since the fault");
    for line in lines {
        let seconds = line.at.duration_since(fault).as_secs_f64();
        println!("   {seconds:8.2}  {}", shortened(&line.what));
    }
}

fn of_anomaly(anomaly: &Anomaly) -> Vec<Seen> {
    let spec = &anomaly.spec;
    let upper = spec
        .observed
        .band
        .upper
        .map_or_else(String::new, |upper| format!(", normal is up to {upper:.3} {}", spec.unit));
    let resolved = anomaly.status.as_ref().and_then(|status| status.resolved_at.clone());
    let entries = [
        (Some(spec.onset.clone()), format!("sample: {} is outside its band for the first time", spec.metric)),
        (
            Some(spec.observed.at.clone()),
            format!("sample: {:.1} {}{upper}: outside for long enough", spec.observed.value, spec.unit),
        ),
        (resolved, "Anomaly Resolved".to_owned()),
    ];
    entries.into_iter().filter_map(|(at, what)| Some(Seen { at: at?.parse().ok()?, what })).collect()
}

fn of_remediation(remediation: &Remediation) -> Vec<Seen> {
    let transitions = remediation.status.as_ref().map(|status| status.transitions.as_slice()).unwrap_or_default();
    let entries = transitions.iter().map(|entered| {
        Some(Seen {
            at: entered.at.parse().ok()?,
            what: format!("Remediation {:?}: {}", entered.state, entered.message),
        })
    });
    entries.flatten().collect()
}

/// One line of a terminal; the objects hold the whole text.
fn shortened(text: &str) -> String {
    const MOST: usize = 110;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let cut: String = text.chars().take(MOST).collect();
    format!("{cut} …")
}
