//! At a terminal: a table as wide as it is, colours, questions, and a password that is not shown.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{EMAIL, PASSWORD, World};
use crate::support::database::TestDatabase;
use crate::support::{one_engine, totp_now};

one_engine!(Sqlite: the_table_is_as_wide_as_the_terminal, colours_are_for_terminals_that_want_them);
one_engine!(Sqlite: a_code_is_asked_for_where_one_is_needed);
one_engine!(Sqlite: what_is_missing_is_asked_for, two_new_passwords_must_agree);
one_engine!(Sqlite: an_erasure_is_asked_about);

const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    all: String,
}

impl Terminal {
    /// Starts `taskwire` at a terminal that is so wide.
    fn start(world: &World, columns: u16, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        // A session of its own, so that the terminal is the one of which passwords are asked.
        let mut command = Command::new("setsid");
        let ran = world.command();
        command.args(["--ctty", "--wait"]).arg(ran.get_program()).args(arguments);
        for (name, value) in ran.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (input, output) = (theirs.try_clone().unwrap(), theirs.try_clone().unwrap());
        command.envs(settings.iter().copied()).stdin(input).stdout(output).stderr(Stdio::from(theirs));
        let child = command.spawn().unwrap();
        // The last open end on the other side is the program's own.
        drop(command);
        let keys = File::from(ours);
        let mut screen = keys.try_clone().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, keys, shown, all: String::new() }
    }

    /// Waits until this is shown.
    fn wait_for(&mut self, text: &str) {
        while !self.all.contains(text) {
            let bytes = self
                .shown
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("not shown: {text}\n{}", self.all));
            self.all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Types at a prompt that is no longer shown what is typed: it is said first, and the terminal told after.
    fn type_hidden(&mut self, line: &str) {
        let begin = Instant::now();
        while tcgetattr(&self.keys).unwrap().local_modes.contains(LocalModes::ECHO) {
            assert!(begin.elapsed() < PATIENCE, "what is typed would be shown");
            std::thread::yield_now();
        }
        self.type_line(line);
    }

    fn type_line(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits for the end; answers everything that was shown, and the status.
    fn end(mut self) -> (String, Option<i32>) {
        while let Ok(bytes) = self.shown.recv_timeout(PATIENCE) {
            self.all.push_str(&String::from_utf8_lossy(&bytes));
        }
        let status = self.child.wait().unwrap().code();
        (std::mem::take(&mut self.all).replace("\r\n", "\n"), status)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows, without its colours.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').unwrap().1)
}

async fn the_table_is_as_wide_as_the_terminal(database: TestDatabase) {
    let world = World::start(database).await;
    world.answer(&[
        "task",
        "add",
        &"日本".repeat(40),
        "-l",
        "a label that is long by itself already",
        "-l",
        "home",
    ]);
    world.add("Milk");
    for columns in [200, 72, 60] {
        let (shown, status) = Terminal::start(&world, columns, &["task", "list"], &[]).end();
        assert_eq!(status, Some(0), "{shown}");
        let shown = plain(&shown);
        let width = |char: char| if "日本".contains(char) { 2 } else { 1 };
        for line in shown.lines() {
            let taken: usize = line.chars().map(width).sum();
            assert!(taken <= usize::from(columns), "{taken} of {columns}: {line}");
        }
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.contains('…') && shown.contains("Milk"), "{shown}");
    }
    // What is not a terminal has no width, and a pipe gets JSON unless told otherwise.
    assert!(world.told(&["task", "list"]).contains(&"日本".repeat(40)));
    let (json, _) = Terminal::start(&world, 80, &["task", "list", "--json"], &[]).end();
    assert!(json.starts_with("{\"name\":\"users/"), "{json}");
}

async fn colours_are_for_terminals_that_want_them(database: TestDatabase) {
    let world = World::start(database).await;
    world.answer(&["task", "add", "Milk", "-p", "high", "--due", "2020-01-01"]);
    let shown = |settings: &[(&str, &str)]| Terminal::start(&world, 80, &["task", "list"], settings).end().0;
    let coloured = shown(&[]);
    assert!(
        coloured.contains("\u{1b}[31m2020-01-01\u{1b}[0m") && coloured.contains("\u{1b}[1m"),
        "{coloured:?}"
    );
    assert!(shown(&[("NO_COLOR", "")]).contains('\u{1b}'), "an empty NO_COLOR says nothing");
    for settings in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert_eq!(shown(&[settings]), plain(&coloured));
    }
    assert_eq!(world.told(&["task", "list"]), plain(&coloured));
}

async fn what_is_missing_is_asked_for(database: TestDatabase) {
    let world = World::start(database).await;
    assert_eq!(world.run(["logout"]).status, Some(0));
    let mut terminal = Terminal::start(&world, 80, &["login"], &[]);
    terminal.wait_for("Email: ");
    terminal.type_line(EMAIL);
    terminal.wait_for("Password: ");
    terminal.type_hidden(PASSWORD);
    let (shown, status) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains(&format!("Logged in to {} as {EMAIL}\n", world.address())), "{shown}");
    assert!(!shown.contains("canary"), "the password is shown: {shown}");
    assert_eq!(world.run(["whoami"]).status, Some(0));
}

async fn a_code_is_asked_for_where_one_is_needed(database: TestDatabase) {
    let world = World::start(database).await;
    let secret = world.answer(&["totp", "enable"])["secret"].as_str().unwrap().to_owned();
    let told = world.told(&["totp", "confirm", &totp_now(&secret, 0)]);
    let recovery = told.lines().next().unwrap();
    let mut terminal = Terminal::start(&world, 80, &["login", EMAIL], &[]);
    terminal.wait_for("Password: ");
    terminal.type_hidden(PASSWORD);
    terminal.wait_for("Code, or a recovery code: ");
    terminal.type_hidden(recovery);
    let (shown, status) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("Logged in") && !shown.contains(recovery), "{shown}");
}

async fn two_new_passwords_must_agree(database: TestDatabase) {
    let world = World::start(database).await;
    for (again, expected) in [("canary-incorrect", Some(64)), (PASSWORD, Some(0))] {
        let mut terminal = Terminal::start(&world, 80, &["register", "bob@example.com"], &[]);
        terminal.wait_for("Password: ");
        terminal.type_hidden(PASSWORD);
        terminal.wait_for("Again: ");
        terminal.type_hidden(again);
        let (shown, status) = terminal.end();
        assert_eq!(status, expected, "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

async fn an_erasure_is_asked_about(database: TestDatabase) {
    let world = World::start(database).await;
    let url = world.database.url.clone();
    let erase = |typed: &str| {
        let arguments = ["user", "erase", EMAIL, "--database-url", &url];
        let mut terminal = Terminal::start(&world, 80, &arguments, &[]);
        terminal.wait_for(" and all that belongs to it, for good? [y/N] ");
        terminal.type_line(typed);
        terminal.end()
    };
    // Only who says yes means it.
    for typed in ["", "n", "no", "yess"] {
        let (shown, status) = erase(typed);
        assert_eq!(status, Some(1), "{typed}: {shown}");
        assert!(shown.ends_with("taskwire: nothing was erased\n"), "{typed}: {shown}");
        assert_eq!(world.run(["whoami"]).status, Some(0), "{typed}");
    }
    let (shown, status) = erase("y");
    assert_eq!(status, Some(0), "{shown}");
    let told = "its audit events are kept for 90 days\n";
    assert!(shown.contains("Erase users/") && shown.ends_with(told), "{shown}");
    assert_eq!(world.database.query_i64("select count(*) from users").await, 0);
}
