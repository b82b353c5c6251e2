//! Settings of what leaves the house: where webhooks may send.

use clap::Args;
use ipnet::IpNet;

use super::ConfigError;
use crate::outbound::AddressPolicy;

/// The settings of what leaves the house, as given.
#[derive(Debug, Clone, Args)]
pub struct OutboundSettings {
    /// Networks that webhooks may send to although they are not of the public internet: addresses or networks, comma-separated
    #[arg(long, env = "TASKWIRE_WEBHOOK_NETWORKS", value_name = "NETWORKS", default_value = "")]
    pub webhook_networks: String,

    /// Whether webhooks may send over plain HTTP as well
    #[arg(long, env = "TASKWIRE_WEBHOOK_HTTP", value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub webhook_http: bool,
}

impl OutboundSettings {
    /// Where webhooks may send.
    pub fn addresses(&self) -> AddressPolicy {
        // What cannot be read was refused at the start.
        let networks: Vec<IpNet> = networks(&self.webhook_networks).unwrap_or_default();
        AddressPolicy { plain_http: self.webhook_http, networks: networks.into() }
    }

    /// What is wrong with them.
    pub(super) fn problems(&self) -> Option<ConfigError> {
        let problem = networks(&self.webhook_networks).err()?;
        Some(ConfigError { key: "TASKWIRE_WEBHOOK_NETWORKS", text: problem.to_owned() })
    }

    /// As `KEY=value`.
    pub(super) fn lines(&self) -> [(&'static str, String); 2] {
        [
            ("TASKWIRE_WEBHOOK_NETWORKS", self.webhook_networks.clone()),
            ("TASKWIRE_WEBHOOK_HTTP", self.webhook_http.to_string()),
        ]
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
