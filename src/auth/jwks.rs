//! Other issuers' public keys: a JWK set from a file or over HTTPS.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::JwkSet;
use rustls::RootCertStore;
use url::{Host, Url};

/// Largest set that is read, in bytes; real ones have some thousands.
const BYTES_MAX: usize = 256 * 1024;
/// Longest time a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(Box<Url>),
}

/// Why no keys could be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// The URL does not answer as it should.
    #[error("cannot be fetched: {0}")]
    Url(String),
    /// What came is no JWK set.
    #[error("is not a JWK set")]
    Malformed,
}

impl Place {
    /// Reads where the keys are: a URL that begins with `https://`, or a path. Plain HTTP is taken from this machine only.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.contains("://") {
            return if text.is_empty() { Err("must not be empty") } else { Ok(Self::File(text.into())) };
        }
        let url = Url::parse(text).map_err(|_| "must be a URL or a path")?;
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self::Url(Box::new(url))),
            "http" if is_loopback => Ok(Self::Url(Box::new(url))),
            _ => Err("must begin with https://; http:// is taken from this machine only"),
        }
    }

    /// Gets the keys.
    pub(crate) async fn fetch(&self, client: &JwksClient) -> Result<JwkSet, FetchError> {
        let bytes = match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read(path));
                Bytes::from(read.await.map_err(std::io::Error::other)??)
            }
            Self::Url(url) => tokio::time::timeout(FETCH_TIMEOUT, client.get(url))
                .await
                .unwrap_or_else(|_| Err(FetchError::Url("it took too long".into())))?,
        };
        serde_json::from_slice(&bytes).map_err(|_| FetchError::Malformed)
    }
}

/// A client for one purpose: a GET without redirects, cookies or proxies.
#[derive(Debug, Clone)]
pub(crate) struct JwksClient(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl JwksClient {
    /// Trusts what the machine trusts.
    pub(crate) fn new() -> Self {
        let mut roots = RootCertStore::empty();
        // Where there are none, or some cannot be read, the handshake fails and says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|_| rustls::ClientConfig::builder())
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }

    async fn get(&self, url: &Url) -> Result<Bytes, FetchError> {
        let failed = |error: &dyn std::fmt::Display| FetchError::Url(error.to_string());
        let request = Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|error| failed(&error))?;
        let response = self.0.request(request).await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Url(format!("the answer is {}", response.status())));
        }
        let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
        Ok(body.map_err(|error| failed(&error))?.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn keys_come_from_files_and_over_https_only() {
        for good in [
            "/etc/keys.json",
            "keys.json",
            "https://idp.example/jwks",
            "http://127.0.0.1:1/",
            "http://[::1]/",
        ] {
            assert!(Place::parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "http://idp.example/jwks",
            "ftp://idp.example",
            "file:///etc/keys",
            "https://",
            "http://10.0.0.1",
        ] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
