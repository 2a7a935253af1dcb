//! Tables, state and landed files in S3: a server that speaks its protocol (moto), conditional puts included.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use deltalake::DeltaTableBuilder;
use floe_runner::storage::Stores;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, path::Path};
use url::Url;

use crate::harness::{Ended, Project};

const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE bronze PARTITIONED BY (kind) AS SELECT id, CASE WHEN id % 2 = 0 THEN 'even' ELSE 'odd one' END AS kind
FROM STREAM read_files('s3://landing/in', format => 'json', schema => 'id BIGINT', maxFilesPerTrigger => 1);
CREATE OR REFRESH STREAMING TABLE silver (CONSTRAINT small EXPECT (id < 25) ON VIOLATION QUARANTINE ROW) AS SELECT id FROM STREAM(bronze);
CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT kind, count(*) AS rows, sum(id) AS ids FROM bronze GROUP BY kind;";

const STORAGE: &str = "s3://lake/shop";
/// Shows up wherever a credential is printed or stored.
const CANARY: &str = "canary-8c1f0e";

/// A server with the buckets `lake` and `landing`, gone with the value.
pub struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut moto = Command::new("moto_server");
        moto.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process =
            moto.spawn().unwrap_or_else(|error| panic!("moto_server: {error}; bin/test installs it, or: pip install 'moto[server]'"));
        let server = Self { process, endpoint: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + Duration::from_mins(2);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "moto_server does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        for bucket in ["lake", "landing"] {
            server.create_bucket(port, bucket);
        }
        server
    }

    fn create_bucket(&self, port: u16, name: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "PUT /{name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{}: {answer}", self.endpoint);
    }

    /// What the environment of a process says about the store.
    fn variables(&self) -> [(String, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", CANARY),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()))
    }

    fn bucket(&self, name: &str) -> impl ObjectStore {
        let options = self.variables();
        let builder = options.iter().fold(AmazonS3Builder::new().with_bucket_name(name), |builder, (key, value)| {
            builder.with_config(key.to_lowercase().parse().unwrap(), value)
        });
        builder.build().unwrap()
    }

    fn land(&self, name: &str, ids: std::ops::Range<u32>) {
        let lines: Vec<String> = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
        self.put(&format!("in/{name}"), lines.concat());
    }

    /// Lands a file.
    pub fn put(&self, path: &str, text: String) {
        block_on(async { self.bucket("landing").put(&Path::from(path), text.into()).await }).unwrap();
    }

    /// The content of an object of the lake.
    pub fn content(&self, path: &str) -> Vec<u8> {
        block_on(async { self.bucket("lake").get(&Path::from(path)).await.unwrap().bytes().await }).unwrap().to_vec()
    }

    /// All objects of the lake below `prefix` with their ETags.
    pub fn objects(&self, prefix: &str) -> BTreeMap<String, Option<String>> {
        let found: Vec<_> = block_on(async { self.bucket("lake").list(Some(&Path::from(prefix))).try_collect().await }).unwrap();
        found.into_iter().map(|object| (object.location.to_string(), object.e_tag)).collect()
    }

    /// The names of all landed files.
    pub fn landed(&self) -> Vec<String> {
        let found: Vec<_> = block_on(async { self.bucket("landing").list(None).try_collect().await }).unwrap();
        found.into_iter().map(|object: object_store::ObjectMeta| object.location.to_string()).collect()
    }

    pub fn floe(&self, project: &Project, command: &str, arguments: &[&str]) -> Command {
        let mut floe = project.floe(command, &[&["--storage", STORAGE], arguments].concat());
        floe.envs(self.variables());
        floe
    }

    fn call(&self, project: &Project, command: &str, arguments: &[&str]) -> Ended {
        let ended: Ended = self.floe(project, command, arguments).output().unwrap().into();
        assert!(!ended.stdout.contains(CANARY) && !ended.stderr.contains(CANARY), "a credential was printed: {ended:#?}");
        ended
    }

    pub fn run(&self, project: &Project, arguments: &[&str]) -> Ended {
        let ended = self.call(project, "run", arguments);
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
        ended
    }

    /// Rows of `floe sql`, one JSON text.
    pub fn sql(&self, project: &Project, statement: &str) -> String {
        let ended = self.call(project, "sql", &["--output", "json", "-c", statement]);
        assert_eq!(ended.code, Some(0), "{statement}: {}", ended.stderr);
        let rows: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        rows.to_string()
    }

    /// The number of rows and the newest version of a table, by its log alone.
    pub fn table(&self, name: &str) -> (usize, u64) {
        let _known = Stores::new(self.variables());
        block_on(async {
            let url = Url::parse(&format!("{STORAGE}/s/{name}/")).unwrap();
            let table = DeltaTableBuilder::from_url(url).unwrap().load().await.unwrap();
            let context = datafusion::prelude::SessionContext::new();
            let rows = context.read_table(table.table_provider().await.unwrap()).unwrap().count().await.unwrap();
            (rows, table.version().unwrap())
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn started() -> (Server, Project) {
    let server = Server::start();
    for file in 0..3 {
        server.land(&format!("{file}.json"), file * 10..(file + 1) * 10);
    }
    (server, Project::new(&[("all.sql", SQL)]))
}

fn all_rows_once(server: &Server, project: &Project) {
    let gold = server.sql(project, "SELECT kind, rows, ids FROM gold ORDER BY kind");
    assert_eq!(gold, r#"[{"kind":"even","rows":15,"ids":210},{"kind":"odd one","rows":15,"ids":225}]"#);
    let silver = "SELECT count(*) AS n, count(DISTINCT id) AS d, sum(id) AS s FROM ";
    assert_eq!(server.sql(project, &format!("{silver} silver")), r#"[{"n":25,"d":25,"s":300}]"#);
    assert_eq!(server.sql(project, &format!("{silver} silver_quarantine")), r#"[{"n":5,"d":5,"s":135}]"#);
    assert_eq!(server.table("bronze").0, 30);
}

#[test]
fn s3_holds_files_tables_and_state() {
    let (server, project) = started();
    server.run(&project, &[]);
    all_rows_once(&server, &project);
    assert!(!project.path().join("lake").exists(), "nothing is stored on this machine");
    assert_eq!(server.table("gold").0, 2);
    let versions = ["bronze", "silver", "gold"].map(|name| server.table(name).1);

    let before = server.objects("shop/s");
    let second = server.run(&project, &[]);
    assert!(second.stdout.contains("nothing new"), "{}", second.stdout);
    assert_eq!(server.objects("shop/s"), before, "a second run writes no table");

    server.land("3.json", 100..101);
    let third = server.run(&project, &["--output", "json"]);
    assert_eq!(server.table("bronze"), (31, versions[0] + 1));
    assert_eq!(server.table("silver"), (25, versions[1] + 1), "the row went to quarantine");
    let read = third.stdout.lines().filter(|line| line.contains(r#""num_input_rows":1"#)).count();
    assert!(read >= 1, "{}", third.stdout);

    // E13: a credential of the store is nowhere: neither printed (see `call`) nor in any event.
    let log = server.sql(&project, "SELECT count(*) AS n FROM event_log WHERE details LIKE '%canary%' OR message LIKE '%canary%'");
    assert_eq!(log, r#"[{"n":0}]"#);
    for (name, _) in server.objects("shop/_floe") {
        assert!(!String::from_utf8_lossy(&server.content(&name)).contains(CANARY), "{name}");
    }
}

#[test]
fn p54_s3_killed_and_started_again() {
    let (server, project) = started();
    let places =
        ["create::after", "offsets::after", "target::after", "commit_entry::before", "quarantine::after", "mv::after", "event_log::after"];
    let mut killed = 0;
    for place in places {
        let ended = server.floe(&project, "run", &[]).env("FLOE_FAILPOINTS", place).output().unwrap();
        // A place may lie behind: flows run beside each other.
        assert!(ended.status.signal() == Some(9) || ended.status.success(), "{place}: {}", String::from_utf8_lossy(&ended.stderr));
        killed += usize::from(ended.status.signal() == Some(9));
    }
    assert!(killed >= 5, "only {killed} places were reached");
    server.run(&project, &[]);
    all_rows_once(&server, &project);
    let written = server.sql(
        &project,
        "SELECT SUM(CAST(details:flow_progress:metrics:num_output_rows AS BIGINT)) AS n FROM event_log
         WHERE event_type = 'flow_progress' AND origin.flow_name = 'bronze'",
    );
    assert_eq!(written, r#"[{"n":30}]"#, "every row is counted once");
}

#[test]
fn p95_s3_a_sink_gets_each_row_once_killed_and_started_again() {
    let (server, _) = started();
    let sql = "
        CREATE SINK out OPTIONS (format => 'delta', path => 's3://lake/out/rows');
        CREATE FLOW f AS INSERT INTO out BY NAME
          SELECT id FROM STREAM read_files('s3://landing/in', format => 'json', schema => 'id BIGINT', maxFilesPerTrigger => 1);";
    let project = Project::new(&[("all.sql", sql)]);
    let places = ["create::after", "offsets::after", "stage::after", "target::before", "target::after", "commit_entry::before"];
    for place in places {
        let ended = server.floe(&project, "run", &[]).env("FLOE_FAILPOINTS", place).output().unwrap();
        assert_eq!(ended.status.signal(), Some(9), "{place}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    server.run(&project, &[]);
    let once = "SELECT count(*) AS n, count(DISTINCT id) AS d, sum(id) AS s FROM delta.`s3://lake/out/rows`";
    assert_eq!(server.sql(&project, once), r#"[{"n":30,"d":30,"s":435}]"#);
    let before = server.objects("out");
    assert!(server.run(&project, &[]).stdout.contains("nothing new"));
    assert_eq!(server.objects("out"), before, "a run without new rows writes nothing");
    server.land("3.json", 30..31);
    server.run(&project, &[]);
    assert_eq!(server.sql(&project, once), r#"[{"n":31,"d":31,"s":465}]"#);
    assert!(server.objects("shop").keys().all(|name| !name.ends_with(".parquet") || name.contains("/_floe/")), "no table of its own");
}

#[test]
fn p96_s3_one_of_two_runners_is_refused() {
    let (server, project) = started();
    project.write("hold", "");
    let hold = format!("offsets::before=hold:{}", project.path().join("hold").display());
    let mut floe = server.floe(&project, "run", &[]);
    let first = floe.env("FLOE_FAILPOINTS", hold).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !server.objects("shop/_floe/checkpoints/bronze").keys().any(|name| name.ends_with("metadata.json")) {
        thread::sleep(Duration::from_millis(100));
    }
    server.run(&project, &[]);
    std::fs::remove_file(project.path().join("hold")).unwrap();
    let refused: Ended = first.wait_with_output().unwrap().into();
    assert_eq!(refused.code, Some(10), "{}", refused.stderr);
    assert!(refused.stderr.contains("CONCURRENT_UPDATE"), "{}", refused.stderr);
    all_rows_once(&server, &project);
}

#[test]
fn a_missing_bucket_is_a_failure_of_storage() {
    let server = Server::start();
    let project = Project::new(&[("all.sql", &SQL.replace("s3://landing/in", "s3://nowhere/in"))]);
    let ended = server.call(&project, "run", &[]);
    assert_eq!(ended.code, Some(12), "{}", ended.stderr);
    assert!(ended.stderr.contains("BUCKET_NOT_FOUND") && ended.stderr.contains("s3://nowhere/in"), "{}", ended.stderr);
}

#[test]
fn several_runners_at_once_lose_and_double_no_row() {
    let (server, project) = started();
    for round in 0..3 {
        let running: Vec<Child> =
            (0..4).map(|_| server.floe(&project, "run", &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).collect();
        let ended: Vec<Ended> = running.into_iter().map(|process| process.wait_with_output().unwrap().into()).collect();
        for runner in &ended {
            let is_refused = runner.code == Some(10) && runner.stderr.contains("CONCURRENT_UPDATE");
            let may_pass = runner.code == Some(20);
            assert!(runner.code == Some(0) || is_refused || may_pass, "round {round}: {runner:?}");
        }
    }
    server.run(&project, &[]);
    all_rows_once(&server, &project);
}

#[test]
fn credentials_come_from_shared_files() {
    let (server, project) = started();
    let [_, _, region, endpoint, http] = server.variables();
    let keys = format!("[work]\naws_access_key_id = test\naws_secret_access_key = {CANARY}\n");
    project.write("aws/credentials", &keys);
    project.write("aws/config", &format!("[profile work]\nregion = {}\nendpoint_url = {}\n", region.1, endpoint.1));
    let run = |profile: &str| -> Ended {
        let mut floe = project.floe("run", &["--storage", STORAGE]);
        floe.env("AWS_SHARED_CREDENTIALS_FILE", project.path().join("aws/credentials"));
        floe.env("AWS_CONFIG_FILE", project.path().join("aws/config")).env("AWS_PROFILE", profile).env(&http.0, &http.1);
        floe.output().unwrap().into()
    };
    let unknown = run("wrok");
    assert_eq!(unknown.code, Some(12), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("STORAGE_CREDENTIALS_MISSING") && unknown.stderr.contains("AWS_PROFILE is wrok"), "{}", unknown.stderr);
    let ended = run("work");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains(CANARY) && !ended.stdout.contains(CANARY));
    all_rows_once(&server, &project);
}

#[test]
fn refused_credentials_and_a_missing_lake_are_failures_of_storage() {
    let (server, project) = started();
    let missing: Ended = project.floe("run", &["--storage", "s3://nolake/shop"]).envs(server.variables()).output().unwrap().into();
    assert_eq!(missing.code, Some(12), "{}", missing.stderr);
    assert!(missing.stderr.contains("BUCKET_NOT_FOUND"), "{}", missing.stderr);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = "<Error><Code>InvalidAccessKeyId</Code><Message>not known</Message></Error>";
            let _ = write!(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        }
    });
    let denied: Ended = server.floe(&project, "run", &[]).env("AWS_ENDPOINT_URL", format!("http://{address}")).output().unwrap().into();
    assert_eq!(denied.code, Some(12), "{}", denied.stderr);
    assert!(denied.stderr.contains("STORAGE_ACCESS_DENIED"), "{}", denied.stderr);
}
