//! Text out of the HTML in which some products keep descriptions: no tags, but the lines that they made.

/// The text of a piece of HTML.
pub(super) fn text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, from) = rest.split_at(at);
        push(&mut text, before);
        rest = if from.starts_with('<') { tag(&mut text, from) } else { entity(&mut text, from) };
    }
    push(&mut text, rest);
    let lines: Vec<&str> = text.split('\n').map(str::trim_end).collect();
    lines.join("\n").trim().to_owned()
}

/// White space of HTML is one blank, whatever it was.
fn push(text: &mut String, part: &str) {
    for char in part.chars() {
        if !char.is_ascii_whitespace() {
            text.push(char);
        } else if !text.ends_with([' ', '\n']) && !text.is_empty() {
            text.push(' ');
        }
    }
}

fn tag<'a>(text: &mut String, from: &'a str) -> &'a str {
    if let Some(comment) = from.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, rest)| rest);
    }
    let is_tag = from
        .get(1..2)
        .is_some_and(|next| next.starts_with(|char: char| char.is_ascii_alphabetic() || char == '/'));
    let Some((tag, rest)) = from.split_once('>').filter(|_| is_tag) else {
        text.push('<');
        return from.get(1..).unwrap_or_default();
    };
    let name: String = tag
        .trim_start_matches(['<', '/'])
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    match name.as_str() {
        "script" | "style" | "head" if !tag.starts_with("</") => {
            let end = format!("</{name}");
            let at = rest.to_ascii_lowercase().find(&end);
            return at
                .and_then(|at| rest.get(at..))
                .and_then(|rest| rest.split_once('>'))
                .map_or("", |(_, rest)| rest);
        }
        "br" => text.push('\n'),
        "li" if !tag.starts_with("</") => {
            line(text);
            text.push_str("- ");
        }
        "p" | "div" | "ul" | "ol" | "tr" | "table" | "blockquote" | "pre" | "h1" | "h2" | "h3" | "h4"
        | "h5" | "h6" | "hr" => line(text),
        _ => {}
    }
    rest
}

fn line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

fn entity<'a>(text: &mut String, from: &'a str) -> &'a str {
    /// Longer ones do not occur.
    const LENGTH_MAX: usize = 10;
    let end = from.bytes().take(LENGTH_MAX).position(|byte| byte == b';');
    let name = end.and_then(|end| from.get(1..end)).unwrap_or_default();
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let char = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => match name.strip_prefix('#') {
            Some(digits) if digits.starts_with(['x', 'X']) => number(digits.get(1..).unwrap_or_default(), 16),
            Some(digits) => number(digits, 10),
            None => None,
        },
    };
    match (char, end) {
        (Some(char), Some(end)) => {
            text.push(char);
            from.get(end + 1..).unwrap_or_default()
        }
        _ => {
            text.push('&');
            from.get(1..).unwrap_or_default()
        }
    }
}
