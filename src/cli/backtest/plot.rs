//! The series as text: its course, the band it was expected in, and the incidents.

use super::super::figures::{number, value};
use super::super::series::TimestampFormat;
use super::super::table::Tone;
use super::super::text::clean;
use super::bins::{Bins, Cell, Mark};

/// Rows of the plot.
const HEIGHT: usize = 14;
/// Least characters that a plot makes sense in.
const NARROWEST: usize = 30;
/// Characters of a line where no terminal says otherwise.
const WIDTH: usize = 80;

/// What there is to draw on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Canvas {
    /// Characters of a line.
    pub width: usize,
    /// Whether more than ASCII can be shown.
    pub unicode: bool,
}

impl Canvas {
    /// That of standard output: as wide as the terminal, 80 characters when it is none.
    pub(super) fn of_output() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let columns = set("COLUMNS").and_then(|columns| columns.parse().ok());
        let width = columns.or_else(terminal_width).unwrap_or(WIDTH);
        // POSIX: the first of these that is set decides.
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self { width, unicode: locale.contains("utf-8") || locale.contains("utf8") }
    }
}

#[cfg(unix)]
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(not(unix))]
fn terminal_width() -> Option<usize> {
    None
}

/// What stands for what.
struct Signs {
    series: char,
    alarm: char,
    band: char,
    axis: char,
    corner: char,
    floor: char,
    incident: char,
}

const UNICODE: Signs =
    Signs { series: '•', alarm: '●', band: '░', axis: '│', corner: '└', floor: '─', incident: '▲' };
const ASCII: Signs = Signs { series: '*', alarm: '#', band: '.', axis: '|', corner: '+', floor: '-', incident: '^' };

/// Draws one column; empty when nothing of it is known.
pub(super) fn plot(
    bins: &Bins,
    column: usize,
    unit: &str,
    title: Option<&str>,
    format: TimestampFormat,
    canvas: Canvas,
    colour: bool,
) -> String {
    let Some((least, most)) = range(bins.of_column(column).map(|(_, _, cell)| cell)) else { return String::new() };
    let signs = if canvas.unicode { UNICODE } else { ASCII };
    let labels: Vec<String> = [most, f64::midpoint(least, most), least].iter().map(|edge| value(*edge, unit)).collect();
    let margin = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let width = canvas.width.max(NARROWEST).saturating_sub(margin + 2).max(NARROWEST / 2);
    let spread = bins.spread(column, width);
    let level = |edge: f64| {
        let share = (edge - least) / (most - least);
        if share.is_finite() {
            ((share.clamp(0.0, 1.0) * (HEIGHT - 1) as f64).round() as usize).min(HEIGHT - 1)
        } else {
            0
        }
    };
    let mut text = title.map(|title| format!("{}\n", clean(title))).unwrap_or_default();
    for row in (0..HEIGHT).rev() {
        let label = match row {
            0 => labels[2].as_str(),
            row if row == HEIGHT - 1 => labels[0].as_str(),
            row if row == HEIGHT / 2 => labels[1].as_str(),
            _ => "",
        };
        text.push_str(&format!("{label:>margin$} {}", signs.axis));
        let mut line = String::new();
        for bin in &spread {
            line.push_str(&sign(bin.as_ref(), row, &level, (least, most), &signs, colour));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let floor: String = std::iter::repeat_n(signs.floor, width).collect();
    text.push_str(&format!("{:margin$} {}{floor}\n", "", signs.corner));
    let marks = incident_line(&spread, signs.incident);
    if !marks.is_empty() {
        text.push_str(&format!("{:margin$}  {}\n", "", Tone::Bad.paint(&marks, colour)));
    }
    let (from, to) = bins.extent();
    let (from, to) = (format.print(from), format.print(to));
    let gap = width.saturating_sub(from.chars().count() + to.chars().count()).max(1);
    text.push_str(&format!("{:margin$}  {from}{}{to}\n", "", " ".repeat(gap)));
    let incident = if marks.is_empty() { String::new() } else { format!("   {} incident", signs.incident) };
    text.push_str(&format!("{:margin$}  {} value   {} band{incident}\n", "", signs.series, signs.band));
    text
}

fn sign(
    bin: Option<&(Mark, Cell)>,
    row: usize,
    level: &impl Fn(f64) -> usize,
    (least, most): (f64, f64),
    signs: &Signs,
    colour: bool,
) -> String {
    let Some((mark, cell)) = bin else { return " ".to_owned() };
    if !cell.low.is_nan() && (level(cell.low)..=level(cell.high)).contains(&row) {
        let alarm = mark.incident.is_some();
        let tone = if alarm { Tone::Bad } else { Tone::Plain };
        return tone.paint(&if alarm { signs.alarm } else { signs.series }.to_string(), colour);
    }
    let lower = if cell.lower.is_nan() { f64::NEG_INFINITY } else { cell.lower };
    let upper = if cell.upper.is_nan() { f64::INFINITY } else { cell.upper };
    let known = !(cell.lower.is_nan() && cell.upper.is_nan());
    let within = known && lower <= most && upper >= least;
    let band = level(lower.max(least))..=level(upper.min(most));
    if within && band.contains(&row) { signs.band.to_string() } else { " ".to_owned() }
}

/// A mark below every bin of an incident, and its number where it begins and there is room.
fn incident_line(spread: &[Option<(Mark, Cell)>], sign: char) -> String {
    let mut line: Vec<char> = vec![' '; spread.len()];
    let mut before = None;
    let mut free = 0;
    for (place, bin) in spread.iter().enumerate() {
        let Some((mark, _)) = bin else { continue };
        let Some(number) = mark.incident else {
            before = None;
            continue;
        };
        if line[place] == ' ' {
            line[place] = sign;
        }
        let digits = number.to_string();
        if before != Some(number) && place >= free && place + 1 + digits.len() <= line.len() {
            line[place] = sign;
            line[place + 1..=place + digits.len()].iter_mut().zip(digits.chars()).for_each(|(to, digit)| *to = digit);
            free = place + digits.len() + 2;
        }
        before = Some(number);
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

/// Least and greatest value that a picture has to show: all values, and of the band what lies near them.
pub(super) fn range(cells: impl Iterator<Item = Cell>) -> Option<(f64, f64)> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut lower, mut upper) = (f64::INFINITY, f64::NEG_INFINITY);
    for cell in cells {
        least = least.min(cell.low);
        most = most.max(cell.high);
        lower = lower.min(cell.lower);
        upper = upper.max(cell.upper);
    }
    if least > most {
        return None;
    }
    // A band that was wide while little was known must not make the series a line.
    let room = ((most - least) / 4.0).min(f64::MAX / 8.0);
    let (mut least, mut most) = (least.min(lower.max(least - room)), most.max(upper.min(most + room)));
    if !(most - least).is_finite() {
        (least, most) = (least / 2.0, most / 2.0);
    }
    if least >= most {
        let half = (least.abs() * 0.1).max(1.0);
        (least, most) = (least - half, most + half);
    }
    Some((least, most))
}

/// A number for an axis.
pub(super) fn tick(edge: f64, unit: &str) -> String {
    if unit.is_empty() && edge.abs() >= 1e6 {
        format!("{edge:.1e}")
    } else if unit.is_empty() {
        number(edge)
    } else {
        value(edge, unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bins(values: &[f64], incident: std::ops::Range<usize>) -> Bins {
        let mut bins = Bins::new(1);
        for (row, value) in values.iter().enumerate() {
            let mark =
                Mark { seen: true, anomalous: row == incident.start, incident: incident.contains(&row).then_some(1) };
            bins.add(1_772_323_200_000 + row as i64 * 60_000, &[*value], mark, Some((0, 8.0, 12.0)));
        }
        bins
    }

    fn draw(bins: &Bins, width: usize, unicode: bool) -> String {
        plot(bins, 0, "ms", None, TimestampFormat::default(), Canvas { width, unicode }, false)
    }

    #[test]
    fn the_series_its_band_and_the_incident_are_drawn_in_the_width_there_is() {
        let values: Vec<f64> = (0..200).map(|row| if (150..170).contains(&row) { 30.0 } else { 10.0 }).collect();
        let text = draw(&bins(&values, 150..170), 80, true);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for sign in ["•", "●", "░", "▲1", "30 ms", "2026-03-01T00:00:00Z"] {
            assert!(text.contains(sign), "{sign}: {text}");
        }
        let text = draw(&bins(&values, 150..170), 40, false);
        assert!(text.is_ascii() && text.contains('#') && text.contains("^1"), "{text}");
    }

    #[test]
    fn a_flat_series_and_one_row_have_a_plot_and_nothing_has_none() {
        assert!(draw(&bins(&[5.0; 50], 0..0), 80, true).contains('•'));
        assert!(draw(&bins(&[5.0], 0..0), 80, true).contains('•'));
        assert_eq!(draw(&bins(&[f64::NAN], 0..0), 80, true), "");
        assert_eq!(draw(&bins(&[], 0..0), 80, true), "");
    }

    proptest! {
        #[test]
        fn any_values_are_drawn(values in proptest::collection::vec(any::<f64>(), 0..60), width in 0_usize..200) {
            let values: Vec<f64> = values.into_iter().map(|value| if value.is_finite() { value } else { f64::NAN }).collect();
            let _ = draw(&bins(&values, 3..9), width, true);
        }
    }
}
