//! `make quality`: how well the engine tells what is anomalous, on generated series and on the development series,
//! written to `docs/quality.md`. The same input gives the same file.
//!
//! Environment: `NAB`, the folder of the development series; `QUALITY_ONLY`, sections to run, with commas between;
//! `QUALITY_DOCUMENT`, another file to write; `NAB_RESULTS`, a folder for scores as another scorer reads them;
//! `QUALITY_FIRST_SEED`, the first seed of clean series and of those with a fault (0), for other series of the same kinds.

mod clean;
mod document;
mod forecasts;
mod generate;
mod nab;
mod power;
mod profiles;
mod rules;
mod sections;
mod work;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use document::Document;

fn main() -> Result<()> {
    let path = std::env::var_os("QUALITY_DOCUMENT").map_or_else(|| PathBuf::from("docs/quality.md"), PathBuf::from);
    let mut document = Document::open(path)?;
    let only = std::env::var("QUALITY_ONLY").ok();
    let wanted = |section: &str| only.as_deref().is_none_or(|only| only.split(',').any(|one| one == section));

    if wanted("nab") {
        match std::env::var_os("NAB").map(PathBuf::from) {
            Some(folder) => {
                let results = std::env::var_os("NAB_RESULTS").map(PathBuf::from);
                put(&mut document, "nab", || nab::measure(&folder, results.as_deref()))?;
            }
            None => {
                println!("quality: the development series were not given (NAB=<folder>): their part is left as it is");
            }
        }
    }
    let sections: [(&str, fn() -> String); 5] = [
        ("clean", clean::measure),
        ("power", power::measure),
        ("forecasts", sections::forecast),
        ("profiles", sections::profile),
        ("rules", rules::measure),
    ];
    for (section, measure) in sections {
        if wanted(section) {
            put(&mut document, section, || Ok(measure()))?;
        }
    }
    document.write()
}

/// Measures a section, prints it, and puts it into the document.
fn put(document: &mut Document, section: &str, measure: impl FnOnce() -> Result<String>) -> Result<()> {
    println!("quality: {section}");
    let begun = Instant::now();
    let text = measure()?;
    println!("\n{}\nquality: {section} took {:.0} s\n", text.trim(), begun.elapsed().as_secs_f64());
    document.replace(section, &text)
}
