//! What rules of recurrence cost: the dearest of many, by what completing a task asks of them.

#![allow(clippy::unwrap_used)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use taskwire::domain::{Basis, Recurrence, RecurrenceRule, Schedule, TimeZone, Timestamp};

/// No rule may cost more.
const BOUND: Duration = Duration::from_millis(5);

/// Rules that look long for their days, or count many.
const RULES: [&str; 22] = [
    "FREQ=DAILY",
    "FREQ=DAILY;COUNT=10000",
    "FREQ=DAILY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;COUNT=10000",
    "FREQ=WEEKLY;INTERVAL=52;BYMONTH=2;BYDAY=MO",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=-1;COUNT=10000",
    "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR;COUNT=10000",
    "FREQ=MONTHLY;INTERVAL=5;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
    "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=40",
    "FREQ=YEARLY;COUNT=10000",
    "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=366;COUNT=10000",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;COUNT=10000",
    "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR;COUNT=10000",
    "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1",
    "FREQ=YEARLY;BYYEARDAY=366;BYDAY=MO;COUNT=10000",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;BYMONTHDAY=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31;BYDAY=53MO",
    "FREQ=YEARLY;BYDAY=53MO;BYMONTHDAY=31",
    "FREQ=YEARLY;INTERVAL=1000",
];

/// The best of several, as what disturbs a run is not the rule's.
fn cost(work: impl Fn()) -> Duration {
    let once = || {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

fn main() -> ExitCode {
    let zone = TimeZone::parse("America/Santiago").unwrap();
    let mut dearest = Duration::ZERO;
    for text in RULES {
        let rule = RecurrenceRule::parse(text).unwrap();
        let mut line = format!("{text:.<70}");
        // Written today; a task that was due long ago; and one of somebody who tries what there is.
        for (first, due) in
            [(1_767_225_600, 1_767_225_600), (946_684_800, 1_767_225_600), (-62_000_000_000, 253_000_000_000)]
        {
            let at = |seconds: i64| Timestamp::from_parts(seconds, 0).ok();
            let schedule = |seconds| Schedule {
                due_time: at(seconds),
                due_day: None,
                start_time: at(seconds),
                time_zone: zone.clone(),
            };
            let took = cost(|| {
                let recurrence = Recurrence::new(&rule, Basis::Due);
                let begun = schedule(first).begin(recurrence);
                let _ = std::hint::black_box(begun.following(&schedule(due), at(due).unwrap(), 1));
            });
            dearest = dearest.max(took);
            line.push_str(&format!(" {:>7} µs", took.as_micros()));
        }
        println!("{line}");
    }
    println!("the dearest takes {} µs; the bound is {} µs", dearest.as_micros(), BOUND.as_micros());
    if dearest > BOUND { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
