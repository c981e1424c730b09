//! notify: tells people, by an Event on the Anomaly.

use super::Action;
use crate::api::ActionName;

/// The action.
pub const ACTION: Action = Action {
    name: ActionName::Notify,
    text: "notify",
    changing: false,
    description: "tells people, by an Event on the Anomaly",
    plan: None,
};

/// Reason of the Event, in the form that Events ask for.
pub const EVENT_REASON: &str = "AttentionNeeded";

/// Text of the Event: what happened, and what was tried. Cut to 1024 characters, control characters removed.
pub fn message(summary: &str, tried: &[String]) -> String {
    let mut text = format!("no automatic fix is left: {summary}");
    if !tried.is_empty() {
        text.push_str("; tried: ");
        text.push_str(&tried.join(", "));
    }
    text.chars().filter(|character| !character.is_control()).take(1024).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_text_is_one_line_of_bounded_length() {
        let text = super::message("slow\nquery \u{1b}[31m", &["add_index".into(), "x".repeat(5000)]);
        assert!(text.starts_with("no automatic fix is left: slowquery [31m; tried: add_index"));
        assert_eq!(text.chars().count(), 1024);
    }
}
