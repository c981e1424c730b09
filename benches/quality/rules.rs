//! Rules over whole databases, each minute, through the shard as the operator has it: how often a confidence is exceeded,
//! against what it says, how many incidents are opened for nothing, and how late a fault is found.

mod world;

use dbmedic::api::AnomalyRuleSpec;
use dbmedic::detect::{Change, ChangeKind, MetricSet, Rule, Shard, TargetRule, resolve};
use dbmedic::learn::{Options, Sample, learn};
use dbmedic::measure::Round;
use world::{DATABASES, DAY, Fault, Kind, STEP_MS, World};

use super::document::table;
use super::work::side_by_side;

/// Probabilities at which confidences are looked at.
const LEVELS: [f64; 3] = [1e-2, 1e-3, 1e-4];
/// Days that a rule has seen before it is looked at: the default window of a Baseline.
const LEARNT_DAYS: i64 = 14;
/// Days after that, and databases of each kind.
const JUDGED_DAYS: i64 = 21;
const CLEAN_SEEDS: u64 = 4;
/// Days after the fault began within which it has to be found; databases with a fault of each kind.
const FAULT_SEEDS: u64 = 2;
/// Goals: a rate within this factor of nominal; incidents in a week of a rule of medium sensitivity.
const FACTOR: f64 = 2.0;
const INCIDENTS_A_WEEK: f64 = 0.1;
const SENSITIVITIES: [&str; 3] = ["low", "medium", "high"];
const MEDIUM: usize = 1;

/// A rule as it is shipped, and the fault that it is for.
struct Case {
    detect: &'static str,
    /// Whether its confidence is a probability of normal life.
    is_probability: bool,
    /// Whether sensitivity says something.
    has_sensitivity: bool,
    /// Whether it tells of incidents: while one is open the confidence is that of its peak, which counts once.
    has_incidents: bool,
    fault: Fault,
    /// Days within which the fault has to be found.
    within_days: i64,
    says: &'static str,
}

const CASES: [Case; 9] = [
    Case {
        detect: "{metric: response_time, sigma: {above: 3}}",
        is_probability: true,
        has_sensitivity: true,
        has_incidents: false,
        fault: Fault::Slower,
        within_days: 1,
        says: "responses six standard deviations slower",
    },
    Case {
        detect: "{metric: response_time, trend: {}}",
        is_probability: true,
        has_sensitivity: true,
        has_incidents: false,
        fault: Fault::Rising,
        within_days: 2,
        says: "half a standard deviation slower each hour",
    },
    Case {
        detect: "{metric: response_time, degradation: {}}",
        is_probability: true,
        has_sensitivity: true,
        has_incidents: false,
        fault: Fault::Worse,
        within_days: 12,
        says: "8 % slower each day",
    },
    Case {
        detect: "{multivariate: {}}",
        is_probability: true,
        has_sensitivity: true,
        has_incidents: true,
        fault: Fault::Unbound,
        within_days: 1,
        says: "connections against the load",
    },
    Case {
        detect: "{metric: response_time, peers: {}}",
        is_probability: true,
        has_sensitivity: true,
        has_incidents: true,
        fault: Fault::Slower,
        within_days: 1,
        says: "six standard deviations slower than its peers",
    },
    Case {
        detect: "{metric: response_time, expression: 'current > baseline_mean + 3.0 * baseline_std_dev'}",
        is_probability: true,
        has_sensitivity: false,
        has_incidents: false,
        fault: Fault::Slower,
        within_days: 1,
        says: "responses six standard deviations slower",
    },
    Case {
        detect: "{queryMix: {}}",
        is_probability: true,
        has_sensitivity: true,
        has_incidents: false,
        fault: Fault::Deletes,
        within_days: 1,
        says: "twenty times as many deletes",
    },
    Case {
        detect: "{metric: disk_usage, forecast: {above: 80GiB}}",
        is_probability: false,
        has_sensitivity: false,
        has_incidents: false,
        fault: Fault::Filling,
        within_days: 7,
        says: "4 GiB a day more, 7.5 days before the limit",
    },
    Case {
        detect: "{metric: response_time, pattern: {}}",
        is_probability: true,
        has_sensitivity: true,
        has_incidents: true,
        fault: Fault::Slower,
        within_days: 1,
        says: "responses six standard deviations slower",
    },
];

/// Bench code: a rule of this file that is none is a mistake in this file.
fn rule(detect: &str, sensitivity: &str) -> Option<Rule> {
    let text = format!("baselineRef: {{name: orders}}\nfor: 5m\nsensitivity: {sensitivity}\ndetect: {detect}\n");
    let spec: AnomalyRuleSpec = serde_saphyr::from_str(&text).ok()?;
    resolve(&spec, &MetricSet::new(&[])).ok()
}

/// Databases in a shard, with profiles that are learnt anew each day.
struct Watched {
    shard: Shard,
    world: World,
    targets: [usize; DATABASES],
    history: Vec<Vec<Vec<Sample>>>,
    /// Metrics that profiles are learnt of, and those of them that peers have to have.
    wanted: Vec<usize>,
    of_peers: Vec<usize>,
    changes: Vec<Change>,
}

impl Watched {
    fn new(world: World, rules: &[Rule]) -> Self {
        let metrics = MetricSet::new(&[]);
        let mut shard = Shard::new();
        let targets = std::array::from_fn(|_| shard.add_target(metrics.len()));
        for target in targets {
            shard.join(target, 1);
        }
        let with_id = (0..).zip(rules).map(|(id, rule)| TargetRule {
            id,
            rule: rule.clone().into(),
            expected_interval_ms: STEP_MS,
        });
        shard.set_rules(targets[0], with_id.collect());
        // There is no history before the first round: memories begin empty.
        let cold: Vec<(u64, Rule)> = shard.cold(targets[0]).map(|(id, rule)| (id, rule.clone())).collect();
        for (id, rule) in cold {
            if let Some(begun) = shard.replay(targets[0], &rule) {
                shard.warm(targets[0], id, begun.finish(), []);
            }
        }
        let of_peers: Vec<usize> =
            rules.iter().filter(|rule| rule.detector.name() == "peers").map(|rule| rule.metric).collect();
        let all = rules.iter().any(|rule| rule.detector.judges_all());
        let wanted =
            (0..metrics.len()).filter(|metric| all || rules.iter().any(|rule| rule.metric == *metric)).collect();
        let history = vec![vec![Vec::new(); metrics.len()]; DATABASES];
        Self { shard, world, targets, history, wanted, of_peers, changes: Vec::new() }
    }

    /// Steps by a minute; gives its time, and the values of the judged database.
    fn step(&mut self, minute: i64) -> (i64, Vec<f32>) {
        let (at, values) = self.world.next();
        if minute >= 7 * DAY && minute % DAY == 0 {
            self.learn(at);
        }
        self.changes.clear();
        let [judged, ..] = &values;
        let judged = judged.clone();
        // The judged one is last: its peers have spoken.
        for (database, values) in values.into_iter().enumerate().rev() {
            for metric in if database == 0 { &self.wanted } else { &self.of_peers } {
                if values[*metric].is_finite() {
                    self.history[database][*metric].push(Sample { at, value: values[*metric] });
                }
            }
            self.shard.round(&Round { target: self.targets[database], at, values }, &mut self.changes);
        }
        (at, judged)
    }

    fn learn(&mut self, now: i64) {
        let metrics = MetricSet::new(&[]);
        for database in 0..DATABASES {
            for (index, metric) in metrics.iter().enumerate() {
                let samples = &mut self.history[database][index];
                let begin = now - LEARNT_DAYS * DAY * STEP_MS;
                samples.drain(..samples.partition_point(|sample| sample.at < begin));
                let options = Options {
                    minimum: metric.minimum,
                    maximum: metric.maximum,
                    window_days: LEARNT_DAYS as u32,
                    now,
                    ..Options::default()
                };
                if let Some(profile) = learn(samples, &options) {
                    self.shard.set_profile(self.targets[database], index, Some(&profile));
                }
            }
        }
    }
}

/// What was counted of one rule over clean databases.
#[derive(Clone, Copy, Default)]
struct Counted {
    judged: u64,
    exceeding: [u64; LEVELS.len()],
    weeks: f64,
    /// Opened after `for: 5m`, and breaches that began.
    opened: u64,
    begun: u64,
}

impl Counted {
    fn add(&mut self, other: &Self) {
        self.judged += other.judged;
        self.weeks += other.weeks;
        self.opened += other.opened;
        self.begun += other.begun;
        for (sum, one) in self.exceeding.iter_mut().zip(other.exceeding) {
            *sum += one;
        }
    }
}

/// The section on rules.
pub fn measure() -> String {
    let work: Vec<(Kind, u64)> =
        Kind::ALL.into_iter().flat_map(|kind| (0..CLEAN_SEEDS).map(move |seed| (kind, seed))).collect();
    let counted = side_by_side(&work, |(kind, seed)| clean(*kind, *seed));
    let mut text = String::from("### Without a fault\n\n");
    let mut rows = Vec::new();
    for (index, case) in CASES.iter().enumerate() {
        for kind in Kind::ALL {
            let mut total = [Counted::default(); SENSITIVITIES.len()];
            for (_, of_run) in work.iter().zip(&counted).filter(|((of, _), _)| *of == kind) {
                total.iter_mut().zip(&of_run[index]).for_each(|(total, one)| total.add(one));
            }
            rows.push(row(case, kind, &total));
        }
    }
    let header = ["rule", "database", "1e-2", "1e-3", "1e-4", "low", "medium", "high", "medium, breaches that began"];
    text.push_str(&table(&header, &rows));
    text.push_str("\n### With a fault\n\n");
    text.push_str(&faults());
    text
}

fn name(case: &Case) -> &'static str {
    rule(case.detect, "medium").map_or("no rule", |rule| rule.detector.name())
}

/// For each case what was counted at each sensitivity, in a database of that kind.
fn clean(kind: Kind, seed: u64) -> Vec<[Counted; SENSITIVITIES.len()]> {
    let rules: Vec<Rule> = CASES
        .iter()
        .flat_map(|case| SENSITIVITIES.iter().filter_map(|sensitivity| rule(case.detect, sensitivity)))
        .collect();
    let mut watched = Watched::new(World::new(kind, 10_000 + seed, None), &rules);
    let mut counted = vec![Counted::default(); rules.len()];
    let mut breached = vec![false; rules.len()];
    for minute in 0..(LEARNT_DAYS + JUDGED_DAYS) * DAY {
        let (at, values) = watched.step(minute);
        if minute < LEARNT_DAYS * DAY {
            continue;
        }
        for change in watched.changes.iter().filter(|change| change.kind == ChangeKind::Opened) {
            counted[change.rule as usize].opened += 1;
        }
        for (index, counted) in counted.iter_mut().enumerate() {
            // A forecast costs milliseconds to ask, and has no sensitivity.
            if index % SENSITIVITIES.len() != MEDIUM {
                continue;
            }
            let Some(verdict) = watched.shard.judge_round(watched.targets[0], index as u64, at, &values) else {
                continue;
            };
            counted.judged += 1;
            let was = std::mem::replace(&mut breached[index], verdict.breach);
            counted.begun += u64::from(verdict.breach && !was);
            let counts = !(verdict.breach && was && CASES[index / SENSITIVITIES.len()].has_incidents);
            for (count, level) in counted.exceeding.iter_mut().zip(LEVELS) {
                *count += u64::from(counts && verdict.confidence >= 1.0 - level);
            }
        }
    }
    for counted in &mut counted {
        counted.weeks = JUDGED_DAYS as f64 / 7.0;
    }
    counted.chunks_exact(SENSITIVITIES.len()).map(|of| std::array::from_fn(|index| of[index])).collect()
}

fn row(case: &Case, kind: Kind, total: &[Counted; SENSITIVITIES.len()]) -> Vec<String> {
    let mut row = vec![name(case).to_owned(), kind.name().to_owned()];
    let medium = &total[MEDIUM];
    row.extend(LEVELS.iter().zip(medium.exceeding).map(|(level, count)| {
        if !case.is_probability || medium.judged == 0 {
            return "–".to_owned();
        }
        let (count, nominal) = (count as f64, level * medium.judged as f64);
        // As far as the count can tell, if minutes were independent.
        let error = 2.0 * count.max(1.0).sqrt();
        let within = (count - error) / nominal <= FACTOR && (count + error) / nominal >= 1.0 / FACTOR;
        if within { format!("{:.2}", count / nominal) } else { format!("**{:.2}**", count / nominal) }
    }));
    for (index, counted) in total.iter().enumerate() {
        let rate = counted.opened as f64 / counted.weeks;
        let met = index != MEDIUM || rate <= INCIDENTS_A_WEEK;
        let told = case.has_sensitivity || index == MEDIUM;
        let text = if met { format!("{rate:.2}") } else { format!("**{rate:.2}**") };
        row.push(if told { text } else { "–".to_owned() });
    }
    row.push(format!("{:.2}", medium.begun as f64 / medium.weeks));
    row
}

fn faults() -> String {
    let work: Vec<(usize, Kind, u64)> = (0..CASES.len())
        .flat_map(|case| {
            Kind::ALL.into_iter().flat_map(move |kind| (0..FAULT_SEEDS).map(move |seed| (case, kind, seed)))
        })
        .collect();
    let found = side_by_side(&work, |(case, kind, seed)| delay(&CASES[*case], *kind, *seed));
    let rows: Vec<Vec<String>> = CASES
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let of_case = || work.iter().zip(&found).filter(|((of, ..), _)| *of == index);
            let mut delays: Vec<i64> = of_case().filter_map(|(_, delay)| *delay).collect();
            delays.sort_unstable();
            let median = delays.get(delays.len() / 2).map_or_else(|| "–".to_owned(), |minutes| duration(*minutes));
            vec![
                name(case).to_owned(),
                case.says.to_owned(),
                format!("{} of {}", delays.len(), of_case().count()),
                median,
            ]
        })
        .collect();
    table(&["rule", "fault", "found", "after, median"], &rows)
}

fn duration(minutes: i64) -> String {
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{:.1} h", minutes as f64 / 60.0),
        _ => format!("{:.1} d", minutes as f64 / DAY as f64),
    }
}

/// Minutes from the fault to the incident, with `for: 5m` and medium sensitivity.
fn delay(case: &Case, kind: Kind, seed: u64) -> Option<i64> {
    let begin = LEARNT_DAYS * DAY + 600;
    let rule = rule(case.detect, "medium")?;
    let mut watched = Watched::new(World::new(kind, 20_000 + seed, Some((case.fault, begin))), &[rule]);
    (0..begin + case.within_days * DAY).find_map(|minute| {
        watched.step(minute);
        let opened = watched.changes.iter().any(|change| change.kind == ChangeKind::Opened);
        (opened && minute >= begin).then_some(minute - begin)
    })
}
