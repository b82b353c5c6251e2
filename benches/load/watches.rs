//! What a stream of changes costs that has nothing to tell.

use std::time::Duration;

use taskwire::pb;
use taskwire::pb::task_service_client::TaskServiceClient;
use tonic::Streaming;

use crate::process::Server;
use crate::world::World;
use crate::{Result, cpu};

const STREAMS: usize = 2_000;
/// As many as a client of several users would have on one connection.
const STREAMS_PER_CONNECTION: usize = 100;
/// For whatever is given back or asked for after the streams are open.
const REST: Duration = Duration::from_secs(2);

/// Memory of the service for each idle stream, in KiB.
pub(crate) async fn memory(server: &Server, world: &World) -> Result<Option<f64>> {
    let Some(before) = cpu::resident_mib(server.pid()) else { return Ok(None) };
    let mut open: Vec<Streaming<pb::WatchTasksResponse>> = Vec::with_capacity(STREAMS);
    while open.len() < STREAMS {
        let channel = server.channel().await?;
        for _ in 0..STREAMS_PER_CONNECTION {
            let account = &world.accounts[open.len() % world.accounts.len()];
            let request = pb::WatchTasksRequest { parent: account.name.clone(), ..Default::default() };
            let mut client = TaskServiceClient::new(channel.clone());
            open.push(client.watch_tasks(account.call(request)).await?.into_inner());
        }
    }
    tokio::time::sleep(REST).await;
    let after = cpu::resident_mib(server.pid());
    #[expect(clippy::cast_precision_loss, reason = "two thousand")]
    Ok(after.map(|after| (after - before) * 1024.0 / open.len() as f64))
}
