//! Logs as their reader gets them: hostile text stays within its line, and nobody waits for a reader who does not
//! read.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use http::HeaderValue;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{get, value};
use crate::support::process::Sandbox;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_stays_within_its_line() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--log", "trace"]);
    let channel = service.connect().await;
    let mut sent = 0;
    for text in
        ["canary\u{2028}{\"level\":\"ERROR\"}", "canary\t\"},{\"message\":\"forged\"", "canary \u{1b}[31m"]
    {
        let mut request =
            tonic::Request::new(HealthCheckRequest { service: format!("{text}\r\n{{\"forged\":1}}\n") });
        // What the header may not hold is left to the message.
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            for name in ["x-request-id", "x-forwarded-for", "traceparent", "user-agent"] {
                if let Ok(value) = value.to_str().unwrap_or("canary").parse::<MetadataValue<_>>() {
                    request.metadata_mut().insert(name, value);
                }
            }
        }
        HealthClient::new(channel.clone()).check(request).await.unwrap_err();
        sent += 1;
    }
    let ended = service.stop();
    let mut calls = 0;
    for line in ended.stderr.lines() {
        let read: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(read.get("forged").is_none() && read["message"] != "forged", "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\u{2028}'), "{line}");
        calls += usize::from(read["message"] == "call");
    }
    assert!(calls >= sent, "{calls} calls were logged");
}

/// Nobody reads standard error beyond the line that says where the service listens.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_reader_who_does_not_read() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "debug"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let (mut text, mut byte) = (Vec::new(), [0]);
    let line = loop {
        stderr.read_exact(&mut byte).unwrap();
        match byte[0] {
            b'\n' if text.windows(12).any(|part| part == b"is listening") => break text,
            b'\n' => text.clear(),
            byte => text.push(byte),
        }
    };
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
    let address = |name: &str| line[name].as_str().unwrap().to_owned();
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", address("address"))).unwrap();
    let channel = channel.connect().await.unwrap();
    let admin = address("admin").parse().unwrap();

    let (begin, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut calls = 0;
    let dropped = loop {
        // A pipe holds 64 KiB, and the buffer some thousand lines.
        let many = (0..256).map(|_| {
            let mut client = HealthClient::new(channel.clone());
            async move {
                let begin = Instant::now();
                client.check(HealthCheckRequest { service: String::new() }).await.unwrap();
                begin.elapsed()
            }
        });
        let many = futures_util::future::join_all(many);
        for took in tokio::time::timeout(Duration::from_secs(60), many).await.expect("calls wait") {
            calls += 1;
            slowest = slowest.max(took);
        }
        let dropped = value(&get(admin, "/metrics").await.body, "taskwire_log_lines_dropped_total");
        if dropped > 0.0 {
            break dropped;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{calls} calls, and no line was dropped");
    };
    println!("{calls} calls, {dropped} lines dropped, slowest call {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}
