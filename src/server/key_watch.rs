//! Reads keys again when their file changes, and on SIGHUP: those that sign, and those that seal secrets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::auth::{KeyRing, Sealer, SecretsKeys, Tokens};

/// How often the file is looked at: read, as a file that is a mounted secret changes by a link that moves.
const INTERVAL: Duration = Duration::from_secs(5);

/// Whose keys a file holds.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Those that sign tokens.
    Signing(Arc<Tokens>),
    /// Those that seal secrets.
    Secrets(Arc<Sealer>),
}

/// Looks at the file until the shutdown. What cannot be read changes nothing: the keys of before stay.
pub async fn watch(file: PathBuf, keys: Keys, shutdown: CancellationToken) {
    let mut hangups = signal(SignalKind::hangup()).ok();
    let mut seen = fingerprint(&file).await;
    loop {
        let asked = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        let told = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = asked => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        let found = fingerprint(&file).await;
        if found == seen && !told {
            continue;
        }
        seen = found;
        match &keys {
            Keys::Signing(tokens) => reload(&file, tokens).await,
            Keys::Secrets(sealer) => reload_secrets(&file, sealer).await,
        }
    }
}

/// Reads the file and takes its keys, if they are any.
pub async fn reload(file: &std::path::Path, tokens: &Tokens) {
    let path = file.to_owned();
    match tokio::task::spawn_blocking(move || KeyRing::load(&path)).await {
        Ok(Ok(ring)) => {
            tracing::info!(keys = ?ring, "read the signing keys again");
            tokens.replace_ring(ring);
        }
        Ok(Err(cause)) => tracing::error!(%cause, "the signing keys cannot be read; those of before stay"),
        Err(stopped) => tracing::error!(cause = %stopped, "reading the signing keys stopped"),
    }
}

async fn reload_secrets(file: &std::path::Path, sealer: &Sealer) {
    let path = file.to_owned();
    match tokio::task::spawn_blocking(move || SecretsKeys::load(&path)).await {
        Ok(Ok(keys)) => {
            tracing::info!(?keys, "read the keys that seal secrets again");
            sealer.replace_keys(keys);
        }
        Ok(Err(cause)) => {
            tracing::error!(%cause, "the keys that seal secrets cannot be read; those of before stay")
        }
        Err(stopped) => tracing::error!(cause = %stopped, "reading the keys that seal secrets stopped"),
    }
}

async fn fingerprint(file: &std::path::Path) -> Option<Vec<u8>> {
    let path = file.to_owned();
    let text = tokio::task::spawn_blocking(move || std::fs::read(path)).await.ok()?.ok()?;
    Some(digest(&SHA256, &text).as_ref().to_vec())
}
