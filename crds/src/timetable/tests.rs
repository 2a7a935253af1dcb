//! The instants of schedules, against a table that was made by trying every day and second.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(text: &str, zone: &str) -> Schedule {
    Schedule { cron: Some(text.to_string()), time_zone: zone.to_string(), ..Schedule::default() }
}

fn quartz(text: &str) -> Schedule {
    Schedule { quartz_cron: Some(text.to_string()), ..Schedule::default() }
}

fn instants(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let table = schedule.timetable(at(from)).unwrap();
    let mut last = at(from);
    let step = |last: &mut Timestamp| {
        *last = table.next(*last)?;
        Some(last.to_string())
    };
    (0..count).map_while(|_| step(&mut last)).collect()
}

/// Form, zone, begin, text and the instants that `vectors/brute.py` found.
fn vectors() -> impl Iterator<Item = [&'static str; 5]> {
    include_str!("vectors/expected.tsv").lines().map(|line| line.split('\t').collect::<Vec<_>>().try_into().unwrap())
}

#[test]
fn j36_cron_vectors() {
    assert!(vectors().count() >= 120);
    let mut wrong = Vec::new();
    for [form, zone, begin, text, expected] in vectors() {
        let schedule = match form {
            "cron" => cron(text, zone),
            _ => Schedule { time_zone: zone.to_string(), ..quartz(text) },
        };
        let found = instants(&schedule, begin, 10).join(" ");
        if found != expected {
            wrong.push(format!("{form} {zone} {begin} '{text}'\n  found    {found}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn j36_cron_refusals_say_where() {
    let cases = [
        ("cron", "61 * * * *", 1, "minute is 0 to 59, not '61'"),
        ("cron", "0 24 * * *", 3, "hour is 0 to 23, not '24'"),
        ("cron", "0 0 0 * *", 5, "day of month is 1 to 31, not '0'"),
        ("cron", "0 0 1,32 * *", 7, "day of month is 1 to 31, not '32'"),
        ("cron", "0 0 * 13 *", 7, "month is 1 to 12, not '13'"),
        ("cron", "0 0 * JANUARY *", 7, "month is 1 to 12, not 'JANUARY'"),
        ("cron", "0  0 * *  8", 11, "day of week is 0 to 7, not '8'"),
        ("cron", "0 0 * * MON-", 13, "day of week is 0 to 7, not ''"),
        ("cron", "0 0 * * 5-1", 9, "the range 5-1 ends before it begins"),
        ("cron", "0 0 1-2-3 * *", 5, "'1-2-3' is no range"),
        ("cron", "*/0 * * * *", 3, "the step '0' is no number above 0"),
        ("cron", "*/5/2 * * * *", 1, "'*/5/2' has more than one step"),
        ("cron", "5/15 * * * *", 1, "a step needs * or a range, e.g. 5-59/2; only quartzCron counts on from a value"),
        ("cron", "+5 * * * *", 1, "minute is 0 to 59, not '+5'"),
        ("cron", "1,,2 * * * *", 3, "minute is 0 to 59, not ''"),
        ("cron", "* * * *", 8, "it has 4 fields, not 5: minute, hour, day of month, month, day of week"),
        ("cron", "0 0 0 1 1 ?", 11, "it has 6 fields, not 5: minute, hour, day of month, month, day of week"),
        ("cron", "", 1, "it has 0 fields, not 5: minute, hour, day of month, month, day of week"),
        ("cron", "@nightly", 1, "known are @hourly, @daily, @weekly, @monthly, @yearly"),
        ("cron", "0 0 L * *", 5, "'L' is for quartzCron"),
        ("cron", "0 0 15W * *", 5, "'W' is for quartzCron"),
        ("cron", "0 0 ? * 1", 5, "'?' is for quartzCron"),
        ("cron", "0 0 * * 5#2", 9, "'#' is for quartzCron"),
        ("quartz", "0 0 0 ?", 8, "it has 4 fields, not 6 or 7: second, minute, hour, day of month, month, day of week, year"),
        ("quartz", "0 0 0 1 * ? 2030 x", 18, "it has 8 fields, not 6 or 7: second, minute, hour, day of month, month, day of week, year"),
        ("quartz", "0 0 0 1 * MON", 7, "exactly one of day of month and day of week is ?"),
        ("quartz", "0 0 0 ? * ?", 7, "exactly one of day of month and day of week is ?"),
        ("quartz", "? 0 0 1 * ?", 1, "second is 0 to 59, not '?'"),
        ("quartz", "0 0 0 L-3 * ?", 7, "L-3, and lists, ranges or steps with L, W or #, are not supported"),
        ("quartz", "0 0 0 1,L * ?", 7, "L-3, and lists, ranges or steps with L, W or #, are not supported"),
        ("quartz", "0 0 0 1W,15W * ?", 7, "L-3, and lists, ranges or steps with L, W or #, are not supported"),
        ("quartz", "0 0 0 ? * MON,6L", 11, "L-3, and lists, ranges or steps with L, W or #, are not supported"),
        ("quartz", "0 0 0 6L * ?", 7, "'6L' is no day of month: L, LW, 15W are"),
        ("quartz", "0 0 0 32W * ?", 7, "day of month is 1 to 31, not '32'"),
        ("quartz", "0 0 0 ? * 0", 11, "day of week is 1 to 7, not '0'"),
        ("quartz", "0 0 0 ? * 8L", 11, "day of week is 1 to 7, not '8'"),
        ("quartz", "0 0 0 ? * 6#6", 11, "after # stands a number from 1 to 5"),
        ("quartz", "0 0 0 ? * 15W", 11, "'15W' is no day of week: 6L, 6#3 are"),
        ("quartz", "0 0 0 1 * ? 1969", 13, "year is 1970 to 2099, not '1969'"),
        ("quartz", "0 0 0 1 * ? 2030-2027", 13, "the range 2030-2027 ends before it begins"),
        ("quartz", "@daily", 7, "it has 1 fields, not 6 or 7: second, minute, hour, day of month, month, day of week, year"),
    ];
    for (form, text, at, expected) in cases {
        let (field, schedule) = if form == "cron" { ("cron", cron(text, "UTC")) } else { ("quartzCron", quartz(text)) };
        assert_eq!(problem(&schedule), format!("{field} '{text}' cannot be read at character {at}: {expected}"));
    }
    assert!(problem(&quartz("*/5 * * * * ?")).contains("two instants that are 5 s apart; at least 10 s are needed"));
    assert!(problem(&quartz("0,55 * * * * ?")).contains("two instants that are 5 s apart"));
    assert!(problem(&cron("0 0 30 2 *", "UTC")).contains("has no instant in the years to come"));
    assert!(problem(&quartz("0 0 0 1 1 ? 2020")).contains("has no instant in the years to come"));
    assert!(problem(&cron("0 0 * JUL WED", "Mars/Base")).starts_with("timeZone 'Mars/Base' is no name"));
}

#[test]
fn j37_daylight_saving() {
    let next = |zone: &str, text: &str, from: &str, count| instants(&cron(text, zone), from, count);
    let (berlin, new_york, lord_howe) = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe");
    let spring = "2026-03-28T12:00:00Z";
    assert_eq!(next(berlin, "30 2 * * *", spring, 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"], "right after the gap");
    assert_eq!(next(berlin, "0,30 2,3 * * *", spring, 3), ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:00:00Z"]);
    assert_eq!(next(berlin, "*/30 2 * * *", spring, 1), ["2026-03-30T00:00:00Z"], "no such instants in the gap");
    assert_eq!(next(berlin, "30 * * * *", "2026-03-29T00:00:00Z", 2), ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]);
    let autumn = "2026-10-24T12:00:00Z";
    assert_eq!(next(berlin, "30 2 * * *", autumn, 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"], "the first of the two");
    assert_eq!(next(berlin, "30 2 * * *", "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"], "in the second hour it has passed");
    let twice = ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
    assert_eq!(next(berlin, "*/30 2 * * *", autumn, 4), twice, "the doubled hour comes twice");
    assert_eq!(next(new_york, "30 2 8 3 *", "2026-03-01T00:00:00Z", 1), ["2026-03-08T07:00:00Z"]);
    assert_eq!(next(new_york, "30 1 1 11 *", "2026-10-01T00:00:00Z", 2), ["2026-11-01T05:30:00Z", "2027-11-01T05:30:00Z"]);
    assert_eq!(next(new_york, "30 * 1 11 *", "2026-11-01T05:00:00Z", 2), ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]);
    assert_eq!(next(lord_howe, "15 2 4 10 *", "2026-10-01T00:00:00Z", 1), ["2026-10-03T15:30:00Z"], "02:00 to 02:30 are left out");
    assert_eq!(next(lord_howe, "45 1 5 4 *", "2026-04-01T00:00:00Z", 2), ["2026-04-04T14:45:00Z", "2027-04-04T15:15:00Z"]);
    assert_eq!(
        next(lord_howe, "*/15 1 5 4 *", "2026-04-04T14:35:00Z", 3),
        ["2026-04-04T14:45:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:15:00Z"]
    );
    assert_eq!(next("UTC", "30 2 * * *", spring, 2), ["2026-03-29T02:30:00Z", "2026-03-30T02:30:00Z"]);
}

#[test]
fn a_part_of_a_second_is_after_the_second() {
    let table = cron("0 2 * * *", "UTC").timetable(at("2026-01-01T00:00:00Z")).unwrap();
    let next = |after: &str| table.next(at(after)).unwrap().to_string();
    assert_eq!(next("2026-01-01T01:59:59.999999Z"), "2026-01-01T02:00:00Z");
    assert_eq!(next("2026-01-01T02:00:00Z"), "2026-01-02T02:00:00Z");
    assert_eq!(next("2026-01-01T02:00:00.5Z"), "2026-01-02T02:00:00Z");
    assert_eq!(next("1969-12-31T23:59:59.5Z"), "1970-01-01T02:00:00Z");
}

fn problem(schedule: &Schedule) -> String {
    schedule.timetable(at("2026-01-01T00:00:00Z")).unwrap_err().to_string()
}

#[test]
fn both_forms_name_the_same_instants() {
    let expected = ["2026-11-23T06:30:00Z", "2026-11-24T06:30:00Z"];
    assert_eq!(instants(&cron("30 7 * * MON-FRI", "Europe/Berlin"), "2026-11-21T12:00:00Z", 2), expected);
    assert_eq!(instants(&quartz("0 30 6 ? * 2-6"), "2026-11-21T12:00:00Z", 2), expected);
    assert_eq!(instants(&quartz("0 0 0 L * ?"), "2026-02-01T00:00:00Z", 2), ["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
    assert_eq!(instants(&quartz("0 0 0 ? * 6#3"), "2026-11-01T00:00:00Z", 1), ["2026-11-20T00:00:00Z"], "the third Friday");
    assert_eq!(instants(&cron("@daily", "UTC"), "2026-11-21T12:00:00Z", 1), ["2026-11-22T00:00:00Z"]);
    let either = instants(&cron("0 0 1 * MON", "UTC"), "2026-11-21T12:00:00Z", 3);
    assert_eq!(either, ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"], "either day field may match");
}

#[test]
fn j38_catch_up() {
    let hourly = |catch_up, deadline| Schedule { catch_up, starting_deadline_seconds: deadline, ..cron("0 * * * *", "UTC") };
    let due = |catch_up, deadline, now: &str| {
        let table = hourly(catch_up, deadline).timetable(at(now)).unwrap();
        let due = table.due(at("2026-01-01T00:00:00Z"), at(now));
        (due.instants.iter().map(ToString::to_string).collect::<Vec<_>>(), due.newest.map(|newest| newest.to_string()))
    };
    let newest = Some("2026-01-01T03:00:00Z".to_string());
    assert_eq!(due(CatchUp::None, 0, "2026-01-01T03:05:00Z"), (vec![], newest.clone()));
    assert_eq!(due(CatchUp::None, 0, "2026-01-01T03:00:30Z").0, ["2026-01-01T03:00:00Z"]);
    assert_eq!(due(CatchUp::Latest, 0, "2026-01-01T03:05:00Z"), (vec!["2026-01-01T03:00:00Z".to_string()], newest));
    assert_eq!(due(CatchUp::All, 0, "2026-01-01T03:05:00Z").0.len(), 3);
    assert_eq!(due(CatchUp::All, 4000, "2026-01-01T03:05:00Z").0.len(), 2);
    assert_eq!(due(CatchUp::Latest, 0, "2026-01-01T00:59:59Z"), (vec![], None));
    let table = hourly(CatchUp::All, 0).timetable(at("2026-01-01T00:00:00Z")).unwrap();
    let long = table.due(at("2026-01-01T00:00:00Z"), at("2026-01-11T00:00:00Z"));
    assert_eq!((long.instants.len(), long.dropped), (100, 140));
    assert_eq!(long.instants.first().unwrap().to_string(), "2026-01-06T21:00:00Z", "of very many the newest");
    assert_eq!(long.instants.last().copied(), long.newest);
    let often = Schedule { catch_up: CatchUp::All, ..quartz("*/10 * * * * ?") }.timetable(at("2026-01-01T00:00:00Z")).unwrap();
    let years = often.due(at("1990-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
    assert_eq!((years.instants.len(), years.dropped), (100, 1340), "nobody counts through years");
}
