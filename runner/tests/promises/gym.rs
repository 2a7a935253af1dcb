//! The second shipped example: multiplexed messages, quarantine, pseudonyms, a stream joined with a materialized view.

use std::fs;

use crate::{
    golden::{assert_kept, assert_same, content, golden, lines_of},
    harness::Project,
};

/// Tables whose rows are as they were when somebody looked at them, with what is selected: an average of DOUBLEs depends on the order of its
/// additions in the last digit, and who put a row aside is told anew each time. Ages are those of today.
const KEPT: [(&str, &str); 12] = [
    ("date_lookup", "*"),
    ("distinct_topics", "*"),
    ("registered_users", "*"),
    ("user_lookup", "*"),
    ("bpm_quarantine", "*"),
    ("workouts_silver", "*"),
    ("workouts_silver_quarantine", "* EXCEPT (_quarantine), _quarantine.expectations, _quarantine.flow"),
    ("users_quarantine", "*"),
    ("users_silver", "*"),
    ("SCD2_users", "*"),
    ("completed_workouts", "*"),
    ("workout_bpm_summary", SUMMARY),
];
const SUMMARY: &str = "* EXCEPT (avg_bpm), round(avg_bpm, 6) AS avg_bpm";
/// Tables that plain SQL computes from the landed files, or from tables that are confirmed.
const CONFIRMED: [&str; 10] = [
    "bpm_bronze",
    "bpm_silver",
    "bpm_quarantine",
    "workouts_silver",
    "users_silver",
    "SCD2_users",
    "completed_workouts",
    "workout_bpm",
    "workout_bpm_summary",
    "user_bins",
];
const SALT: &str = "  parameters:
    - {name: salt, valueFrom: {secretKeyRef: {name: gym-salt, key: salt}}}
";

fn assert_confirmed(project: &Project, tables: &[&str]) {
    for table in tables {
        let batch = fs::read_to_string(golden("gym", table, "sql")).unwrap();
        let select = if *table == "workout_bpm_summary" { SUMMARY } else { "*" };
        let found = lines_of(project, &format!("SELECT {select} FROM {table}"));
        let expected = lines_of(project, &format!("SELECT {select} FROM ({batch})"));
        assert!(!found.is_empty());
        assert_same(&found, &expected, table);
    }
}

#[test]
fn p02_gym_runs_green() {
    let project = Project::example("gym");
    let first = project.run(&[]);
    assert!(first.stdout.contains("gym is up to date: "), "{}", first.stdout);
    assert_confirmed(&project, &CONFIRMED);
    for (table, select) in KEPT {
        assert_kept("gym", table, &lines_of(&project, &format!("SELECT {select} FROM {table}")));
    }
    let counts = lines_of(&project, "SELECT DISTINCT number_of_records_for_key AS n FROM unique_user_id");
    assert_eq!(counts, [r#"{"n":1}"#]);
    let landed: usize = fs::read_dir(project.path().join("data/landing/daily"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap().lines().count())
        .sum();
    assert_eq!(project.rows("bronze", "SELECT count(*) FROM t WHERE week_part IS NOT NULL"), [landed.to_string()]);

    let versions = project.versions();
    project.run(&[]);
    let mut again = project.versions();
    // Ages are those of today, and computed anew.
    assert_eq!(again.insert("user_bins".to_string(), versions["user_bins"]), Some(versions["user_bins"] + 1));
    assert_eq!(again, versions);
}

/// A day for each update, as it would be: changes of members, workouts and what is put aside are those of one update over all days.
#[test]
fn p02_gym_day_by_day() {
    let project = Project::example("gym");
    let (landing, later) = (project.path().join("data/landing/daily"), project.path().join("later"));
    fs::rename(&landing, &later).unwrap();
    fs::create_dir(&landing).unwrap();
    let mut days: Vec<_> = fs::read_dir(&later).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    days.sort();
    assert_eq!(days.len(), 16);
    for some in days.chunks(5) {
        for day in some {
            fs::rename(later.join(day), landing.join(day)).unwrap();
        }
        project.run(&[]);
    }
    assert_confirmed(&project, &["bpm_bronze", "bpm_quarantine", "workouts_silver", "users_silver", "SCD2_users", "completed_workouts"]);
    let quarantined = "SELECT * EXCEPT (_quarantine), _quarantine.expectations, _quarantine.flow FROM workouts_silver_quarantine";
    assert_kept("gym", "workouts_silver_quarantine", &lines_of(&project, quarantined));
}

/// P14: the salt of the pseudonyms comes from a Secret.
#[test]
fn p14_gym_with_a_secret_salt() {
    let project = Project::example("gym");
    let manifest = fs::read_to_string(project.path().join("pipeline.yaml")).unwrap();
    let (before, after) = (manifest.split_once("  parameters:\n").unwrap().0, manifest.split_once("---\n").unwrap().1);
    project.write("pipeline.yaml", &format!("{before}{SALT}---\n{after}"));
    for (command, arguments) in
        [("validate", &[][..]), ("run", &["-vvv"]), ("explain", &["users_cdc_clean"]), ("events", &["--output", "json", "--update", "all"])]
    {
        let mut floe = project.floe(command, &[]);
        if command == "explain" {
            floe = std::process::Command::new(env!("CARGO_BIN_EXE_floe"));
            floe.arg(command).args(arguments).arg(project.path());
        } else {
            floe.args(arguments);
        }
        let ended = floe.env("FLOE_PARAM_SALT", "BEANS").output().unwrap();
        let text = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(ended.status.success() && !text.contains("BEANS"), "{command}: {text}");
    }
    let pseudonym = project.rows("user_lookup", "SELECT alt_id FROM t WHERE user_id = 12");
    assert_eq!(pseudonym, ["144786ed1f6a7c29f403c150c8ea5e7fca85094fb2725d5973618e4bf12b6d34"]);
}

/// P42: a pulse that comes before its workout is known is in no workout, also later.
#[test]
fn p42_unmatched_inner_join_is_lost() {
    let project = Project::example("gym");
    let landing = project.path().join("data/landing/daily");
    let day = fs::read_to_string(landing.join("2019-12-01.json")).unwrap();
    fs::remove_dir_all(&landing).unwrap();
    let of = |topic: &str| {
        day.lines().filter(|line| line.contains(&format!(r#""topic":"{topic}""#))).fold(String::new(), |all, line| all + line + "\n")
    };
    project.write("data/landing/daily/1.json", &of("bpm"));
    project.run(&[]);
    project.write("data/landing/daily/2.json", &of("workout"));
    project.run(&[]);
    assert!(!content(&project, "completed_workouts").is_empty());
    assert!(content(&project, "workout_bpm").is_empty());
}
