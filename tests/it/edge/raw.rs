//! HTTP/2 by hand, for what no client library sends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header, written out in full (RFC 7541, 6.2.2).
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // A number with a prefix of seven bits (5.1).
        match u8::try_from(text.len()) {
            Ok(length @ 0..127) => bytes.push(length),
            _ => {
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The headers of a call.
pub(crate) fn call_headers(path: &str) -> Vec<u8> {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    .iter()
    .flat_map(|(name, value)| header(name, value))
    .collect()
}

/// A connection without any manners.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// As `connect`, and says what a client has to say.
    pub(crate) async fn greeted(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address).await;
        raw.stream.write_all(PREFACE).await.unwrap();
        raw.stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        raw
    }

    /// Sends pieces until the peer closes (true), or until that many bytes are gone (false). What the peer says
    /// meanwhile is read and forgotten.
    pub(crate) async fn pump(self, bytes_max: usize, mut piece: impl FnMut() -> Vec<u8>) -> bool {
        let (mut reader, mut writer) = self.stream.into_split();
        let reading = tokio::spawn(async move {
            let mut bytes = vec![0; 64 * 1024];
            while matches!(reader.read(&mut bytes).await, Ok(count) if count > 0) {}
        });
        let mut sent = 0;
        let mut closed = false;
        while sent < bytes_max && !closed {
            let piece = piece();
            sent += piece.len();
            closed = reading.is_finished() || writer.write_all(&piece).await.is_err();
        }
        reading.abort();
        closed
    }

    /// Reads until the peer closes; how long that took, or `None` when it has not within the limit.
    pub(crate) async fn until_closed(&mut self, limit: Duration) -> Option<Duration> {
        let begin = Instant::now();
        let mut bytes = [0; 4096];
        let closed = async {
            // Closed or reset are the same here.
            while matches!(self.stream.read(&mut bytes).await, Ok(count) if count > 0) {}
        };
        tokio::time::timeout(limit, closed).await.ok().map(|()| begin.elapsed())
    }
}
