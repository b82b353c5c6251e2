//! Text on a terminal: how wide it is, and what must not reach it as it came.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

/// The text with every character spelt out that would steer a terminal or turn the order of the letters round.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if steers(char) {
            // Writing to a text does not fail.
            let _ = write!(shown, "{}", char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// The same, on lines of its own where the text has some.
pub(super) fn visible_lines(text: &str) -> impl Iterator<Item = String> {
    text.split('\n').map(|line| visible(&line.replace('\t', "    ")))
}

/// Control characters, line and paragraph separators, and what sets the direction of writing.
pub(super) fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut to so many columns.
pub(super) fn fitted(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let ends = text.char_indices().map(|(at, _)| at).take_while(|at| text[..*at].width() <= room);
    let kept = &text[..ends.last().unwrap_or(0)];
    // Half of a joined character would be drawn as another one.
    format!("{}…", kept.trim_end_matches(['\u{200d}', ' ']))
}

/// The text, and blanks up to so many columns.
pub(super) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}
