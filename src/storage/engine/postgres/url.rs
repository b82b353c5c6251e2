//! Database URLs as libpq reads them: one server or several, and what is asked of them.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

use super::root_cause;
use super::tls::TlsSettings;

const PORT: u16 = 5432;

/// What the driver understands by itself.
const FOR_THE_DRIVER: [&str; 7] = [
    "options",
    "application_name",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
];

/// Words of libpq that may be repeated to whoever wrote them: nobody's password.
const NOT_SUPPORTED: [&str; 22] = [
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "sslsni",
];

/// A URL that was understood.
pub(super) struct DatabaseUrl {
    /// At least one.
    pub(super) places: Vec<Place>,
    /// Whether only a server will do that can be written to.
    pub(super) writable: bool,
    /// Whether the servers are tried in any order.
    pub(super) shuffled: bool,
    /// Time for each server.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) tls: TlsSettings,
    /// All but the servers and TLS.
    pub(super) config: tokio_postgres::Config,
    /// Whether the URL itself says when silent connections are looked after.
    pub(super) keeps_alive: bool,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A name or an address; and where to find the name, when it is not to be looked up.
    Tcp(String, Option<IpAddr>),
    /// The directory of a socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Tcp(name, _) if name.contains(':') => write!(f, "[{name}]")?,
            Host::Tcp(name, _) => f.write_str(name)?,
            Host::Unix(directory) => write!(f, "{}", directory.display())?,
        }
        if self.port == PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, to complete "the URL …". No value is repeated: what looks like one may be part of a
    /// password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let parts = Parts::of(url.trim())?;
        let (user, password) = parts.credentials()?;
        let mut config = tokio_postgres::Config::new();
        let mut parameters = Parameters(parts.parameters()?);
        let driver = driver_settings(&mut parameters);
        if !driver.is_empty() {
            config = driver.parse().map_err(|error| format!("is not understood: {}", root_cause(&error)))?;
        }
        config.channel_binding(match parameters.take("channel_binding").as_deref() {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => return Err("has a channel_binding other than disable, prefer or require".into()),
        });
        if let Some(user) = parameters.take("user").or(user).filter(|user| !user.is_empty()) {
            config.user(user);
        }
        if let Some(password) = parameters.take("password").or(password) {
            config.password(password);
        }
        let database = decode(parts.database)?;
        if let Some(database) = parameters.take("dbname").or(Some(database)).filter(|name| !name.is_empty()) {
            config.dbname(database);
        }
        let places = places(parts.hosts, &mut parameters)?;
        let writable = is_writable(parameters.take("target_session_attrs").as_deref(), places.len() > 1)?;
        let shuffled = match parameters.take("load_balance_hosts").as_deref() {
            None | Some("disable") => false,
            Some("random") => true,
            Some(_) => return Err("has a load_balance_hosts other than disable or random".into()),
        };
        let connect_timeout = seconds(parameters.take("connect_timeout").as_deref())?;
        let tls = TlsSettings::take_from(|key| parameters.take(key))?;
        parameters.finish()?;
        let keeps_alive = driver.contains("keepalives_idle=");
        Ok(Self { places, writable, shuffled, connect_timeout, tls, config, keeps_alive })
    }
}

/// A URL without its password, whether that stands before the hosts or among the parameters.
pub(in crate::storage) fn mask(url: &str) -> String {
    let hidden = || "***".to_owned();
    let Ok(parts) = Parts::of(url.trim()) else { return hidden() };
    let mut shown = format!("{}://", parts.scheme);
    if let Some(credentials) = parts.credentials {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        shown.push_str(user);
        shown.push_str(if password.is_empty() { "@" } else { ":***@" });
    }
    shown.push_str(parts.hosts);
    if let Some(rest) = url.trim().get(parts.path_at..parts.query_at) {
        shown.push_str(rest);
    }
    for (number, pair) in parts.query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        let key = pair.split('=').next().unwrap_or_default();
        match decode(key).as_deref() {
            Ok("password" | "sslpassword") => shown.push_str(&format!("{key}=***")),
            Ok(_) => shown.push_str(pair),
            Err(_) => return hidden(),
        }
    }
    shown
}

/// The parts of a URL as they are written.
struct Parts<'a> {
    scheme: &'a str,
    credentials: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    query: Option<&'a str>,
    /// Where the path begins, and where it ends.
    path_at: usize,
    query_at: usize,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self, String> {
        let Some((scheme @ ("postgres" | "postgresql"), rest)) = url.split_once("://") else {
            return Err("must begin with postgres://".into());
        };
        if url.contains(|char: char| char.is_control() || char.is_whitespace()) {
            return Err("has a blank or a control character, which is written as %20, say".into());
        }
        let path_at = url.len() - rest.len() + rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = (&url[url.len() - rest.len()..path_at], &url[path_at..]);
        // Others end the password at another one of these signs; so none of them may stand in it.
        if behind.contains('@') {
            return Err(
                "has an @ behind the host; in a user or a password, / ? # @ are %2F %3F %23 %40".into()
            );
        }
        if behind.contains('#') {
            return Err("has a #, which is written as %23".into());
        }
        let query_at = path_at + behind.find('?').unwrap_or(behind.len());
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let database = url[path_at..query_at].trim_start_matches('/');
        let query = url[query_at..].strip_prefix('?');
        Ok(Self { scheme, credentials, hosts, database, query, path_at, query_at })
    }

    /// User and password.
    fn credentials(&self) -> Result<(Option<String>, Option<String>), String> {
        let Some(credentials) = self.credentials else { return Ok((None, None)) };
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        Ok((Some(decode(user)?), password.map(decode).transpose()?))
    }

    fn parameters(&self) -> Result<Vec<(String, String)>, String> {
        let pairs = self.query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) => Ok((decode(key)?, decode(value)?)),
                None => Err("has a parameter without a value".to_owned()),
            })
            .collect()
    }
}

/// What stands behind the question mark and has not been understood yet.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Takes one out. Of several the last one counts.
    fn take(&mut self, key: &str) -> Option<String> {
        let value = self.0.iter().rfind(|(name, _)| name == key).map(|(_, value)| value.clone());
        self.0.retain(|(name, _)| name != key);
        value
    }

    fn finish(&self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) if NOT_SUPPORTED.contains(&key.as_str()) => {
                Err(format!("has {key}, which is not supported"))
            }
            Some(_) => Err("has a parameter that is not known".into()),
        }
    }
}

/// What is left to the driver, as it reads it.
fn driver_settings(parameters: &mut Parameters) -> String {
    let settings = FOR_THE_DRIVER.into_iter().filter_map(|key| {
        let value = parameters.take(key)?.replace('\\', "\\\\").replace('\'', "\\'");
        Some(format!("{key}='{value}' "))
    });
    settings.collect()
}

fn is_writable(attributes: Option<&str>, by_default: bool) -> Result<bool, String> {
    match attributes {
        None => Ok(by_default),
        Some("any") => Ok(false),
        // What is no standby can be written to, unless its settings forbid it.
        Some("read-write" | "primary") => Ok(true),
        Some("read-only" | "standby" | "prefer-standby") => {
            Err("has a target_session_attrs that asks for a server on which nothing can be written; \
             it is any, read-write or primary"
                .into())
        }
        Some(_) => Err("has a target_session_attrs other than any, read-write or primary".into()),
    }
}

fn seconds(text: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let seconds: i64 =
        text.trim().parse().map_err(|_| "has a connect_timeout that is not a number of seconds")?;
    // To wait for ever is not on offer.
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// The servers, from before the path or from the parameters `host`, `hostaddr` and `port`.
fn places(authority: &str, parameters: &mut Parameters) -> Result<Vec<Place>, String> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for entry in authority.split(',') {
        let (host, port) = split_port(entry)?;
        hosts.push(host);
        ports.push(port);
    }
    let is_given = |texts: &[String]| texts.iter().any(|text| !text.is_empty());
    if let Some(given) = parameters.take("host").filter(|given| !given.is_empty()) {
        if is_given(&hosts) {
            return Err("names hosts twice, before the path and with host".into());
        }
        hosts = list(&given);
    }
    if let Some(given) = parameters.take("port").filter(|given| !given.is_empty()) {
        if is_given(&ports) {
            return Err("names ports twice, before the path and with port".into());
        }
        ports = list(&given);
    }
    let mut addresses = Vec::new();
    if let Some(given) = parameters.take("hostaddr").filter(|given| !given.is_empty()) {
        let given = list(&given);
        if !is_given(&hosts) {
            hosts = given.clone();
        }
        for address in &given {
            addresses.push(address.parse().map_err(|_| "has a hostaddr that is not an IP address")?);
        }
        if addresses.len() != hosts.len() {
            return Err("has as many addresses in hostaddr as it does not have hosts".into());
        }
    }
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err("must have one port, or one for each host".into());
    }
    let mut places = Vec::new();
    let is_single = hosts.len() == 1;
    for (number, host) in hosts.into_iter().enumerate() {
        let port = ports.get(number).or(ports.first()).map_or("", String::as_str);
        let address = addresses.get(number).copied();
        let host = match host {
            host if host.is_empty() && is_single => return Err("names no host".into()),
            host if host.is_empty() => return Err("has an empty name among its hosts".into()),
            host if host.starts_with('/') => Host::Unix(host.into()),
            host if is_name(&host) => Host::Tcp(host, address),
            _ => {
                return Err(
                    "has a host that is neither a name nor an address nor the path of a directory".into()
                );
            }
        };
        places.push(Place { host, port: port_number(port)? });
    }
    Ok(places)
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|entry| entry.trim().to_owned()).collect()
}

/// Host and port of one server as they stand before the path.
fn split_port(entry: &str) -> Result<(String, String), String> {
    let (host, behind) = match entry.strip_prefix('[') {
        Some(inside) => {
            let (address, behind) = inside.split_once(']').ok_or("has a [ without a ]")?;
            let address = decode(address)?;
            if address.split('%').next().is_none_or(|number| number.parse::<Ipv6Addr>().is_err()) {
                return Err("has something in brackets that is not an IPv6 address".into());
            }
            (address, behind)
        }
        None => {
            let end = entry.find(':').unwrap_or(entry.len());
            (decode(&entry[..end])?, &entry[end..])
        }
    };
    match behind.strip_prefix(':') {
        Some(port) if port.contains(':') => {
            Err("has an IPv6 address that is not in brackets, or two ports".into())
        }
        Some(port) => Ok((host, port.to_owned())),
        None if behind.is_empty() => Ok((host, String::new())),
        None => Err("has something other than a port behind a ]".into()),
    }
}

fn is_name(text: &str) -> bool {
    // An address may have a zone behind it, as `fe80::1%eth0`.
    text.split('%').next().is_some_and(|number| number.parse::<IpAddr>().is_ok())
        || !text.contains(|char: char| {
            char.is_whitespace()
                || char.is_control()
                || matches!(char, ':' | '/' | '\\' | '?' | '#' | '@' | '%')
        })
}

fn port_number(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Ok(PORT);
    }
    let number = text.parse().ok().filter(|port| *port > 0);
    number.ok_or_else(|| "has a port that is not a number between 1 and 65535".into())
}

/// Undoes percent-encoding. A `+` is a plus: the blank is a rule of HTML forms.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("has a % without two hexadecimal digits behind it; a % itself is %25".into());
        };
        match u8::try_from(high * 16 + low) {
            Ok(byte) if byte != 0 => decoded.push(byte),
            _ => return Err("has a %00".into()),
        }
    }
    String::from_utf8(decoded).map_err(|_| "has percent-encoded bytes that are not UTF-8".into())
}
