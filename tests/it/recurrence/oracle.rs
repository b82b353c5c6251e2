//! Rules that come by chance, as python-dateutil expands them: what follows what in local time, and when that is in zones whose
//! clocks change. Python is there under `make test-gateway`.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use jiff::ToSpan as _;
use jiff::civil::{DateTime, date};
use jiff::tz::{Disambiguation, TimeZone as Rules};
use taskwire::domain::{Basis, Day, DueDay, Recurrence, RecurrenceRule, Schedule, TimeZone, Timestamp};

use crate::revisions::harness::random::Random;

/// The larger number is the one that counts, run by hand with `TASKWIRE_SOAK=1`.
fn rules() -> usize {
    let soak = std::env::var_os("TASKWIRE_SOAK").is_some_and(|value| value == "1");
    if soak { 10_000 } else { 150 }
}

/// How many occurrences of each are compared.
const OCCURRENCES: usize = 12;
/// python-dateutil looks no further.
const LAST_YEAR: i16 = 2060;
const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kolkata",
];

struct Case {
    start: DateTime,
    rrule: String,
}

fn values(random: &mut Random, most: usize, mut one: impl FnMut(&mut Random) -> String) -> String {
    let count = 1 + random.below(most);
    (0..count).map(|_| one(random)).collect::<Vec<_>>().join(",")
}

fn signed(random: &mut Random, most: usize) -> String {
    let number = 1 + random.below(most);
    if random.percent(40) { format!("-{number}") } else { number.to_string() }
}

fn case(random: &mut Random) -> Case {
    const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    let weekday = |random: &mut Random| WEEKDAYS[random.below(7)];
    let frequency = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"][random.below(4)];
    let is = |names: &[&str]| names.contains(&frequency);
    let start = start(random);
    let mut rrule = format!("FREQ={frequency}");
    let mut has_parts = false;
    if random.percent(50) {
        let most = if random.percent(10) { 60 } else { 5 };
        write!(rrule, ";INTERVAL={}", 1 + random.below(most)).unwrap();
    }
    if random.percent(25) {
        write!(rrule, ";BYMONTH={}", values(random, 4, |random| (1 + random.below(12)).to_string())).unwrap();
        has_parts = true;
    }
    if !is(&["WEEKLY"]) && random.percent(30) {
        write!(rrule, ";BYMONTHDAY={}", values(random, 4, |random| signed(random, 31))).unwrap();
        has_parts = true;
    }
    if is(&["YEARLY"]) && random.percent(20) {
        write!(rrule, ";BYYEARDAY={}", values(random, 6, |random| signed(random, 366))).unwrap();
        has_parts = true;
    }
    if random.percent(45) {
        // Numbers stand on all of them, or on none: of both python-dateutil wants both.
        // In a month it knows no sixth.
        let most = if is(&["MONTHLY"]) || rrule.contains("BYMONTH=") { 5 } else { 53 };
        let has_numbers = is(&["MONTHLY", "YEARLY"]) && random.percent(50);
        let days = values(random, 5, |random| {
            let number = if has_numbers { signed(random, most) } else { String::new() };
            number + weekday(random)
        });
        write!(rrule, ";BYDAY={days}").unwrap();
        has_parts = true;
    }
    if has_parts && random.percent(30) {
        write!(rrule, ";BYSETPOS={}", values(random, 2, |random| signed(random, 4))).unwrap();
    }
    if random.percent(30) {
        write!(rrule, ";WKST={}", weekday(random)).unwrap();
    }
    match random.below(6) {
        0 => write!(rrule, ";COUNT={}", 1 + random.below(20)).unwrap(),
        1 => {
            let until = start.checked_add(i32::try_from(random.below(2000)).unwrap().days()).unwrap();
            write!(rrule, ";UNTIL={}", until.strftime("%Y%m%dT%H%M%S")).unwrap();
        }
        _ => {}
    }
    Case { start, rrule }
}

/// Days and times at which calendars and clocks go wrong, and others.
fn start(random: &mut Random) -> DateTime {
    let day = match random.below(6) {
        0 => date(2024, 2, 29),
        1 => date(2025, [1, 3, 5, 7, 8, 10, 12][random.below(7)], 31),
        2 => date(2026, [3, 4, 9, 10, 11][random.below(5)], 1 + i8::try_from(random.below(28)).unwrap()),
        3 => date(2027, 12, 26 + i8::try_from(random.below(6)).unwrap()),
        _ => date(2019, 1, 1).checked_add(i32::try_from(random.below(4500)).unwrap().days()).unwrap(),
    };
    let (hour, minute) =
        [(0, 0), (0, 30), (1, 30), (2, 0), (2, 15), (2, 30), (3, 0), (9, 0), (23, 30), (23, 59)]
            [random.below(10)];
    day.at(hour, minute, 0, 0)
}

/// What python-dateutil says of one case: local times, and the seconds in each zone.
type Told = Vec<(DateTime, Vec<i64>)>;

fn ask(python: &str, cases: &[Case], mut each: impl FnMut(&Case, Told)) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/recurrence/oracle.py");
    let mut oracle =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut questions = serde_json::to_string(&ZONES).unwrap() + "\n";
    for Case { start, rrule } in cases {
        let start = start.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let question = serde_json::json!({"start": start, "rrule": rrule, "count": OCCURRENCES});
        writeln!(questions, "{question}").unwrap();
    }
    let mut stdin = oracle.stdin.take().unwrap();
    let asking = std::thread::spawn(move || stdin.write_all(questions.as_bytes()).unwrap());
    let mut answers = BufReader::new(oracle.stdout.take().unwrap()).lines();
    for case in cases {
        let answer = answers.next().unwrap_or_else(|| panic!("nothing is said of {}", case.rrule)).unwrap();
        let told: Vec<(String, Vec<i64>)> = serde_json::from_str(&answer).unwrap();
        each(case, told.into_iter().map(|(local, seconds)| (local.parse().unwrap(), seconds)).collect());
    }
    asking.join().unwrap();
    assert!(oracle.wait().unwrap().success());
}

/// The points in time that follow the due of a task like this in a zone; `None` where its local time is left out there, as nobody can
/// say so.
fn ours(case: &Case, zone: &str) -> Option<Vec<i64>> {
    let rules = Rules::get(zone).unwrap();
    let due = rules.to_ambiguous_zoned_datetime(case.start);
    let due = due.disambiguate(Disambiguation::Earlier).unwrap();
    if due.datetime() != case.start {
        return None;
    }
    let schedule = Schedule {
        due_time: Some(Timestamp::from_micros(due.timestamp().as_microsecond()).unwrap()),
        due_day: None,
        start_time: None,
        time_zone: TimeZone::parse(zone).unwrap(),
    };
    let rule = RecurrenceRule::parse(&case.rrule).unwrap();
    // One that has none is refused.
    let all = schedule.occurrences(Recurrence::new(&rule, Basis::Due), OCCURRENCES + 1).unwrap_or_default();
    Some(all.iter().skip(1).map(|one| one.due_time.unwrap().to_parts().0).collect())
}

fn our_days(case: &Case) -> Vec<(i32, i32, i32)> {
    let time_zone = TimeZone::parse("Europe/Berlin").unwrap();
    let start = case.start.date();
    let day = Day::from_parts(start.year().into(), start.month().into(), start.day().into()).unwrap();
    let due_day = Some(DueDay { day, end: day.end(time_zone.as_ref()) });
    let schedule = Schedule { due_time: None, due_day, start_time: None, time_zone };
    let rule = RecurrenceRule::parse(&case.rrule).unwrap();
    let all = schedule.occurrences(Recurrence::new(&rule, Basis::Due), OCCURRENCES + 1).unwrap_or_default();
    all.iter().skip(1).map(|one| one.due_day.unwrap().day.to_parts()).collect()
}

/// Both say the same as far as both go: python-dateutil to its last year, or to the number that was asked for.
fn check<T: PartialEq + std::fmt::Debug + Copy>(
    case: &Case,
    zone: &str,
    (ours, theirs): (&[T], &[T]),
    is_late: impl Fn(T) -> bool,
) {
    let what = || format!("{} from {} in {zone}: {ours:?}, and not {theirs:?}", case.rrule, case.start);
    let both = ours.len().min(theirs.len());
    assert_eq!(ours[..both], theirs[..both], "{}", what());
    assert_eq!(both, theirs.len(), "{}", what());
    // They were asked for as many as that, with the first.
    let is_whole = theirs.len() >= OCCURRENCES - 1;
    assert!(is_whole || ours.get(both).is_none_or(|next| is_late(*next)), "{}", what());
}

#[test]
fn rules_are_expanded_as_by_dateutil() {
    let Ok(python) = std::env::var("TASKWIRE_TEST_PYTHON") else {
        println!("LEFT OUT: TASKWIRE_TEST_PYTHON names no Python with python-dateutil");
        return;
    };
    let mut random = Random::seeded();
    let cases: Vec<Case> = (0..rules()).map(|_| case(&mut random)).collect();
    // Most of the time is Python's.
    let half = cases.len().div_ceil(2);
    let halves: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let running: Vec<_> =
            cases.chunks(half).map(|cases| scope.spawn(|| compare(&python, cases))).collect();
        running.into_iter().map(|half| half.join().unwrap()).collect()
    });
    let (compared, empty) = halves.into_iter().fold((0, 0), |sum, half| (sum.0 + half.0, sum.1 + half.1));
    let (count, zones) = (cases.len(), ZONES.len());
    println!("{compared} occurrences of {count} rules in {zones} zones are the same; {empty} have none");
    assert!(compared > count * zones && empty < count / 3);
}

/// How many occurrences were compared, and how many rules have none beside the due.
fn compare(python: &str, cases: &[Case]) -> (usize, usize) {
    let (mut compared, mut empty) = (0, 0);
    ask(python, cases, |case, told| {
        let later: Vec<_> = told.iter().filter(|(local, _)| *local > case.start).collect();
        empty += usize::from(later.is_empty());
        for (at, zone) in ZONES.iter().enumerate() {
            let theirs: Vec<i64> = later.iter().map(|(_, seconds)| seconds[at]).collect();
            let Some(ours) = ours(case, zone) else {
                continue;
            };
            let end = Rules::UTC.to_timestamp(date(LAST_YEAR + 1, 1, 1).at(0, 0, 0, 0)).unwrap().as_second();
            check(case, zone, (&ours, &theirs), |next| next > end - 100_000);
            compared += ours.len();
        }
        if !case.rrule.contains("UNTIL") {
            let ours = our_days(case);
            let parts = |local: &DateTime| (local.year().into(), local.month().into(), local.day().into());
            let theirs: Vec<(i32, i32, i32)> = later.iter().map(|(local, _)| parts(local)).collect();
            check(case, "days", (&ours, &theirs), |(year, ..)| year > i32::from(LAST_YEAR));
        }
    });
    (compared, empty)
}
