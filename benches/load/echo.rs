//! The floor: a bare tonic server that answers the same message to every call, without auth, log or storage.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prost_types::Timestamp;
use taskwire::pb;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic_prost::ProstCodec;

use crate::Result;
use crate::process::Server;

/// Starts this program again, as the bare server.
pub(crate) async fn start(log: &Path) -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    Server::start(command.env_clear().arg("--echo"), log).await
}

/// Is the bare server, until told to stop.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let line = serde_json::json!({ "message": "taskwire is listening", "address": listener.local_addr()? });
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<Echo>().await;
    let mut term = signal(SignalKind::terminate())?;
    let incoming =
        TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(Duration::from_secs(30)));
    eprintln!("{line}");
    tonic::transport::Server::builder()
        .add_service(Echo)
        .add_service(health_service)
        .serve_with_incoming_shutdown(incoming, async move {
            term.recv().await;
        })
        .await?;
    Ok(())
}

/// What the generated server is around a handler, for the one method that is measured.
#[derive(Debug, Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "taskwire.v1.TaskService";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::result::Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let codec = ProstCodec::<pb::Task, pb::GetTaskRequest>::default();
            Ok(Grpc::new(codec).unary(Answer, request).await)
        })
    }
}

struct Answer;

impl UnaryService<pb::GetTaskRequest> for Answer {
    type Response = pb::Task;
    type Future = std::future::Ready<std::result::Result<tonic::Response<pb::Task>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<pb::GetTaskRequest>) -> Self::Future {
        let time = Some(Timestamp { seconds: 1_800_000_000, nanos: 123_456_000 });
        std::future::ready(Ok(tonic::Response::new(pb::Task {
            name: request.into_inner().name,
            etag: "000000000000002b".to_owned(),
            create_time: time,
            update_time: time,
            revision: 43,
            ..crate::world::new_task()
        })))
    }
}
