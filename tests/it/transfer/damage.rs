//! Files that are not what was written: each is refused with the reason, and nothing comes of it.

use std::io::Cursor;
use std::sync::Arc;

use taskwire::transfer::{BackupError, Column, Origin, Reader, Writer};

use super::{block_on, done, fill_every_table, refused, somebody};
use crate::support::both_engines;
use crate::support::database::{Engine, TestDatabase};
use crate::support::process::{Running, Sandbox};

both_engines!(a_damaged_backup_is_refused_wherever_it_is);

fn prove(bytes: &[u8]) -> Result<(), BackupError> {
    Reader::begin(Cursor::new(bytes), Arc::default())?.verify().map(drop)
}

async fn a_damaged_backup_is_refused_wherever_it_is(database: TestDatabase) {
    let sandbox = Sandbox::new();
    fill_every_table(&database).await;
    done(&sandbox, &database.url, &["backup", "whole"]);
    let whole = std::fs::read(sandbox.path("whole")).unwrap();
    prove(&whole).unwrap();

    // Cut everywhere, and longer than it was.
    for length in 0..whole.len() {
        let error = prove(&whole[..length]).unwrap_err();
        let is_named = match length {
            0 => matches!(error, BackupError::NotABackup),
            _ => matches!(error, BackupError::Cut(_)),
        };
        assert!(is_named, "cut after {length} bytes: {error}");
    }
    assert!(matches!(prove(&[&whole[..], b"\0"].concat()), Err(BackupError::Damaged(_))));

    // A bit that is another one, 200 times and at least once in each of the first bytes.
    let places = (0..40).chain((0..160).map(|number| number * whole.len() / 160));
    for (number, place) in places.enumerate() {
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (number % 8);
        let error = prove(&flipped).unwrap_err();
        let is_named = !matches!(error, BackupError::Read(_) | BackupError::Write(_));
        assert!(is_named, "bit {} of byte {place}: {error}", number % 8);
    }

    // The same by the program, from a file and from a stream, into a database that stays as it was.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 16;
    let target =
        TestDatabase::create(Engine::Sqlite, crate::support::database::Schema::Migrated).await.unwrap();
    for (bytes, words) in [
        (&whole[..whole.len() / 2], "bad is cut off: it ends after"),
        (&flipped[..], "bad is damaged: "),
        (&b""[..], "bad is not a backup of taskwire"),
        (&b"SQLite format 3\0"[..], "bad is not a backup of taskwire"),
    ] {
        std::fs::write(sandbox.path("bad"), bytes).unwrap();
        refused(&sandbox, &target.url, &["backup", "--verify", "bad"], words);
        refused(&sandbox, &target.url, &["restore", "bad"], words);
        let mut restore = sandbox.command();
        restore.args(["restore", "-", "--database-url", &target.url]);
        restore.stdin(std::fs::File::open(sandbox.path("bad")).unwrap());
        let ended = Running::spawn(restore).end();
        let words = words.replace("bad ", "the stream ");
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        assert!(ended.complaints()[0].starts_with(&words), "{}", ended.stderr);
        assert_eq!(target.query_i64("select count(*) from users").await, 0);
    }
    refused(&sandbox, &target.url, &["restore", "nowhere"], "nowhere cannot be read: No such file");
}

fn origin(schema: &str) -> Origin {
    Origin {
        taskwire: "9.9.9".into(),
        engine: "sqlite".into(),
        schema: schema.into(),
        history: String::new(),
        time: "2026-11-29T00:00:00Z".into(),
        one_moment: true,
    }
}

#[test]
fn what_is_newer_says_so() {
    let sandbox = Sandbox::new();
    let (_, file) = Writer::begin(Vec::new(), origin("20991231000000")).unwrap().finish().unwrap();
    std::fs::write(sandbox.path("schema"), &file).unwrap();
    let url = "sqlite:tasks.db";
    let words =
        "schema holds the schema 20991231000000, which this program does not know: use a newer taskwire";
    refused(&sandbox, url, &["restore", "schema"], words);
    let at = file.iter().position(|byte| *byte == b'\n').unwrap();
    let format = [b"taskwire backup 17", &file[at..]].concat();
    std::fs::write(sandbox.path("format"), format).unwrap();
    let words = "format was written by a newer taskwire, in format 17; this one reads format 1";
    refused(&sandbox, url, &["restore", "format"], words);
    refused(&sandbox, url, &["backup", "--verify", "format"], words);
}

/// A file whose sums are right and whose rows are not: nothing of it comes in.
#[test]
fn rows_that_do_not_fit_are_refused_as_a_whole() {
    let sandbox = Sandbox::new();
    let url = "sqlite:tasks.db";
    let service = sandbox.serve(&["--database-url", url]);
    block_on(async { somebody(&service, "ada@example.com", 3).await });
    service.stop();
    done(&sandbox, url, &["backup", "sound"]);
    let sound = std::fs::File::open(sandbox.path("sound")).unwrap();
    let schema = Reader::begin(sound, Arc::default()).unwrap().origin().schema.clone();
    let column = |name: &str, key| Column { name: name.into(), kind: "bytes".into(), key };
    let emails =
        vec![Column { name: "email_key".into(), kind: "text".into(), key: true }, column("user_id", false)];
    let row = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    for (columns, rows, words) in [
        (
            vec![column("none", true)],
            row(b""),
            "no place for what comes in: the column none of the table emails",
        ),
        (emails.clone(), row(b"\x01\0\0\0\0\0\0\0\x01\0"), "a row of emails is not as its columns are"),
        (emails.clone(), row(b"\x02\0\0\0\xff"), "a row of emails is not as its columns are"),
        (emails.clone(), row(b"\x02\0\0\0\x01a\x00"), "the database failed: "),
        (emails, row(b"\x02\0\0\0\x01a\x03\0\0\0\x01a"), "the database failed: "),
    ] {
        let mut writer = Writer::begin(Vec::new(), origin(&schema)).unwrap();
        writer.table("emails", columns).unwrap();
        writer.rows(1, &rows).unwrap();
        let (_, file) = writer.finish().unwrap();
        std::fs::write(sandbox.path("unfit"), file).unwrap();
        refused(&sandbox, "sqlite:other.db", &["restore", "unfit"], words);
    }
    done(&sandbox, "sqlite:other.db", &["restore", "sound"]);
}
