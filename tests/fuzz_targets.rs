//! The fuzz targets of `fuzz/` without a fuzzer: compiled by stable Rust, each run on what is right, on parts of it and on
//! bytes by chance. Without this nobody would build them until somebody fuzzes.

// What the targets know as the fuzzer's crate is this one.
extern crate self as libfuzzer_sys;

/// Stands for the macro of `libfuzzer-sys`: a target is a function of bytes.
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $body:block) => {
        pub fn run($bytes: &[u8]) $body
    };
    (|$text:ident: &str| $body:block) => {
        pub fn run(bytes: &[u8]) {
            if let Ok($text) = std::str::from_utf8(bytes) $body
        }
    };
}

// `no_main` is for the fuzzer's own program.
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/csv.rs"]
mod csv;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/expression.rs"]
mod expression;
#[allow(unused_attributes)]
#[path = "../fuzz/fuzz_targets/rule.rs"]
mod rule;

const CSV: &str = "timestamp,a,b\r\n2026-03-02 00:00:00,1,\"2\"\n2026-03-02T00:00:10+01:00,NaN,-1e308\n";
const RULE: &str = include_str!("../examples/backtest/anomalyrule.yaml");
const EXPRESSION: &str = "current > baseline_mean + 3.0 * baseline_std_dev && hour >= 9";

/// Each prefix, each with one byte replaced, and bytes by chance.
fn tries(right: &str, run: fn(&[u8])) {
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        // Xorshift (G. Marsaglia, 2003).
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        (chance >> 32) as u8
    };
    let right = right.as_bytes();
    run(right);
    for place in (0..right.len()).step_by(right.len().div_ceil(40)) {
        run(&right[..place]);
        let mut replaced = right.to_vec();
        replaced[place] = byte();
        run(&replaced);
        let length = usize::from(byte());
        run(&(0..length).map(|_| byte()).collect::<Vec<u8>>());
    }
}

#[test]
fn files_end_in_rows_or_words() {
    tries(CSV, csv::run);
}

#[test]
fn rules_end_in_a_verdict_or_words() {
    tries(RULE, rule::run);
}

#[test]
fn expressions_end_in_a_verdict_or_words() {
    tries(EXPRESSION, expression::run);
}

#[test]
fn every_target_is_tried_here() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");
    let files = std::fs::read_dir(format!("{root}/fuzz_targets")).expect("the targets");
    let mut files: Vec<String> =
        files.map(|file| file.expect("a target").file_name().to_string_lossy().into_owned()).collect();
    files.sort();
    assert_eq!(files, ["csv.rs", "expression.rs", "rule.rs"]);
    let manifest = std::fs::read_to_string(format!("{root}/Cargo.toml")).expect("the manifest");
    for file in &files {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{file}\"")), "{file}");
    }
}
