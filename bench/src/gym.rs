//! The data of `examples/gym`: what trackers, the booking system and the members' office send on 16 days, with everything that is wrong with it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use arrow::{
    array::{ArrayRef, Date32Array, StringArray},
    record_batch::RecordBatch,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use parquet::arrow::ArrowWriter;
use serde_json::json;

use crate::{event::Time, random::Random};

const SEED: u64 = 12;
/// 2019-12-01T00:00:00Z.
const START_S: i64 = 1_575_158_400;
const FIRST_DAY: i32 = 18_231;
const DAY_S: i64 = 86_400;
const DAYS: u64 = 16;
/// Days that the look-up table knows.
const LOOKUP_DAYS: i32 = 31;
/// Members of the first week, and those that register with the second file.
const FIRST_MEMBERS: u64 = 12;
const MEMBERS: u64 = 16;
const FIRST_USER: u64 = 12;
const SECOND_REGISTRATION: u64 = 8;
/// A tracker tells the rate of the heart every two minutes, also before and after the workout.
const PULSE_S: i64 = 120;

/// City, state, first ZIP code.
const CITIES: [(&str, &str, u64); 5] = [
    ("Los Angeles", "CA", 90_001),
    ("Portland", "OR", 97_201),
    ("Austin", "TX", 73_301),
    ("Boston", "MA", 2_108),
    ("Denver", "CO", 80_201),
];

/// One message on its way: when it arrives, and what it says.
struct Sent {
    arrives_ms: i64,
    topic: &'static str,
    key: u64,
    value: String,
}

/// Writes `daily/`, `user-reg/` below `data/landing`, and the Delta table `data/lookup/date_lookup`.
pub fn write(data: &Path) -> anyhow::Result<()> {
    let landing = data.join("landing");
    for day in 0..DAYS {
        write_text(&landing.join(format!("daily/{}.json", date(day))), &messages(day))?;
    }
    for (day, members) in [(0, 0..FIRST_MEMBERS), (SECOND_REGISTRATION, FIRST_MEMBERS..MEMBERS)] {
        let lines: String = members.map(registration).collect();
        write_text(&landing.join(format!("user-reg/{}.json", date(day))), &lines)?;
    }
    write_lookup(&data.join("lookup/date_lookup"))
}

fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    fs::write(path, text).with_context(context)
}

fn date(day: u64) -> String {
    Time((START_S + day as i64 * DAY_S) * 1_000_000).iso()[..10].to_string()
}

const fn device(member: u64) -> u64 {
    110_001 + 37 * member
}

fn registration(member: u64) -> String {
    let registered = START_S as f64 - 7_200.0 + member as f64 * 61.5;
    let user = FIRST_USER + member;
    format!(
        "{{\"device_id\":{},\"mac_address\":\"00:1b:44:11:3a:{user:02x}\",\"registration_timestamp\":{registered:.1},\"user_id\":{user}}}\n",
        device(member)
    )
}

/// The file of a day: messages in the order of their arrival, some of them twice.
fn messages(day: u64) -> String {
    let members = if day < SECOND_REGISTRATION { FIRST_MEMBERS } else { MEMBERS };
    let mut sent = Vec::new();
    for member in 0..members {
        change(day, member, &mut sent);
        workout(day, member, &mut sent);
    }
    let mut random = Random::new(SEED, day | 1 << 40);
    let again: Vec<Sent> = sent
        .iter()
        .filter(|_| random.chance(2, 100))
        .map(|message| Sent { arrives_ms: message.arrives_ms + 900, value: message.value.clone(), ..*message })
        .collect();
    sent.extend(again);
    sent.sort_by_key(|message| message.arrives_ms);
    let mut lines = String::new();
    for (index, message) in sent.iter().enumerate() {
        let (key, value) = (STANDARD.encode(message.key.to_string()), STANDARD.encode(&message.value));
        let (partition, offset) = (message.key % 4, day * 10_000 + index as u64);
        let _ = writeln!(
            lines,
            r#"{{"key":"{key}","value":"{value}","topic":"{}","partition":{partition},"offset":{offset},"timestamp":{}}}"#,
            message.topic, message.arrives_ms
        );
    }
    lines
}

/// A member trains on about every second day, once: start, stop, and a pulse from five minutes before to five minutes after.
fn workout(day: u64, member: u64, sent: &mut Vec<Sent>) {
    let mut random = Random::new(SEED, (day * 100 + member) | 1 << 41);
    if !random.chance(1, 2) {
        return;
    }
    let start = START_S + day as i64 * DAY_S + 6 * 3_600 + random.below(14 * 3_600) as i64;
    let end = start + 1_200 + random.below(2_400) as i64;
    let (user, kind) = (FIRST_USER + member, 1 + random.below(5));
    for (action, second) in [("start", start), ("stop", end)] {
        // Who forgets to stop has a workout without an end.
        if action == "stop" && random.chance(1, 30) {
            continue;
        }
        let (mut user_id, mut workout_id, mut said, mut session) =
            (user.to_string(), kind.to_string(), format!("\"{action}\""), (day + 1).to_string());
        match random.below(100) {
            0..3 => user_id = "null".to_string(),
            3..6 => workout_id = "null".to_string(),
            6..9 => said = "null".to_string(),
            9..12 => session = "\"FIRST_SESSION\"".to_string(),
            _ => {}
        }
        let value =
            format!(r#"{{"user_id":{user_id},"workout_id":{workout_id},"timestamp":{second}.0,"action":{said},"session_id":{session}}}"#);
        sent.push(Sent { arrives_ms: (second + 2) * 1_000, topic: "workout", key: user, value });
    }
    let mut second = start - 300;
    while second < end + 300 {
        sent.push(pulse(member, second, (start..=end).contains(&second), &mut random));
        second += PULSE_S;
    }
}

fn pulse(member: u64, second: i64, trains: bool, random: &mut Random) -> Sent {
    let rate = if trains { 100 + random.below(75) } else { 62 + random.below(25) };
    let (mut device_id, mut rate) = (device(member).to_string(), format!("{rate}.{}", random.below(10)));
    match random.below(400) {
        0..4 => device_id = "null".to_string(),
        4..8 => rate = "null".to_string(),
        8..12 => rate = format!("-{rate}"),
        12..15 => device_id = "\"Tracker #161910\"".to_string(),
        15..18 => device_id = (102 + member).to_string(),
        _ => {}
    }
    let iso = Time(second * 1_000_000).iso();
    let value = format!(r#"{{"device_id":{device_id},"time":"{}+0000","heartrate":{rate}}}"#, iso.trim_end_matches('Z'));
    Sent { arrives_ms: second * 1_000 + random.below(1_500) as i64, topic: "bpm", key: device(member), value }
}

/// What the members' office sends: everybody is new on the first day, some move later, a few leave.
fn change(day: u64, member: u64, sent: &mut Vec<Sent>) {
    let mut random = Random::new(SEED, (day * 100 + member) | 1 << 42);
    let joined = if member < FIRST_MEMBERS { 0 } else { SECOND_REGISTRATION };
    let (user, second) = (FIRST_USER + member, START_S + day as i64 * DAY_S + 1_800 + 128 * 3 * member as i64);
    let kind = match day {
        _ if day == joined => "new",
        // They left, and nobody writes to them any more.
        _ if member % 7 == 5 && day >= joined + 5 => {
            if day > joined + 5 {
                return;
            }
            "delete"
        }
        _ if random.chance(1, 6) => "update",
        _ => return,
    };
    let arrives_ms = (second + 1) * 1_000;
    sent.push(Sent { arrives_ms, topic: "user_info", key: user, value: person(user, kind, second, &mut random) });
    if kind == "update" && random.chance(1, 4) {
        // Another change so soon that a number of 32 bits cannot tell the moments apart.
        let value = person(user, kind, second + 20, &mut random);
        sent.push(Sent { arrives_ms: arrives_ms + 20_000, topic: "user_info", key: user, value });
    }
    spoiled(user, second, &mut random, arrives_ms, sent);
}

fn person(user: u64, kind: &str, second: i64, random: &mut Random) -> String {
    if kind == "delete" {
        let nothing = r#""dob":null,"sex":null,"gender":null,"first_name":null,"last_name":null,"address":null"#;
        return format!(r#"{{"user_id":{user},"update_type":"delete","timestamp":{second}.0,{nothing}}}"#);
    }
    let mut fixed = Random::new(SEED, user | 1 << 43);
    let (month, of_month, year) = (1 + fixed.below(12), 1 + fixed.below(28), 1945 + fixed.below(62));
    let sex = ["F", "M"][fixed.below(2) as usize];
    let gender = if fixed.chance(1, 10) { "X" } else { sex };
    let (city, state, zip) = CITIES[random.below(5) as usize];
    let dob = if user % 9 == 4 { "01-05-1964".to_string() } else { format!("{month:02}/{of_month:02}/{year}") };
    let address = format!(
        r#"{{"street_address":"{} Main St","city":"{city}","state":"{state}","zip":{}}}"#,
        1 + random.below(900),
        zip + random.below(40)
    );
    format!(
        r#"{{"user_id":{user},"update_type":"{kind}","timestamp":{second}.0,"dob":"{dob}","sex":"{sex}","gender":"{gender}","first_name":"First{user}","last_name":"Last{}","address":{address}}}"#,
        fixed.below(500)
    )
}

/// Changes of nobody, of no kind, and of a user whose number is a text.
fn spoiled(user: u64, second: i64, random: &mut Random, arrives_ms: i64, sent: &mut Vec<Sent>) {
    let whole = person(user, "update", second + 900, random);
    let value = match random.below(24) {
        0..3 => whole.replacen(&user.to_string(), "null", 1),
        3..6 => whole.replacen("\"update\"", "null", 1),
        6..9 => whole.replacen(&user.to_string(), "\"#36644\"", 1),
        _ => return,
    };
    sent.push(Sent { arrives_ms: arrives_ms + 901_000, topic: "user_info", key: user, value });
}

/// A Delta table as somebody else made it: which part of which week a day belongs to.
fn write_lookup(table: &Path) -> anyhow::Result<()> {
    let days: Vec<i32> = (FIRST_DAY..FIRST_DAY + LOOKUP_DAYS).collect();
    let parts: Vec<String> = days.iter().map(|day| week_part(*day)).collect();
    let columns: [(&str, ArrayRef); 2] = [("date", Arc::new(Date32Array::from(days))), ("week_part", Arc::new(StringArray::from(parts)))];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))?;
    fs::create_dir_all(table.join("_delta_log"))?;
    let file = table.join("part-00000.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&file)?, rows.schema(), None)?;
    writer.write(&rows)?;
    writer.close()?;
    let schema = json!({"type": "struct", "fields": [
        {"name": "date", "type": "date", "nullable": true, "metadata": {}},
        {"name": "week_part", "type": "string", "nullable": true, "metadata": {}},
    ]});
    let format = json!({"provider": "parquet", "options": {}});
    let meta = json!({"id": "6f2c1f0a-51f4-4c52-9c0e-6b0f7f0c2d19", "format": format, "schemaString": schema.to_string(),
        "partitionColumns": [], "configuration": {}, "createdTime": START_S * 1_000});
    let stats = json!({"numRecords": LOOKUP_DAYS}).to_string();
    let add = json!({"path": "part-00000.parquet", "partitionValues": {}, "size": fs::metadata(&file)?.len(),
        "modificationTime": START_S * 1_000, "dataChange": true, "stats": stats});
    let actions = [
        json!({"commitInfo": {"timestamp": START_S * 1_000, "operation": "WRITE"}}),
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        json!({"metaData": meta}),
        json!({"add": add}),
    ];
    let mut log = String::new();
    for action in &actions {
        let _ = writeln!(log, "{action}");
    }
    write_text(&table.join("_delta_log/00000000000000000000.json"), &log)
}

/// 2019-12-01 is a Sunday.
fn week_part(day: i32) -> String {
    let since = day - FIRST_DAY;
    let week = 48 + (since + 6) / 7;
    format!("2019-{week}-{}", if since % 7 == 0 || since % 7 == 6 { "weekend" } else { "weekdays" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/gym/data")
    }

    #[test]
    fn the_committed_data_are_what_the_generator_writes() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for file in ["daily/2019-12-01.json", "daily/2019-12-16.json", "user-reg/2019-12-01.json", "user-reg/2019-12-09.json"] {
            let read = |data: &Path| fs::read(data.join("landing").join(file)).unwrap_or_default();
            assert!(
                read(folder.path()) == read(&committed()),
                "examples/gym/data/landing/{file} differs: run `cargo run --bin floe-bench -- sample-gym`"
            );
        }
    }

    #[test]
    fn the_data_hold_every_kind_of_mistake() {
        let all: String = (0..DAYS).map(messages).collect();
        let values: Vec<String> = all
            .lines()
            .map(|line| {
                let message: serde_json::Value = serde_json::from_str(line).unwrap();
                String::from_utf8(STANDARD.decode(message["value"].as_str().unwrap()).unwrap()).unwrap()
            })
            .collect();
        let count = |part: &str| values.iter().filter(|value| value.contains(part)).count();
        for part in [
            r#""device_id":null"#,
            r#""heartrate":null"#,
            r#""heartrate":-"#,
            "Tracker #161910",
            r#"{"user_id":null,"workout_id""#,
            r#""workout_id":null"#,
            r#""action":null"#,
            "FIRST_SESSION",
            r#"{"user_id":null,"update_type""#,
            r#""update_type":null"#,
            "01-05-1964",
            "#36644",
            r#""update_type":"delete""#,
        ] {
            assert!(count(part) >= 2, "{part}: {}", count(part));
        }
        let mut distinct = values.clone();
        distinct.sort();
        distinct.dedup();
        assert!(values.len() - distinct.len() > 20, "messages come twice");
        assert!((1_500..4_000).contains(&values.len()), "{}", values.len());
    }
}
