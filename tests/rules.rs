//! Every rule of the examples means something: each of the kinds of rules that people asked for can be written. And the
//! example of a backtest says what the page shows.

#![expect(clippy::unwrap_used, reason = "the helpers of a test")]

use std::fs;
use std::path::Path;

use dbmedic::api::{AnomalyRule, CustomMetric};
use dbmedic::detect::{Detector, MetricSet, resolve};

fn examples() -> Vec<(String, AnomalyRule)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let read = |path: &Path| serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    names.iter().map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(path))).collect()
}

fn metrics() -> MetricSet {
    let cpu = CustomMetric { name: "custom_cpu_usage".into(), unit: "%".into(), ..CustomMetric::default() };
    MetricSet::new(&[cpu])
}

#[test]
fn every_example_resolves_and_is_named_after_its_file() {
    let examples = examples();
    assert!(examples.len() >= 11, "{}", examples.len());
    for (name, rule) in &examples {
        assert_eq!(rule.metadata.name.as_ref(), Some(name));
        let resolved = resolve(&rule.spec, &metrics());
        assert!(resolved.is_ok(), "{name}: {resolved:?}");
    }
}

#[test]
fn no_two_examples_are_the_same_object() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let read = |path: &str| serde_saphyr::from_str(&fs::read_to_string(root.join(path)).unwrap()).unwrap();
    let others: [AnomalyRule; 2] = ["quickstart/anomalyrule.yaml", "backtest/anomalyrule.yaml"].map(read);
    let all = examples().into_iter().map(|(_, rule)| rule).chain(others);
    // Whoever applies them to look at them must not change the rule that they rely on.
    let mut seen = std::collections::HashSet::new();
    for rule in all {
        assert!(seen.insert(rule.metadata.name.clone()), "{:?} is there twice", rule.metadata.name);
    }
}

#[test]
fn the_examples_show_every_detector() {
    let found: Vec<&str> =
        examples().iter().filter_map(|(_, rule)| Some(resolve(&rule.spec, &metrics()).ok()?.detector.name())).collect();
    for name in Detector::NAMES {
        assert!(found.contains(name), "no example of {name}");
    }
}

#[test]
fn what_the_page_shows_is_what_the_program_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/cli.md")).unwrap();
    for command in [
        "backtest --csv response_time.csv --labels labels.json",
        "forecast --csv response_time.csv --metric response_time --horizon 6",
    ] {
        let line = format!("$ kubectl dbmedic {command}");
        let shown = page.split_once(&line).and_then(|(_, rest)| rest.split_once('\n')?.1.split_once("```")).unwrap().0;
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-dbmedic"))
            .args(command.split(' '))
            .current_dir(root.join("examples/backtest"))
            .env("COLUMNS", "80")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && said.trim_end() == shown.trim_end(),
            "the page shows\n{shown}\nand it says\n{said}"
        );
    }
}
