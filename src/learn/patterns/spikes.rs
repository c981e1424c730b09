//! Brief spikes of similar height and length that come again: deploys, health checks, jobs.

use super::{Pattern, PatternKind, middle, times};
use crate::learn::{Clock, HOUR_MS, Profile, Sample};
use crate::stats;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Scales above the centre from which a sample belongs to a spike.
const HIGH: f64 = 6.0;
/// Longest spike, and longest gap within one unless samples lie further apart.
const LONGEST_MS: i64 = 30 * MINUTE_MS;
const GAP_MS: i64 = 2 * MINUTE_MS;
/// Spikes, and days with one, at least.
const LEAST: usize = 3;
const LEAST_DAYS: usize = 2;
/// Share of the samples that spikes may be.
const MOST_SHARE: f64 = 0.05;
/// How alike heights and lengths are: robust scale of their logarithms.
const ALIKE_HEIGHT: f64 = 0.5;
const ALIKE_LENGTH: f64 = 1.0;
/// Time after an event in which a spike follows it, and share of the spikes that must.
const FOLLOWS_MS: i64 = 15 * MINUTE_MS;
const FOLLOWING: f64 = 0.6;
/// Mean resultant length of the places on a clock face from which they are one place.
const SAME_PLACE: f64 = 0.9;

struct Spike {
    from: i64,
    to: i64,
    /// Greatest distance from the centre, in the metric's unit, and the centre there.
    height: f64,
    centre: f64,
    samples: usize,
    squares: f64,
}

pub(super) fn brief(samples: &[Sample], events: &[i64], profile: &Profile, clock: &Clock) -> Option<Pattern> {
    let step = smallest_step(samples);
    let (spikes, all) = spikes(samples, step, profile, clock);
    let (brief, longer): (Vec<Spike>, Vec<Spike>) =
        spikes.into_iter().partition(|spike| spike.to.saturating_sub(spike.from) <= LONGEST_MS);
    let days = brief.chunk_by(|one, next| one.from.div_euclid(DAY_MS) == next.from.div_euclid(DAY_MS)).count();
    let of_spikes: usize = brief.iter().map(|spike| spike.samples).sum();
    if brief.len() < LEAST.max(longer.len())
        || days < LEAST_DAYS
        || of_spikes as f64 > MOST_SHARE * samples.len() as f64
    {
        return None;
    }
    let length = |spike: &Spike| spike.to.saturating_sub(spike.from).saturating_add(step) as f64;
    if spread(brief.iter().map(|spike| spike.height)) > ALIKE_HEIGHT || spread(brief.iter().map(length)) > ALIKE_LENGTH
    {
        return None;
    }
    let span_days = samples
        .first()
        .zip(samples.last())
        .map_or(1.0, |(first, last)| last.at.saturating_sub(first.at) as f64 / DAY_MS as f64);
    let (height, centre) =
        (middle(brief.iter().map(|spike| spike.height)), middle(brief.iter().map(|spike| spike.centre)));
    let minutes = (middle(brief.iter().map(length)) / MINUTE_MS as f64).round().max(1.0);
    let after = brief
        .iter()
        .filter(|spike| events.iter().any(|event| (0..=FOLLOWS_MS).contains(&spike.from.saturating_sub(*event))));
    let follow = after.count() as f64 >= FOLLOWING * brief.len() as f64;
    let when = if follow { "after deploys".to_owned() } else { when(&brief, clock, span_days) };
    let compared =
        times(centre + height, centre).map_or(String::new(), |times| format!(", up to {times} what is usual"));
    let strength = brief.iter().map(|spike| spike.squares).sum::<f64>() / all.max(f64::MIN_POSITIVE);
    Some(Pattern::new(
        PatternKind::BriefSpikes,
        strength,
        when.clone(),
        format!("{} brief spikes in {span_days:.0} days, {when}, of about {minutes} min{compared}", brief.len()),
    ))
}

/// The spikes, and the sum of the squared distances of all samples.
fn spikes(samples: &[Sample], step: i64, profile: &Profile, clock: &Clock) -> (Vec<Spike>, f64) {
    let gap = GAP_MS.max(step.saturating_mul(2));
    let mut found: Vec<Spike> = Vec::new();
    let mut all = 0.0;
    let (mut hour, mut centre, mut scale) = (i64::MIN..i64::MIN, 0.0, 1.0);
    for sample in samples.iter().filter(|sample| sample.value.abs() <= crate::learn::GREATEST) {
        if !hour.contains(&sample.at) {
            let begin = sample.at.saturating_sub(clock.local(sample.at).rem_euclid(HOUR_MS));
            hour = begin..begin.saturating_add(HOUR_MS);
            let of_week = clock.hour_of_week(sample.at);
            (centre, scale) = (f64::from(profile.centre[of_week]), f64::from(profile.scale[of_week]));
        }
        let height = f64::from(sample.value) - centre;
        all += height * height;
        if height <= HIGH * scale {
            continue;
        }
        match found.last_mut().filter(|spike| sample.at.saturating_sub(spike.to) <= gap) {
            Some(spike) => {
                spike.to = sample.at;
                spike.samples += 1;
                spike.squares += height * height;
                if height > spike.height {
                    (spike.height, spike.centre) = (height, centre);
                }
            }
            None => {
                let (from, to, squares) = (sample.at, sample.at, height * height);
                found.push(Spike { from, to, height, centre, samples: 1, squares });
            }
        }
    }
    (found, all)
}

fn smallest_step(samples: &[Sample]) -> i64 {
    samples
        .windows(2)
        .take(100)
        .map(|pair| pair[1].at.saturating_sub(pair[0].at))
        .filter(|step| *step > 0)
        .min()
        .unwrap_or(0)
}

/// Robust scale of the logarithms.
fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let logarithms: Vec<f64> = values.map(|value| value.max(f64::MIN_POSITIVE).ln()).collect();
    let centre = middle(logarithms.iter().copied());
    let mut residuals: Vec<f32> = logarithms.iter().map(|value| (value - centre).abs() as f32).collect();
    stats::robust_scale(&mut residuals).unwrap_or(0.0)
}

fn when(spikes: &[Spike], clock: &Clock, span_days: f64) -> String {
    let place = |period: i64| -> Option<i64> {
        let angle = |spike: &Spike| {
            let begin = clock.local(spike.from).rem_euclid(period);
            begin as f64 / period as f64 * std::f64::consts::TAU
        };
        let count = spikes.len() as f64;
        let (sine, cosine) = spikes
            .iter()
            .map(angle)
            .fold((0.0, 0.0), |(sine, cosine), angle| (sine + angle.sin(), cosine + angle.cos()));
        let same = (sine / count).hypot(cosine / count) >= SAME_PLACE;
        same.then(|| ((sine.atan2(cosine) / std::f64::consts::TAU).rem_euclid(1.0) * period as f64) as i64)
    };
    if let Some(place) = place(DAY_MS) {
        return format!("around {:02}:00 {}", (place + HOUR_MS / 2).div_euclid(HOUR_MS) % 24, clock.name());
    }
    // On many separate hours only: three spikes lie near the same minute by chance.
    if let Some(place) = place(HOUR_MS).filter(|_| spikes.len() >= 2 * LEAST) {
        return format!("about {} min past the hour", place / MINUTE_MS);
    }
    match spikes.len() as f64 / span_days * 7.0 {
        a_week if a_week < 1.5 => "at irregular times".to_owned(),
        a_week => format!("at irregular times, about {a_week:.0} a week"),
    }
}
