//! Where to listen, as people write it.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use tokio::net::{TcpListener, TcpStream};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A port.
    Tcp(SocketAddr),
    /// A port of the host with this name, or of every address of this machine when the name is empty.
    Host(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Host(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is asked for, where a text is none of it.
const FORMS: &str =
    "must be an address or a host name with a port, as in 127.0.0.1:50051, localhost:50051 or :50051";

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => Self::of_port(text).map_err(|text| format!("{text}; or unix: and a path")),
        }
    }
}

impl Address {
    /// Reads an address that is a port, which a socket in the file system is not.
    ///
    /// # Errors
    /// The forms that there are.
    pub fn of_port(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let (name, port) = text.rsplit_once(':').ok_or(FORMS)?;
        let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let has_letter = name.is_empty() || name.contains(|c: char| c.is_ascii_alphabetic());
        match port.parse() {
            // What consists of digits and dots is an address that was mistyped.
            Ok(port) if has_letter && name.chars().all(is_of_a_name) => Ok(Self::Host(name.to_owned(), port)),
            _ => Err(FORMS.to_owned()),
        }
    }

    /// The addresses that are meant, in the order in which they are tried: those that everybody speaks first.
    async fn candidates(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Tcp(address) => Ok(vec![*address]),
            // One socket for both kinds, where there are both.
            Self::Host(name, port) if name.is_empty() => {
                Ok(vec![(Ipv6Addr::UNSPECIFIED, *port).into(), (Ipv4Addr::UNSPECIFIED, *port).into()])
            }
            Self::Host(name, port) => {
                let mut found: Vec<SocketAddr> =
                    tokio::net::lookup_host((name.as_str(), *port)).await?.collect();
                found.sort_by_key(SocketAddr::is_ipv6);
                Ok(found)
            }
            Self::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a socket file has no port")),
        }
    }

    /// Listens there: on the first address that this machine has.
    ///
    /// # Errors
    /// When none is this machine's, or the port is taken or not ours to take.
    pub async fn bind(&self) -> io::Result<TcpListener> {
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.candidates().await? {
            match TcpListener::bind(address).await {
                Ok(listener) => return Ok(listener),
                // A kind of address that this machine does not have.
                Err(missing) if is_missing(&missing) => error = missing,
                Err(taken) => return Err(taken),
            }
        }
        Err(error)
    }

    /// Connects to whoever listens there, on this machine where no name was given.
    ///
    /// # Errors
    /// When nobody does.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        match self {
            Self::Host(name, port) if name.is_empty() => TcpStream::connect(("localhost", *port)).await,
            Self::Host(name, port) => TcpStream::connect((name.as_str(), *port)).await,
            _ => TcpStream::connect(self.candidates().await?.as_slice()).await,
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for text in
            ["127.0.0.1:50051", "[::1]:50051", "localhost:50051", ":50051", "db-1.example.com:1", "unix:/x"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "50051",
            "localhost",
            "localhost:",
            "localhost:x",
            ":70000",
            "127.0.0:1",
            "::1:50051",
            "a b:1",
        ] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(refused.contains("localhost:50051") && refused.contains("unix:"), "{text}: {refused}");
        }
        assert!("unix:".parse::<Address>().is_err() && Address::of_port("unix:/x").is_err());
    }
}
