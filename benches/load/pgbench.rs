//! `pgbench -M prepared` with the same single-row statements on the same tables: the database's own benchmark.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::load::Sample;
use crate::plan::{PGBENCH_CLIENTS, Work};
use crate::postgres::Postgres;
use crate::world::{FIRST, TASK_PREFIX, USER_PREFIX};
use crate::{Options, Result, process};

/// The first twenty digits of the id of a task that it inserts.
const NEW_PREFIX: &str = "0000000000007000a000";

const COLUMNS: &str = "user_id, task_id, title, description, completed, priority, due_time, labels, create_time, \
                       update_time, complete_time, delete_time, purge_time, revision, details, list_id, position, parent_id";

/// Writes the latency of one in so many transactions down.
const SAMPLED: f64 = 0.1;

fn script(work: Work) -> String {
    let user = format!("('{USER_PREFIX}' || :user::text)::uuid");
    let task = format!("('{TASK_PREFIX}' || :task::text)::uuid");
    let pick_user = format!("\\set user {FIRST} + random(0, :users - 1)\n");
    let pick_task = format!("\\set task {FIRST} + random(0, :tasks - 1)\n");
    match work {
        Work::Get => format!(
            "{pick_user}{pick_task}select {COLUMNS} from tasks where user_id = {user} and task_id = {task};\n"
        ),
        Work::List => format!(
            "{pick_user}select {COLUMNS} from tasks where user_id = {user} and delete_time is null \
             order by create_time desc, task_id desc limit 51;\n"
        ),
        Work::Update | Work::Delete => format!(
            "{pick_user}{pick_task}\\set n random(0, 999999999)\n\
             update tasks set title = 'Task ' || :n::text, title_key = 'task ' || :n::text, update_time = now(), \
             revision = revision + 1 where user_id = {user} and task_id = {task};\n"
        ),
        // The ids rise, as the service's own do.
        Work::Create => {
            let new = crate::world::new_task();
            format!(
                "{pick_user}\\set n :n + 1\n\\set task :run * 1000000000 + :n * 100 + :client_id\n\
                 insert into tasks ({COLUMNS}, title_key, description_key) values ({user}, \
                 ('{NEW_PREFIX}' || :task::text)::uuid, '{title}', '{description}', false, 3, null, '[]', now(), \
                 now(), null, null, null, 1, null, null, 'z' || :task::text, null, '{title_key}', '{description_key}');\n",
                title = new.title,
                title_key = new.title.to_lowercase(),
                description = new.description(),
                description_key = new.description().to_lowercase(),
            )
        }
    }
}

/// Measures one statement. `run` differs from call to call, so that no id comes twice.
pub(crate) async fn measure(
    options: &Options,
    postgres: &Postgres,
    directory: &Path,
    work: Work,
    run: u32,
) -> Result<Sample> {
    let file = directory.join("pgbench.sql");
    let log = directory.join(format!("pgbench-{run}"));
    std::fs::write(&file, script(work))?;
    let mut command = Command::new(postgres.programs.join("pgbench"));
    command
        .args(["-M", "prepared", "-n", "-j", "2", "-c", &PGBENCH_CLIENTS.to_string()])
        .args(["-T", &options.seconds.to_string()])
        .args(["-D", &format!("users={}", options.users), "-D", &format!("tasks={}", options.tasks)])
        .args(["-D", &format!("run={}", 100 + run % 900), "-D", "n=0"])
        .args(["--log", "--log-prefix", &log.to_string_lossy(), "--sampling-rate", &SAMPLED.to_string()])
        .arg("-f")
        .arg(&file)
        .arg(&postgres.url)
        .env_clear();
    let (begin, before) = (Instant::now(), postgres.meter.and_then(|meter| meter.read()));
    let output = process::run(&mut command, options.window() + Duration::from_secs(20)).await?;
    let used =
        postgres.meter.and_then(|meter| meter.read()).zip(before).map(|(after, before)| after - before);
    let text = String::from_utf8(output.stdout)?;
    let number = |name: &str| -> Result<f64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| text.clone())?;
        Ok(rest.split([' ', '/']).find(|word| !word.is_empty()).unwrap_or_default().parse()?)
    };
    let calls = number("number of transactions actually processed:")?;
    let (p50, p99) = latencies(directory, &format!("pgbench-{run}."))?;
    Ok(Sample {
        calls_per_second: number("tps =")?,
        p50_ms: p50,
        p99_ms: p99,
        service_cpu_us: None,
        standby_cpu_us: None,
        database_cpu_us: used.map(|used| used.as_secs_f64() * 1e6 / calls),
        generator_cpu_us: None,
        seconds: begin.elapsed().as_secs_f64(),
        failed: 0.0,
    })
}

/// Out of the files that pgbench wrote: the third field of a line is the latency in microseconds.
fn latencies(directory: &Path, prefix: &str) -> Result<(f64, f64)> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)) {
            continue;
        }
        for line in std::fs::read_to_string(&path)?.lines() {
            if let Some(Ok(micros)) = line.split(' ').nth(2).map(str::parse) {
                histogram.record(micros)?;
            }
        }
        std::fs::remove_file(path)?;
    }
    let at = |quantile| crate::load::millis(histogram.value_at_quantile(quantile), 1e3);
    Ok((at(0.5), at(0.99)))
}
