//! Where credentials of object stores come from: the options themselves, the files that cloud tools share, or an identity that a token file proves.
//!
//! `object_store` takes what it finds and otherwise asks the metadata service of a virtual machine, which elsewhere is a long silence. So
//! what is half given, or kept in a file, is completed or refused here, before anything is sent.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use object_store::{aws::AmazonS3ConfigKey, azure::AzureConfigKey, gcp::GoogleConfigKey};

use crate::failure::Failure;

/// Options by their lower-case names.
pub(super) type Options = BTreeMap<String, String>;

/// Reads a small text file.
pub(super) type ReadText<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// The option that says where files of the user are.
pub(super) const HOME: &str = "home";

/// How profiles get their credentials in ways that would start a program or ask an identity service.
const UNSUPPORTED_IN_PROFILE: [&str; 4] = ["credential_process", "sso_session", "sso_start_url", "credential_source"];
/// The same for files of Google.
const SUPPORTED_GOOGLE: [&str; 2] = ["service_account", "authorized_user"];

/// How the names of options begin in the environment, by store.
const PREFIXES: [&str; 4] = ["aws_", "azure_storage_", "azure_", "google_"];

/// True if both names mean one option: in two spellings that the store knows, or with and without the prefix of the environment.
pub(super) fn is_same_option(a: &str, b: &str) -> bool {
    fn is_same<T: FromStr + PartialEq>(a: &str, b: &str) -> bool {
        matches!((a.parse::<T>(), b.parse::<T>()), (Ok(a), Ok(b)) if a == b)
    }
    let bare = |name: &str, other: &str| PREFIXES.iter().any(|prefix| name.strip_prefix(prefix) == Some(other));
    a == b
        || bare(a, b)
        || bare(b, a)
        || is_same::<AmazonS3ConfigKey>(a, b)
        || is_same::<AzureConfigKey>(a, b)
        || is_same::<GoogleConfigKey>(a, b)
}

/// The value of `key`, with or without the prefix that variables of the environment have.
fn get<'a>(options: &'a Options, prefix: &str, key: &str) -> Option<&'a str> {
    let found = options.get(&format!("{prefix}{key}")).or_else(|| options.get(key));
    found.map(String::as_str).filter(|value| !value.is_empty())
}

fn missing(message: String, help: &str) -> Failure {
    Failure::storage("STORAGE_CREDENTIALS_MISSING", message).help(help)
}

/// The options of S3: keys as they are; else the profile that `AWS_PROFILE` names; else the identity of a token file or of a container; else the
/// profile `default`, if there is one; else what the virtual machine says.
pub(super) fn s3(options: &Options, read: ReadText<'_>) -> Result<Options, Failure> {
    let of = |key: &str| get(options, "aws_", key);
    if of("skip_signature").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(options.clone());
    }
    match (of("access_key_id"), of("secret_access_key")) {
        (Some(_), Some(_)) => return Ok(options.clone()),
        (None, None) => {}
        (id, _) => {
            let (given, lacking) = if id.is_some() { ("ID", "SECRET_ACCESS_KEY") } else { ("secret", "ACCESS_KEY_ID") };
            return Err(missing(
                format!("the {given} of an AWS access key is given without its other half"),
                &format!("set AWS_{lacking} too"),
            ));
        }
    }
    if let Some(profile) = of("profile") {
        let found = profile_of(options, read, profile)?;
        return found.ok_or_else(|| {
            let places = shared_files(options).map(|path| path.display().to_string()).join(" nor ");
            missing(format!("AWS_PROFILE is {profile}, and neither {places} has it"), "correct the name, or write the profile")
        });
    }
    match (of("web_identity_token_file"), of("role_arn")) {
        (Some(file), Some(_)) => {
            token_file("AWS_WEB_IDENTITY_TOKEN_FILE", file, read)?;
            return Ok(options.clone());
        }
        (Some(_), None) => {
            return Err(missing("AWS_WEB_IDENTITY_TOKEN_FILE is set without a role".to_string(), "set AWS_ROLE_ARN to the role to assume"));
        }
        (None, Some(role)) => {
            return Err(Failure::storage(
                "FEATURE_NOT_SUPPORTED",
                format!("assuming the role {role} without a web identity is not supported"),
            )
            .help("set AWS_WEB_IDENTITY_TOKEN_FILE, or give keys of that role with AWS_SESSION_TOKEN"));
        }
        (None, None) => {}
    }
    if of("container_credentials_relative_uri").is_some() || of("container_credentials_full_uri").is_some() {
        return Ok(options.clone());
    }
    Ok(profile_of(options, read, "default")?.unwrap_or_else(|| options.clone()))
}

/// The options with those of the profile below them; `None` if no file has it.
fn profile_of(options: &Options, read: ReadText<'_>, name: &str) -> Result<Option<Options>, Failure> {
    let [credentials, config] = shared_files(options);
    let mut profile = section(&text_of(&config, read)?, &[format!("profile {name}"), name.to_string()]);
    let keys = section(&text_of(&credentials, read)?, &[name.to_string()]);
    if profile.is_none() && keys.is_none() {
        return Ok(None);
    }
    let mut found = profile.take().unwrap_or_default();
    found.extend(keys.unwrap_or_default());
    let has_keys = found.contains_key("aws_access_key_id") && found.contains_key("aws_secret_access_key");
    let has_identity = found.contains_key("role_arn") && found.contains_key("web_identity_token_file");
    if !has_keys && !has_identity {
        let unsupported = UNSUPPORTED_IN_PROFILE.iter().find(|key| found.contains_key(**key));
        if let Some(key) = unsupported.copied().or_else(|| found.contains_key("source_profile").then_some("source_profile")) {
            let message = format!("profile {name} takes its credentials from {key}, which is not supported");
            let help = "give keys with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (`aws configure export-credentials` prints them)";
            return Err(Failure::storage("FEATURE_NOT_SUPPORTED", message).help(help));
        }
        if name != "default" {
            return Err(missing(format!("profile {name} has no keys"), "write aws_access_key_id and aws_secret_access_key into it"));
        }
    }
    if has_identity && !has_keys {
        token_file(&format!("web_identity_token_file of profile {name}"), &found["web_identity_token_file"], read)?;
    }
    let taken = [
        ("aws_access_key_id", "aws_access_key_id"),
        ("aws_secret_access_key", "aws_secret_access_key"),
        ("aws_session_token", "aws_session_token"),
        ("role_arn", "aws_role_arn"),
        ("role_session_name", "aws_role_session_name"),
        ("web_identity_token_file", "aws_web_identity_token_file"),
        ("region", "aws_region"),
        ("endpoint_url", "aws_endpoint_url"),
    ];
    let mut all = options.clone();
    if has_keys {
        // A token belongs to its keys.
        all.retain(|name, _| !is_same_option(name, "aws_session_token"));
    }
    let options = &all.clone();
    let is_given = |option: &str| get(options, "aws_", option.trim_start_matches("aws_")).is_some();
    let has_region = is_given("aws_region") || is_given("aws_default_region");
    let has_endpoint = is_given("aws_endpoint_url") || is_given("aws_endpoint");
    for (key, option) in taken {
        let is_said = (option == "aws_region" && has_region) || (option == "aws_endpoint_url" && has_endpoint) || is_given(option);
        if let Some(value) = found.get(key).filter(|_| !is_said) {
            all.insert(option.to_string(), value.clone());
        }
    }
    Ok(Some(all))
}

/// The files of credentials and of configuration that all tools of AWS share.
fn shared_files(options: &Options) -> [PathBuf; 2] {
    let home = options.get(HOME).map(PathBuf::from).unwrap_or_default();
    let file = |option: &str, name: &str| options.get(option).map_or_else(|| home.join(".aws").join(name), PathBuf::from);
    [file("aws_shared_credentials_file", "credentials"), file("aws_config_file", "config")]
}

/// The text of a file; nothing if there is none.
fn text_of(path: &Path, read: ReadText<'_>) -> Result<String, Failure> {
    match read(path) {
        Ok(text) => Ok(text),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(String::new()),
        Err(error) => {
            let message = format!("the file of credentials {} cannot be read: {error}", path.display());
            Err(missing(message, "give this process the right to read it").caused_by(error))
        }
    }
}

/// The entries below the first heading of `names` that an INI file has.
fn section(text: &str, names: &[String]) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(heading) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let heading = heading.split_whitespace().collect::<Vec<_>>().join(" ");
            is_inside = names.contains(&heading);
            if is_inside {
                found.get_or_insert_default();
            }
        } else if is_inside
            && !is_nested
            && let (Some(entries), Some((key, value))) = (&mut found, line.split_once('='))
        {
            // Comments need a blank before them: keys may hold `#`.
            let value = value.split(" #").next().unwrap_or_default().trim();
            entries.insert(key.trim().to_lowercase(), value.to_string());
        }
    }
    found
}

/// A token file must be there when the store is opened; it is read again whenever the token runs out.
fn token_file(what: &str, path: &str, read: ReadText<'_>) -> Result<(), Failure> {
    match read(Path::new(path)) {
        Ok(token) if !token.trim().is_empty() => Ok(()),
        Ok(_) => {
            Err(missing(format!("{what} {path} is empty"), "a token file is mounted by the cluster: check the service account of the pod"))
        }
        Err(error) => {
            let message = format!("{what} {path} cannot be read: {error}");
            Err(missing(message, "a token file is mounted by the cluster: check the service account of the pod").caused_by(error))
        }
    }
}

/// The options of Google: the file of a service account, its text, the file of `GOOGLE_APPLICATION_CREDENTIALS`; else what the virtual machine says.
pub(super) fn google(options: &Options, read: ReadText<'_>) -> Result<Options, Failure> {
    let of = |key: &str| get(options, "google_", key);
    let path = of("service_account").or_else(|| of("service_account_path"));
    if path.is_some() && of("service_account_key").is_some() {
        let message = "GOOGLE_SERVICE_ACCOUNT and GOOGLE_SERVICE_ACCOUNT_KEY are both given".to_string();
        return Err(missing(message, "give the path of the file or its text, not both"));
    }
    if let Some(path) = path {
        google_file("GOOGLE_SERVICE_ACCOUNT", path, read, &SUPPORTED_GOOGLE[..1])?;
    } else if of("service_account_key").is_none()
        && let Some(path) = of("application_credentials")
    {
        google_file("GOOGLE_APPLICATION_CREDENTIALS", path, read, &SUPPORTED_GOOGLE)?;
    }
    Ok(options.clone())
}

fn google_file(what: &str, path: &str, read: ReadText<'_>, kinds: &[&str]) -> Result<(), Failure> {
    let text = read(Path::new(path)).map_err(|error| {
        missing(format!("{what} {path} cannot be read: {error}"), "give the path of the JSON file of a service account").caused_by(error)
    })?;
    let Ok(document) = serde_json::from_str::<serde_json::Value>(&text) else {
        return Err(missing(format!("{what} {path} is no JSON"), "give the path of the JSON file of a service account"));
    };
    match document.get("type").and_then(serde_json::Value::as_str) {
        // Old files, and those of emulators, do not say it.
        None => Ok(()),
        Some(kind) if kinds.contains(&kind) => Ok(()),
        Some(kind) => Err(Failure::storage(
            "FEATURE_NOT_SUPPORTED",
            format!("{what} {path} holds credentials of type {kind}, which is not supported"),
        )
        .help("use the file of a service account, or run where the metadata server knows the identity (Workload Identity of GKE)")),
    }
}

/// The options of Azure: a key, a SAS, a client secret or a federated token of an application; else what the virtual machine says.
pub(super) fn azure(options: &Options, read: ReadText<'_>) -> Result<Options, Failure> {
    let of = |key: &str| get(options, "azure_storage_", key).or_else(|| get(options, "azure_", key));
    if let Some(file) = of("federated_token_file") {
        for (key, name) in [("client_id", "AZURE_CLIENT_ID"), ("tenant_id", "AZURE_TENANT_ID")] {
            if of(key).or_else(|| of("authority_id").filter(|_| key == "tenant_id")).is_none() {
                return Err(missing(format!("AZURE_FEDERATED_TOKEN_FILE is set without {name}"), &format!("set {name}")));
            }
        }
        token_file("AZURE_FEDERATED_TOKEN_FILE", file, read)?;
    } else if of("client_secret").is_some() && (of("client_id").is_none() || of("tenant_id").or_else(|| of("authority_id")).is_none()) {
        let message = "AZURE_CLIENT_SECRET is set without the application that it belongs to".to_string();
        return Err(missing(message, "set AZURE_CLIENT_ID and AZURE_TENANT_ID too"));
    }
    if let Some(key) = ["account_key", "access_key", "master_key"].into_iter().find_map(of)
        && STANDARD.decode(key).is_err()
    {
        let message = "AZURE_STORAGE_ACCOUNT_KEY is no key: it is not base64".to_string();
        return Err(missing(message, "copy the whole key of the storage account, with the `=` at its end"));
    }
    Ok(options.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_lowercase(), (*value).to_string())).collect()
    }

    fn files(path: &Path) -> io::Result<String> {
        let text = match path.to_str().unwrap_or_default() {
            "/home/ada/.aws/credentials" => {
                "# keys\n[default]\naws_access_key_id = D\naws_secret_access_key = d#1 # not this\n\n[work]\naws_access_key_id=W\naws_secret_access_key=w\naws_session_token=t\n"
            }
            "/home/ada/.aws/config" => {
                "[default]\nregion = eu-central-1\n[profile work]\nregion=us-west-2\nendpoint_url = http://s3.work\ns3 =\n  region = nested\n[profile pod]\nrole_arn = arn:x\nweb_identity_token_file = /token\n[profile login]\nsso_session = corp\n[profile empty]\noutput = json\n"
            }
            "/token" => "abc\n",
            "/empty" => " \n",
            "/account.json" => r#"{"type": "service_account"}"#,
            "/user.json" => r#"{"type": "authorized_user"}"#,
            "/pool.json" => r#"{"type": "external_account"}"#,
            "/broken.json" => "{",
            _ => return Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Ok(text.to_string())
    }

    fn kept(found: &Options, keys: &[&str]) -> String {
        keys.iter().map(|key| found.get(*key).map_or("-", String::as_str)).collect::<Vec<_>>().join(" ")
    }

    const KEYS: [&str; 5] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_region", "aws_endpoint_url"];

    #[test]
    fn keys_of_s3_come_from_the_environment_before_files() {
        let home = ("HOME", "/home/ada");
        let found = |pairs: &[(&str, &str)]| kept(&s3(&options(&[&[home], pairs].concat()), &files).unwrap(), &KEYS);
        assert_eq!(found(&[("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "e"), ("AWS_PROFILE", "work")]), "E e - - -");
        assert_eq!(found(&[]), "D d#1 - eu-central-1 -");
        assert_eq!(found(&[("AWS_PROFILE", "work")]), "W w t us-west-2 http://s3.work");
        assert_eq!(found(&[("AWS_PROFILE", "work"), ("AWS_REGION", "x"), ("endpoint", "http://y")]), "W w t x -");
        let elsewhere = [("AWS_SHARED_CREDENTIALS_FILE", "/none"), ("AWS_CONFIG_FILE", "/none")];
        assert_eq!(found(&elsewhere), "- - - - -", "the virtual machine may know");
    }

    #[test]
    fn one_option_has_several_names() {
        for (a, b) in [
            ("aws_access_key_id", "access_key_id"),
            ("aws_allow_http", "allow_http"),
            ("aws_profile", "profile"),
            ("azure_storage_account_name", "account_name"),
            ("azure_storage_account_key", "azure_storage_access_key"),
            ("google_service_account", "service_account"),
        ] {
            assert!(is_same_option(a, b) && is_same_option(b, a), "{a} {b}");
        }
        assert!(!is_same_option("aws_access_key_id", "aws_secret_access_key") && !is_same_option("aws_profile", "azure_profile"));
        let token = [("AWS_PROFILE", "work"), ("AWS_SESSION_TOKEN", "stray"), ("HOME", "/home/ada")];
        assert_eq!(kept(&s3(&options(&token), &files).unwrap(), &KEYS), "W w t us-west-2 http://s3.work");
    }

    #[test]
    fn identities_of_s3_need_their_token_file() {
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn:r"), ("HOME", "/home/ada")];
        let found = s3(&options(&web), &files).unwrap();
        assert_eq!(kept(&found, &KEYS), "- - - - -", "a token comes before the default profile");
        let pod = s3(&options(&[("AWS_PROFILE", "pod"), ("HOME", "/home/ada")]), &files).unwrap();
        assert_eq!(kept(&pod, &["aws_role_arn", "aws_web_identity_token_file"]), "arn:x /token");
        let refused = |pairs: &[(&str, &str)]| {
            let failure = s3(&options(&[&[("HOME", "/home/ada")], pairs].concat()), &files).unwrap_err();
            assert_eq!(failure.class.exit_code(), 12);
            format!("{failure}")
        };
        assert!(refused(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/gone"), ("AWS_ROLE_ARN", "r")]).contains("/gone cannot be read"));
        assert!(refused(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/empty"), ("AWS_ROLE_ARN", "r")]).contains("/empty is empty"));
        assert!(refused(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")]).contains("without a role"));
        assert!(refused(&[("AWS_ROLE_ARN", "arn:r")]).starts_with("[FEATURE_NOT_SUPPORTED]"));
        assert!(refused(&[("AWS_ACCESS_KEY_ID", "only")]).contains("without its other half"));
        assert!(refused(&[("AWS_PROFILE", "none")]).contains("neither /home/ada/.aws/credentials nor /home/ada/.aws/config has it"));
        assert!(refused(&[("AWS_PROFILE", "login")]).contains("sso_session, which is not supported"));
        assert!(refused(&[("AWS_PROFILE", "empty")]).contains("has no keys"));
    }

    #[test]
    fn files_of_google_are_those_of_accounts() {
        for (key, path) in [
            ("GOOGLE_SERVICE_ACCOUNT", "/account.json"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/account.json"),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/user.json"),
        ] {
            google(&options(&[(key, path)]), &files).unwrap();
        }
        let refused = |pairs: &[(&str, &str)]| {
            let failure = google(&options(pairs), &files).unwrap_err();
            assert_eq!(failure.class.exit_code(), 12);
            format!("{failure}")
        };
        assert!(refused(&[("GOOGLE_SERVICE_ACCOUNT", "/gone.json")]).contains("GOOGLE_SERVICE_ACCOUNT /gone.json cannot be read"));
        assert!(refused(&[("GOOGLE_APPLICATION_CREDENTIALS", "/pool.json")]).contains("type external_account, which is not supported"));
        assert!(refused(&[("GOOGLE_SERVICE_ACCOUNT", "/broken.json")]).contains("is no JSON"));
        assert!(refused(&[("GOOGLE_SERVICE_ACCOUNT", "/account.json"), ("GOOGLE_SERVICE_ACCOUNT_KEY", "{}")]).contains("both"));
    }

    #[test]
    fn identities_of_azure_are_complete() {
        let web = [("AZURE_FEDERATED_TOKEN_FILE", "/token"), ("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t")];
        azure(&options(&web), &files).unwrap();
        azure(&options(&[("AZURE_STORAGE_ACCOUNT_KEY", "a2V5Cg==")]), &files).unwrap();
        let refused = |pairs: &[(&str, &str)]| {
            let failure = azure(&options(pairs), &files).unwrap_err();
            assert_eq!(failure.class.exit_code(), 12);
            format!("{failure}")
        };
        assert!(refused(&[("AZURE_STORAGE_ACCOUNT_KEY", "a2V5Cg==x")]).contains("is not base64"));
        assert!(refused(&web[..2]).contains("without AZURE_TENANT_ID"));
        assert!(refused(&[("AZURE_FEDERATED_TOKEN_FILE", "/gone"), web[1], web[2]]).contains("/gone cannot be read"));
        assert!(refused(&[("AZURE_CLIENT_SECRET", "s"), web[1]]).contains("without the application"));
    }
}
