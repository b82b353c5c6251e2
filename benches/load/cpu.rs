//! Processor time and memory of processes, out of `/proc`. Where there is none, nothing is said.

use std::fs;
use std::time::Duration;

/// What the kernel counts processor time in, for every program: 1/100 s.
const TICK: Duration = Duration::from_millis(10);

/// Whose processor time is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meter {
    /// One process with all its threads.
    Process(u32),
    /// A process and its children, those that have ended included: PostgreSQL has one per connection.
    Family(u32),
}

impl Meter {
    /// The time used so far.
    pub(crate) fn read(self) -> Option<Duration> {
        match self {
            Self::Process(pid) => Some(Stat::of(pid)?.own),
            Self::Family(pid) => {
                let parent = Stat::of(pid)?;
                let children = fs::read_dir("/proc").ok()?.filter_map(|entry| {
                    let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
                    Stat::of(pid)
                });
                let living: Duration =
                    children.filter(|child| child.parent == pid).map(|child| child.own).sum();
                Some(parent.own + parent.ended + living)
            }
        }
    }
}

/// The parent of a process, if it is the program of this name.
pub(crate) fn parent_of(pid: u32, program: &str) -> Option<u32> {
    Stat::of(pid).filter(|stat| stat.program == program).map(|stat| stat.parent)
}

/// Memory that a process holds, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

struct Stat {
    program: String,
    parent: u32,
    own: Duration,
    /// Of children that have ended.
    ended: Duration,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything.
        let (before, after) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        // Counted from 3, the first one after the name, as in proc(5).
        let ticks = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
        Some(Self {
            program: before.split_once('(')?.1.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            own: TICK * (ticks(14)? + ticks(15)?),
            ended: TICK * (ticks(16)? + ticks(17)?),
        })
    }
}
