//! What the URL of a PostgreSQL database says: hosts in the order in which they are tried, and TLS. It is read as libpq
//! reads it.

use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

use super::postgres_tls::{TlsMode, TlsSettings};

/// A URL that was read.
pub(super) struct DatabaseUrl {
    pub(super) tls: TlsSettings,
    pub(super) hosts: Vec<Host>,
}

/// One host of several.
pub(super) struct Host {
    /// Host and port, for people.
    pub(super) name: String,
    pub(super) config: Config,
}

impl DatabaseUrl {
    /// Reads a `postgres://` URL.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence, without repeating it: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (_, rest) = url.split_once("://").ok_or("is not a URL")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        // Whoever masks the password takes it to end at the first of these signs.
        if behind.contains('@') {
            return Err(
                "has an @ behind the host; in a user or a password, / ? # @ are %2F %3F %23 %40".into()
            );
        }
        if behind.contains('#') {
            return Err("has a # behind the host, which means nothing there".into());
        }
        let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
        let (user, places) = match authority.rsplit_once('@') {
            Some((user, places)) => (format!("{user}@"), places),
            None => (String::new(), authority),
        };
        let said = Said::read(query, places)?;
        let attrs = session_attrs(said.target_session_attrs.as_deref(), said.places.len())?;
        let hosts = said.places.iter().map(|(host, port)| {
            let place = format!("{host}:{port}");
            let url = format!("postgres://{user}{place}{path}{}", said.rest);
            let mut config: Config = match host.is_empty() {
                true => return Err("names no host".to_owned()),
                false => url.parse().map_err(|error| format!("is not understood: {}", root_cause(&error)))?,
            };
            config.target_session_attrs(attrs);
            Ok(Host { name: if *port == PORT { host.clone() } else { place }, config })
        });
        Ok(Self { tls: said.tls, hosts: hosts.collect::<Result<_, _>>()? })
    }
}

/// PostgreSQL's own port.
const PORT: u16 = 5432;

/// What the parameters say, beside those that are the driver's.
struct Said {
    tls: TlsSettings,
    target_session_attrs: Option<String>,
    /// Hosts and ports.
    places: Vec<(String, u16)>,
    /// The other parameters, as they are handed on.
    rest: String,
}

impl Said {
    fn read(query: &str, places: &str) -> Result<Self, String> {
        let (mut mode, mut root_certificate, mut target_session_attrs) = (None, None, None);
        let (mut hosts, mut ports, mut rest) = (None, None, Vec::new());
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sslmode" => mode = Some(TlsMode::parse(&value)?),
                "sslrootcert" => root_certificate = Some(value.into_owned()),
                "target_session_attrs" => target_session_attrs = Some(value.into_owned()),
                "host" => hosts = Some(value.into_owned()),
                "port" => ports = Some(value.into_owned()),
                "sslcert" | "sslkey" | "sslnegotiation" | "hostaddr" | "load_balance_hosts" => {
                    return Err(format!("has a parameter that is not supported: {key}"));
                }
                // `+` for a space is a rule of HTML forms that the driver does not follow.
                _ => rest.push(format!("{key}={}", percent_encode(&value))),
            }
        }
        let places = match (hosts, ports) {
            (None, None) => places_of(places)?,
            _ if !places.is_empty() && places != ":" => {
                return Err("names hosts before the path and behind it; leave one of them out".into());
            }
            (hosts, ports) => pairs(&hosts.unwrap_or_default(), &ports.unwrap_or_default())?,
        };
        let rest = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
        let tls = TlsSettings::new(mode, root_certificate);
        Ok(Self { tls, target_session_attrs, places, rest })
    }
}

/// Hosts with their ports, as they stand in the authority.
fn places_of(text: &str) -> Result<Vec<(String, u16)>, String> {
    let place = |text: &str| {
        let is_address = text.starts_with('[');
        let end_of_host = if is_address { text.find(']').map(|end| end + 1) } else { text.find(':') };
        let (host, port) = text.split_at(end_of_host.unwrap_or(text.len()));
        if is_address && end_of_host.is_none() {
            return Err("has an address with [ and without ]".to_owned());
        }
        Ok((host.to_owned(), port_of(port.strip_prefix(':').unwrap_or(port))?))
    };
    text.split(',').map(place).collect()
}

/// Hosts and ports, each separated by commas, as they stand in parameters.
fn pairs(hosts: &str, ports: &str) -> Result<Vec<(String, u16)>, String> {
    let hosts: Vec<&str> = hosts.split(',').collect();
    let ports = ports.split(',').map(port_of).collect::<Result<Vec<_>, _>>()?;
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err("has neither one port for all hosts nor one for each".into());
    }
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
    let host = |host: &str| match host {
        // An address of its own; a socket's directory is written as the driver reads it.
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => percent_encode(host).replace('/', "%2F"),
    };
    Ok(hosts.iter().enumerate().map(|(at, name)| (host(name), port(at))).collect())
}

fn port_of(text: &str) -> Result<u16, String> {
    match text {
        "" => Ok(PORT),
        text => text.parse().ok().filter(|port| *port > 0).ok_or("has a port that is none".to_owned()),
    }
}

/// With several hosts, the one that can be written to is meant.
fn session_attrs(given: Option<&str>, hosts: usize) -> Result<TargetSessionAttrs, String> {
    match given {
        None if hosts > 1 => Ok(TargetSessionAttrs::ReadWrite),
        None | Some("any") => Ok(TargetSessionAttrs::Any),
        Some("read-write" | "primary") => Ok(TargetSessionAttrs::ReadWrite),
        Some(_) => Err("has a target_session_attrs other than any, primary or read-write".into()),
    }
}

/// The innermost text of an error.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn percent_encode(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(url: &str) -> Result<Vec<String>, String> {
        DatabaseUrl::parse(url).map(|url| url.hosts.into_iter().map(|host| host.name).collect())
    }

    #[test]
    fn hosts_are_read_as_libpq_reads_them() {
        for (url, expected) in [
            ("postgres://h/d", vec!["h"]),
            ("postgres://u:p@h:5433/d", vec!["h:5433"]),
            ("postgresql://u:p@h1:1,h2,[::1]:3/d?sslmode=disable", vec!["h1:1", "h2", "[::1]:3"]),
            ("postgres://u:p%40@h1:1,h2:2", vec!["h1:1", "h2:2"]),
            ("postgres:///d?host=h1,h2&port=1,2&user=u", vec!["h1:1", "h2:2"]),
            ("postgres://u@/d?host=h1,h2&port=7", vec!["h1:7", "h2:7"]),
            ("postgres:///d?host=/var/run/postgresql", vec!["%2Fvar%2Frun%2Fpostgresql"]),
            ("postgres://%2Fvar%2Frun/d", vec!["%2Fvar%2Frun"]),
            ("postgres:///d?host=::1", vec!["[::1]"]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(names(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password() {
        for (url, words) in [
            ("postgres://u:geheim@/d", "no host"),
            ("postgres://u:geheim@h1,,h2/d", "no host"),
            ("postgres://u:geheim@h:0/d", "a port that is none"),
            ("postgres://u:geheim@h:x/d", "a port that is none"),
            ("postgres://u:geheim@h:70000/d", "a port that is none"),
            ("postgres://u:geheim@[::1/d", "without ]"),
            ("postgres://u:ge/heim@h/d", "has an @ behind the host"),
            ("postgres://u:geheim@h/d#x", "has a #"),
            ("postgres://u:geheim@h/d?host=g", "leave one of them out"),
            ("postgres://u:geheim@/d?host=a,b,c&port=1,2", "one for each"),
            ("postgres://u:geheim@h/d?sslmode=maybe", "sslmode"),
            ("postgres://u:geheim@h/d?target_session_attrs=standby", "target_session_attrs"),
            ("postgres://u:geheim@h/d?sslcert=x", "not supported: sslcert"),
            ("postgres://u:geheim@h/d?nonsense=1", "is not understood"),
        ] {
            let wrong = names(url).unwrap_err();
            assert!(wrong.contains(words), "{url}: {wrong}");
            assert!(!wrong.contains("heim"), "{url}: {wrong}");
        }
    }

    #[test]
    fn several_hosts_mean_the_one_that_can_be_written_to() {
        for (url, expected) in [
            ("postgres://h/d", TargetSessionAttrs::Any),
            ("postgres://h1,h2/d", TargetSessionAttrs::ReadWrite),
            ("postgres://h1,h2/d?target_session_attrs=any", TargetSessionAttrs::Any),
            ("postgres://h/d?target_session_attrs=primary", TargetSessionAttrs::ReadWrite),
        ] {
            let url = DatabaseUrl::parse(url).unwrap();
            assert!(url.hosts.iter().all(|host| host.config.get_target_session_attrs() == expected));
        }
    }
}
