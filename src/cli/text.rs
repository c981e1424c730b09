//! The border between text from a database and a terminal.

/// Strips what a terminal would act on or hide: escape sequences, control characters, marks that turn the direction of
/// writing or have no width. Line breaks and tabs become spaces, so that a text stays in its line.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.peek() {
                Some('[') => {
                    characters.next();
                    skip_control_sequence(&mut characters);
                }
                // Operating system command and its kin: title, clipboard, links.
                Some(']' | 'P' | '^' | '_' | 'X') => skip_string(&mut characters),
                // An escape with intermediate bytes, such as the choice of a character set.
                Some(' '..='/') => {
                    while characters.next_if(|next| matches!(next, ' '..='/')).is_some() {}
                    characters.next_if(|next| matches!(next, '0'..='~'));
                }
                Some('0'..='~') => {
                    characters.next();
                }
                _ => {}
            },
            '\u{9b}' => skip_control_sequence(&mut characters),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut characters),
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' | '\u{85}' => {
                if !cleaned.ends_with(' ') {
                    cleaned.push(' ');
                }
            }
            _ if is_unseen(character) => {}
            _ => cleaned.push(character),
        }
    }
    cleaned
}

/// So many of something: `1 row`, `2 rows`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whether a text loses more than line breaks when it is cleaned: what is shown is then not what is meant.
pub(super) fn hides(text: &str) -> bool {
    text.chars().any(|character| !matches!(character, '\n' | '\r' | '\t') && is_unseen(character))
}

fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn skip_control_sequence(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while characters.next_if(|next| matches!(next, ' '..='?')).is_some() {}
    characters.next_if(|next| matches!(next, '@'..='~'));
}

// Ends at BEL, at ST (ESC \ or U+009C), or at the end of the text: an unfinished one swallows nothing that was visible.
fn skip_string(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let ahead = characters.clone();
    let mut after = characters.clone();
    let mut previous = ' ';
    for character in ahead {
        after.next();
        if character == '\u{7}' || character == '\u{9c}' || (previous == '\u{1b}' && character == '\\') {
            *characters = after;
            return;
        }
        previous = character;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_passes() {
        for (hostile, shown) in [
            ("plain, with \"quotes\" and ü", "plain, with \"quotes\" and ü"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[1;1Hgone", "gone"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]0;never ended", "]0;never ended"),
            ("\u{1b}(0set\u{1b}c", "set"),
            ("a\u{0}b\u{7f}c\u{8}\u{8}", "abc"),
            ("SELECT 1\n\t-- x\r\nFROM t", "SELECT 1 -- x FROM t"),
            ("a\u{202e}dcb\u{200b}\u{2066}", "adcb"),
            ("\u{1b}", ""),
        ] {
            assert_eq!(clean(hostile), shown, "{hostile:?}");
            assert_eq!(clean(&clean(hostile)), shown, "cleaning twice: {hostile:?}");
        }
    }

    #[test]
    fn what_is_hidden_is_known() {
        assert!(!hides("SELECT 1\nFROM t"));
        assert!(hides("t\u{1b}[8mable"));
        assert!(hides("a\u{202e}b"));
    }

    proptest::proptest! {
        #[test]
        fn cleaned_text_has_no_control_character(text in "\\PC*|[\\x00-\\xff]{0,64}") {
            proptest::prop_assert!(!clean(&text).chars().any(is_unseen));
        }
    }
}
