//! Traces: a collector of our own gets the spans of a call, below the span of its caller.

use std::collections::HashMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use taskwire::pb::{CreateTaskRequest, Task};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::{Request, Response, Status};

use crate::process::{authorised, log_in};
use crate::support::process::Sandbox;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Takes whatever comes.
struct Collector(UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let about = resource.resource.unwrap_or_default().attributes;
            let named = about.iter().any(|pair| pair.key == "service.name");
            assert!(named, "{about:?}");
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let _ = self.0.send(span);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector() -> (String, UnboundedReceiver<Span>) {
    let (sender, spans) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(incoming));
    (url, spans)
}

fn texts(span: &Span) -> HashMap<&str, &str> {
    let pairs = span.attributes.iter().filter_map(|pair| match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some((pair.key.as_str(), text.as_str())),
        _ => None,
    });
    pairs.collect()
}

fn create(flags: &str) -> CreateTask {
    let task = Task { title: "canary-title".into(), ..Task::default() };
    let create = CreateTaskRequest { parent: "users/me".into(), task: Some(task), ..Default::default() };
    (create, format!("00-{TRACE}-{PARENT}-{flags}"))
}

type CreateTask = (CreateTaskRequest, String);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_child_of_its_caller_and_its_storage_a_child_of_the_call() {
    let (url, mut spans) = collector().await;
    let sandbox = Sandbox::new();
    // Nothing is traced but what a caller traces.
    let mut service = sandbox.serve(&["--trace-endpoint", &url, "--trace-ratio", "0"]);
    let pair = log_in(&service).await;
    let mut tasks = service.tasks().await;
    for flags in ["00", "01"] {
        let (message, parent) = create(flags);
        let mut request = authorised(message, &pair);
        request.metadata_mut().insert("traceparent", parent.parse().unwrap());
        tasks.create_task(request).await.unwrap();
    }
    let line = service.running.wait_for(TRACE);
    assert!(line.contains("CreateTask"), "{line}");
    // What is left is sent before the end.
    let ended = service.stop();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);

    let mut all = Vec::new();
    while let Ok(Some(span)) = tokio::time::timeout(Duration::from_secs(1), spans.recv()).await {
        all.push(span);
    }
    let call = all.iter().find(|span| span.name == "taskwire.v1.TaskService/CreateTask").expect("no span");
    assert_eq!(
        (HEXLOWER.encode(&call.trace_id), HEXLOWER.encode(&call.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    let texts_of_call = texts(call);
    assert_eq!(texts_of_call.get("rpc.system.name"), Some(&"grpc"));
    assert_eq!(texts_of_call.get("rpc.method"), Some(&"taskwire.v1.TaskService/CreateTask"));
    assert_eq!(texts_of_call.get("rpc.response.status_code"), Some(&"OK"));
    let child = all.iter().find(|span| span.parent_span_id == call.span_id).expect("no span of the storage");
    assert_eq!(child.name, "write lane");
    // One caller said yes; the other one said no, and the ratio is none.
    assert!(all.iter().all(|span| HEXLOWER.encode(&span.trace_id) == TRACE), "{all:?}");
    assert_eq!(all.iter().filter(|span| span.name == call.name).count(), 1, "{all:?}");
    assert!(!format!("{all:?}").contains("canary"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_that_is_asked_for_is_traced_with_its_database() {
    let (url, mut spans) = collector().await;
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--trace-endpoint", &url, "--trace-ratio", "1", "--lanes", "off"]);
    let pair = log_in(&service).await;
    let (message, _) = create("01");
    service.tasks().await.create_task(authorised(message, &pair)).await.unwrap();
    service.stop();
    let mut all = Vec::new();
    while let Ok(Some(span)) = tokio::time::timeout(Duration::from_secs(1), spans.recv()).await {
        all.push(span);
    }
    let call = all.iter().find(|span| span.name == "taskwire.v1.TaskService/CreateTask").expect("no span");
    let storage: Vec<&Span> = all.iter().filter(|span| span.parent_span_id == call.span_id).collect();
    let write = storage.iter().find(|span| span.name == "storage write").expect("no write below the call");
    assert_eq!(texts(write).get("db.system.name"), Some(&"sqlite"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nothing_up() {
    let sandbox = Sandbox::new();
    let service = sandbox.serve(&["--trace-endpoint", "http://127.0.0.1:1", "--trace-ratio", "1"]);
    log_in(&service).await;
    let begin = std::time::Instant::now();
    let ended = service.stop();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}
