//! The program itself, as a cluster runs it: real processes, HTTP to the API server double, and real time.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../examples/cluster/people.rs"]
mod people;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use controller::{
    api::{Jitsi, JitsiShard, Phase},
    crds,
};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Namespace, Pod, Service},
    events::v1::Event,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testkit::{Actors, ApiServer};

/// Long enough for anything here, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// One process of the controller, ended with the test.
struct Process {
    child: Child,
    http: SocketAddr,
    rest: SocketAddr,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roompin-controller"));
    // Nothing of this machine's own settings, and none of a cluster that it may be in.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = ["KUBE", "ROOMPIN_", "ASAP_"].iter().any(|start| name.starts_with(start));
        if ours || name.ends_with("_proxy") || ["POD_NAME", "PORT", "PROTECTED_API"].contains(&&*name) {
            command.env_remove(&*name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

impl Process {
    fn start(folder: &Path, name: &str, kubeconfig: &Path) -> Self {
        let (http, rest, log) = (free_port(), free_port(), folder.join(format!("{name}.log")));
        let child = program()
            .args(["run", "--namespace", "jitsi", "--log-format", "json", "--identity", name])
            .args(["--listen", &http.to_string(), "--rest-listen", &rest.to_string()])
            .env("KUBECONFIG", kubeconfig)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, http, rest, log }
    }

    async fn get(&self, path: &str) -> Result<(u16, String), String> {
        self.get_at(self.http, path).await
    }

    async fn get_at(&self, address: SocketAddr, path: &str) -> Result<(u16, String), String> {
        let answer = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let answer = answer.get(format!("http://{address}{path}")).send().await.map_err(|why| why.to_string())?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|why| why.to_string())?))
    }

    /// As the kubelet ends it.
    async fn terminate(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < SOON, "it does not leave; its log:\n{}", self.lines());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn lines(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Asks again and again; what it waits for is in the message when it fails.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(why) => assert!(start.elapsed() < SOON, "{what}: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ready(jitsis: &Api<Jitsi>, shards: i32) {
    until(&format!("{shards} shards are ready"), async || {
        let jitsi = jitsis.get("jitsi-sample").await.map_err(|why| why.to_string())?;
        let status = jitsi.status.unwrap_or_default();
        let settled = status.phase == Some(Phase::Ready) && status.observed_generation == jitsi.metadata.generation;
        let right = (status.shards, status.ready_shards) == (shards, shards);
        if settled && right { Ok(()) } else { Err(format!("{:?}, waiting for {:?}", status.phase, status.waiting_for)) }
    })
    .await;
}

async fn scale(jitsis: &Api<Jitsi>, shards: i32) {
    let patch = Patch::Merge(json!({"spec": {"replicas": shards}}));
    jitsis.patch_scale("jitsi-sample", &PatchParams::default(), &patch).await.unwrap();
}

async fn holder(leases: &Api<Lease>) -> String {
    let lease = leases.get_opt("roompin-controller").await.unwrap();
    lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
}

/// A cluster with the definitions in it, whose jicofos and proxies answer.
async fn cluster() -> (ApiServer, Client) {
    let server = ApiServer::new();
    let client = server.client("jitsi");
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "jitsi"}})).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    for crd in crds::definitions() {
        Api::all(client.clone()).create(&PostParams::default(), &crd).await.unwrap();
    }
    (server, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_carry_a_jitsi_from_one_shard_to_two_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = cluster().await;
    let _actors = Actors::all().start(&server).await;
    let people = tokio::spawn(people::answer(client.clone()));
    let front = server.serve().await.unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, front.kubeconfig("jitsi")).unwrap();
    let jitsis: Api<Jitsi> = Api::namespaced(client.clone(), "jitsi");
    let shards: Api<JitsiShard> = Api::namespaced(client.clone(), "jitsi");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "jitsi");
    let leases: Api<Lease> = Api::namespaced(client.clone(), "jitsi");

    let mut first = Process::start(folder.path(), "first", &kubeconfig);
    until("the first one leads", async || {
        let (status, body) = first.get("/readyz").await?;
        if status == 200 && body.contains("leading") { Ok(()) } else { Err(body) }
    })
    .await;
    let mut second = Process::start(folder.path(), "second", &kubeconfig);
    until("the second one waits", async || match second.get("/readyz").await? {
        (200, body) if !body.contains("leading") => Ok(()),
        (status, body) => Err(format!("{status} {body}")),
    })
    .await;
    assert_eq!(first.get("/healthz").await.unwrap().0, 200);
    // Both serve the REST API, and without keys nobody may call it.
    for process in [&first, &second] {
        assert_eq!(process.get_at(process.rest, "/health?deep=1").await.unwrap(), (200, "deeply healthy".to_owned()));
        assert_eq!(process.get_at(process.rest, "/groups").await.unwrap(), (401, "invalid token...".to_owned()));
    }
    assert!(holder(&leases).await.starts_with("first_"));

    // Up, and to two.
    let sample = Patch::Apply(serde_saphyr::from_str::<serde_json::Value>(include_str!("data/sample.yaml")).unwrap());
    jitsis.patch("jitsi-sample", &PatchParams::apply("kubectl"), &sample).await.unwrap();
    ready(&jitsis, 1).await;
    scale(&jitsis, 2).await;
    ready(&jitsis, 2).await;

    let events: Api<Event> = Api::namespaced(client.clone(), "jitsi");
    let notes: Vec<String> =
        events.list(&ListParams::default()).await.unwrap().into_iter().filter_map(|one| one.note).collect();
    for note in ["Shard 0 is made.", "Shard 1 is made."] {
        assert!(notes.iter().any(|one| one == note), "{notes:?}");
    }

    // Down, under a conference.
    let focus = ListParams::default().labels("apps.jit.si/shard=jitsi-sample-1,app.kubernetes.io/component=jicofo");
    let focus = pods.list(&focus).await.unwrap().items.remove(0).metadata.name.unwrap();
    let conference = |number: &str| Patch::Merge(json!({"metadata": {"annotations": {"conferences": number}}}));
    pods.patch(&focus, &PatchParams::default(), &conference("1")).await.unwrap();
    scale(&jitsis, 1).await;
    let waiting = until("it waits for the conference", async || {
        let status = shards.get("jitsi-sample-1").await.map_err(|why| why.to_string())?.status.unwrap_or_default();
        let waiting = status.waiting_for.unwrap_or_default();
        if waiting.contains("1 conference to end") { Ok(waiting) } else { Err(waiting) }
    })
    .await;
    assert!(waiting.contains("1 room and 3 tunnels at the proxies"), "{waiting}");
    let services: Api<Service> = Api::namespaced(client.clone(), "jitsi");
    let web = services.get("jitsi-sample-1-web").await.unwrap();
    assert_eq!(web.metadata.labels.unwrap()["apps.jit.si/shard-state"], "draining");

    // The leader goes in the middle of it; the other one goes on at once, for the lease was let go.
    let metrics = first.get("/metrics").await.unwrap().1;
    let (status, time) = first.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", first.lines());
    assert!(time < Duration::from_secs(10), "{time:?}");
    let left = Instant::now();
    until("the second one leads", async || {
        let (_, body) = second.get("/readyz").await?;
        if body.contains("leading") { Ok(()) } else { Err(body) }
    })
    .await;
    println!("it left within {time:?}, and the other one led {:?} later", left.elapsed());
    assert!(left.elapsed() < Duration::from_secs(10), "{:?}", left.elapsed());
    assert!(holder(&leases).await.starts_with("second_"));
    assert!(shards.get("jitsi-sample-1").await.is_ok(), "a hand-over cuts nothing");
    pods.patch(&focus, &PatchParams::default(), &conference("0")).await.unwrap();
    until("the shard is gone", async || match shards.get_opt("jitsi-sample-1").await {
        Ok(None) => Ok(()),
        Ok(Some(shard)) => Err(format!("{:?}", shard.status.and_then(|status| status.waiting_for))),
        Err(why) => Err(why.to_string()),
    })
    .await;
    ready(&jitsis, 1).await;

    promtool(&metrics);
    promtool(&second.get("/metrics").await.unwrap().1);
    assert!(metrics.contains("roompin_controller_leader 1"), "{metrics}");

    jitsis.delete("jitsi-sample", &DeleteParams::default()).await.unwrap();
    until("nothing is left", async || {
        let left = shards.list(&ListParams::default()).await.unwrap().items.len()
            + pods.list(&ListParams::default()).await.unwrap().items.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} shards and pods")) }
    })
    .await;
    let (status, _) = second.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", second.lines());
    for line in first.lines().lines().chain(second.lines().lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"] != "ERROR" && line["level"] != "WARN", "{line}");
    }
    people.abort();
}

/// What Prometheus thinks of the text.
fn promtool(metrics: &str) {
    use std::io::Write;
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: make test-tools installs it");
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{metrics}");
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let code = |command: &mut Command| command.env("HOME", folder.path()).output().unwrap();
    let no_such_flag = code(program().args(["run", "--shards", "3"]));
    assert_eq!(no_such_flag.status.code(), Some(64), "{no_such_flag:?}");
    let no_such_filter = code(program().args(["run", "--log-level", "controller=loud"]));
    assert_eq!(no_such_filter.status.code(), Some(64), "{no_such_filter:?}");
    let no_cluster = code(program().args(["run"]));
    assert_eq!(no_cluster.status.code(), Some(69), "{no_cluster:?}");
    let said = String::from_utf8(no_cluster.stderr).unwrap();
    assert!(said.contains("neither a kubeconfig nor a service account"), "{said}");

    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: x, user: {}}]\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n").unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let other = free_port().to_string();
    let rest_taken =
        code(program().args(["run", "--listen", &other, "--rest-listen", &address]).env("KUBECONFIG", &kubeconfig));
    assert_eq!(rest_taken.status.code(), Some(69), "{rest_taken:?}");
    let half = code(program().args(["run", "--asap-pub-key-file", "/keys.pem"]).env("KUBECONFIG", &kubeconfig));
    assert_eq!(half.status.code(), Some(64), "{half:?}");
    assert!(String::from_utf8(half.stderr).unwrap().contains("--asap-jwt-aud"));
    let port_taken = code(program().args(["run", "--listen", &address]).env("KUBECONFIG", &kubeconfig));
    assert_eq!(port_taken.status.code(), Some(69), "{port_taken:?}");
    assert!(String::from_utf8(port_taken.stderr).unwrap().contains(&address));

    let crds = code(program().arg("crds"));
    assert_eq!(crds.status.code(), Some(0));
    assert_eq!(String::from_utf8(crds.stdout).unwrap(), crds::yaml().unwrap());
}
