//! Settings of what leaves the house: where webhooks may send, and how mail goes out.

use std::path::Path;

use clap::Args;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use super::ConfigError;
use crate::domain::EmailVerification;
use crate::outbound::mail::{Templates, Transport};
use crate::outbound::{AddressPolicy, MailConfig};

/// The settings of what leaves the house, as given.
#[derive(Debug, Clone, Args)]
pub struct OutboundSettings {
    /// Networks that webhooks may send to although they are not of the public internet: addresses or networks, comma-separated
    #[arg(long, env = "TASKWIRE_WEBHOOK_NETWORKS", value_name = "NETWORKS", default_value = "")]
    pub webhook_networks: String,

    /// Whether webhooks may send over plain HTTP as well
    #[arg(long, env = "TASKWIRE_WEBHOOK_HTTP", value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub webhook_http: bool,

    /// Mail server: smtp://USER:PASSWORD@HOST:587 (with STARTTLS), smtps://…:465, smtp+plain://… on this machine, or
    /// file:DIRECTORY; empty for no mail
    #[arg(long, env = "TASKWIRE_MAIL_URL", value_name = "URL", default_value = "", hide_env_values = true)]
    pub mail_url: SecretString,

    /// Who mail is from, as in Taskwire <no-reply@example.org>
    #[arg(long, env = "TASKWIRE_MAIL_FROM", value_name = "ADDRESS", default_value = "")]
    pub mail_from: String,

    /// Page that links in mails lead to; what is to be done there, and the token, stand behind its #
    #[arg(long, env = "TASKWIRE_MAIL_LINK_URL", value_name = "URL", default_value = "")]
    pub mail_link_url: String,

    /// Whether accounts have to prove their addresses by mail: off, optional (they are asked to), or required (else no login)
    #[arg(long, env = "TASKWIRE_EMAIL_VERIFICATION", value_name = "MODE", default_value = "off")]
    pub email_verification: EmailVerification,

    /// Directory with templates that take the place of the built-in ones
    #[arg(long, env = "TASKWIRE_MAIL_TEMPLATES_DIR", value_name = "DIRECTORY", default_value = "")]
    pub mail_templates_dir: String,
}

impl OutboundSettings {
    /// Where webhooks may send.
    pub fn addresses(&self) -> AddressPolicy {
        // What cannot be read was refused at the start.
        let networks: Vec<IpNet> = networks(&self.webhook_networks).unwrap_or_default();
        AddressPolicy { plain_http: self.webhook_http, networks: networks.into(), ..AddressPolicy::default() }
    }

    /// How mail goes out, if it does.
    ///
    /// # Errors
    /// What is wrong, and with which setting.
    pub fn mail(&self) -> Result<Option<MailConfig>, ConfigError> {
        let problem = |key, text: &str| ConfigError { key, text: text.to_owned() };
        let given = |text: &str| !text.is_empty();
        let url = self.mail_url.expose_secret();
        let transport = Some(url).filter(|url| given(url)).map(Transport::parse).transpose();
        let transport = transport.map_err(|text| problem("TASKWIRE_MAIL_URL", &text))?;
        // What is given is right, or nothing starts; and with a server it has to be given.
        let from = if transport.is_some() || given(&self.mail_from) {
            let text = "must be an address such as Taskwire <no-reply@example.org> where mail is sent";
            Some(self.mail_from.parse().map_err(|_| problem("TASKWIRE_MAIL_FROM", text))?)
        } else {
            None
        };
        let link_url = self.mail_link_url.clone();
        let is_page = url::Url::parse(&link_url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none());
        if !is_page && (transport.is_some() || given(&link_url)) {
            let text = "must be a page, https://…, without a # where mail is sent";
            return Err(problem("TASKWIRE_MAIL_LINK_URL", text));
        }
        let directory = Some(Path::new(&self.mail_templates_dir)).filter(|path| !path.as_os_str().is_empty());
        if directory.is_some_and(|path| !path.is_dir()) {
            return Err(problem("TASKWIRE_MAIL_TEMPLATES_DIR", "must be a directory"));
        }
        let templates = Templates::read(directory);
        let templates = templates.map_err(|text| problem("TASKWIRE_MAIL_TEMPLATES_DIR", &text))?;
        let Some((transport, from)) = transport.zip(from) else {
            if self.email_verification == EmailVerification::Required {
                let text = "can be required only where mail is sent: set TASKWIRE_MAIL_URL";
                return Err(problem("TASKWIRE_EMAIL_VERIFICATION", text));
            }
            return Ok(None);
        };
        Ok(Some(MailConfig { transport, from, link_url, templates }))
    }

    /// What is wrong with them.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let networks = networks(&self.webhook_networks)
            .err()
            .map(|text| ConfigError { key: "TASKWIRE_WEBHOOK_NETWORKS", text: text.to_owned() });
        networks.into_iter().chain(self.mail().err()).collect()
    }

    /// As `KEY=value`.
    pub(super) fn lines(&self) -> [(&'static str, String); 7] {
        [
            ("TASKWIRE_WEBHOOK_NETWORKS", self.webhook_networks.clone()),
            ("TASKWIRE_WEBHOOK_HTTP", self.webhook_http.to_string()),
            ("TASKWIRE_MAIL_URL", masked(self.mail_url.expose_secret())),
            ("TASKWIRE_MAIL_FROM", self.mail_from.clone()),
            ("TASKWIRE_MAIL_LINK_URL", self.mail_link_url.clone()),
            ("TASKWIRE_MAIL_TEMPLATES_DIR", self.mail_templates_dir.clone()),
            ("TASKWIRE_EMAIL_VERIFICATION", self.email_verification.name().to_owned()),
        ]
    }
}

/// A URL without the password that it may hold.
fn masked(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // What cannot be hidden is not shown.
            parsed.set_password(Some("***")).map_or_else(|()| "***".to_owned(), |()| parsed.to_string())
        }
        Ok(_) => url.to_owned(),
        Err(_) if url.is_empty() => String::new(),
        Err(_) => "***".to_owned(),
    }
}

/// Networks with commas between them.
pub(super) fn networks(texts: &str) -> Result<Vec<IpNet>, &'static str> {
    let texts = texts.split(',').map(str::trim).filter(|text| !text.is_empty());
    let parse = |text: &str| text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    texts
        .map(|text| {
            parse(text).map_err(|_| "must hold addresses or networks such as 10.0.0.0/8, comma-separated")
        })
        .collect()
}
