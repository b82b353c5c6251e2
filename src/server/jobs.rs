//! Work that goes on in the background: a list of periodic jobs. Those that serve all replicas are done by one of them at a
//! time, under a lease in the database; that two do one at once, as when a lease ran out, is harmless.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future, stream};
use tokio_util::sync::CancellationToken;

use super::Services;
use super::operator::metrics::Metrics;
use crate::api::event_body;
use crate::domain::{Error, ListWrite, Result, TaskId, TaskWrite, Timestamp, UserId, Write, WriteRules};
use crate::storage::Operation;

/// How long an answer to a call with an idempotency key is remembered.
const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Tasks that one turn of a job takes on.
const CHUNK: i64 = 500;
/// Changes that one turn of the compaction drops.
const CHANGES_AT_ONCE: i64 = 10_000;

/// How long a replica that went away in the middle of a job keeps others from it.
const LEASE: Duration = Duration::from_secs(30);
/// The same for what others wait for.
const SHORT_LEASE: Duration = Duration::from_secs(4);
/// How often a job that goes on says so.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How long the stream of all events is kept up for readers who may come back.
const STREAMS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Users whose reminders are told beside each other.
const REMINDED_AT_ONCE: usize = 8;
/// Events that one turn of the sweep drops.
const EVENTS_AT_ONCE: i64 = 10_000;

/// A job: what it is called, how often it runs and by whom, and what it does.
struct Job {
    name: &'static str,
    interval: Duration,
    by: By,
    work: fn(&Services) -> BoxFuture<'_, Result<()>>,
}

#[derive(Clone, Copy)]
enum By {
    /// Each for itself.
    Each,
    /// One of them, for all.
    One,
    /// One of them, for all, and only where each finds by itself that there is something to do: asking for the lease is a write.
    OneWhen(fn(&Services) -> BoxFuture<'_, Result<bool>>),
}

const JOBS: [Job; 12] = [
    Job {
        name: "revocations",
        // With the time of a query, well within the five seconds that are promised.
        interval: Duration::from_secs(1),
        by: By::Each,
        work: |services| services.authenticator.revocations().refresh(&services.storage).boxed(),
    },
    Job {
        name: "standbys",
        // One that is away is asked in vain for that long.
        interval: Duration::from_secs(1),
        by: By::Each,
        work: |services| services.storage.probe_standbys().map(Ok).boxed(),
    },
    Job {
        name: "workers",
        // So long shards that moved are asked for where they were, and one that is away is asked in vain.
        interval: Duration::from_secs(1),
        by: By::Each,
        work: |services| services.storage.probe_workers().boxed(),
    },
    Job {
        name: "events",
        // It goes on for as long as somebody listens; this is how often each replica looks whether it is needed.
        interval: Duration::from_secs(1),
        by: By::OneWhen(|services| somebody_listens(services).boxed()),
        work: |services| crate::outbound::dispatch::run(&services.outbound, event_body).boxed(),
    },
    Job {
        name: "reminders",
        interval: Duration::from_secs(1),
        by: By::OneWhen(|services| somebody_is_to_be_reminded(services).boxed()),
        work: |services| remind(services).boxed(),
    },
    Job {
        name: "mails",
        interval: Duration::from_secs(1),
        by: By::OneWhen(|services| services.accounts.mailer().is_due().boxed()),
        work: |services| services.accounts.mailer().send_due().boxed(),
    },
    Job {
        name: "sweep events",
        interval: Duration::from_secs(600),
        by: By::One,
        work: |services| sweep_events(services).boxed(),
    },
    Job {
        name: "sweep accounts",
        interval: Duration::from_secs(600),
        by: By::One,
        work: |services| services.accounts.sweep().boxed(),
    },
    Job {
        name: "purge",
        interval: Duration::from_secs(60),
        by: By::One,
        work: |services| purge(services).boxed(),
    },
    Job {
        name: "finish lists",
        interval: Duration::from_secs(30),
        by: By::One,
        work: |services| finish_lists(services).boxed(),
    },
    Job {
        name: "compaction",
        interval: Duration::from_secs(600),
        by: By::One,
        work: |services| compact(services).boxed(),
    },
    Job {
        name: "forget answers",
        interval: Duration::from_secs(600),
        by: By::One,
        work: |services| forget(services).boxed(),
    },
];

/// Runs every job at its interval until the shutdown.
pub(super) async fn run(services: Services, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    let all = future::join_all(JOBS.iter().map(|job| repeat(job, &services, &metrics)));
    tokio::select! {
        _ = all => {}
        () = shutdown.cancelled() => {}
    }
}

async fn repeat(job: &Job, services: &Services, metrics: &Metrics) {
    let mut failing = false;
    loop {
        let outcome = match job.by {
            By::Each => (job.work)(services).await.map(|()| true),
            By::One => under_lease(job.name, LEASE, job.interval, services, (job.work)(services)).await,
            By::OneWhen(is_needed) => match is_needed(services).await {
                Ok(true) => {
                    let work = (job.work)(services);
                    let done = under_lease(job.name, SHORT_LEASE, job.interval, services, work);
                    // It may go on for days, and is well as long as it does.
                    let goes_on = async {
                        loop {
                            tokio::time::sleep(HEARTBEAT).await;
                            metrics.jobs.ran(job.name, true);
                        }
                    };
                    tokio::select! {
                        done = done => done,
                        never = goes_on => never,
                    }
                }
                // Nothing to do is done.
                asked => asked.map(|_| true),
            },
        };
        if outcome != Ok(false) {
            metrics.jobs.ran(job.name, outcome.is_ok());
        }
        match outcome {
            Ok(_) => failing = false,
            // Once: what fails every minute fills no log.
            Err(cause) if !failing => {
                failing = true;
                tracing::warn!(job = job.name, %cause, "a background job fails; it will be tried again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(job.interval).await;
    }
}

/// Does what is due, unless another replica does it or has done it within the interval; answers whether it was done here.
/// The lease is renewed as long as the work goes on. What failed here another one may try at once.
pub async fn under_lease(
    job: &'static str,
    lease: Duration,
    interval: Duration,
    services: &Services,
    work: impl Future<Output = Result<()>>,
) -> Result<bool> {
    let leases = services.storage.leases();
    let began = services.clock.now();
    if !leases.take(job, began, lease, interval.max(lease)).await? {
        return Ok(false);
    }
    let renewed = async {
        loop {
            tokio::time::sleep(lease / 3).await;
            let until = services.clock.now().after(lease);
            if matches!(leases.keep(job, until).await, Ok(false)) {
                return;
            }
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        // Somebody else goes on with it.
        () = renewed => return Ok(false),
    };
    let due = if outcome.is_ok() { began.after(interval) } else { services.clock.now() };
    leases.keep(job, due).await?;
    outcome.map(|()| true)
}

/// Removes for good the deleted tasks and lists whose time has come, each as a change of its own.
pub async fn purge(services: &Services) -> Result<()> {
    loop {
        let now = services.clock.now();
        let due = services.storage.changes().due_for_purge(now, CHUNK).await?;
        let rules = WriteRules { now, purge_after: services.tasks.purge_after };
        let operations = due.iter().map(|(user, id)| {
            let writes = vec![Write::Task(TaskWrite::Purge { id: *id })];
            let owner = crate::auth::owner_for_service(*user);
            Operation::new(owner, writes, rules, services.tasks.live_tasks_max)
        });
        services.storage.tasks().write_together(operations.collect()).await?;
        if due.len() < usize::try_from(CHUNK).unwrap_or(usize::MAX) {
            break;
        }
    }
    loop {
        let now = services.clock.now();
        let due = services.storage.task_lists().due_for_purge(now, CHUNK).await?;
        for (user, id) in &due {
            write_list(services, *user, ListWrite::Purge { id: *id }).await?;
        }
        if due.len() < usize::try_from(CHUNK).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Goes on with lists that were deleted or restored and whose tasks were too many for one operation, where whoever began it
/// did not come to its end.
pub async fn finish_lists(services: &Services) -> Result<()> {
    loop {
        let lists = services.storage.task_lists().unfinished(CHUNK).await?;
        if lists.is_empty() {
            return Ok(());
        }
        for (user, id) in lists {
            write_list(services, user, ListWrite::Finish { id }).await?;
        }
    }
}

/// A write on a list that nobody asks for.
async fn write_list(services: &Services, user: UserId, write: ListWrite) -> Result<()> {
    let rules = WriteRules { now: services.clock.now(), purge_after: services.tasks.purge_after };
    let owner = crate::auth::owner_for_service(user);
    let operation = Operation::new(owner, vec![Write::List(write)], rules, i64::MAX);
    services.storage.tasks().write(operation).await.map(drop).map_err(|failed| failed.error)
}

/// Drops the changes that are older than they have to be kept.
pub async fn compact(services: &Services) -> Result<()> {
    let cutoff = before(services.clock.now(), services.tasks.changes_kept)?;
    while services.storage.changes().compact(cutoff, CHANGES_AT_ONCE).await? > 0 {}
    Ok(())
}

async fn somebody_listens(services: &Services) -> Result<bool> {
    services.storage.listeners().anyone().await
}

async fn somebody_is_to_be_reminded(services: &Services) -> Result<bool> {
    services.storage.reminders().due(services.clock.now(), 1).await.map(|due| !due.is_empty())
}

/// Tells of the reminders whose time has come, each once.
pub async fn remind(services: &Services) -> Result<()> {
    let mut before = Vec::new();
    loop {
        let now = services.clock.now();
        let due = services.storage.reminders().due(now, CHUNK).await?;
        // A task may have several that came due; what stays as it was is not there to be told.
        if due.is_empty() || due == before {
            return Ok(());
        }
        before.clone_from(&due);
        let mut by_user: BTreeMap<UserId, Vec<(TaskId, i64)>> = BTreeMap::new();
        for (user, task, time) in due {
            by_user.entry(user).or_default().push((task, time));
        }
        let told = by_user
            .into_iter()
            .map(|(user, due)| async move { services.storage.reminders().tell(user, due, now).await });
        stream::iter(told).buffer_unordered(REMINDED_AT_ONCE).try_collect::<()>().await?;
    }
}

/// Drops the events that are older than they have to be kept, and ends what nobody listens to any more.
pub async fn sweep_events(services: &Services) -> Result<()> {
    let now = services.clock.now();
    services.storage.listeners().retire(before(now, STREAMS_KEPT)?).await?;
    let cutoff = before(now, services.tasks.changes_kept)?;
    while services.storage.journal().sweep(cutoff, EVENTS_AT_ONCE).await? > 0 {}
    if !services.storage.listeners().anyone().await? {
        services.storage.journal().sequence_all(now).await?;
    }
    Ok(())
}

/// Forgets the answers that are older than they have to be remembered.
pub async fn forget(services: &Services) -> Result<()> {
    let cutoff = before(services.clock.now(), ANSWERS_KEPT)?;
    services.storage.changes().forget_answers(cutoff).await.map(drop)
}

fn before(now: Timestamp, by: Duration) -> Result<Timestamp> {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    let cutoff = now.as_micros().saturating_sub(micros);
    Timestamp::from_micros(cutoff).ok_or_else(|| Error::corrupt_time(cutoff))
}
