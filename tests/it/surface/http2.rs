//! The limits that the transport announces: read off the wire, as no client library shows them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::auth::served::{Served, run};

const SETTINGS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Begins an HTTP/2 connection and reads the first settings of the other side (RFC 9113, 3.4 and 6.5).
fn settings(address: SocketAddr) -> BTreeMap<u16, u32> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!((head[3], head[4]), (SETTINGS, 0), "the first frame is no settings frame");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut body = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut body).unwrap();
    body.chunks_exact(6)
        .map(|entry| {
            let key = u16::from_be_bytes([entry[0], entry[1]]);
            (key, u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
        })
        .collect()
}

#[test]
fn streams_and_headers_are_limited() {
    run(async {
        let served = Served::start().await;
        let address = served.address;
        let settings = tokio::task::spawn_blocking(move || settings(address)).await.unwrap();
        assert_eq!(settings.get(&MAX_CONCURRENT_STREAMS), Some(&200), "{settings:?}");
        assert_eq!(settings.get(&MAX_HEADER_LIST_SIZE), Some(&16_384), "{settings:?}");
    });
}
