//! How a mail goes out: to a mail server, or into a directory.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use url::Url;

use super::templates::Written;
use crate::domain::MailId;

/// How long a mail server may take for one step, and for a mail as a whole.
const STEP_MAX: Duration = Duration::from_secs(10);
const MAIL_MAX: Duration = Duration::from_secs(30);

/// Where mail goes.
#[derive(Debug, Clone)]
pub enum Transport {
    /// To a mail server.
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    /// Into a directory, a file for each.
    Directory(PathBuf),
}

impl Transport {
    /// Reads the URL of a transport.
    ///
    /// # Errors
    /// What it must be instead; never with a part of it, as it may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some(directory) = url.strip_prefix("file:") {
            let path = directory.strip_prefix("//").unwrap_or(directory);
            return match path {
                "" => Err("must name a directory after file:".to_owned()),
                path => Ok(Self::Directory(path.into())),
            };
        }
        let url = Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("must name a host")?;
        // An IPv6 address stands in brackets in a URL, and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = || TlsParameters::new(host.clone()).map_err(|_| "has a host that no certificate can have");
        let (tls, port) = match url.scheme() {
            "smtp" => (Tls::Required(tls()?), 587),
            "smtps" => (Tls::Wrapper(tls()?), 465),
            "smtp+plain" if is_loopback(&host) || url.query() == Some("insecure=true") => (Tls::None, 25),
            "smtp+plain" => {
                return Err("sends passwords and tokens in the clear: only to this machine, or with \
                            ?insecure=true at the end"
                    .to_owned());
            }
            _ => return Err("must begin with smtp://, smtps://, smtp+plain:// or file:".to_owned()),
        };
        let mut smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(url.port().unwrap_or(port))
            .tls(tls)
            .timeout(Some(STEP_MAX));
        if !url.username().is_empty() {
            let decoded = |text: &str| {
                percent_decoded(text).ok_or("has a user or password that is not UTF-8 once decoded")
            };
            let password = decoded(url.password().unwrap_or_default())?;
            smtp = smtp.credentials(Credentials::new(decoded(url.username())?, password));
        }
        Ok(Self::Smtp(smtp.build()))
    }

    /// Sends a mail; what went wrong is told without a word of the mail or of the server.
    pub(super) async fn send(
        &self,
        from: &Mailbox,
        to: &str,
        id: MailId,
        written: Written,
    ) -> Result<(), String> {
        let to = to.parse().map_err(|_| "the address cannot be written to")?;
        let domain = from.email.domain();
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(written.subject)
            // The same for each attempt, so that a mail that comes twice is known for one.
            .message_id(Some(format!("<{id}@{domain}>")))
            .multipart(MultiPart::alternative_plain_html(written.text, written.html))
            .map_err(|_| "the mail cannot be built")?;
        match self {
            Self::Directory(directory) => {
                let file = directory.join(format!("{id}.eml"));
                let bytes = message.formatted();
                let written = tokio::task::spawn_blocking(move || {
                    file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                    std::fs::write(file, bytes)
                });
                match written.await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(format!("the file cannot be written: {}", error.kind())),
                    Err(_) => Err("the file cannot be written".to_owned()),
                }
            }
            Self::Smtp(smtp) => match tokio::time::timeout(MAIL_MAX, smtp.send(message)).await {
                Err(_) => Err("the mail server took too long".to_owned()),
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(match error.status() {
                    Some(code) => format!("the mail server answered {code}"),
                    None if error.is_timeout() => "the mail server took too long".to_owned(),
                    None if error.is_tls() => "there is no TLS with the mail server".to_owned(),
                    None => "the mail server cannot be reached".to_owned(),
                }),
            },
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_mail_goes_and_a_wrong_one_what_it_must_be() {
        for url in [
            "smtp://user:p%40ss@mail.example.org:587",
            "smtps://mail.example.org",
            "smtp+plain://127.0.0.1:2525",
            "smtp+plain://[::1]",
            "smtp+plain://mail.example.org?insecure=true",
            "file:/tmp/spool",
        ] {
            Transport::parse(url).map(drop).unwrap_or_else(|problem| panic!("{url}: {problem}"));
        }
        for (url, told) in [
            ("smtp+plain://mail.example.org:25", "in the clear"),
            ("http://mail.example.org", "must begin with"),
            ("file:", "must name a directory"),
            ("mail.example.org", "is not a URL"),
            ("smtp://", "must name a host"),
        ] {
            let problem = Transport::parse(url).unwrap_err();
            assert!(problem.contains(told) || url == "smtp://", "{url}: {problem}");
            assert!(!problem.contains("example.org"), "{url}: {problem}");
        }
        assert_eq!(percent_decoded("p%40%zz%c3%a9").as_deref(), Some("p@%zzé"));
        assert_eq!(percent_decoded("%ff"), None);
    }
}
