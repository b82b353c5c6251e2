//! Where webhooks may send: which URLs are taken, and which addresses are connected to. A name is looked up for each connection,
//! and what it leads to is held against this, so that nothing inside an operator's network can be reached through it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use url::{Host, Url};

use crate::domain::{FailureReason, Rule, WebhookUrl};

/// How long looking up a name may take where somebody waits for the answer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// What says where names lead.
pub trait Resolver: std::fmt::Debug + Send + Sync {
    /// The addresses of a name now.
    ///
    /// # Errors
    /// There is no such name, or nobody can be asked.
    fn look_up(&self, name: &str, port: u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>>;
}

/// The system's.
#[derive(Debug)]
struct SystemResolver;

impl Resolver for SystemResolver {
    fn look_up(&self, name: &str, port: u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), port)).await?.collect()) })
    }
}

/// What the operator allows beyond the public internet over TLS.
#[derive(Debug, Clone)]
pub struct AddressPolicy {
    /// Whether plain HTTP is taken.
    pub plain_http: bool,
    /// Networks that are allowed although they are not public.
    pub networks: Arc<[IpNet]>,
    /// What says where names lead: the system's, in the service.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self { plain_http: false, networks: Arc::default(), resolver: Arc::new(SystemResolver) }
    }
}

impl AddressPolicy {
    /// Whether this address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address)) || is_public(address)
    }

    /// Reads a URL of a receiver as a caller gives it. An address in it is held against what is allowed; a name is not looked up.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(&self, text: &str) -> Result<WebhookUrl, Rule> {
        let form = if self.plain_http {
            "must be a URL that begins with https:// or http://, without user, password or fragment"
        } else {
            "must be a URL that begins with https://, without user, password or fragment"
        };
        WebhookUrl::check_length(text)?;
        if text.is_empty() {
            return Err(Rule::field("is required"));
        }
        let url = Url::parse(text).map_err(|_| Rule::field(form))?;
        let is_taken = match url.scheme() {
            "https" => true,
            "http" => self.plain_http,
            _ => false,
        };
        let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let Some(host) = url.host().filter(|_| is_taken && is_bare && url.port() != Some(0)) else {
            return Err(Rule::field(form));
        };
        let is_allowed = match host {
            Host::Ipv4(address) => self.allows(address.into()),
            Host::Ipv6(address) => self.allows(address.into()),
            Host::Domain(name) => !name.is_empty() && name != ".",
        };
        if !is_allowed {
            return Err(forbidden());
        }
        WebhookUrl::check_length(url.as_str())?;
        Ok(WebhookUrl::accepted(url.into()))
    }

    /// Looks up the name in a URL that was read, and refuses what leads to an address that is not allowed. A name that leads to nothing
    /// now may lead somewhere later.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub async fn look_up(&self, url: &WebhookUrl) -> Result<(), Rule> {
        let Ok(parsed) = Url::parse(url.as_str()) else { return Ok(()) };
        let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
            return Ok(());
        };
        match tokio::time::timeout(LOOKUP_TIMEOUT, self.resolve(host, port)).await {
            Ok(Err(FailureReason::AddressForbidden)) => Err(forbidden()),
            _ => Ok(()),
        }
    }

    /// The addresses that a name leads to. One that is not allowed among them spoils them all.
    ///
    /// # Errors
    /// `NameUnknown` or `AddressForbidden`.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, FailureReason> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let found = self.resolver.look_up(bare, port).await;
                found.map_err(|_| FailureReason::NameUnknown)?
            }
        };
        if found.is_empty() {
            return Err(FailureReason::NameUnknown);
        }
        if found.iter().all(|address| self.allows(address.ip())) {
            Ok(found)
        } else {
            Err(FailureReason::AddressForbidden)
        }
    }
}

fn forbidden() -> Rule {
    Rule::field("must not lead to an address that is not of the public internet")
}

/// Whether an address is one of the public internet, by the registries of special-purpose addresses (RFC 6890 and those after it).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private, loopback.
        (0 | 10 | 127, ..)
            // Shared by carriers.
            | (100, 64..=127, _)
            // Link-local, where clouds tell machines about themselves.
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Protocol assignments, documentation, the relays of 6to4, benchmarks.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            // Multicast, reserved, broadcast.
            | (224..=255, ..)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Those that carry one of IPv4: translated (RFC 6052).
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., high, low] = segments;
        return is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    }
    // Only these were ever given out to the internet.
    let is_unicast = segments[0] & 0xe000 == 0x2000;
    let is_special = match segments {
        // Protocol assignments with Teredo, benchmarks and ORCHID among them; documentation; 6to4, which carries one of IPv4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => true,
        _ => false,
    };
    is_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use super::{AddressPolicy, is_public};

    fn policy(networks: &[&str], plain_http: bool) -> AddressPolicy {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        AddressPolicy { plain_http, networks, ..AddressPolicy::default() }
    }

    #[test]
    fn only_the_public_internet_is_public() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn urls_are_read_and_addresses_in_them_looked_at() {
        let strict = AddressPolicy::default();
        for good in [
            "https://receiver.example/",
            "https://receiver.example:8443/a?b=c",
            "https://1.1.1.1",
            "https://[2606:4700::1111]/x",
            "HTTPS://Receiver.Example",
        ] {
            assert!(strict.parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "receiver.example",
            "http://receiver.example",
            "ftp://receiver.example",
            "file:///etc/passwd",
            "https://",
            "https://user@receiver.example",
            "https://user:word@receiver.example",
            "https://receiver.example/#part",
            "https://receiver.example:0",
            "https://127.0.0.1",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://0177.0.0.1",
            "https://0",
            "https://0.0.0.0",
            "https://10.1.2.3",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]",
            "https://[::]",
            "https://[::ffff:127.0.0.1]",
            "https://[::ffff:a9fe:a9fe]",
            "https://[::ffff:10.0.0.1]",
            "https://[64:ff9b::7f00:1]",
            "https://[fe80::1]",
            "https://[fd00::1]",
            "https://１２７.0.0.1",
            "https://①②⑦.0.0.1",
            "javascript:alert(1)",
            "https://exa mple.org",
        ] {
            assert!(strict.parse(wrong).is_err(), "{wrong}");
        }
        let lenient = policy(&["127.0.0.0/8", "fd00::/8"], true);
        for good in
            ["http://127.0.0.1:9", "https://127.3.2.1", "http://[fd00::7]/", "https://[::ffff:127.0.0.1]/"]
        {
            assert!(lenient.parse(good).is_ok(), "{good}");
        }
        assert!(lenient.parse("http://10.0.0.1").is_err());
        assert!(lenient.parse(&format!("https://receiver.example/{}", "x".repeat(2000))).is_err());
    }

    #[tokio::test]
    async fn what_a_name_leads_to_is_looked_at() {
        let strict = AddressPolicy::default();
        let url = strict.parse("https://localhost/").unwrap();
        assert!(strict.look_up(&url).await.is_err());
        assert!(policy(&["127.0.0.0/8", "::1/128"], false).look_up(&url).await.is_ok());
        let nowhere = strict.parse("https://nowhere.invalid/").unwrap();
        assert!(strict.look_up(&nowhere).await.is_ok());
    }
}
