use proptest::prelude::*;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn shown(window: Window) -> String {
    let text = |at: i64| Timestamp::from_millisecond(at).unwrap().to_string();
    format!("{} {}", text(window.from), text(window.to))
}

fn hours(schedule: &str, duration_hours: i64, zone: &str) -> Calendar {
    Calendar::schedule(schedule, (duration_hours > 0).then_some(duration_hours * HOUR_MS), zone).unwrap()
}

/// The windows after an instant, one after the other.
fn following(calendar: &Calendar, after: &str, count: usize) -> Vec<String> {
    let mut instant = at(after);
    let mut found = Vec::new();
    while let Some(window) = calendar.next(instant).filter(|_| found.len() < count) {
        instant = window.from;
        found.push(shown(window));
    }
    found
}

#[test]
fn each_form_begins_when_it_says() {
    // A Wednesday.
    let after = "2026-11-25T14:00:00Z";
    let table: [(&str, i64, [&str; 2]); 14] = [
        (
            "daily 02:00-03:00",
            0,
            ["2026-11-26T02:00:00Z 2026-11-26T03:00:00Z", "2026-11-27T02:00:00Z 2026-11-27T03:00:00Z"],
        ),
        (
            "Sun 03:00-04:00",
            0,
            ["2026-11-29T03:00:00Z 2026-11-29T04:00:00Z", "2026-12-06T03:00:00Z 2026-12-06T04:00:00Z"],
        ),
        (
            "sunday 3:00-4:00",
            0,
            ["2026-11-29T03:00:00Z 2026-11-29T04:00:00Z", "2026-12-06T03:00:00Z 2026-12-06T04:00:00Z"],
        ),
        (
            "Mon-Fri 09:00-17:00",
            0,
            ["2026-11-26T09:00:00Z 2026-11-26T17:00:00Z", "2026-11-27T09:00:00Z 2026-11-27T17:00:00Z"],
        ),
        (
            "Fri-Sun 22:00-02:00",
            0,
            ["2026-11-27T22:00:00Z 2026-11-28T02:00:00Z", "2026-11-28T22:00:00Z 2026-11-29T02:00:00Z"],
        ),
        (
            "Sat-Mon 00:00-24:00",
            0,
            ["2026-11-28T00:00:00Z 2026-11-29T00:00:00Z", "2026-11-29T00:00:00Z 2026-11-30T00:00:00Z"],
        ),
        (
            "Sat,Sun 02:00",
            1,
            ["2026-11-28T02:00:00Z 2026-11-28T03:00:00Z", "2026-11-29T02:00:00Z 2026-11-29T03:00:00Z"],
        ),
        ("1st 02:00", 1, ["2026-12-01T02:00:00Z 2026-12-01T03:00:00Z", "2027-01-01T02:00:00Z 2027-01-01T03:00:00Z"]),
        (
            "1st,15th 02:00-04:00",
            0,
            ["2026-12-01T02:00:00Z 2026-12-01T04:00:00Z", "2026-12-15T02:00:00Z 2026-12-15T04:00:00Z"],
        ),
        ("last 23:00", 2, ["2026-11-30T23:00:00Z 2026-12-01T01:00:00Z", "2026-12-31T23:00:00Z 2027-01-01T01:00:00Z"]),
        ("0 2 1 * *", 1, ["2026-12-01T02:00:00Z 2026-12-01T03:00:00Z", "2027-01-01T02:00:00Z 2027-01-01T03:00:00Z"]),
        ("30 3 * * SUN", 1, ["2026-11-29T03:30:00Z 2026-11-29T04:30:00Z", "2026-12-06T03:30:00Z 2026-12-06T04:30:00Z"]),
        ("0 */12 * * *", 1, ["2026-11-26T00:00:00Z 2026-11-26T01:00:00Z", "2026-11-26T12:00:00Z 2026-11-26T13:00:00Z"]),
        ("0 0 13 * fri", 1, ["2026-11-27T00:00:00Z 2026-11-27T01:00:00Z", "2026-12-04T00:00:00Z 2026-12-04T01:00:00Z"]),
    ];
    for (text, duration, expected) in table {
        assert_eq!(following(&hours(text, duration, "UTC"), after, 2), expected, "{text}");
    }
}

#[test]
fn a_month_without_the_day_has_no_window_and_the_last_day_is_always_there() {
    let begins = |text: &str, after: &str, count: usize| -> Vec<String> {
        let windows = following(&hours(text, 1, "UTC"), after, count);
        windows.iter().map(|window| window[..10].to_owned()).collect()
    };
    assert_eq!(begins("31st 02:00", "2026-01-31T02:00:00Z", 3), ["2026-03-31", "2026-05-31", "2026-07-31"]);
    assert_eq!(begins("0 2 31 4,5 *", "2026-01-01T00:00:00Z", 2), ["2026-05-31", "2027-05-31"]);
    assert_eq!(begins("29th 02:00", "2026-01-29T02:00:00Z", 2), ["2026-03-29", "2026-04-29"]);
    assert_eq!(begins("29th 02:00", "2028-01-29T02:00:00Z", 2), ["2028-02-29", "2028-03-29"]);
    assert_eq!(begins("0 2 29 feb *", "2096-03-01T00:00:00Z", 2), ["2104-02-29", "2108-02-29"]);
    let last = ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"];
    assert_eq!(begins("last 02:00", "2027-01-01T00:00:00Z", 4), last);
    assert_eq!(begins("last 02:00", "2028-02-01T00:00:00Z", 1), ["2028-02-29"]);
}

/// Berlin, 2026: the clock skips 02:00 to 03:00 on 29 March (01:00Z) and repeats it on 25 October (from 01:00Z on).
#[test]
fn a_begin_that_the_clock_skips_is_moved_and_a_repeated_hour_is_covered_once() {
    let table: [(&str, i64, &str, &str); 11] = [
        ("daily 02:00-03:00", 0, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"),
        ("daily 02:30-02:45", 0, "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z 2026-03-29T01:45:00Z"),
        ("daily 01:00-04:00", 0, "2026-03-28T12:00:00Z", "2026-03-29T00:00:00Z 2026-03-29T02:00:00Z"),
        ("daily 01:30-02:30", 0, "2026-03-28T12:00:00Z", "2026-03-29T00:30:00Z 2026-03-29T01:30:00Z"),
        ("daily 02:30", 1, "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z 2026-03-29T02:30:00Z"),
        ("daily 01:00", 2, "2026-03-28T12:00:00Z", "2026-03-29T00:00:00Z 2026-03-29T02:00:00Z"),
        ("daily 02:00-03:00", 0, "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z 2026-10-25T02:00:00Z"),
        ("daily 02:15-02:45", 0, "2026-10-24T12:00:00Z", "2026-10-25T00:15:00Z 2026-10-25T01:45:00Z"),
        ("daily 01:00-04:00", 0, "2026-10-24T12:00:00Z", "2026-10-24T23:00:00Z 2026-10-25T03:00:00Z"),
        ("daily 02:30", 1, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z"),
        ("Sun 03:00-04:00", 0, "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z 2026-10-25T03:00:00Z"),
    ];
    for (text, duration, after, expected) in table {
        let calendar = hours(text, duration, "Europe/Berlin");
        assert_eq!(following(&calendar, after, 1), [expected], "{text}");
        // The next one is a day or more later, not a second time.
        let next = calendar.next(at(&expected[..20])).map_or(i64::MAX, |window| window.from);
        assert!(next - at(&expected[..20]) >= 23 * HOUR_MS, "{text}");
    }
}

#[test]
fn cron_of_every_hour_has_a_window_in_each_hour_that_passes() {
    let calendar = Calendar::schedule("15 * * * *", Some(10 * MINUTE_MS), "Europe/Berlin").unwrap();
    for (from, to) in
        [("2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"), ("2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z")]
    {
        let mut windows = calendar.within(Window { from: at(from), to: at(to) });
        // Where the clock skips, what is moved meets what is there.
        windows.dedup();
        let begins: Vec<i64> = windows.iter().map(|window| window.from).collect();
        let expected: Vec<i64> = (0..10).map(|hour| at(from) + hour * HOUR_MS + 15 * MINUTE_MS).collect();
        assert_eq!(begins, expected, "{from}");
    }
    let single = Calendar::schedule("30 2 * * *", Some(10 * MINUTE_MS), "Europe/Berlin").unwrap();
    let day = Window { from: at("2026-10-24T22:00:00Z"), to: at("2026-10-25T23:00:00Z") };
    assert_eq!(single.within(day).len(), 1);
}

#[test]
fn a_window_that_began_days_ago_is_still_active_until_its_end() {
    let calendar = Calendar::schedule("1st 02:00", Some(20 * DAY_MS), "UTC").unwrap();
    for (instant, active) in [
        ("2026-11-01T01:59:59.999Z", false),
        ("2026-11-01T02:00:00Z", true),
        ("2026-11-21T01:59:59.999Z", true),
        ("2026-11-21T02:00:00Z", false),
    ] {
        assert_eq!(calendar.current(at(instant)).is_some(), active, "{instant}");
    }
    let within = calendar.within(Window { from: at("2026-11-10T00:00:00Z"), to: at("2026-12-02T00:00:00Z") });
    assert_eq!(within.len(), 2);
}

#[test]
fn days_of_dates_are_whole_days_of_their_zone_and_instants_are_exact() {
    let dates =
        |zone: &str| Calendar::dates([("2026-11-24", "2026-11-27"), ("2026-03-01T06:00:00+02:00", "2026-03-02")], zone);
    let Calendar::Dates(windows) = dates("America/New_York").unwrap() else { panic!("dates") };
    let found: Vec<String> = windows.into_iter().map(shown).collect();
    assert_eq!(found, ["2026-03-01T04:00:00Z 2026-03-03T05:00:00Z", "2026-11-24T05:00:00Z 2026-11-28T05:00:00Z"]);
    let calendar = dates("UTC").unwrap();
    assert!(
        calendar.current(at("2026-11-27T23:59:59.999Z")).is_some()
            && calendar.current(at("2026-11-28T00:00:00Z")).is_none()
    );
    assert_eq!(calendar.next(at("2026-11-24T00:00:00Z")), None, "what has begun is not to come");
    assert_eq!(calendar.next(at("2026-03-05T00:00:00Z")).map(|window| window.from), Some(at("2026-11-24T00:00:00Z")));
}

#[test]
fn what_cannot_be_meant_names_field_found_and_allowed() {
    let hour = Some(HOUR_MS);
    let schedules: [(&str, Option<i64>, &str, &str); 25] = [
        ("", hour, "schedule", "five cron fields"),
        ("sometimes", hour, "schedule", "five cron fields"),
        ("1 02:00", hour, "schedule", "1st 02:00"),
        ("32nd 02:00", hour, "schedule", "1st 02:00"),
        ("0th 02:00", hour, "schedule", "1st 02:00"),
        ("1st 2", hour, "schedule", "1st 02:00"),
        ("1st 24:00", hour, "schedule", "1st 02:00"),
        ("1st 02:60", hour, "schedule", "1st 02:00"),
        ("Sun 03:00-25:00", None, "schedule", "Sun 03:00-04:00"),
        ("Sun 03:00-03:00", None, "schedule", "an end other than the begin"),
        ("Sonntag 03:00-04:00", None, "schedule", "Sun 03:00-04:00"),
        ("Sun, 03:00-04:00", None, "schedule", "Sun 03:00-04:00"),
        ("60 2 1 * *", hour, "schedule", "minute: *, 0 to 59"),
        ("0 24 1 * *", hour, "schedule", "hour: *, 0 to 23"),
        ("0 2 0 * *", hour, "schedule", "day of month: *, 1 to 31"),
        ("0 2 1 13 *", hour, "schedule", "month: *, 1 to 12, JAN to DEC"),
        ("0 2 * * 8", hour, "schedule", "day of week: *, 0 to 7, SUN to SAT"),
        ("0 2 5-1 * *", hour, "schedule", "not \"5-1\""),
        ("*/0 2 1 * *", hour, "schedule", "not \"*/0\""),
        ("0 2 30 2 *", hour, "schedule", "a day of month that one of its months has"),
        ("1st 02:00", None, "duration", "has no end of its own"),
        ("1st 02:00", Some(1), "duration", "1m to 31d"),
        ("Sun 03:00-04:00", hour, "duration", "without an end"),
        ("*/30 * * * *", hour, "duration", "at most 1800 s"),
        ("*/10 * * * *", Some(60_000), "schedule", "at most 48 starts a day"),
    ];
    for (text, duration, field, allowed) in schedules {
        let error = Calendar::schedule(text, duration, "UTC").unwrap_err();
        assert_eq!(error.field, field, "{text}");
        assert!(error.allowed.contains(allowed), "{text}: {error}");
    }
    for zone in ["", "Mars/Olympus", "../etc/passwd", "CET; drop"] {
        let error = Calendar::schedule("1st 02:00", hour, zone).unwrap_err();
        assert_eq!(error.field, "timeZone", "{zone}");
    }
    let dates: [(&str, &str, &str); 5] = [
        ("2026-02-30", "2026-03-01", "dates[0].from"),
        ("tomorrow", "2026-03-01", "dates[0].from"),
        ("2026-03-01", "2026-03-01T00:00", "dates[0].to"),
        ("2026-03-02", "2026-03-01", "dates[0].to"),
        ("2026-03-01T06:00:00Z", "2026-03-01T06:00:00Z", "dates[0].to"),
    ];
    for (from, to, field) in dates {
        assert_eq!(Calendar::dates([(from, to)], "UTC").unwrap_err().field, field, "{from} {to}");
    }
}

const SCHEDULES: [(&str, i64); 9] = [
    ("daily 02:00-03:00", 0),
    ("Sun 22:00-03:00", 0),
    ("Sat,Sun 00:00-24:00", 0),
    ("1st 02:00", 3),
    ("last 23:00", 100),
    ("31st,15th 01:30-02:30", 0),
    ("30 2 * * *", 1),
    ("0 */6 13 * FRI", 2),
    ("5 * * * *", 1),
];
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"];

fn calendars() -> impl Strategy<Value = Calendar> {
    (0..SCHEDULES.len(), 0..ZONES.len()).prop_map(|(schedule, zone)| {
        let (text, duration) = SCHEDULES[schedule];
        hours(text, duration, ZONES[zone])
    })
}

proptest! {
    #[test]
    fn merged_windows_hold_what_any_of_them_held(
        windows in proptest::collection::vec((0_i64..100, 1_i64..20), 0..12),
        at in -5_i64..130,
    ) {
        let windows: Vec<Window> = windows.into_iter().map(|(from, length)| Window { from, to: from + length }).collect();
        let merged = merged(windows.clone());
        prop_assert!(merged.windows(2).all(|pair| pair[0].to < pair[1].from));
        prop_assert_eq!(holds(&merged, at), windows.iter().any(|window| window.contains(at)));
    }

    #[test]
    fn the_next_window_begins_later_and_nothing_is_active_before_it(
        calendar in calendars(),
        at in 0_i64..4_000_000_000_000,
        share in 0.0_f64..1.0,
    ) {
        let next = calendar.next(at);
        prop_assert!(next.is_some());
        let next = next.unwrap_or(Window { from: at, to: at });
        prop_assert!(next.from > at && next.to > next.from);
        prop_assert!(calendar.current(next.from).is_some() && calendar.current(next.to - 1).is_some());
        let free_from = calendar.current(at).map_or(at, |window| window.to);
        if free_from < next.from {
            let between = free_from + ((next.from - free_from) as f64 * share) as i64;
            prop_assert!(between >= next.from || calendar.current(between).is_none());
        }
    }

    #[test]
    fn an_instant_is_active_just_when_a_window_within_holds_it(calendar in calendars(), at in 0_i64..4_000_000_000_000) {
        let within = calendar.within(Window { from: at - 3 * DAY_MS, to: at + 3 * DAY_MS });
        prop_assert_eq!(within.iter().any(|window| window.contains(at)), calendar.current(at).is_some());
        let instant = Window { from: at, to: at + 1 };
        prop_assert_eq!(!calendar.within(instant).is_empty(), calendar.current(at).is_some());
    }

    #[test]
    fn no_text_and_no_instant_panics(
        text in ".{0,40}",
        words in proptest::collection::vec("([0-9*/,-]{1,6}|last|1st|mon-sun|[0-9:]{4,6}-?[0-9:]{0,5})", 2..6),
        zone in "(UTC|Europe/Berlin|.{0,12})",
        duration in proptest::option::of(any::<i64>()),
        at in any::<i64>(),
    ) {
        for text in [text.clone(), words.join(" ")] {
            if let Ok(calendar) = Calendar::schedule(&text, duration, &zone) {
                let _ = (calendar.next(at), calendar.current(at).is_some(), calendar.within(Window { from: at, to: at.saturating_add(DAY_MS) }));
            }
        }
        let _ = Calendar::dates([(text.as_str(), words[0].as_str())], &zone);
    }
}
