//! Files that are none: each is told in a word, and nothing panics.

use taskwire::interchange::{Calendar, Csv, Format, JsonLines, detect};

use super::generated::account;
use super::{all, entries, items, refusals, written};
use crate::revisions::harness::random::Random;

const FORMATS: [Format; 7] = [
    Format::JsonLines,
    Format::Csv,
    Format::Ical,
    Format::Google,
    Format::Todoist,
    Format::Microsoft,
    Format::Vikunja,
];

#[test]
fn what_is_no_file_of_tasks_is_told_what_it_is() {
    for (head, why) in [
        (&b""[..], "is empty"),
        (b"PK\x03\x04rest", "is a zip archive: unzip it first"),
        (b"\x1f\x8brest", "is compressed: unpack it first"),
        (b"\xff\xfeT\0", "is UTF-16: save it as UTF-8"),
        (b"hello there", "is of no format that is known by its beginning: name it with --from"),
        (b"[1, 2]", "is JSON of no format that is known by its beginning: name it with --from"),
    ] {
        let told = detect(head).unwrap_err().to_string();
        assert!(told.starts_with(why), "{told}");
    }
    assert_eq!(detect(b"\xef\xbb\xbfbegin:vcalendar\r\n").unwrap(), Format::Ical);
    assert_eq!(detect(b"{\"title\":\"Milk\"}\n").unwrap(), Format::JsonLines);
}

#[test]
fn an_empty_file_of_any_format_is_told() {
    for format in FORMATS {
        let (found, error) = all(format, "");
        assert_eq!(found, [], "{format:?}");
        assert!(error.is_some(), "{format:?}");
    }
}

#[test]
fn lines_that_are_broken_do_not_break_the_rest() {
    let good =
        "{\"task\":{\"name\":\"users/me/tasks/0198c5a4-7d3e-7c41-9b1f-2f6d8a5e4c10\",\"title\":\"Milk\"}}";
    let deep = format!("{{\"task\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"task\":{{\"title\":\"{}\"}}}}", "x".repeat(2 << 20));
    let mut file = Vec::new();
    for line in [
        &b"{\"task\":{\"title\":\"no name\"}}"[..],
        b"{\"task\":",
        b"{\"task\":{\"name\":\"users/me/tasks/7\",\"title\":\"T\"}}",
        b"{\"task\":{\"titel\":\"T\"}}",
        b"{\"task\":7}",
        b"{\"title\":\"\xe4\"}",
        b"nul \0",
        deep.as_bytes(),
        long.as_bytes(),
        b"{\"session\":{\"name\":\"x\"}}",
        b"",
        b"[1]",
        good.as_bytes(),
    ] {
        file.extend(line);
        file.extend(b"\r\n");
    }
    let found = entries(Format::JsonLines, file);
    assert_eq!(items(&found).len(), 1);
    assert_eq!(items(&found)[0].line, 13);
    let refused = refusals(&found);
    assert_eq!(refused.len(), 10, "{refused:#?}");
    let expected = [
        "1: name: must be a name of the form users/{user}/tasks/{task} with UUIDs",
        "2: : must be a JSON object on one line",
        "3: name: must be a name of the form",
        "4: task: unrecognized field name 'titel'",
        "5: task:",
        "6: : must be UTF-8: save the file as that",
        "7: : must not hold NUL bytes",
        "8: task:",
        "9: : must have at most 1 MiB",
        "12: : must be a JSON object on one line",
    ];
    for (refused, expected) in refused.iter().zip(expected) {
        assert!(refused.starts_with(expected), "{refused}, and not {expected}");
    }
}

#[test]
fn deep_documents_are_told() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let google = format!(
        "{{\"kind\":\"tasks#taskLists\",\"items\":[{{\"id\":\"a\",\"title\":\"b\",\"items\":[{{\"id\":\"c\",\"title\":\"d\",\"links\":{deep}}}]}}]}}"
    );
    for (format, file) in [
        (Format::Google, google),
        (Format::Microsoft, deep.clone()),
        (Format::Vikunja, deep.clone()),
        (Format::Google, deep),
    ] {
        let (found, error) = all(format, file);
        assert!(error.is_some() || !refusals(&found).is_empty(), "{format:?}: {found:?}");
    }
}

/// Files that were whole, with bytes that are others, are missing or twice: whatever is read of them, nothing panics, and each
/// entry names a line of the file.
#[test]
fn damaged_files_are_read_as_far_as_they_go() {
    let mut random = Random::seeded();
    let (lists, tasks) = account(&mut random, 12, true);
    let whole = [
        (Format::JsonLines, written(JsonLines::new(), &lists, &tasks)),
        (Format::Csv, written(Csv::new(), &lists, &tasks)),
        (Format::Ical, written(Calendar::new(None), &lists, &tasks)),
        (Format::Google, super::google::FILE.as_bytes().to_vec()),
        (Format::Todoist, super::todoist::FILE.as_bytes().to_vec()),
        (Format::Microsoft, super::microsoft::FILE.as_bytes().to_vec()),
        (Format::Vikunja, super::vikunja::FILE.as_bytes().to_vec()),
    ];
    for (format, whole) in &whole {
        for _ in 0..150 {
            let mut file = whole.clone();
            for _ in 0..=random.below(4) {
                if file.is_empty() {
                    break;
                }
                let at = random.below(file.len());
                let to = (at + random.below(30)).min(file.len());
                match random.below(4) {
                    0 => file[at] = u8::try_from(random.below(256)).unwrap(),
                    1 => drop(file.drain(at..to)),
                    2 => {
                        let piece = file[at..to].to_vec();
                        let _: Vec<u8> = file.splice(at..at, piece).collect();
                    }
                    _ => file.truncate(at.max(1)),
                }
            }
            // As another format too: nobody keeps people from naming the wrong one.
            let other = *random.pick(&FORMATS).unwrap();
            for format in [*format, other] {
                let _ = detect(&file);
                let lines = file.iter().filter(|byte| **byte == b'\n').count() as u64 + 2;
                let (found, _) = all(format, &file);
                assert!(items(&found).into_iter().all(|item| (1..=lines).contains(&item.line)), "{found:#?}");
            }
        }
    }
}

/// A file without an end: the same piece again and again.
struct Endless {
    head: &'static [u8],
    piece: &'static [u8],
    at: usize,
}

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            let behind = self.at.checked_sub(self.head.len());
            *byte = behind.map_or_else(|| self.head[self.at], |at| self.piece[at % self.piece.len()]);
            self.at += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn nothing_is_read_before_it_is_asked_for() {
    for (format, head, piece) in [
        (Format::JsonLines, &b""[..], &b"{\"session\":{}}\n"[..]),
        (Format::Csv, b"title\n", b"Milk\n"),
        (Format::Todoist, b"TYPE,CONTENT\n", b"task,Milk\n"),
        (Format::Ical, b"BEGIN:VCALENDAR\n", b"BEGIN:VTODO\nUID:a\nSUMMARY:Milk\nEND:VTODO\n"),
    ] {
        let options = super::options();
        let input = std::io::BufReader::new(Endless { head, piece, at: 0 });
        let found = taskwire::interchange::read(format, input, &options).take(1000);
        assert_eq!(found.filter(Result::is_ok).count(), 1000, "{format:?}");
    }
}

#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    use std::io::Read as _;

    let endless = Endless { head: b"{\"task\":\"", piece: b"x", at: 0 };
    let input = std::io::BufReader::new(
        endless.take(100 << 20).chain(&b"\n{\"export\":{}}\n{\"end\":{}}\n{\"user\":{}}\n"[..]),
    );
    let options = super::options();
    let found: Vec<_> =
        taskwire::interchange::read(Format::JsonLines, input, &options).map(Result::unwrap).collect();
    assert_eq!(refusals(&found), ["1: : must have at most 1 MiB"]);
    assert_eq!(super::left_out(&found), ["4: user"]);
}
