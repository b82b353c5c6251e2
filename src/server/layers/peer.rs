//! Whose address a call comes from: the peer's, or what a trusted gateway says of it.
//!
//! `x-forwarded-for` grows to the right, and only its right end was written by somebody we know. So it is read from the
//! right, past every trusted gateway, to the first address that is none; what stands further left is hearsay.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request};
use ipnet::IpNet;
use tonic::transport::server::TcpConnectInfo;
use tower::{Layer, Service};

use crate::api::PeerAddress;

const FORWARDED: &str = "x-forwarded-for";

#[derive(Debug, Clone)]
pub(in crate::server) struct PeerLayer {
    trusted: Arc<[IpNet]>,
}

impl PeerLayer {
    /// Takes the word of these.
    pub(in crate::server) const fn new(trusted: Arc<[IpNet]>) -> Self {
        Self { trusted }
    }
}

impl<Inner> Layer<Inner> for PeerLayer {
    type Service = Peers<Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        Peers { inner, trusted: Arc::clone(&self.trusted) }
    }
}

#[derive(Debug, Clone)]
pub(in crate::server) struct Peers<Inner> {
    inner: Inner,
    trusted: Arc<[IpNet]>,
}

impl<Inner, RequestBody> Service<Request<RequestBody>> for Peers<Inner>
where
    Inner: Service<Request<RequestBody>>,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = Inner::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        request.extensions_mut().remove::<PeerAddress>();
        let direct = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        if let Some(direct) = direct {
            let address = caller(direct.ip().to_canonical(), request.headers(), &self.trusted);
            request.extensions_mut().insert(PeerAddress(address));
        }
        self.inner.call(request)
    }
}

/// The address that a call comes from.
fn caller(direct: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let lines = headers.get_all(FORWARDED).iter().rev();
    let mut hops = lines.flat_map(|line| line.to_str().unwrap_or("").rsplit(','));
    let mut address = direct;
    while is_trusted(address) {
        // Where the gateway's word ends or cannot be read, the last address that is certain stands.
        match hops.next().and_then(parse) {
            Some(before) => address = before,
            None => break,
        }
    }
    address
}

/// An address as gateways write it: bare, or with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(direct: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        caller(direct.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_the_word_of_a_trusted_gateway_is_taken() {
        let gateways = &["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(found("192.0.2.9", &["198.51.100.1"], gateways), "192.0.2.9");
        assert_eq!(found("192.0.2.9", &["198.51.100.1"], &[]), "192.0.2.9");
        assert_eq!(found("10.0.0.1", &["198.51.100.1"], gateways), "198.51.100.1");
        assert_eq!(found("10.0.0.1", &[], gateways), "10.0.0.1");
    }

    #[test]
    fn it_is_read_from_the_right() {
        let gateways = &["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(found("10.0.0.1", &["1.1.1.1, 198.51.100.1"], gateways), "198.51.100.1");
        assert_eq!(found("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.2.3.4"], gateways), "198.51.100.1");
        assert_eq!(found("10.0.0.1", &["1.1.1.1", "198.51.100.1", "10.2.3.4"], gateways), "198.51.100.1");
        assert_eq!(found("2001:db8::1", &["[2a00::1]:443"], gateways), "2a00::1");
        assert_eq!(found("10.0.0.1", &["198.51.100.1:5000"], gateways), "198.51.100.1");
        assert_eq!(found("10.0.0.1", &["198.51.100.1, nonsense"], gateways), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &["10.9.9.9"], gateways), "10.9.9.9");
    }
}
