//! Mails that a service wrote into a directory, as it does for development.

use std::path::PathBuf;

use super::process::Sandbox;
use crate::storage::eventually;

/// The settings of a service that does so.
pub(crate) const SETTINGS: [&str; 6] = [
    "--mail-url",
    "file:spool",
    "--mail-from",
    "Taskwire <no-reply@example.org>",
    "--mail-link-url",
    "https://app.example/mail",
];

/// The mails of the service in this sandbox, which nobody has read yet.
pub(crate) struct Spool(PathBuf);

impl Spool {
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        Self(sandbox.path("spool"))
    }

    /// Waits for a mail to this address that holds this text, and takes it away.
    pub(crate) async fn next(&self, to: &str, text: &str) -> String {
        let mut found = None;
        eventually(&format!("a mail to {to} with {text}"), async || {
            for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
                // Lines are broken to be short.
                let mail = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let mail = mail.replace("=\r\n", "").replace("=3D", "=");
                let is_whole = mail.trim_end().ends_with("--");
                if is_whole && mail.contains(&format!("\r\nTo: {to}\r\n")) && mail.contains(text) {
                    std::fs::remove_file(entry.path()).unwrap();
                    found = Some(mail);
                    return true;
                }
            }
            false
        })
        .await;
        found.unwrap()
    }

    /// The token out of the next mail of this kind to this address.
    pub(crate) async fn token(&self, to: &str, kind: &str) -> String {
        let link = format!("https://app.example/mail#{kind}=");
        let mail = self.next(to, &link).await;
        let (_, rest) = mail.split_once(&link).unwrap();
        rest.chars().take_while(|one| one.is_ascii_alphanumeric() || "_-".contains(*one)).collect()
    }
}
