//! `floe init`: a project that passes `floe validate`, `floe run` and `floe test` at once.

use std::{fs, path::Path};

use serde_json::json;

use super::Outcome;
use crate::{args::Init, failure::Failure, output::Terminal, storage::io_failure};

/// A file of a template: path and content. `{name}` in a manifest becomes the name of the project.
pub(super) type TemplateFile = (&'static str, &'static [u8]);

const EMPTY: &[TemplateFile] = &[
    ("pipeline.yaml", include_bytes!("init/pipeline.yaml")),
    ("transformations/visits.sql", include_bytes!("init/visits.sql")),
    ("data/visits/first.json", include_bytes!("init/first.json")),
    ("tests/visits_are_counted/input/visits.csv", include_bytes!("init/visits_input.csv")),
    ("tests/visits_are_counted/expected/visits_per_page.csv", include_bytes!("init/visits_per_page_expected.csv")),
    (".gitignore", b"/lake/\n"),
];

macro_rules! example {
    ($example:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../../examples/", $example, "/", $path)))),+, (".gitignore", b"/lake/\n")]
    };
}

const BOOKSTORE: &[TemplateFile] = example![
    "bookstore":
    "README.md",
    "pipeline.yaml",
    "kustomization.yaml",
    "cluster/lake.yaml",
    "cluster/pipeline.yaml",
    "jobs/bookstore-pro-v2.yaml",
    "jobs/kustomization.yaml",
    "transformations/1_ingestion.sql",
    "transformations/2_silver.sql",
    "transformations/3_cdc.sql",
    "transformations/4_gold.sql",
    "data/landing/country_lookup/country_lookup.json",
    "data/landing/kafka-raw-etl/sample-0000.json",
    "data/landing/kafka-raw-etl/sample-0001.json",
    "data/landing/kafka-raw-etl/sample-0002.json",
    "data/landing/kafka-raw-etl/sample-0003.json",
    "data/staging/staged-0001.json",
    "data/staging/staged-0002.json",
    "tests/an_impossible_total_stops_the_sales/expected/books_sales.json",
    "tests/an_impossible_total_stops_the_sales/input/current_books.csv",
    "tests/an_impossible_total_stops_the_sales/input/orders_silver.json",
    "tests/an_impossible_total_stops_the_sales/test.yaml",
    "tests/authors_have_windows_of_five_minutes/expected/authors_stats.csv",
    "tests/authors_have_windows_of_five_minutes/input/books_sales.csv",
    "tests/books_have_a_history/expected/books_silver.csv",
    "tests/books_have_a_history/expected/current_books.csv",
    "tests/books_have_a_history/input/books_raw.1.csv",
    "tests/books_have_a_history/input/books_raw.2.csv",
    "tests/countries_count_their_orders/expected/countries_stats.csv",
    "tests/countries_count_their_orders/input/customers_silver.csv",
    "tests/countries_count_their_orders/input/orders_silver.csv",
    "tests/customers_change/expected/customers_silver.csv",
    "tests/customers_change/input/customers_cdc.1.csv",
    "tests/customers_change/input/customers_cdc.2.csv",
    "tests/orders_are_there_once/expected/orders_quarantine.csv",
    "tests/orders_are_there_once/expected/orders_silver.csv",
    "tests/orders_are_there_once/input/orders_raw.1.json",
    "tests/orders_are_there_once/input/orders_raw.2.json",
    "tests/orders_are_there_once/input/orders_raw.3.json",
    "tests/records_are_decoded/expected/books_raw.csv",
    "tests/records_are_decoded/expected/customers_cdc.csv",
    "tests/records_are_decoded/expected/orders_raw.json",
    "tests/records_are_decoded/input/bronze.json",
    "tests/records_are_decoded/input/country_lookup.csv",
    "tests/sales_have_the_price_of_their_day/expected/books_sales.csv",
    "tests/sales_have_the_price_of_their_day/input/current_books.1.csv",
    "tests/sales_have_the_price_of_their_day/input/current_books.2.csv",
    "tests/sales_have_the_price_of_their_day/input/orders_silver.1.json",
    "tests/sales_have_the_price_of_their_day/input/orders_silver.2.json",
];

const GYM: &[TemplateFile] = example![
    "gym":
    "README.md",
    "pipeline.yaml",
    "transformations/bpm.sql",
    "transformations/bronze.sql",
    "transformations/gold.sql",
    "transformations/users.sql",
    "transformations/workouts.sql",
    "data/landing/daily/2019-12-01.json",
    "data/landing/daily/2019-12-02.json",
    "data/landing/daily/2019-12-03.json",
    "data/landing/daily/2019-12-04.json",
    "data/landing/daily/2019-12-05.json",
    "data/landing/daily/2019-12-06.json",
    "data/landing/daily/2019-12-07.json",
    "data/landing/daily/2019-12-08.json",
    "data/landing/daily/2019-12-09.json",
    "data/landing/daily/2019-12-10.json",
    "data/landing/daily/2019-12-11.json",
    "data/landing/daily/2019-12-12.json",
    "data/landing/daily/2019-12-13.json",
    "data/landing/daily/2019-12-14.json",
    "data/landing/daily/2019-12-15.json",
    "data/landing/daily/2019-12-16.json",
    "data/landing/user-reg/2019-12-01.json",
    "data/landing/user-reg/2019-12-09.json",
    "data/lookup/date_lookup/_delta_log/00000000000000000000.json",
    "data/lookup/date_lookup/part-00000.parquet",
    "tests/ages_are_ranges/expected/user_bins.csv",
    "tests/ages_are_ranges/input/users_silver.csv",
    "tests/ages_are_ranges/test.yaml",
    "tests/members_change_and_leave/expected/SCD2_users.csv",
    "tests/members_change_and_leave/expected/unique_user_id.csv",
    "tests/members_change_and_leave/expected/users_silver.csv",
    "tests/members_change_and_leave/input/users_cdc_clean.1.csv",
    "tests/members_change_and_leave/input/users_cdc_clean.2.csv",
    "tests/members_have_pseudonyms/expected/user_lookup.csv",
    "tests/members_have_pseudonyms/expected/users_cdc_clean.csv",
    "tests/members_have_pseudonyms/expected/users_quarantine.csv",
    "tests/members_have_pseudonyms/input/registered_users.json",
    "tests/members_have_pseudonyms/input/users_cdc_bronze.json",
    "tests/members_have_pseudonyms/test.yaml",
    "tests/pulses_are_there_once/expected/bpm_quarantine.csv",
    "tests/pulses_are_there_once/expected/bpm_silver.csv",
    "tests/pulses_are_there_once/input/bpm_bronze.1.json",
    "tests/pulses_are_there_once/input/bpm_bronze.2.json",
    "tests/pulses_belong_to_workouts/expected/workout_bpm.csv",
    "tests/pulses_belong_to_workouts/expected/workout_bpm_summary.csv",
    "tests/pulses_belong_to_workouts/input/bpm_silver.csv",
    "tests/pulses_belong_to_workouts/input/completed_workouts.csv",
    "tests/pulses_belong_to_workouts/input/user_lookup.csv",
    "tests/workouts_end/expected/completed_workouts.csv",
    "tests/workouts_end/input/workouts_silver.csv",
    "tests/workouts_without_a_member_are_kept_apart/expected/workouts_silver.csv",
    "tests/workouts_without_a_member_are_kept_apart/expected/workouts_silver_quarantine.csv",
    "tests/workouts_without_a_member_are_kept_apart/input/date_lookup.csv",
    "tests/workouts_without_a_member_are_kept_apart/input/workouts_bronze.json",
];

pub(super) fn init(init: &Init, terminal: &Terminal) -> Outcome {
    let template = template(&init.template)?;
    create(&init.directory, template)?;
    let directory = init.directory.display();
    if terminal.is_json() {
        let files: Vec<&str> = template.iter().map(|(path, _)| *path).collect();
        terminal.document(&json!({"directory": directory.to_string(), "template": init.template, "files": files}));
    } else {
        let files: Vec<String> = template.iter().map(|(path, _)| format!("  {directory}/{path}")).collect();
        terminal.out(&format!("created\n{}\nnow: floe run {directory}, and floe test {directory}", files.join("\n")));
    }
    Ok(0)
}

pub(super) fn template(name: &str) -> Result<&'static [TemplateFile], Failure> {
    match name {
        "empty" => Ok(EMPTY),
        "bookstore" => Ok(BOOKSTORE),
        "gym" => Ok(GYM),
        other => Err(Failure::user("UNKNOWN_TEMPLATE", format!("there is no template {other:?}")).help("take empty, bookstore or gym")),
    }
}

/// Writes all files of `template`, or none if one of them is there already.
pub(super) fn create(directory: &Path, template: &[TemplateFile]) -> Result<(), Failure> {
    if let Some((taken, _)) = template.iter().find(|(path, _)| directory.join(path).exists()) {
        let place = directory.join(taken);
        return Err(Failure::user("FILE_ALREADY_EXISTS", format!("{} exists and is left as it is", place.display()))
            .help("choose another directory"));
    }
    let name = project_name(directory);
    for (path, content) in template {
        let file = directory.join(path);
        let content = if *path == "pipeline.yaml" { named(content, &name) } else { content.to_vec() };
        let failure = |error| io_failure("write", &file.display().to_string(), error);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(failure)?;
        }
        fs::write(&file, content).map_err(failure)?;
    }
    Ok(())
}

/// The manifest with the name of the project.
fn named(content: &[u8], name: &str) -> Vec<u8> {
    String::from_utf8_lossy(content).replace("{name}", name).into_bytes()
}

/// The name of the directory as the name of a Kubernetes object: lower-case letters, digits and `-`.
fn project_name(directory: &Path) -> String {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf());
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches(|c: char| c == '-' || c.is_ascii_digit());
    if name.is_empty() { "pipeline".to_string() } else { name.chars().take(50).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_below(directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![directory.to_path_buf()];
        while let Some(current) = open.pop() {
            for entry in fs::read_dir(current).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(directory).unwrap().to_string_lossy().replace('\\', "/"));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_template_is_the_example_of_its_name() {
        for (name, template) in [("bookstore", BOOKSTORE), ("gym", GYM)] {
            is_the_example(name, template);
        }
    }

    fn is_the_example(name: &str, template: &[TemplateFile]) {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
        let mut listed: Vec<String> = template
            .iter()
            .map(|(path, _)| (*path).to_string())
            .filter(|path| path != ".gitignore" && !path.contains("/staged-"))
            .collect();
        listed.sort();
        // What a run or the landing command leaves behind is no part of the template.
        let made = |path: &String| {
            path.starts_with("lake/")
                || path.starts_with(".floe/")
                || path.contains("/staged-")
                || path.contains("/batch-")
                || path == ".gitignore"
        };
        let shipped: Vec<String> = files_below(&example).into_iter().filter(|path| !made(path)).collect();
        assert_eq!(listed, shipped);
    }

    #[test]
    fn a_project_is_created_once_and_named_after_its_directory() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("My Shop_1");
        create(&directory, EMPTY).unwrap();
        assert_eq!(
            files_below(&directory),
            [
                ".gitignore",
                "data/visits/first.json",
                "pipeline.yaml",
                "tests/visits_are_counted/expected/visits_per_page.csv",
                "tests/visits_are_counted/input/visits.csv",
                "transformations/visits.sql"
            ]
        );
        let manifest = fs::read_to_string(directory.join("pipeline.yaml")).unwrap();
        assert!(manifest.contains("name: my-shop\n") && !manifest.contains("{name}"), "{manifest}");
        fs::write(directory.join("pipeline.yaml"), "mine").unwrap();
        assert_eq!(create(&directory, EMPTY).unwrap_err().error, "FILE_ALREADY_EXISTS");
        assert_eq!(fs::read_to_string(directory.join("pipeline.yaml")).unwrap(), "mine");
    }

    #[test]
    fn templates_that_do_not_exist_are_refused_by_name() {
        assert_eq!(template("shop").unwrap_err().error, "UNKNOWN_TEMPLATE");
    }
}
