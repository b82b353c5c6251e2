//! What other floors and the process itself know about themselves, read when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use super::readiness::Readiness;
use crate::server::Services;
use crate::server::layers::admission_queue::AdmissionQueue;
use crate::storage::StandbyState;

type Labels<'a> = [(&'static str, &'a str)];
/// How many lines of the log were given up.
pub(in crate::server) type LinesDropped = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where to look.
pub(in crate::server) struct Gauges {
    pub(in crate::server) services: Services,
    pub(in crate::server) queue: Arc<AdmissionQueue>,
    pub(in crate::server) readiness: Readiness,
    pub(in crate::server) lines_dropped: Option<LinesDropped>,
    pub(in crate::server) connections_max: usize,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Collector for Gauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut sheet = Sheet(encoder);
        self.service(&mut sheet)?;
        self.admission(&mut sheet)?;
        self.storage(&mut sheet)?;
        self.lanes(&mut sheet)?;
        self.reads(&mut sheet)?;
        self.outbound(&mut sheet)?;
        self.mail(&mut sheet)?;
        process(&mut sheet)
    }
}

impl Gauges {
    fn service(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        sheet.gauges(
            "taskwire_build_info",
            "The version that runs; always 1",
            [(&[("version", env!("CARGO_PKG_VERSION"))][..], 1.0)],
        )?;
        let ready = if self.readiness.why_not().is_none() { 1.0 } else { 0.0 };
        sheet.gauge("taskwire_ready", "Whether the service says that it is serving", ready)?;
        sheet.gauge("taskwire_connections_max", "Connections there may be", self.connections_max as f64)?;
        let (streams, users) = self.services.storage.notifier().counts();
        sheet.gauge("taskwire_watch_streams", "Watch streams that are open", streams as f64)?;
        sheet.gauge("taskwire_watched_users", "Users whose changes are watched", users as f64)?;
        let (entries, age) = self.services.authenticator.revocations().state();
        sheet.gauge("taskwire_revocations", "Revocations held in memory", entries as f64)?;
        if let Some(age) = age {
            let text = "How long ago revocations were read; above 5 a revocation may count late";
            sheet.gauge("taskwire_revocations_age_seconds", text, age.as_secs_f64())?;
        }
        let ahead = self.services.storage.clock().machine_ahead_micros() as f64 / 1e6;
        let text =
            "By how much the machine's clock is ahead of the one that the service goes by: the database's";
        sheet.gauge("taskwire_clock_offset_seconds", text, ahead)?;
        let hashing = self.services.accounts.hashing();
        sheet.gauge(
            "taskwire_hashes_max",
            "Password hashes at the same time, at most",
            hashing.parallel_max as f64,
        )?;
        sheet.gauge("taskwire_hashes_running", "Password hashes under way", hashing.running as f64)?;
        sheet.gauge(
            "taskwire_hashes_waiting",
            "Calls that wait to hash a password",
            hashing.waiting as f64,
        )?;
        sheet.counter(
            "taskwire_hashes_refused",
            "Calls refused for want of room to hash",
            hashing.refused,
        )?;
        match &self.lines_dropped {
            Some(dropped) => {
                sheet.counter("taskwire_log_lines_dropped", "Log lines nobody read in time", dropped())
            }
            None => Ok(()),
        }
    }

    fn admission(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let state = self.queue.queue_state();
        sheet.gauge("taskwire_admission_in_flight", "Calls that were let in", state.inside as f64)?;
        sheet.gauge(
            "taskwire_admission_max",
            "Calls that are let in at the same time",
            state.calls_max as f64,
        )?;
        let waiting: [(&Labels<'_>, f64); 2] = [
            (&[("class", "interactive")], state.interactive as f64),
            (&[("class", "batch")], state.batch as f64),
        ];
        sheet.gauges("taskwire_admission_waiting", "Calls that wait to be let in", waiting)?;
        sheet.counter(
            "taskwire_admission_refused",
            "Calls refused because the service was busy",
            state.refused,
        )
    }

    fn storage(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let pools = self.services.storage.pool_states();
        let labels: Vec<[(&'static str, &'static str); 1]> =
            pools.iter().map(|pool| [("pool", pool.name)]).collect();
        let each = |value: fn(&crate::storage::PoolState) -> f64| {
            labels.iter().zip(&pools).map(move |(label, pool)| (&label[..], value(pool)))
        };
        let connections = each(|pool| pool.connections.into());
        sheet.gauges("taskwire_pool_connections", "Connections to the database", connections)?;
        let idle = each(|pool| pool.idle.into());
        sheet.gauges("taskwire_pool_connections_idle", "Connections that nobody uses", idle)?;
        let max = each(|pool| pool.connections_max.into());
        sheet.gauges("taskwire_pool_connections_max", "Connections there may be", max)?;
        let waiting = each(|pool| pool.waiting as f64);
        sheet.gauges("taskwire_pool_waiting", "Callers who wait for a connection", waiting)?;
        let checkouts = labels.iter().zip(&pools).map(|(label, pool)| (&label[..], &pool.checkouts));
        sheet.histograms(
            "taskwire_pool_checkout_seconds",
            "How long callers waited for a connection",
            checkouts,
        )?;
        let errors: Vec<_> =
            self.services.storage.errors().counts().map(|(kind, count)| ([("kind", kind)], count)).collect();
        sheet.counters(
            "taskwire_storage_errors",
            "Operations of the storage that failed, by kind",
            errors.iter().map(|(label, count)| (&label[..], *count)),
        )
    }

    fn reads(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let storage = &self.services.storage;
        let (counts, standbys) = (storage.read_counts(), storage.standby_states());
        let by_standbys = standbys.iter().map(|standby| standby.answered).sum();
        let reads: [(&Labels<'_>, u64); 2] =
            [(&[("server", "primary")], counts.primary), (&[("server", "standby")], by_standbys)];
        sheet.counters("taskwire_reads", "Reads of tasks and changes, by who answered them", reads)?;
        let fallbacks = counts.fallbacks.map(|(reason, count)| ([("reason", reason)], count));
        sheet.counters(
            "taskwire_read_fallbacks",
            "Reads that a standby might have answered and the primary did",
            fallbacks.iter().map(|(label, count)| (&label[..], *count)),
        )?;
        let labels: Vec<_> = standbys.iter().map(|standby| [("standby", standby.name.as_str())]).collect();
        let each = |value: fn(&StandbyState) -> f64| {
            labels.iter().zip(&standbys).map(move |(label, standby)| (&label[..], value(standby)))
        };
        let used = each(|standby| if standby.is_used { 1.0 } else { 0.0 });
        sheet.gauges("taskwire_standby_used", "Whether a standby is asked", used)?;
        let lag = each(|standby| standby.lag.as_secs_f64());
        sheet.gauges(
            "taskwire_standby_lag_seconds",
            "How long ago there was more than a standby has",
            lag,
        )?;
        let bytes = each(|standby| standby.lag_bytes as f64);
        sheet.gauges("taskwire_standby_lag_bytes", "How much of the log a standby lacks", bytes)?;
        let answered = labels.iter().zip(&standbys).map(|(label, standby)| (&label[..], standby.answered));
        sheet.counters("taskwire_standby_reads", "Reads that a standby answered", answered)
    }

    fn outbound(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let meters = self.services.outbound.meters();
        let attempts: [(&Labels<'_>, u64); 2] =
            [(&[("outcome", "taken")], meters.taken), (&[("outcome", "failed")], meters.failed)];
        sheet.counters(
            "taskwire_webhook_attempts",
            "Events sent to receivers, by what became of them",
            attempts,
        )?;
        sheet.counter(
            "taskwire_webhooks_disabled",
            "Webhooks that were disabled for failing",
            meters.disabled,
        )?;
        // Of the replica that tells them alone, so that a sum over all counts them once.
        let queues = meters.queues.unwrap_or_default();
        let states: [(&Labels<'_>, f64); 3] = [
            (&[("state", "waiting")], queues.waiting as f64),
            (&[("state", "failing")], queues.failing as f64),
            (&[("state", "dead")], queues.dead as f64),
        ];
        let text = "What webhooks have still to be told, by webhook and user; of those waiting some fail, dead ones are not tried";
        sheet.gauges("taskwire_webhook_queues", text, states)
    }

    fn mail(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let meters = self.services.accounts.mailer().meters();
        let attempts: [(&Labels<'_>, u64); 2] =
            [(&[("outcome", "sent")], meters.sent), (&[("outcome", "failed")], meters.failed)];
        sheet.counters("taskwire_mail_attempts", "Mails handed to the mail server, by outcome", attempts)?;
        sheet.counter("taskwire_mails_dropped", "Mails that were not sent in time", meters.dropped)?;
        let states: [(&Labels<'_>, f64); 2] = [
            (&[("state", "waiting")], meters.waiting.waiting as f64),
            (&[("state", "failing")], meters.waiting.failing as f64),
        ];
        let text = "Mails that are still to be sent, the same at each replica; of those waiting some fail";
        sheet.gauges("taskwire_mails", text, states)
    }

    fn lanes(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        const NUMBERS: [&str; 16] =
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
        let lanes = self.services.storage.lane_metrics();
        let mut seen = std::collections::HashMap::new();
        let labels: Vec<[(&'static str, &'static str); 2]> = lanes
            .iter()
            .map(|(kind, _)| {
                let number = seen.entry(*kind).or_insert(0_usize);
                let label = [("kind", *kind), ("lane", NUMBERS.get(*number).copied().unwrap_or("more"))];
                *number += 1;
                label
            })
            .collect();
        let all = || labels.iter().map(|label| &label[..]).zip(lanes.iter().map(|(_, lane)| *lane));
        sheet.gauges(
            "taskwire_lane_operations_in_flight",
            "Operations that wait for a lane or are under way in it",
            all().map(|(label, lane)| (label, lane.waiting.load(Ordering::Relaxed) as f64)),
        )?;
        sheet.counters(
            "taskwire_lane_refused",
            "Operations refused because the lane was full",
            all().map(|(label, lane)| (label, lane.refused.load(Ordering::Relaxed))),
        )?;
        sheet.histograms(
            "taskwire_lane_batch_size",
            "Operations in one batch",
            all().map(|(label, lane)| (label, &lane.batch_sizes)),
        )?;
        sheet.histograms(
            "taskwire_lane_wait_seconds",
            "How long operations waited before their batch began",
            all().map(|(label, lane)| (label, &lane.waits)),
        )
    }
}

/// What Prometheus' own clients say of every process, and the runtime.
fn process(sheet: &mut Sheet<'_>) -> fmt::Result {
    let read = |name| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let stat = read("stat");
    // The name of the program may hold anything, so what counts comes after it.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let field = |number: usize| fields.get(number).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let bytes = field(21) * rustix::param::page_size() as f64;
    sheet.gauge("process_resident_memory_bytes", "Memory of the process", bytes)?;
    sheet.counter_f64(
        "process_cpu_seconds",
        "Processor time of the process",
        (field(11) + field(12)) / ticks,
    )?;
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or_default();
    sheet.gauge("process_open_fds", "Files that are open", open as f64)?;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(files) = files {
        sheet.gauge("process_max_fds", "Files that may be open", files as f64)?;
    }
    let boot = read("../stat");
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok());
    if let Some(boot) = boot {
        sheet.gauge("process_start_time_seconds", "When the process started", boot + field(19) / ticks)?;
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let runtime = runtime.metrics();
        sheet.gauge("tokio_workers", "Threads that run tasks", runtime.num_workers() as f64)?;
        sheet.gauge("tokio_tasks_alive", "Tasks that have not ended", runtime.num_alive_tasks() as f64)?;
        let text = "Tasks that wait for any thread";
        sheet.gauge("tokio_global_queue_depth", text, runtime.global_queue_depth() as f64)?;
    }
    Ok(())
}

/// What is being written.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
    fn begin<'s>(
        &'s mut self,
        name: &'s str,
        help: &'s str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.begin(name, help, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.begin(name, help, MetricType::Counter)?)
    }

    fn counter_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        ConstCounter::new(value).encode(self.begin(name, help, MetricType::Counter)?)
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'l Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'l Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'l Labels<'l>, &'l Histogram)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, MetricType::Histogram)?;
        for (labels, histogram) in values {
            histogram.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
