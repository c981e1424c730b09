//! What a person reads: progress lines with the time since the start, headings, indented text.

use std::sync::OnceLock;
use std::time::Instant;

static BEGIN: OnceLock<Instant> = OnceLock::new();

/// One line: seconds since the first one, and what begins or was found.
pub fn progress(text: &str) {
    let elapsed = BEGIN.get_or_init(Instant::now).elapsed();
    println!("demo: {:5.1} s  {text}", elapsed.as_secs_f64());
}

/// The title of an act.
pub fn heading(text: &str) {
    println!("\n== {text}");
}

/// A small heading over what follows.
pub fn caption(text: &str) {
    println!("\n   {text}");
}

/// A command as it was typed, and what it said.
pub fn command(user: &str, command: &str, said: &str) {
    println!("\n   {user}$ {command}");
    indented(said);
}

/// Text of several lines.
pub fn indented(text: &str) {
    for line in text.trim_end().lines() {
        println!("   {line}");
    }
}
