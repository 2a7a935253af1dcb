//! The options of object stores that `spec.storage.options` may name: data, so that a misspelt one is refused before anything is opened.

use crate::text::nearest;

/// Of every store, without a prefix.
pub const CLIENT: &[&str] = &[
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "default_content_type",
    "http1_only",
    "http2_keep_alive_interval",
    "http2_keep_alive_timeout",
    "http2_keep_alive_while_idle",
    "http2_max_frame_size",
    "http2_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "randomize_addresses",
    "timeout",
    "user_agent",
];

/// Of S3, with or without `aws_`.
pub const S3: &[&str] = &[
    "access_key_id",
    "bucket",
    "bucket_name",
    "checksum_algorithm",
    "conditional_put",
    "container_authorization_token_file",
    "container_credentials_full_uri",
    "container_credentials_relative_uri",
    "copy_if_not_exists",
    "default_region",
    "disable_tagging",
    "endpoint",
    "endpoint_url",
    "endpoint_url_sts",
    "imdsv1_fallback",
    "metadata_endpoint",
    "region",
    "request_payer",
    "role_arn",
    "role_session_name",
    "s3_express",
    "secret_access_key",
    "server_side_encryption",
    "session_token",
    "skip_signature",
    "sse_bucket_key_enabled",
    "sse_customer_key_base64",
    "sse_kms_key_id",
    "token",
    "unsigned_payload",
    "virtual_hosted_style_request",
    "web_identity_token_file",
];

/// Of S3, only with `aws_`.
pub const S3_PREFIXED: &[&str] = &["aws_endpoint_url_s3"];

/// Of the files that tools for S3 share; Floe reads them itself. With or without `aws_`.
pub const S3_FILES: &[&str] = &["config_file", "profile", "shared_credentials_file"];

/// Of Google Cloud Storage, with or without `google_`.
pub const GOOGLE: &[&str] = &[
    "application_credentials",
    "base_url",
    "bucket",
    "bucket_name",
    "service_account",
    "service_account_key",
    "service_account_path",
    "skip_signature",
];

/// Of Azure, with or without `azure_`.
pub const AZURE: &[&str] = &[
    "authority_host",
    "authority_id",
    "client_id",
    "client_secret",
    "container_name",
    "disable_tagging",
    "endpoint",
    "fabric_cluster_identifier",
    "fabric_session_token",
    "fabric_token_service_url",
    "fabric_workload_host",
    "federated_token_file",
    "identity_endpoint",
    "msi_endpoint",
    "msi_resource_id",
    "object_id",
    "skip_signature",
    "tenant_id",
    "use_azure_cli",
    "use_fabric_endpoint",
];

/// Of Azure, only without a prefix.
pub const AZURE_BARE: &[&str] =
    &["access_key", "account_key", "account_name", "bearer_token", "master_key", "sas_key", "sas_token", "token", "use_emulator"];

/// Of Azure, only with `azure_`.
pub const AZURE_PREFIXED: &[&str] = &[
    "azure_storage_access_key",
    "azure_storage_account_key",
    "azure_storage_account_name",
    "azure_storage_authority_host",
    "azure_storage_authority_id",
    "azure_storage_client_id",
    "azure_storage_client_secret",
    "azure_storage_endpoint",
    "azure_storage_master_key",
    "azure_storage_sas_key",
    "azure_storage_sas_token",
    "azure_storage_tenant_id",
    "azure_storage_token",
    "azure_storage_use_emulator",
];

/// Every name that `prefix` may stand before.
fn prefixed<'a>(prefix: &'a str, lists: &'a [&'static [&'static str]]) -> impl Iterator<Item = String> + 'a {
    lists.iter().flat_map(|list| list.iter()).map(move |name| format!("{prefix}{name}"))
}

/// Every name of an option, in lower case.
pub fn names() -> Vec<String> {
    let bare = prefixed("", &[CLIENT, S3, S3_PREFIXED, S3_FILES, GOOGLE, AZURE, AZURE_BARE, AZURE_PREFIXED]);
    let with_prefix =
        prefixed("aws_", &[CLIENT, S3, S3_FILES]).chain(prefixed("google_", &[CLIENT, GOOGLE])).chain(prefixed("azure_", &[CLIENT, AZURE]));
    bare.chain(with_prefix).collect()
}

/// What is wrong with an option of this name, `None` if nothing is: letter case does not matter.
pub fn unknown(name: &str) -> Option<String> {
    let known = names();
    if known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return None;
    }
    let hint = nearest(name, known.iter().map(String::as_str)).map_or_else(
        || "; there are those of object stores, such as endpoint, region, allow_http".to_string(),
        |near| format!(", did you mean `{near}`?"),
    );
    Some(format!("unknown option `{name}` of an object store{hint}"))
}

#[cfg(test)]
mod tests {
    use super::unknown;

    #[test]
    fn a_misspelt_option_names_the_nearest_one() {
        for known in
            ["region", "AWS_REGION", "aws_allow_http", "allow_http", "azure_storage_account_name", "GOOGLE_SERVICE_ACCOUNT", "profile"]
        {
            assert_eq!(unknown(known), None);
        }
        assert_eq!(unknown("regoin").as_deref(), Some("unknown option `regoin` of an object store, did you mean `region`?"));
        assert_eq!(
            unknown("AWS_ENDPONT").as_deref(),
            Some("unknown option `AWS_ENDPONT` of an object store, did you mean `aws_endpoint`?")
        );
        let text = unknown("compression_level").unwrap();
        assert!(text.ends_with("such as endpoint, region, allow_http"), "{text}");
    }
}
