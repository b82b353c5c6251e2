//! What it ran on, and which versions.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine and the programs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: Option<String>,
    memory_mib: Option<u64>,
    kernel: Option<String>,
    /// Over 1, 5 and 15 minutes, before the run.
    load_average_before: Option<String>,
    taskwire: &'static str,
    tonic: Option<&'static str>,
    rustc: Option<String>,
    sqlite: Option<String>,
    postgresql: Option<String>,
    /// What decides how long a commit takes.
    postgresql_settings: Vec<(String, String)>,
}

impl Machine {
    pub(crate) fn look(postgresql: Option<String>, postgresql_settings: Vec<(String, String)>) -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?.to_owned();
            Some(line.trim_start_matches(['\t', ' ', ':']).trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            memory_mib: memory.and_then(|text| Some(text.split(' ').next()?.parse::<u64>().ok()? / 1024)),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
            load_average_before: load_average(),
            taskwire: env!("CARGO_PKG_VERSION"),
            tonic: locked_version("tonic"),
            rustc: said_by("rustc"),
            sqlite: libsqlite3_sys::SQLITE_VERSION.to_str().ok().map(str::to_owned),
            postgresql,
            postgresql_settings,
        }
    }

    /// Two lines for people.
    pub(crate) fn summary(&self) -> String {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        format!(
            "{} cores, {}, {} MiB, load average {}\ntaskwire {}, {}, PostgreSQL {}, SQLite {}, tonic {}\n",
            self.cores,
            known(&self.processor),
            self.memory_mib.unwrap_or_default(),
            known(&self.load_average_before),
            self.taskwire,
            known(&self.rustc),
            known(&self.postgresql),
            known(&self.sqlite),
            self.tonic.unwrap_or("unknown"),
        )
    }
}

/// Over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn said_by(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn locked_version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split('"').next()
}
