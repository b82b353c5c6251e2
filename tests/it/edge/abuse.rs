//! Floods of frames: whoever sends them is cut, memory stays, and others are served.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tonic::transport::Channel;

use super::raw::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    call_headers, frame, header,
};
use super::{PATIENCE, check, memory_bytes, process_in, short_or_soak};
use crate::support::process::Sandbox;

/// What one attacker sends at most; each is cut long before.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What the allocator may keep after the first attack of each kind.
const KEPT_BYTES_MAX: u64 = 48 * 1024 * 1024;
/// What all attacks after those may add to the memory of the process.
const GROWTH_BYTES_MAX: u64 = 10 * 1024 * 1024;

const PATH: &str = "/grpc.health.v1.Health/Watch";

/// Many small frames in one piece, so that sending is not what limits the flood.
fn many(mut one: impl FnMut() -> Vec<u8>) -> Vec<u8> {
    (0..256).flat_map(|_| one()).collect()
}

/// Opens streams with the number of each.
fn streams() -> impl FnMut() -> u32 {
    let mut next = 1;
    move || {
        let stream = next;
        next = (next + 2) % (1 << 31);
        stream
    }
}

async fn rapid_reset(raw: Raw) -> bool {
    let (headers, mut stream) = (call_headers(PATH), streams());
    let one = || {
        let stream = stream();
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &headers);
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    };
    let mut one = one;
    raw.pump(BYTES_MAX, move || many(&mut one)).await
}

/// The server is made to reset streams by windows that overflow.
async fn made_you_reset(raw: Raw) -> bool {
    let (headers, mut stream) = (call_headers(PATH), streams());
    let mut one = move || {
        let stream = stream();
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &headers);
        bytes.extend(frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()));
        bytes
    };
    raw.pump(BYTES_MAX, move || many(&mut one)).await
}

async fn pings(raw: Raw) -> bool {
    raw.pump(BYTES_MAX, || many(|| frame(PING, 0, 0, &[0; 8]))).await
}

async fn settings(raw: Raw) -> bool {
    raw.pump(BYTES_MAX, || many(|| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]))).await
}

async fn continuations(raw: Raw) -> bool {
    let mut begun = false;
    let piece = move || {
        if std::mem::replace(&mut begun, true) {
            frame(CONTINUATION, 0, 1, &header("x-filler", &"a".repeat(8000)))
        } else {
            frame(HEADERS, 0, 1, &call_headers(PATH))
        }
    };
    raw.pump(BYTES_MAX, piece).await
}

/// Header lists that unfold: one long entry of the table, named over and over.
async fn header_bombs(raw: Raw) -> bool {
    let mut stream = streams();
    let piece = move || {
        let mut block = call_headers(PATH);
        // Literal with indexing (RFC 7541, 6.2.1), then its index.
        let mut long = header("x-bomb", &"a".repeat(3000));
        long[0] = 0x40;
        block.extend(long);
        block.extend([0x80 | 62; 8000]);
        frame(HEADERS, END_HEADERS | END_STREAM, stream(), &block)
    };
    raw.pump(BYTES_MAX, piece).await
}

async fn empty_data(raw: Raw) -> bool {
    let mut begun = false;
    let piece = move || {
        if std::mem::replace(&mut begun, true) {
            many(|| frame(DATA, 0, 1, &[]))
        } else {
            frame(HEADERS, END_HEADERS, 1, &call_headers(PATH))
        }
    };
    raw.pump(BYTES_MAX, piece).await
}

const ATTACKS: [&str; 7] =
    ["rapid reset", "made you reset", "pings", "settings", "continuations", "header bombs", "empty data"];

async fn attack(name: &str, address: SocketAddr) -> bool {
    let raw = Raw::greeted(address).await;
    match name {
        "rapid reset" => rapid_reset(raw).await,
        "made you reset" => made_you_reset(raw).await,
        "pings" => pings(raw).await,
        "settings" => settings(raw).await,
        "continuations" => continuations(raw).await,
        "header bombs" => header_bombs(raw).await,
        "empty data" => empty_data(raw).await,
        _ => unreachable!(),
    }
}

/// How much more memory the process has than before, once it has given back what it used: the allocator does so a
/// moment later, as other calls come.
async fn settled(process: u32, before: u64, polite: Channel) -> u64 {
    let begin = Instant::now();
    loop {
        let growth = memory_bytes(process).saturating_sub(before);
        if growth < GROWTH_BYTES_MAX || begin.elapsed() > Duration::from_secs(5) {
            return growth;
        }
        check(polite.clone()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_cut_cost_no_memory_and_keep_nobody_out() {
    let connections = short_or_soak(8, 50);
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&[]);
    let process = process_in(&sandbox.path("."));
    let polite = service.connect().await;
    let address = service.address;
    let fresh = memory_bytes(process);
    // The allocator keeps what the first attack of a kind made it take. That is bounded, and comes once.
    for name in ATTACKS {
        let warm = join_all((0..connections).map(|_| attack(name, address)));
        tokio::time::timeout(PATIENCE, warm).await.unwrap();
    }
    let before = memory_bytes(process);
    assert!(before.saturating_sub(fresh) < KEPT_BYTES_MAX, "{} kept", before - fresh);
    for name in ATTACKS {
        let begin = Instant::now();
        let attackers = tokio::spawn(join_all((0..connections).map(move |_| attack(name, address))));
        let (mut calls, mut slowest) = (0, Duration::ZERO);
        while !attackers.is_finished() {
            let call = Instant::now();
            tokio::time::timeout(PATIENCE, check(polite.clone())).await.unwrap().unwrap();
            calls += 1;
            slowest = slowest.max(call.elapsed());
        }
        let cut = attackers.await.unwrap().into_iter().filter(|cut| *cut).count();
        let growth = settled(process, before, polite.clone()).await;
        println!(
            "{name}: {cut} of {connections} cut in {:?}; memory + {} KiB; {calls} polite calls, slowest {slowest:?}",
            begin.elapsed(),
            growth / 1024
        );
        assert_eq!(cut, connections, "{name}");
        assert!(growth < GROWTH_BYTES_MAX, "{name}: {growth}");
    }
    service.stop();
}
