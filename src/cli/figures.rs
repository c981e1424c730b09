//! Numbers and times for people.

use k8s_openapi::jiff::Timestamp;

/// Time between two instants in kubectl's short form: `12s`, `5m30s`, `3h12m`, `2d4h`, `9d`.
pub(super) fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "<unknown>".to_owned() };
    let seconds = (now.as_second() - since.as_second()).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    let pair = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    // The thresholds are those of apimachinery's HumanDuration.
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

/// Reads a time as it is stored (RFC 3339).
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Numbers from here on are written with an exponent: nobody counts that many digits.
const LONGEST: f64 = 1e15;

/// A number with three significant digits.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "unknown".to_owned();
    }
    let size = value.abs();
    if size >= LONGEST {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        _ if size >= 100.0 || size == 0.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size >= 0.001 => 3,
        _ => 6,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// From one value to another in their metric's unit, which is said once where both are written in the same.
pub(super) fn span(from: f64, to: f64, unit: &str) -> String {
    let (from, to) = (value(from, unit), value(to, unit));
    match (from.split_once(' '), to.split_once(' ')) {
        (Some((number, of_from)), Some((_, of_to))) if of_from == of_to => format!("{number} to {to}"),
        _ => format!("{from} to {to}"),
    }
}

/// A value in its metric's unit.
pub(super) fn value(value: f64, unit: &str) -> String {
    match unit {
        "" => number(value),
        "B" => bytes(value),
        "B/s" => format!("{}/s", bytes(value)),
        "ms" if value.abs() >= 10_000.0 => format!("{} s", number(value / 1000.0)),
        _ => format!("{} {unit}", number(value)),
    }
}

/// A size.
pub(super) fn bytes(value: f64) -> String {
    let mut size = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size.abs() < 1024.0 {
            return format!("{} {unit}", number(size));
        }
        size /= 1024.0;
    }
    format!("{} TiB", number(size))
}

/// A share of 0 to 1 in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        let now = Timestamp::from_second(10_000_000).unwrap();
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (3_600, "60m"),
            (11_520, "3h12m"),
            (90_000, "25h"),
            (187_200, "2d4h"),
            (777_600, "9d"),
        ] {
            let since = Timestamp::from_second(10_000_000 - seconds).unwrap();
            assert_eq!(age(Some(since), now), text, "{seconds} s");
        }
        assert_eq!(age(None, now), "<unknown>");
    }

    #[test]
    fn figures_are_short_and_carry_their_unit() {
        assert_eq!(value(412.34, "ms"), "412 ms");
        assert_eq!(value(8.2049, "ms"), "8.2 ms");
        assert_eq!(value(65_000.0, "ms"), "65 s");
        assert_eq!(value(0.0, "%"), "0 %");
        assert_eq!(value(64_847_872.0, "B"), "61.8 MiB");
        assert_eq!(percent(0.9312), "93.1 %");
        assert_eq!(number(3_000_000.0), "3000000");
        assert_eq!(span(1.0, 20.0, "ms"), "1 to 20 ms");
        assert_eq!(span(4e8, 1.5e9, "B"), "381 MiB to 1.4 GiB");
        assert_eq!(span(0.5, 2.0, ""), "0.5 to 2");
        assert_eq!(number(0.0421), "0.042");
        assert_eq!((number(f64::MAX).as_str(), number(-1e15).as_str()), ("1.80e308", "-1.00e15"));
        assert_eq!(number(f64::NAN), "unknown");
    }
}
