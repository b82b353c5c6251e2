//! A server of the cluster as a process on this machine, for tests that kill it.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use url::Url;

use crate::support::database::connect;

/// A server, which runs again when this is dropped.
pub(super) struct Node {
    directory: PathBuf,
    programs: PathBuf,
    is_down: bool,
}

impl Node {
    /// The one that this URL leads to.
    pub(super) async fn of(url: &Url) -> Self {
        let client = connect(url.as_str()).await;
        let asked = "select current_setting('data_directory'), (select setting from pg_config() where name = 'BINDIR')";
        let row = client.query_one(asked, &[]).await.unwrap();
        let [directory, programs] = [0, 1].map(|at| PathBuf::from(row.get::<_, String>(at)));
        assert!(directory.exists(), "the cluster runs on another machine");
        Self { directory, programs, is_down: false }
    }

    fn postmaster(&self) -> String {
        let file = std::fs::read_to_string(self.directory.join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().to_owned()
    }

    /// The processes, the one that starts all others first.
    fn processes(&self) -> Vec<String> {
        let postmaster = self.postmaster();
        let below = Command::new("pgrep").args(["-P", &postmaster]).output().unwrap().stdout;
        let below = String::from_utf8(below).unwrap();
        std::iter::once(postmaster.clone()).chain(below.lines().map(str::to_owned)).collect()
    }

    fn signal(&self, name: &str) {
        // Some may have ended meanwhile.
        let _ = Command::new("kill")
            .arg(format!("-{name}"))
            .args(self.processes())
            .stderr(Stdio::null())
            .status();
    }

    /// Ends it without a word.
    pub(super) fn kill(&mut self) {
        self.signal("KILL");
        self.is_down = true;
    }

    /// Starts it again.
    pub(super) fn start(&mut self) {
        let owner = std::fs::metadata(&self.directory).unwrap();
        // What was killed may still be on its way out; each attempt takes its time.
        for _ in 0..100 {
            let mut command = Command::new(self.programs.join("pg_ctl"));
            command
                .args(["-s", "-w", "-D"])
                .arg(&self.directory)
                .arg("-l")
                .arg(self.directory.join("again.log"));
            command.arg("start").uid(owner.uid()).gid(owner.gid()).current_dir("/");
            // Its own connections look for certificates there.
            command
                .env("HOME", &self.directory)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if command.status().unwrap().success() {
                self.is_down = false;
                return;
            }
        }
        panic!("the server does not start again: {}", self.directory.display());
    }

    /// Lets it stand still, with all that is connected to it.
    pub(super) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.signal("CONT");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.is_down && !std::thread::panicking() {
            self.start();
        }
        self.thaw();
    }
}
