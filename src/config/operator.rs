//! Settings for whoever runs the service: the configuration file, the admin port, traces.

use std::fmt;
use std::str::FromStr;

use clap::Args;

use super::ConfigError;
use crate::server::Address;

/// Where the admin port is, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminListen(pub Option<Address>);

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl FromStr for AdminListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            text => Address::of_port(text)
                .map(|address| Self(Some(address)))
                .map_err(|text| format!("{text}; or `off`")),
        }
    }
}

/// The settings of the operator, as given.
#[derive(Debug, Clone, Args)]
pub struct OperatorSettings {
    /// TOML file with settings, named as their variables without TASKWIRE_, in lower case; variables and flags win
    // A text rather than a path, because empty stands for none.
    #[arg(long, env = "TASKWIRE_CONFIG", value_name = "FILE", default_value = "")]
    pub config: String,

    /// Address of the admin port (probes, metrics, public keys, log level), or `off`
    // The loopback address: it asks nobody who they are.
    #[arg(long, env = "TASKWIRE_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    pub admin_listen: AdminListen,

    /// Where traces go: the http:// URL of an OTLP collector that speaks gRPC; none when empty
    #[arg(long, env = "TASKWIRE_TRACE_ENDPOINT", value_name = "URL", default_value = "")]
    pub trace_endpoint: String,

    /// Share of calls that are traced where the caller does not say, from 0 to 1
    #[arg(long, env = "TASKWIRE_TRACE_RATIO", value_name = "RATIO", default_value = "0.01")]
    pub trace_ratio: f64,
}

impl OperatorSettings {
    /// What one setting alone does not show.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut problem = |key, text: &str| problems.push(ConfigError { key, text: text.to_owned() });
        let is_http = |text: &str| {
            url::Url::parse(text).is_ok_and(|url| url.scheme() == "http" && url.host().is_some())
        };
        if !self.trace_endpoint.is_empty() && !is_http(&self.trace_endpoint) {
            problem("TASKWIRE_TRACE_ENDPOINT", "must be a URL that begins with http://");
        }
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            problem("TASKWIRE_TRACE_RATIO", "must be between 0 and 1");
        }
        problems
    }

    /// Every setting with its value.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TASKWIRE_CONFIG", self.config.clone()),
            ("TASKWIRE_ADMIN_LISTEN", self.admin_listen.to_string()),
            ("TASKWIRE_TRACE_ENDPOINT", self.trace_endpoint.clone()),
            ("TASKWIRE_TRACE_RATIO", self.trace_ratio.to_string()),
        ]
    }
}
