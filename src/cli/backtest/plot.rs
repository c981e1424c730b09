//! The series as text: its course, the band it was expected in, and the incidents.

use super::super::series::TimestampFormat;
use super::super::table::Tone;
use super::super::text::clean;
use super::axis::{figure, range, time_ticks};
use super::bins::{Bins, Cell, Mark};

/// Rows of the plot.
const HEIGHT: usize = 14;
/// Least characters that a plot makes sense in.
const NARROWEST: usize = 30;
/// Most characters that a plot makes sense in.
const WIDEST: usize = 500;
/// Characters that a mark of time needs with its text and the space behind it.
const ROOM: usize = 14;
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
        let width = usable(columns.or_else(terminal_width).unwrap_or(WIDTH));
        // POSIX: the first of these that is set decides.
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self { width, unicode: locale.contains("utf-8") || locale.contains("utf8") }
    }
}

/// A width that a plot makes sense in: anything can stand in `COLUMNS`.
fn usable(width: usize) -> usize {
    width.clamp(NARROWEST, WIDEST)
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
    tick: char,
    incident: char,
}

const UNICODE: Signs =
    Signs {
        series: '•', alarm: '●', band: '░', axis: '│', corner: '└', floor: '─', tick: '┬', incident: '▲'
    };
const ASCII: Signs =
    Signs { series: '*', alarm: '#', band: '.', axis: '|', corner: '+', floor: '-', tick: '+', incident: '^' };

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
    let labels: Vec<String> =
        [most, f64::midpoint(least, most), least].iter().map(|edge| figure(*edge, unit)).collect();
    let margin = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let width = usable(canvas.width).saturating_sub(margin + 2).max(NARROWEST / 2);
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
    let (floor, times) = time_line(bins, width, format);
    let floor: String = floor.chars().map(|sign| if sign == '+' { signs.tick } else { signs.floor }).collect();
    text.push_str(&format!("{:margin$} {}{floor}\n", "", signs.corner));
    let marks = incident_line(&spread, signs.incident);
    if !marks.is_empty() {
        text.push_str(&format!("{:margin$}  {}\n", "", Tone::Bad.paint(&marks, colour)));
    }
    text.push_str(&format!("{:margin$}  {times}\n", ""));
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

/// Texts below the marks of time, each beginning below its mark; one that has no room is left out.
fn time_line(bins: &Bins, width: usize, format: TimestampFormat) -> (String, String) {
    let (from, to) = bins.extent();
    let span = (to.saturating_sub(from) as f64).max(1.0);
    let mut marks: Vec<bool> = vec![false; width];
    let mut line = String::new();
    let mut length = 0;
    for (at, text) in time_ticks(from, to, (width / ROOM).max(1), format) {
        let place = ((at.saturating_sub(from) as f64 / span * width as f64) as usize).min(width - 1);
        if (length > 0 && place <= length) || place + text.len() > width {
            continue;
        }
        marks[place] = true;
        line.push_str(&" ".repeat(place - length));
        line.push_str(&text);
        length = place + text.len();
    }
    (marks.iter().map(|mark| if *mark { '+' } else { '-' }).collect(), line)
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
        for sign in ["•", "●", "░", "▲1", "30 ms", "03-01 02:00"] {
            assert!(text.contains(sign), "{sign}: {text}");
        }
        let text = draw(&bins(&values, 150..170), 40, false);
        assert!(text.is_ascii() && text.contains('#') && text.contains("^1"), "{text}");
        let text = draw(&bins(&values, 150..170), usize::MAX, true);
        assert!(text.lines().all(|line| line.chars().count() <= WIDEST), "{text}");
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
