//! Which evidence is news: merges what belongs to one incident, and keeps a budget of alarms.
//!
//! An anomalous sample is as rare as the threshold says. An incident wakes people, and so has a budget in time: a series
//! with more samples a week has more chances to be wrong, and must be surer. A series that was anomalous several times
//! lately must be surer of both. What lasts has a budget of its own: many spikes make no step less of one.

use super::evidence::Found;
use super::score;
use super::single::Alone;

/// Time between samples at which an incident needs [`INCIDENT`] decades more than an anomalous sample, in ms.
const REFERENCE_STEP_MS: f64 = 300_000.0;
/// Steps that are told apart, in ms: one second to one hour.
const STEPS_MS: (f64, f64) = (1e3, 3.6e6);
/// Decades more for ten times as many samples. Less than one, because neighbours say much the same.
const PER_STEP_DECADE: f64 = 0.7;
/// Samples after an alarm within which only much stronger evidence is another.
pub(super) const HOLD: u32 = 50;
/// Decades that much stronger is.
const MUCH_STRONGER: f64 = 1.57;
/// What is left of the strongest evidence from sample to sample.
const FADE: f64 = 0.998;
/// Decades that the strongest evidence is remembered as at most once it is over: one absurd value must not silence a series
/// for days.
const STRONGEST: f64 = 6.0;
/// Alarms that cost nothing, and the decades that each further one costs.
const FREE_ALARMS: f64 = 2.0;
const PER_ALARM: f64 = 0.63;
/// Time after which an alarm counts half, in ms.
const ALARM_HALF_LIFE_MS: f64 = 30.0 * 86_400_000.0;
/// Decades between an anomalous sample and an incident at the reference step.
const INCIDENT: f64 = 1.2;
/// Samples that evidence beyond the threshold must last to be an incident however strong it is.
const PERSISTENT: u32 = 6;
/// Samples that what lasts must last to be one: half of those that it is asked of, so that it is no chance of a few of them.
const LONG: u32 = 24;
/// Time in which a series is new: its daily course was not seen twice. And the decades that this costs.
const NEW_MS: i64 = 2 * 86_400_000;
const NEW_DECADES: f64 = 1.0;
/// Time in which a series is young: its week, with the return from its weekend, was not seen once. An incident then takes
/// so many decades more, or twice the persistence.
const YOUNG_MS: i64 = 8 * 86_400_000;
const YOUNG_DECADES: f64 = 0.5;
/// What the score of news is above the threshold, and any other below it, by at least: decades that no rounding closes.
const APART: f64 = 0.01;

/// One kind of evidence: what it has told, and for how long it has been there.
#[derive(Clone, Debug, Default)]
struct Account {
    /// Alarms, fading.
    alarms: f64,
    /// Samples with evidence beyond what an alarm takes, less those without; not below 0.
    held: u32,
}

impl Account {
    /// Decades that an alarm of this kind takes: its threshold, and more after many alarms.
    fn within_budget(&self, threshold: f64) -> f64 {
        threshold + PER_ALARM * (self.alarms - FREE_ALARMS).max(0.0)
    }

    fn hold(&mut self, beyond: bool) {
        self.held = if beyond { self.held + 1 } else { self.held.saturating_sub(1) };
    }
}

/// State of the alarms of one series.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// Decades of the threshold at the reference step.
    threshold: f64,
    /// Strongest evidence lately, fading.
    peak: f64,
    since_alarm: u32,
    /// Of all the channels together.
    together: Account,
    lasting: Account,
    /// Samples since something lasted, and whether that was told.
    since_lasting: u32,
    lasting_told: bool,
    incidents: u64,
    open: bool,
    since_evidence: u32,
}

/// What became of a sample's evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    /// Decades to report: how rare it is, but below the threshold unless it is news.
    pub decades: f64,
    pub anomalous: bool,
    pub incident: Option<u64>,
}

impl News {
    pub(super) fn new(threshold: f64) -> Self {
        Self {
            threshold,
            peak: 0.0,
            since_alarm: u32::MAX,
            together: Account::default(),
            lasting: Account::default(),
            since_lasting: u32::MAX,
            lasting_told: false,
            incidents: 0,
            open: false,
            since_evidence: u32::MAX,
        }
    }

    /// Takes a sample's evidence. `age_ms` is the time since the first sample, `elapsed_ms` that since the
    /// last one, `step_ms` the usual one.
    pub(super) fn tell(&mut self, found: &Found, step_ms: f64, elapsed_ms: f64, age_ms: i64) -> Told {
        let decades = found.decades;
        let step = step_ms.clamp(STEPS_MS.0, STEPS_MS.1);
        let kept = (-std::f64::consts::LN_2 * elapsed_ms / ALARM_HALF_LIFE_MS).exp();
        self.together.alarms *= kept;
        self.lasting.alarms *= kept;
        self.peak *= FADE;
        if !self.open && self.since_evidence.min(self.since_alarm) >= HOLD {
            self.peak = self.peak.min(STRONGEST);
        }
        self.since_alarm = self.since_alarm.saturating_add(1);
        self.since_evidence = self.since_evidence.saturating_add(1);

        let threshold = self.threshold_at(age_ms);
        let within_budget = self.together.within_budget(threshold);
        let lasting_within_budget = self.lasting.within_budget(threshold);
        let (young, times) = if age_ms < YOUNG_MS { (YOUNG_DECADES, 2) } else { (0.0, 1) };
        let of_incident = INCIDENT + young + PER_STEP_DECADE * (REFERENCE_STEP_MS / step).log10();
        let (beyond, lasts) = (decades >= within_budget, found.lasting >= lasting_within_budget);
        let begins_to_last = self.begins_to_last(lasts);
        let anomalous = self.is_news(decades, within_budget) || begins_to_last;
        if beyond || lasts {
            self.since_evidence = 0;
        }
        self.together.hold(beyond);
        self.lasting.hold(lasts);
        let persists = self.together.held >= times * PERSISTENT || self.lasting.held >= times * LONG;
        let strong = decades >= within_budget + of_incident || found.lasting >= lasting_within_budget + of_incident;
        if !self.open && (strong || persists) {
            self.open = true;
            self.incidents += 1;
        } else if self.open && self.since_evidence >= HOLD {
            self.open = false;
        }
        let rarity = if begins_to_last { found.rarity.max(found.lasting) } else { found.rarity };
        let reported = if anomalous { rarity.max(self.threshold + APART) } else { rarity.min(self.threshold - APART) };
        Told { decades: reported.max(0.0), anomalous, incident: self.incident() }
    }

    /// Takes what speaks against one of the values that a sample will be made of: an alarm when it is news, never an
    /// incident. The score to report then.
    pub(super) fn tell_single(&mut self, alone: &Alone, age_ms: i64) -> Option<f64> {
        let within_budget = self.together.within_budget(self.threshold_at(age_ms));
        // What is no news is not taken in: the sample that it belongs to will be.
        (alone.decades >= within_budget && self.is_news(alone.decades, within_budget))
            .then(|| score(alone.rarity.max(self.threshold + APART)))
    }

    /// Number of the incident that is open.
    pub(super) fn incident(&self) -> Option<u64> {
        self.open.then_some(self.incidents)
    }

    /// Decades that an alarm takes while there were none: more where the series is new.
    fn threshold_at(&self, age_ms: i64) -> f64 {
        self.threshold + if age_ms < NEW_MS { NEW_DECADES } else { 0.0 }
    }

    /// Whether that is an alarm, which then counts: what lasts is told once, and not while something else was just told.
    fn begins_to_last(&mut self, lasts: bool) -> bool {
        self.since_lasting = self.since_lasting.saturating_add(1);
        if self.since_lasting >= HOLD {
            self.lasting_told = false;
        }
        if !lasts {
            return false;
        }
        self.since_lasting = 0;
        let news = !self.lasting_told && self.since_alarm >= HOLD;
        if news {
            self.lasting_told = true;
            self.since_alarm = 0;
            self.lasting.alarms += 1.0;
        }
        news
    }

    /// Whether that is an alarm, which then counts.
    fn is_news(&mut self, decades: f64, within_budget: f64) -> bool {
        let stronger = self.peak + if self.since_alarm < HOLD { MUCH_STRONGER } else { 0.0 };
        let news = decades >= within_budget && decades > stronger;
        if news {
            self.since_alarm = 0;
            self.together.alarms += 1.0;
        }
        self.peak = self.peak.max(decades);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::super::Departure;
    use super::*;

    const STEP: f64 = REFERENCE_STEP_MS;
    const OLD: i64 = 30 * 86_400_000;

    fn found(decades: f64) -> Found {
        Found { decades, lasting: 0.0, rarity: decades, departure: Departure::Spike }
    }

    fn tell(news: &mut News, decades: f64) -> Told {
        news.tell(&found(decades), STEP, STEP, OLD)
    }

    #[test]
    fn only_what_says_more_is_news_within_an_incident() {
        let mut news = News::new(3.0);
        let told: Vec<bool> = [1.0, 5.0, 5.0, 4.0, 6.0, 8.0].map(|decades| tell(&mut news, decades).anomalous).into();
        assert_eq!(told, [false, true, false, false, false, true]);
    }

    #[test]
    fn however_strong_evidence_was_it_is_outdone_a_day_later() {
        let mut news = News::new(3.0);
        assert!(tell(&mut news, 15.0).anomalous);
        (0..288).for_each(|_| assert!(!tell(&mut news, 0.0).anomalous));
        assert!(!tell(&mut news, 3.2).anomalous && tell(&mut news, 4.0).anomalous);
    }

    #[test]
    fn what_is_no_news_is_reported_below_the_threshold() {
        let mut news = News::new(3.0);
        tell(&mut news, 5.0);
        let repeated = tell(&mut news, 5.0);
        assert!(!repeated.anomalous && repeated.decades < 3.0);
        assert_eq!(repeated.incident, Some(1));
    }

    #[test]
    fn evidence_decides_and_rarity_is_reported_on_the_side_of_the_threshold_that_was_decided() {
        let told = |decades, rarity| {
            let told = News::new(3.0).tell(&Found { rarity, ..found(decades) }, STEP, STEP, OLD);
            (told.anomalous, told.decades)
        };
        assert_eq!(told(5.0, 4.0), (true, 4.0));
        assert_eq!(told(5.0, 2.0), (true, 3.0 + APART));
        assert_eq!(told(2.0, 5.0), (false, 3.0 - APART));
        assert_eq!(told(2.0, 1.0), (false, 1.0));
    }

    #[test]
    fn an_incident_opens_on_strength_or_on_persistence_and_ends_when_nothing_more_is_said() {
        let mut strong = News::new(3.0);
        assert_eq!(tell(&mut strong, 5.0).incident, Some(1));
        let mut weak = News::new(3.0);
        let opened = (0..20).position(|_| tell(&mut weak, 3.5).incident.is_some());
        assert_eq!(opened, Some(PERSISTENT as usize - 1));
        let ended = (1..200).find(|_| tell(&mut weak, 0.0).incident.is_none());
        assert_eq!(ended, Some(HOLD));
        assert_eq!(tell(&mut weak, 9.0).incident, Some(2));
    }

    #[test]
    fn a_series_that_alarms_often_must_be_surer() {
        let mut news = News::new(3.0);
        let told = (0..20).filter(|_| {
            let told = tell(&mut news, 4.0).anomalous;
            for _ in 0..2000 {
                tell(&mut news, 0.0);
            }
            told
        });
        let told = told.count();
        assert!((3..=16).contains(&told), "{told}");
        assert!(tell(&mut news, 8.0).anomalous);
    }

    #[test]
    fn what_lasts_is_told_once_whatever_else_was_told_often_and_ends_when_it_lasts_no_more() {
        let mut news = News::new(3.0);
        let mut told = |decades, lasting| news.tell(&Found { lasting, ..found(decades) }, STEP, STEP, OLD);
        // So many spikes that only the strongest is still one.
        for _ in 0..200 {
            told(9.0, 0.0);
            let quiet = (0..100).filter(|_| !told(0.0, 0.0).anomalous).count();
            assert_eq!(quiet, 100);
        }
        assert!(!told(5.0, 0.0).anomalous, "the budget is used up");
        let alarms: Vec<usize> = (0..200).filter(|_| told(0.0, 3.5).anomalous).collect();
        assert_eq!(alarms, [0]);
        let open = told(0.0, 3.5).incident;
        assert!(open.is_some(), "it has lasted for long");
        let ended = (1..200).find(|_| told(0.0, 0.0).incident.is_none());
        assert_eq!(ended, Some(HOLD as usize));
        (0..200).for_each(|_| assert!(!told(0.0, 0.0).anomalous));
        assert_eq!(
            (0..LONG).filter(|_| told(0.0, 3.5).incident.is_some()).count(),
            1,
            "an incident takes more, or longer"
        );
        (0..200).for_each(|_| assert!(!told(0.0, 0.0).anomalous));
        let again = told(0.0, 6.0);
        assert!(again.anomalous && again.incident > open && again.decades >= 6.0);
    }

    #[test]
    fn an_incident_needs_more_where_samples_come_faster_and_where_the_series_is_new() {
        let opens = |step: f64, age: i64| {
            let tenths = (30..90).find(|tenths| {
                News::new(3.0).tell(&found(f64::from(*tenths) / 10.0), step, step, age).incident.is_some()
            });
            tenths.map(|tenths| f64::from(tenths) / 10.0)
        };
        assert_eq!(opens(300_000.0, OLD), Some(4.2));
        assert_eq!(opens(60_000.0, OLD), Some(4.7));
        assert_eq!(opens(3_600_000.0, OLD), Some(3.5));
        assert_eq!(opens(300_000.0, 0), Some(5.7));
        let half_day = 43_200_000;
        assert_eq!([14, 15, 16].map(|age| opens(300_000.0, age * half_day)), [Some(4.7), Some(4.7), Some(4.2)]);
    }
}
