//! The development series: what the shipped default makes of them, and what another threshold would.
//!
//! A folder as the benchmark has it: `data/<folder>/<file>.csv` with `timestamp,value`, and `windows.json` with the
//! labelled windows of each file.

mod score;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use dbmedic::detect::stream::DEFAULT_THRESHOLD;
use score::{Judged, Outcome, PROFILES, Profile, best_threshold, weigh};

use super::document::table;
use super::generate::Random;
use super::work::{Listener, side_by_side};

/// Draws of the bootstrap.
const DRAWS: usize = 2000;

/// A file with its windows.
struct Labelled {
    name: String,
    at: Vec<i64>,
    values: Vec<f64>,
    windows: Vec<(usize, usize)>,
}

/// Thresholds that alarms are decided by in turn, in decades: least, number and distance.
const DECIDING: (f64, usize, f64) = (2.5, 31, 0.05);

/// What the engine said of a file, row by row.
struct Said {
    scores: Vec<f64>,
    alarms: Vec<f64>,
    incidents: Vec<f64>,
}

/// Judges every file and gives the section of the document. `results`: a folder for `timestamp,value,anomaly_score`
/// files, for another scorer.
///
/// # Errors
/// The folder is not laid out as it should be.
pub fn measure(folder: &Path, results: Option<&Path>) -> Result<String> {
    let files = read(folder)?;
    let said = say_all(&files, DEFAULT_THRESHOLD);
    if let Some(results) = results {
        write_results(results, &files, &said)?;
    }
    let judge = |said: &[Said], of: fn(&Said) -> &Vec<f64>| -> Vec<Judged> {
        let pairs = files.iter().zip(said);
        pairs.map(|(file, said)| judged(file, of(said))).collect()
    };
    let (least, count, distance) = DECIDING;
    let decided = (0..count).map(|step| 1.0 - 10_f64.powf(-(least + step as f64 * distance)));
    Ok(report(&Corpus {
        alarms: judge(&said, |said| &said.alarms),
        scores: judge(&said, |said| &said.scores),
        incidents: judge(&said, |said| &said.incidents),
        decided: decided.map(|threshold| judge(&say_all(&files, threshold), |said| &said.alarms)).collect(),
    }))
}

/// Every file, by whatever is asked of it.
struct Corpus {
    alarms: Vec<Judged>,
    scores: Vec<Judged>,
    /// The rows that open an incident.
    incidents: Vec<Judged>,
    /// Alarms decided by each of the thresholds of [`DECIDING`].
    decided: Vec<Vec<Judged>>,
}

fn say_all(files: &[Labelled], threshold: f64) -> Vec<Said> {
    side_by_side(files, |file| say(file, threshold))
}

fn read(folder: &Path) -> Result<Vec<Labelled>> {
    let path = folder.join("windows.json");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&text).with_context(|| format!("labels of {}", path.display()))?;
    labels.iter().map(|(name, windows)| read_file(folder, name, windows)).collect()
}

fn read_file(folder: &Path, name: &str, windows: &[(String, String)]) -> Result<Labelled> {
    let path = folder.join("data").join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let (mut at, mut values) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate().skip(1) {
        let place = || format!("{} line {}", path.display(), index + 1);
        let (time, value) = line.split_once(',').with_context(place)?;
        at.push(milliseconds(time).with_context(place)?);
        values.push(value.trim().parse().with_context(place)?);
    }
    let row = |time: &str| {
        let sought = milliseconds(time)?;
        at.iter().position(|at| *at == sought).with_context(|| format!("{name}: no row at {time}"))
    };
    let mut spans =
        windows.iter().map(|(from, to)| Ok((row(from)?, row(to)?))).collect::<Result<Vec<(usize, usize)>>>()?;
    spans.sort_unstable();
    ensure!(spans.iter().all(|(from, to)| from <= to), "{name}: a window ends before it begins");
    Ok(Labelled { name: name.to_owned(), at, values, windows: spans })
}

fn milliseconds(time: &str) -> Result<i64> {
    let civil: jiff::civil::DateTime = time.trim().parse().with_context(|| format!("time {time:?}"))?;
    Ok(civil.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond())
}

fn say(file: &Labelled, threshold: f64) -> Said {
    let mut stream = Listener::new(threshold);
    let readings: Vec<_> = file.at.iter().zip(&file.values).map(|(at, value)| stream.sample(*at, *value)).collect();
    let certain = |is: bool| f64::from(u8::from(is));
    Said {
        scores: readings.iter().map(|(reading, _)| reading.score).collect(),
        alarms: readings.iter().map(|(reading, _)| certain(reading.anomalous)).collect(),
        incidents: readings.iter().map(|(_, opens)| certain(*opens)).collect(),
    }
}

fn judged(file: &Labelled, scores: &[f64]) -> Judged {
    let rows = weigh(scores.len(), &file.windows).into_iter().map(|row| (row, scores[row.index])).collect();
    Judged { name: file.name.clone(), windows: file.windows.len(), rows }
}

fn write_results(folder: &Path, files: &[Labelled], said: &[Said]) -> Result<()> {
    for (kind, of) in [("score", (|said| &said.scores) as fn(&Said) -> &Vec<f64>), ("alarm", |said| &said.alarms)] {
        for (file, said) in files.iter().zip(said) {
            let path = folder.join(kind).join(&file.name);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            let mut text = "timestamp,value,anomaly_score\n".to_owned();
            for ((at, value), score) in file.at.iter().zip(&file.values).zip(of(said)) {
                let time = jiff::Timestamp::from_millisecond(*at)?.strftime("%Y-%m-%d %H:%M:%S");
                text.push_str(&format!("{time},{value},{score}\n"));
            }
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

fn report(corpus: &Corpus) -> String {
    let alarms = &corpus.alarms;
    let mut text = format!(
        "{} files, {} windows, {} rows that count. The shipped default: `anomalous` as it is, which needs no threshold.\n\n",
        alarms.len(),
        alarms.iter().map(|file| file.windows).sum::<usize>(),
        alarms.iter().map(|file| file.rows.len()).sum::<usize>(),
    );
    text.push_str(&by_threshold(corpus));
    text.push_str("\nThe shipped default, folder by folder:\n\n");
    text.push_str(&by_folder(alarms));
    text.push_str(
        "\nFile by file (rows with an alarm outside of every window; what it adds to the standard score):\n\n",
    );
    text.push_str(&by_file(alarms));
    text
}

fn cell(outcome: &Outcome, profile: Profile) -> String {
    let counts = format!("{}/{}, {}", outcome.found, outcome.windows, outcome.false_alarms);
    if outcome.windows == 0 {
        format!("– ({counts})")
    } else {
        format!("{:.1} ({counts})", outcome.normalised(profile))
    }
}

/// Whole corpus, however the threshold is chosen.
fn by_threshold(corpus: &Corpus) -> String {
    let Corpus { alarms, scores, incidents, decided } = corpus;
    let mut rows: Vec<Vec<String>> = ["shipped default", "95 % of files drawn again", "score ≥ shipped threshold"]
        .into_iter()
        .chain(["threshold of the other folders", "best threshold, in sample", "that threshold"])
        .chain(["decided by the threshold of the other folders", "incidents alone"])
        .map(|name| vec![name.to_owned()])
        .collect();
    for profile in PROFILES {
        let all = |files: &[Judged], threshold| files.iter().map(|file| file.outcome(profile, threshold)).sum();
        let best = best_threshold(scores.iter(), profile);
        let (low, high) = interval(alarms, profile);
        rows[0].push(cell(&all(alarms, 1.0), profile));
        rows[1].push(format!("{low:.1} to {high:.1}"));
        rows[2].push(cell(&all(scores, DEFAULT_THRESHOLD), profile));
        rows[3].push(cell(&left_out(scores, profile), profile));
        rows[4].push(cell(&all(scores, best), profile));
        rows[5].push(format!("1 - {:.1e}", 1.0 - best));
        rows[6].push(cell(&left_out_of_deciding(decided, profile), profile));
        rows[7].push(cell(&all(incidents, 1.0), profile));
    }
    table(&["score (windows found, false alarm rows)", "standard", "low-FP", "low-FN"], &rows)
}

/// Each folder judged by the threshold that is best on all others.
fn left_out(files: &[Judged], profile: Profile) -> Outcome {
    let outcomes = folders(files).into_iter().map(|folder| {
        let threshold = best_threshold(files.iter().filter(|file| file.folder() != folder), profile);
        files.iter().filter(|file| file.folder() == folder).map(|file| file.outcome(profile, threshold)).sum()
    });
    outcomes.sum()
}

fn folders(files: &[Judged]) -> BTreeSet<&str> {
    files.iter().map(Judged::folder).collect()
}

/// Each folder as decided by the threshold with which all others score best.
fn left_out_of_deciding(decided: &[Vec<Judged>], profile: Profile) -> Outcome {
    let outcomes = folders(&decided[0]).into_iter().filter_map(|folder| {
        let of = |files: &[Judged], this: bool| -> Outcome {
            let files = files.iter().filter(|file| (file.folder() == folder) == this);
            files.map(|file| file.outcome(profile, 1.0)).sum()
        };
        let score = |files: &[Judged]| of(files, false).normalised(profile);
        let best = decided.iter().max_by(|one, other| score(one).total_cmp(&score(other)))?;
        Some(of(best, true))
    });
    outcomes.sum()
}

/// Middle 95 % of the score over files drawn with replacement.
fn interval(files: &[Judged], profile: Profile) -> (f64, f64) {
    let outcomes: Vec<Outcome> = files.iter().map(|file| file.outcome(profile, 1.0)).collect();
    let mut random = Random::new(7);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let picked = outcomes.iter().map(|_| outcomes[(random.uniform() * outcomes.len() as f64) as usize]);
            picked.sum::<Outcome>().normalised(profile)
        })
        .filter(|score| score.is_finite())
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn.get((share * drawn.len() as f64) as usize).copied().unwrap_or(f64::NAN);
    (at(0.025), at(0.975))
}

fn by_folder(files: &[Judged]) -> String {
    let rows: Vec<Vec<String>> = folders(files)
        .into_iter()
        .map(|folder| {
            let of_folder = || files.iter().filter(|file| file.folder() == folder);
            let cells = PROFILES.map(|profile| {
                let outcome: Outcome = of_folder().map(|file| file.outcome(profile, 1.0)).sum();
                cell(&outcome, profile)
            });
            std::iter::once(folder.to_owned()).chain(cells).collect()
        })
        .collect();
    table(&["folder", "standard", "low-FP", "low-FN"], &rows)
}

fn by_file(files: &[Judged]) -> String {
    let rows: Vec<Vec<String>> = files
        .iter()
        .map(|file| {
            let outcome = file.outcome(PROFILES[0], 1.0);
            let found = format!("{}/{}", outcome.found, outcome.windows);
            vec![file.name.clone(), found, outcome.false_alarms.to_string(), format!("{:+.2}", outcome.raw)]
        })
        .collect();
    table(&["file", "found", "false alarm rows", "standard, raw"], &rows)
}
