//! Reads what a delivery needs and nobody else should know: Secrets of the Job's namespace, and files of the operator.

use std::{collections::HashMap, path::Path};

use floe_crds::{job::SecretKey, run::notify::Tried};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

/// The Secrets of one namespace, each read once.
pub struct Secrets<'a> {
    client: &'a Client,
    namespace: &'a str,
    read: HashMap<String, Secret>,
}

impl<'a> Secrets<'a> {
    /// Those of `namespace`.
    pub fn new(client: &'a Client, namespace: &'a str) -> Self {
        Self { client, namespace, read: HashMap::new() }
    }

    /// The value, as text.
    pub async fn text(&mut self, of: &SecretKey) -> Result<String, Tried> {
        let value = self.bytes(of).await?;
        String::from_utf8(value).map_err(|_| Tried::given_up(format!("Secret {}/{}: key '{}' is no text", self.namespace, of.name, of.key)))
    }

    /// The value.
    pub async fn bytes(&mut self, of: &SecretKey) -> Result<Vec<u8>, Tried> {
        let value = self.optional(&of.name, &of.key).await?;
        value.ok_or_else(|| Tried::given_up(format!("Secret {}/{} has no key '{}'", self.namespace, of.name, of.key)))
    }

    /// The value, if the Secret has this key.
    pub async fn optional(&mut self, name: &str, key: &str) -> Result<Option<Vec<u8>>, Tried> {
        if !self.read.contains_key(name) {
            let secrets: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
            let secret = secrets.get(name).await.map_err(|error| unreadable(self.namespace, name, &error))?;
            self.read.insert(name.to_string(), secret);
        }
        let data = self.read.get(name).and_then(|secret| secret.data.as_ref());
        Ok(data.and_then(|data| data.get(key)).map(|value| value.0.clone()))
    }
}

fn unreadable(namespace: &str, name: &str, error: &kube::Error) -> Tried {
    let status = match error {
        kube::Error::Api(status) => status,
        other => return Tried::again(format!("cannot read Secret {namespace}/{name}: {other}")),
    };
    match status.code {
        401 | 403 => Tried::given_up(forbidden(namespace, name, &status.message)),
        404 => Tried::given_up(format!("Secret {namespace}/{name} does not exist")),
        _ => Tried::again(format!("cannot read Secret {namespace}/{name}: {}", status.message)),
    }
}

/// What the tenant must do. The API server names the account that it refused.
fn forbidden(namespace: &str, name: &str, answer: &str) -> String {
    let user = answer.split_once("User \"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(user, _)| user);
    let account = user.strip_prefix("system:serviceaccount:").unwrap_or("<namespace>:<account of the operator>");
    let role = format!("floe-reads-{name}");
    format!(
        "the operator may not read Secret {namespace}/{name}. Allow it: \
         kubectl -n {namespace} create role {role} --verb=get --resource=secrets --resource-name={name}; \
         kubectl -n {namespace} create rolebinding {role} --role={role} --serviceaccount={account}"
    )
}

/// The content of a file of the operator, without the line break at its end.
pub async fn file_text(path: &Path) -> Result<String, Tried> {
    let text = String::from_utf8(file_bytes(path).await?);
    let text = text.map_err(|_| Tried::given_up(format!("the operator's file {} is no text", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_string())
}

/// The content of a file of the operator.
pub async fn file_bytes(path: &Path) -> Result<Vec<u8>, Tried> {
    tokio::fs::read(path).await.map_err(|error| Tried::given_up(format!("the operator cannot read {}: {error}", path.display())))
}
