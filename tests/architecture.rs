//! The rules between the folders of `src/`, checked on their lines: the core is pure, and what holds a connection to
//! the world does not also judge.

#![expect(clippy::unwrap_used, reason = "the helpers of a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of pure functions of values.
const CORE: [&str; 7] = ["measure", "stats", "learn", "detect", "diagnose", "heal", "actions"];

/// What a pure function cannot reach: the world, the clock, randomness.
const IMPURE: [&str; 26] = [
    "kube::",
    "k8s_openapi",
    "sqlx",
    "reqwest",
    "hyper::",
    "axum",
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rand::",
    "getrandom",
    "crate::controllers",
    "crate::collect",
    "crate::database",
    "crate::history",
    "crate::engine",
    "crate::operator",
    "crate::cli",
    "crate::telemetry",
];

/// What a decision of a controller cannot reach either, though it stands at the edge: its `decide.rs` is a function of
/// what was observed.
const EFFECTS: [&str; 6] = ["Client", "Api<", "SystemTime", "Instant::now", "Timestamp::now", "Zoned::now"];

/// Modules at the edge that are pure text work, which the core may use; their own files are held to the core's rule.
const PURE_AT_THE_EDGE: [(&str, &str); 1] = [("crate::database::postgresql::quote", "database/postgresql/quote.rs")];

/// What shows that a file speaks to the world.
const CONNECTIONS: [&str; 5] = ["kube::Client", "Api<", "PgConnection", "SqlitePool", "SqliteConnection"];

/// Where the judgements are made; a file that speaks to the world may call them, not define them.
const POLICY_DEFINITIONS: [&str; 6] =
    ["fn assess", "fn decide", "fn diagnose", "fn learn(", "enum Decision", "impl Detector"];

/// Folders in the order in which data flows: one may use those before it, and those beside it. `heal` and `actions` are
/// one step: what may be done asks an action what it is, and an action's plan is made of heal's hash and risk. The edge,
/// which may use everything, is not listed.
const FLOW: [&[&str]; 6] = [&["measure"], &["stats"], &["learn"], &["detect"], &["diagnose"], &["heal", "actions"]];

struct Source {
    /// Path below `src/`, with slashes.
    path: String,
    text: String,
}

impl Source {
    fn folder(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The lines that count: no comments, and no item that exists in tests only.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = ["/tests.rs", "/tests/", "_tests.rs", "fixture.rs"].iter().any(|mark| self.path.contains(mark));
        let mut skipped = None;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            let code = line.trim();
            if tests || code.starts_with("//") || code.is_empty() {
                return None;
            }
            let indentation = line.len() - line.trim_start().len();
            if code == "#[cfg(test)]" {
                skipped = Some(indentation);
                return None;
            }
            // As rustfmt lays it out, an item ends with the first line of its own indentation that closes it.
            if let Some(item) = skipped {
                if indentation == item && code.ends_with(['}', ';', ',']) {
                    skipped = None;
                }
                return None;
            }
            Some((number + 1, line))
        })
    }

    fn lines_with(&self, words: &[&str], why: &str) -> Vec<String> {
        let found = self.code().filter_map(|(number, line)| {
            let line = PURE_AT_THE_EDGE.iter().fold(line.to_owned(), |line, (module, _)| line.replace(module, ""));
            let word = words.iter().find(|word| contains_word(&line, word))?;
            Some(format!("src/{}:{number}: {word} {why}", self.path))
        });
        found.collect()
    }
}

/// Whether the word stands in the line, not as the end of a longer name.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(place, _)| {
        !line[..place].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '.')
    })
}

fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let lent = PURE_AT_THE_EDGE.iter().any(|(_, file)| *file == source.path);
        if lent || CORE.contains(&source.folder()) {
            found.extend(source.lines_with(&IMPURE, "is not for the pure core"));
        }
        if let Some(place) = FLOW.iter().position(|step| step.contains(&source.folder())) {
            let later = FLOW[place + 1..].iter().copied().flatten();
            let later: Vec<String> =
                later.flat_map(|folder| [format!("crate::{folder}::"), format!("crate::{folder};")]).collect();
            let later: Vec<&str> = later.iter().map(String::as_str).collect();
            found.extend(source.lines_with(&later, "is downstream of this folder"));
        }
        if source.folder() == "controllers" && source.path.ends_with("/decide.rs") {
            found.extend(source.lines_with(&EFFECTS, "is not for a decision"));
        }
        if !source.lines_with(&CONNECTIONS, "").is_empty() {
            found.extend(source.lines_with(&POLICY_DEFINITIONS, "is policy, in a file that speaks to the world"));
        }
        if source.path.ends_with("/mod.rs") && !source.text.starts_with("//!") {
            found.push(format!("src/{}:1: begins without saying what belongs there (//!)", source.path));
        }
    }
    found
}

fn read(directory: &Path, root: &Path, sources: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read(&path, root, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            sources.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

#[test]
fn the_core_is_pure_and_data_flows_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    assert!(sources.len() > 10, "only {} files found", sources.len());
    let found = violations(&sources);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn found_in(path: &str, text: &str) -> Vec<String> {
    violations(&[Source { path: path.to_owned(), text: text.to_owned() }])
}

#[test]
fn every_planted_violation_is_found() {
    let planted = [
        ("heal/plan.rs", "use kube::Client;\n"),
        ("stats/moments.rs", "    let now = std::time::SystemTime::now();\n"),
        ("measure/round.rs", "use tokio::sync::mpsc;\n"),
        ("actions/add_index.rs", "fn f(c: &mut sqlx::PgConnection) {}\n"),
        ("learn/profile.rs", "use crate::detect::Shard;\n"),
        ("controllers/remediation/mod.rs", "//! x\nfn f(c: kube::Client) {}\npub fn decide() {}\n"),
        ("detect/mod.rs", "pub mod sigma;\n"),
        ("database/postgresql/quote.rs", "use sqlx::PgConnection;\n"),
        ("actions/add_index.rs", "use crate::database::postgresql::act;\n"),
        ("diagnose/mod.rs", "//! x\nuse crate::actions;\n"),
        ("learn/profile.rs", "use crate::history::Store;\n"),
        ("heal/budget.rs", "use crate::engine::Handle;\n"),
        ("heal/plan.rs", "#[cfg(test)]\nmod model;\nuse std::fs;\n"),
        ("heal/plan.rs", "#[cfg(test)]\n#[path = \"x.rs\"]\nmod model;\n\nuse std::fs;\n"),
        ("heal/plan.rs", "#[cfg(test)]\nmod tests {\n    fn f() {\n    }\n}\n\nuse std::fs;\n"),
        ("heal/plan.rs", "#[cfg(test)]\nuse a::{\n    b,\n};\nuse std::fs;\n"),
        ("controllers/anomaly/decide.rs", "fn f(client: Client) {}\n"),
        ("controllers/baseline/decide.rs", "let api: Api<Pod> = x;\n"),
        ("controllers/baseline/decide.rs", "let now = jiff::Timestamp::now();\n"),
    ];
    for (path, text) in planted {
        assert_eq!(found_in(path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn comments_unit_tests_and_other_names_are_no_violations() {
    let harmless = [
        ("heal/plan.rs", "// kube::Client is not used here\n"),
        ("heal/plan.rs", "#[cfg(test)]\nmod tests { use std::fs; }\n"),
        (
            "heal/plan.rs",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n\n    fn f() {\n        use std::net;\n    }\n}\n",
        ),
        ("heal/policy.rs", "use crate::actions;\n"),
        ("actions/add_index.rs", "use crate::heal::{plan::figure, risk};\n"),
        ("controllers/baseline/mod.rs", "//! x\nlet now = jiff::Timestamp::now();\n"),
        ("heal/plan.rs", "let operand::x = brand::NAME;\n"),
        ("controllers/remediation/apply.rs", "use kube::Client;\nlet decision = heal::machine::decide(&situation);\n"),
        ("detect/shard.rs", "use crate::learn::Profile;\n"),
        ("actions/add_index.rs", "use crate::database::postgresql::quote::quote_identifier;\n"),
    ];
    for (path, text) in harmless {
        assert_eq!(found_in(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}
