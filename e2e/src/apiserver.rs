//! A private etcd and API server, with the garbage collector, for all tests of one program. It goes when the program goes, however that ends.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::ServiceAccount,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
    runtime::wait::{await_condition, conditions},
};
use serde_json::{Value, json};
use tokio::{process::Command, sync::OnceCell};

use crate::rights;

/// What runs beside the API server: owner references and namespaces are cleaned up as in a real cluster.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller";
/// A new kind is served within milliseconds; the limit is for a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

static SHARED: OnceCell<ApiServer> = OnceCell::const_new();

/// An API server that knows the kinds of Floe and holds nothing else.
pub struct ApiServer {
    kubeconfig: PathBuf,
}

impl ApiServer {
    /// The one of this program; started by whoever asks first.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        SHARED.get_or_try_init(|| Self::start("")).await
    }

    /// One for the test `name` alone, which changes what all others rely on. It goes when the program goes.
    pub async fn alone(name: &str) -> anyhow::Result<&'static Self> {
        Ok(Box::leak(Box::new(Self::start(&format!("-{name}")).await?)))
    }

    async fn start(suffix: &str) -> anyhow::Result<Self> {
        let state = std::env::temp_dir().join(format!("floe-e2e-{}{suffix}", std::process::id()));
        let kubeconfig = up(&state, &[]).await?;
        let server = Self { kubeconfig };
        let client = server.client().await?;
        install_kinds(client.clone()).await?;
        rights::install_roles(&client).await?;
        // The garbage collector looks for new kinds every half a minute only, so it starts when they are there.
        up(&state, &["--with", CONTROLLERS]).await?;
        Ok(server)
    }

    /// One that is there already.
    pub fn of(kubeconfig: PathBuf) -> Self {
        Self { kubeconfig }
    }

    /// The kubeconfig of its administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes the kubeconfig of whoever `token` belongs to; `address` is where the API server is to be found, if not at its own place.
    pub fn write_kubeconfig(&self, path: &Path, token: Option<&str>, address: Option<&str>) -> anyhow::Result<()> {
        let mut config: Value = serde_yaml::from_str(&fs::read_to_string(&self.kubeconfig)?)?;
        for entry in config["clusters"].as_array_mut().into_iter().flatten() {
            if let Some(address) = address {
                entry["cluster"] = json!({"server": address});
            }
        }
        for entry in config["users"].as_array_mut().into_iter().flatten() {
            if let Some(token) = token {
                entry["user"] = json!({"token": token});
            }
        }
        Ok(fs::write(path, config.to_string())?)
    }

    /// How its administrator connects. Nothing is tried again in secret: a test wants to see every answer.
    pub async fn config(&self) -> anyhow::Result<Config> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        Ok(config)
    }

    /// Its address, which is one of this machine that pods of the real cluster reach.
    pub async fn address(&self) -> anyhow::Result<IpAddr> {
        let config = self.config().await?;
        let host = config.cluster_url.host().context("the API server has no address")?;
        host.parse().with_context(|| format!("{host} is no address of this machine"))
    }

    /// A client with all rights.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// A client with the rights of whoever `token` belongs to.
    pub async fn client_with(&self, token: &str) -> anyhow::Result<Client> {
        let mut config = self.config().await?;
        config.auth_info = AuthInfo { token: Some(token.to_string().into()), ..AuthInfo::default() };
        Ok(Client::try_from(config)?)
    }

    /// The body of a page that it serves, such as its metrics.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.client().await?.request_text(http::Request::get(path).body(Vec::new())?).await?)
    }

    /// Id of one of the processes that run for it, by the name of the program.
    pub fn process(&self, name: &str) -> anyhow::Result<i32> {
        let state = self.kubeconfig.parent().context("its kubeconfig has no folder")?;
        let text = fs::read_to_string(state.join("run").join(format!("{name}.pid")))?;
        let id = text.split_whitespace().next().and_then(|id| id.parse().ok());
        id.with_context(|| format!("{name} was not started"))
    }

    /// A token of a service account.
    pub async fn token(&self, namespace: &str, account: &str) -> anyhow::Result<String> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await?, namespace);
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
        Ok(answer.status.context("the API server gave no token")?.token)
    }
}

/// Runs the script that starts what is missing; its last line is the path of the kubeconfig.
async fn up(state: &Path, arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/up");
    let output = Command::new(&script)
        .args(["--only", "apiserver", "--until-end-of", &std::process::id().to_string(), "--state"])
        .arg(state)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}", script.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "no API server for the tests; run e2e/cluster/install once. {} said:\n{said}", script.display());
    let last = String::from_utf8(output.stdout)?.lines().last().map(PathBuf::from);
    last.context("the script named no kubeconfig")
}

/// Installs the checked-in definitions of all kinds and waits until they are served.
async fn install_kinds(client: Client) -> anyhow::Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/yaml");
    for entry in fs::read_dir(&folder)? {
        let text = fs::read_to_string(entry?.path())?;
        let kind: CustomResourceDefinition = serde_yaml::from_str(&text)?;
        let name = kind.metadata.name.clone().context("a definition has no name")?;
        // As text, not as the type: what the type does not know would get lost.
        let body: serde_json::Value = serde_yaml::from_str(&text)?;
        let parameters = PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..PatchParams::apply("floe-e2e") };
        api.patch(&name, &parameters, &Patch::Apply(&body)).await.with_context(|| format!("{name} is refused"))?;
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.with_context(|| format!("{name} is not served"))??;
    }
    Ok(())
}
