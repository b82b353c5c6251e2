//! The address of a service, as a caller writes it.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Where a service is: a URL of `http` or `https`, or of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAddress(String);

impl ServiceAddress {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ServiceAddress {
    /// Where `taskwire serve` listens unless it is told otherwise.
    fn default() -> Self {
        Self("http://127.0.0.1:50051".to_owned())
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let is_bare = !text.contains("://");
        let wrong = || "must be http://HOST:PORT, https://HOST:PORT or unix:PATH".to_owned();
        let url = Url::parse(&if is_bare { format!("http://{text}") } else { text.to_owned() })
            .map_err(|_| wrong())?;
        let host = url.host().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(wrong)?;
        // Passwords go this way: in clear text only over this machine's own network, or where it is asked for.
        if is_bare && !is_loopback(&host) {
            return Err(format!(
                "needs https:// in front, or http:// to send passwords in clear text: {text}"
            ));
        }
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !is_plain || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        // The same service is one address, however it is written.
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self(format!("{}://{host}{port}", url.scheme())))
    }
}

/// The address of a gateway, as a browser would have it; a path in front of the gateway's own may be in it.
///
/// # Errors
/// What it must look like.
pub fn gateway(text: &str) -> Result<Url, String> {
    let wrong = || "must be http://HOST or https://HOST, with a path at most".to_owned();
    let mut url = Url::parse(text).map_err(|_| wrong())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_http = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if !is_plain || !is_http || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn unix(path: &str) -> Result<ServiceAddress, String> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err("unix: needs a path".to_owned());
    }
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    Ok(ServiceAddress(format!("unix://{}", path.display())))
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}
