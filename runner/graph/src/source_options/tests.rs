//! Options of reads: types, limits, refusals and the nearest name.

use super::*;
use crate::origin::Origin;

fn relation(options: &[(&str, &str)]) -> Relation {
    let options = options.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
    let kind = RelationKind::Files { path: "data".into(), format: "json".into() };
    Relation { kind, streaming: true, options, origin: None, given: OptionPlaces::default() }
}

#[test]
fn defaults_are_those_of_the_specification() {
    let (options, lints) = file_options(&relation(&[])).unwrap();
    assert!(lints.is_empty());
    assert_eq!(options.limits, BatchLimits { max_files: 1000, max_bytes: None });
    assert_eq!(options.mode, ParseMode::Permissive);
    assert_eq!(options.corrupt_record_column, "_corrupt_record");
    assert!(options.filter.recursive && !options.allow_overwrites);
    assert_eq!((options.csv.separator, options.csv.quote, options.csv.escape), (b',', Some(b'"'), Some(b'\\')));
}

#[test]
fn values_are_typed() {
    let read = relation(&[
        ("maxbytespertrigger", "10g"),
        ("maxfilespertrigger", "10"),
        ("mode", "failfast"),
        ("sep", "\\t"),
        ("quote", ""),
        ("modifiedafter", "2024-01-01"),
        ("partitioncolumns", ""),
        ("maxfileage", "30 days"),
    ]);
    let (options, _) = file_options(&read).unwrap();
    assert_eq!(options.limits, BatchLimits { max_files: 10, max_bytes: Some(10 << 30) });
    assert_eq!(options.mode, ParseMode::FailFast);
    assert_eq!((options.csv.separator, options.csv.quote), (b'\t', None));
    assert_eq!(options.filter.modified_after, Some(1_704_067_200_000_000));
    assert_eq!(options.partition_columns, PartitionColumns::Named(vec![]));
    assert_eq!(options.filter.max_age, Some(30 * MICROS_PER_DAY));
}

#[test]
fn unknown_option_names_the_nearest() {
    let errors = file_options(&relation(&[("maxfilepertrigger", "1")])).unwrap_err();
    assert_eq!(errors[0].class, "UNKNOWN_READ_FILES_OPTION");
    assert_eq!(errors[0].help.as_deref(), Some("did you mean `maxFilesPerTrigger`?"));
    assert!(file_options(&relation(&[("maxfilepertrigger", "1"), ("validateoptions", "false")])).is_ok());
}

#[test]
fn later_features_are_refused_by_name_and_all_errors_are_shown() {
    let read = relation(&[("mergeschema", "false"), ("mode", "x"), ("header", "maybe")]);
    let errors = file_options(&read).unwrap_err();
    let classes: Vec<_> = errors.iter().map(|error| error.class.as_str()).collect();
    assert_eq!(classes.iter().filter(|class| **class == "FEATURE_NOT_SUPPORTED").count(), 1, "{classes:?}");
    assert_eq!(classes.iter().filter(|class| **class == "INVALID_READ_OPTION").count(), 2, "{classes:?}");
    assert!(errors.iter().any(|error| error.message.contains("mergeSchema")), "{errors:?}");
}

#[test]
fn where_the_schema_comes_from_decides_the_defaults() {
    let schema = |options: &[(&str, &str)]| file_options(&relation(options)).map(|(options, _)| options.schema);
    let inferred = schema(&[]).unwrap();
    assert_eq!((inferred.inferred, inferred.evolution, inferred.infer_types), (true, EvolutionMode::AddNewColumns, true));
    assert_eq!(inferred.rescued_column.as_deref(), Some("_rescued_data"));
    let given = schema(&[("schema", "a INT")]).unwrap();
    assert_eq!((given.inferred, given.evolution, given.rescued_column), (false, EvolutionMode::None, None));
    let rescuing = schema(&[("schema", "a INT"), ("schemaevolutionmode", "RESCUE")]).unwrap();
    assert_eq!((rescuing.evolution, rescuing.rescued_column.as_deref()), (EvolutionMode::Rescue, Some("_rescued_data")));
    assert_eq!(schema(&[("rescueddatacolumn", "")]).unwrap().rescued_column, None);
    let widening = schema(&[("schemaevolutionmode", "ADDNEWCOLUMNSWITHTYPEWIDENING")]).unwrap();
    assert_eq!(widening.evolution, EvolutionMode::AddNewColumnsWithTypeWidening);
    let batch = Relation { streaming: false, ..relation(&[]) };
    assert_eq!(file_options(&batch).unwrap().0.schema.evolution, EvolutionMode::Rescue);
    for wrong in [
        vec![("schema", "a INT"), ("schemaevolutionmode", "addNewColumns")],
        vec![("schema", "a INT"), ("schemaevolutionmode", "addNewColumnsWithTypeWidening")],
        vec![("schema", "a INT"), ("schemahints", "a STRING")],
        vec![("schemaevolutionmode", "sometimes")],
    ] {
        assert_eq!(schema(&wrong).unwrap_err()[0].class, "INVALID_READ_OPTION", "{wrong:?}");
    }
    let kind = RelationKind::Files { path: "data".into(), format: "text".into() };
    let text = Relation { kind, ..relation(&[("rescueddatacolumn", "r")]) };
    assert!(file_options(&text).unwrap_err()[0].message.contains("rescuedDataColumn"));
}

#[test]
fn files_can_be_excluded_from_a_stream_only() {
    let options = [("includeexistingfiles", "false")];
    let stream = Relation { streaming: true, ..relation(&options) };
    assert!(!file_options(&stream).unwrap().0.include_existing_files);
    let batch = Relation { streaming: false, ..relation(&options) };
    assert_eq!(file_options(&batch).unwrap_err()[0].class, "INVALID_READ_OPTION");
}

#[test]
fn ignored_options_are_lints() {
    let (_, lints) = file_options(&relation(&[("usenotifications", "true")])).unwrap();
    assert_eq!(lints[0].class, "W007");
    assert_eq!(lints[0].message, "option `useNotifications` of read_files has no effect: discovery always lists the directory");
    assert!(file_options(&relation(&[("validateoptions", "false")])).unwrap().1.is_empty(), "it has an effect");
}

/// Options as the query spells them, each in a line of its own.
fn given(options: &[(&str, &str)]) -> Relation {
    let mut places = OptionPlaces::default();
    for (line, (name, _)) in options.iter().enumerate() {
        places.insert(name.to_lowercase(), (*name).to_string(), Origin::new("t.sql", line as u32 + 1, 7));
    }
    let lower: Vec<_> = options.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
    let lower: Vec<_> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Relation { origin: Some(Origin::new("t.sql", 99, 1)), given: places, ..relation(&lower) }
}

#[test]
fn findings_stand_at_their_option_and_spell_it_as_the_user_did() {
    let read =
        given(&[("SCHEMA", "a INT"), ("Mode", "sometimes"), ("lineSepp", "x"), ("MaxFilesPerTrigger", "none"), ("encoding", "EBCDIC")]);
    let mut found: Vec<_> = file_options(&read).unwrap_err().into_iter().map(|error| (error.origin.unwrap().line, error.message)).collect();
    found.sort();
    let expected = [
        (2, "option `Mode` has the value `sometimes`; it must be PERMISSIVE, DROPMALFORMED or FAILFAST"),
        (3, "read_files has no option `lineSepp`"),
        (4, "option `MaxFilesPerTrigger` has the value `none`; it must be a whole number, 0 or more"),
        (5, "`encoding => 'EBCDIC'` of read_files is not supported in this release"),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_string())));
}

#[test]
fn options_that_change_results_are_never_offered_to_be_ignored() {
    let errors = file_options(&given(&[("lineSeparator", "x")])).unwrap_err();
    assert!(!errors[0].help.as_deref().unwrap().contains("validateOptions"), "{errors:?}");
}

#[test]
fn options_of_another_format_are_lints_where_the_user_gives_them() {
    let (_, lints) = file_options(&given(&[("format", "json"), ("header", "true"), ("multiLine", "true"), ("SEP", ";")])).unwrap();
    let found: Vec<_> = lints.iter().map(|lint| (lint.class.as_str(), lint.origin.as_ref().unwrap().line, lint.message.as_str())).collect();
    assert_eq!(
        found,
        [
            ("W007", 2, "option `header` of read_files has no effect on json: it is one of csv"),
            ("W007", 4, "option `SEP` of read_files has no effect on json: it is one of csv"),
        ]
    );
    assert!(file_options(&relation(&[("timezone", "UTC")])).unwrap().1.is_empty(), "what a query adds by itself is none of its user's");
}

#[test]
fn the_lists_of_options_are_sorted_by_name_and_said_once() {
    for list in [READ_FILES, DELTA_STREAM] {
        let names: Vec<String> = list.iter().map(|option| option.name.to_lowercase()).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        assert!(list.iter().all(|option| !option.doc.is_empty() && !option.doc.ends_with('.')));
    }
}

#[test]
fn delta_stream_options_are_typed() {
    let read = |options: &[(&str, &str)]| {
        let relation = Relation { kind: RelationKind::Delta { name: None, location: "x".into(), version: None }, ..relation(options) };
        delta_stream_options(&relation)
    };
    assert_eq!(read(&[]).unwrap(), DeltaStreamOptions::default());
    assert_eq!(read(&[("startingversion", "3"), ("skipchangecommits", "true")]).unwrap().start, DeltaStart::Version(3));
    assert_eq!(read(&[("startingversion", "latest")]).unwrap().start, DeltaStart::Latest);
    let changes = read(&[(CHANGES_FROM_VERSION, "7")]).unwrap();
    assert_eq!((changes.changes, changes.start), (true, DeltaStart::Version(7)));
    assert_eq!(read(&[(CHANGES_FROM_VERSION, "7"), ("skipchangecommits", "true")]).unwrap_err()[0].class, "INVALID_READ_OPTION");
    assert_eq!(read(&[("startingversions", "3")]).unwrap_err()[0].class, "UNKNOWN_STREAM_OPTION");
    assert_eq!(read(&[("startingversion", "-1")]).unwrap_err()[0].class, "INVALID_READ_OPTION");
}
