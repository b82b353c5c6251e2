//! How mails read: a text and an HTML form for each kind, built in, or an operator's own.

use std::path::Path;

use crate::domain::MailKind;

/// What can stand between `{{` and `}}` in the mails of a kind.
const fn names(kind: MailKind) -> &'static [&'static str] {
    match kind {
        MailKind::PasswordReset | MailKind::EmailVerification | MailKind::EmailChange => {
            &["email", "link", "token", "minutes"]
        }
        MailKind::LoginFromNewAddress => &["email", "time", "address"],
        MailKind::PasswordChanged
        | MailKind::EmailTaken
        | MailKind::EmailChanged
        | MailKind::SecondFactorAdded
        | MailKind::SecondFactorRemoved
        | MailKind::RecoveryCodesRegenerated => &["email", "time"],
    }
}

macro_rules! built_in {
    ($name:literal) => {
        (
            include_str!(concat!("templates/", $name, ".txt")),
            include_str!(concat!("templates/", $name, ".html")),
        )
    };
}

const fn built_in(kind: MailKind) -> (&'static str, &'static str) {
    match kind {
        MailKind::PasswordReset => built_in!("password_reset"),
        MailKind::PasswordChanged => built_in!("password_changed"),
        MailKind::EmailVerification => built_in!("email_verification"),
        MailKind::EmailTaken => built_in!("email_taken"),
        MailKind::EmailChange => built_in!("email_change"),
        MailKind::EmailChanged => built_in!("email_changed"),
        MailKind::LoginFromNewAddress => built_in!("login_from_new_address"),
        MailKind::SecondFactorAdded => built_in!("second_factor_added"),
        MailKind::SecondFactorRemoved => built_in!("second_factor_removed"),
        MailKind::RecoveryCodesRegenerated => built_in!("recovery_codes_regenerated"),
    }
}

/// A mail as it is sent. Has no `Debug`: it may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

#[derive(Debug, Clone)]
struct Template {
    kind: MailKind,
    subject: String,
    text: String,
    html: String,
}

/// The templates of all kinds.
#[derive(Debug, Clone)]
pub struct Templates(Vec<Template>);

impl Templates {
    /// Those that lie in this directory, `KIND.txt` and `KIND.html`, and the built-in ones in the place of those that do not.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn read(directory: Option<&Path>) -> Result<Self, String> {
        MailKind::ALL.into_iter().map(|kind| read_one(kind, directory)).collect::<Result<_, _>>().map(Self)
    }

    /// A mail of this kind.
    pub(super) fn write(&self, kind: MailKind, values: &[(&str, &str)]) -> Option<Written> {
        let template = self.0.iter().find(|template| template.kind == kind)?;
        let one_line = |value: &str| value.chars().filter(|one| !one.is_control()).collect();
        Some(Written {
            subject: fill(&template.subject, values, one_line),
            text: fill(&template.text, values, str::to_owned),
            html: fill(&template.html, values, escaped),
        })
    }
}

fn read_one(kind: MailKind, directory: Option<&Path>) -> Result<Template, String> {
    let (text, html) = built_in(kind);
    let text = read_file(kind, directory, "txt", text)?;
    let html = read_file(kind, directory, "html", html)?;
    let (first, text) = text.split_once('\n').unwrap_or((&text, ""));
    let subject = first.strip_prefix("Subject:").map(str::trim).filter(|subject| !subject.is_empty());
    let Some(subject) = subject else {
        return Err(format!("{}.txt: must begin with a line `Subject: …`", kind.name()));
    };
    Ok(Template { kind, subject: subject.to_owned(), text: text.trim_start().to_owned(), html })
}

fn read_file(
    kind: MailKind,
    directory: Option<&Path>,
    ending: &str,
    built_in: &str,
) -> Result<String, String> {
    let name = format!("{}.{ending}", kind.name());
    let text = match directory.map(|directory| std::fs::read_to_string(directory.join(&name))) {
        None => built_in.to_owned(),
        Some(Ok(text)) => text.replace("\r\n", "\n"),
        Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => built_in.to_owned(),
        Some(Err(error)) => return Err(format!("{name}: {error}")),
    };
    for used in text.split("{{").skip(1) {
        let used = used.split_once("}}").map(|(used, _)| used.trim());
        if !used.is_some_and(|used| names(kind).contains(&used)) {
            let known = names(kind).join("}}, {{");
            return Err(format!("{name}: names an unknown value; known are {{{{{known}}}}}"));
        }
    }
    Ok(text)
}

/// Puts values in. What stands in a value is no template any more.
fn fill(template: &str, values: &[(&str, &str)], show: impl Fn(&str) -> String) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        let value = values.iter().find(|(known, _)| *known == name.trim()).map_or("", |(_, value)| value);
        out.push_str(&show(value));
        out.push_str(rest);
    }
    out
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for one in value.chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "<b>\"'&{{link}}\r\nBcc: x";

    #[test]
    fn a_value_is_text_and_nothing_else() {
        let templates = Templates::read(None).unwrap();
        let values = [("email", EVIL), ("link", "https://app/#t"), ("minutes", "60")];
        let written = templates.write(MailKind::PasswordReset, &values).unwrap();
        assert!(written.html.contains("&lt;b&gt;&quot;&#39;&amp;{{link}}"), "{}", written.html);
        assert!(!written.html.contains("<b>"), "{}", written.html);
        assert!(written.text.contains("{{link}}\r\nBcc") && written.text.contains("https://app/#t"));
        assert_eq!(written.subject, "A new password for your account");
    }

    #[test]
    fn every_kind_has_a_mail_that_says_what_there_is_to_say() {
        let templates = Templates::read(None).unwrap();
        for kind in MailKind::ALL {
            let values: Vec<(&str, String)> =
                names(kind).iter().map(|name| (*name, format!("the-{name}"))).collect();
            let values: Vec<(&str, &str)> =
                values.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let written = templates.write(kind, &values).unwrap();
            assert!(!written.subject.contains(['{', '\n']), "{}", written.subject);
            for text in [&written.text, &written.html] {
                // The token is within the link.
                for (_, value) in values.iter().filter(|(name, _)| *name != "token") {
                    assert!(text.contains(value), "{}: {value}: {text}", kind.name());
                }
                assert!(!text.contains("{{"), "{text}");
            }
        }
    }

    #[test]
    fn templates_of_an_operator_are_taken_and_wrong_ones_refused() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("password_reset.txt", "Subject: Für {{email}}\n\nNeu: {{ link }}\n");
        let templates = Templates::read(Some(directory.path())).unwrap();
        let values = [("email", EVIL), ("link", "L")];
        let written = templates.write(MailKind::PasswordReset, &values).unwrap();
        assert_eq!(written.subject, "Für <b>\"'&{{link}}Bcc: x", "a subject stays one line");
        assert_eq!(written.text, "Neu: L\n");
        for (text, told) in [
            ("Subject: x\n{{password}}", "names an unknown value"),
            ("Subject: x\n{{email", "names an unknown value"),
            ("Hello {{email}}", "must begin with a line"),
        ] {
            write("password_reset.txt", text);
            let problem = Templates::read(Some(directory.path())).unwrap_err();
            assert!(problem.starts_with("password_reset.txt: ") && problem.contains(told), "{problem}");
        }
    }
}
