//! etcd, kube-apiserver and kube-controller-manager as processes on free ports of 127.0.0.1.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::Api;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};

use super::free_port;
use crate::certificate::make_key;
use crate::eventually::eventually;
use crate::process::{Launch, Process};
use crate::scratch::write_private;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_mins(1);

/// Writes are logged, reads are not: the log is there to count effects.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
"rules": [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}]}"#;

/// The processes of a control plane; they are killed when this is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order in which they have to end.
    controllers: Option<Process>,
    api_server: Process,
    _etcd: Process,
    url: String,
    authority: PathBuf,
}

impl ControlPlane {
    /// Starts etcd and the API server with these users and tokens; the user `admin` may do everything.
    pub async fn start(program: &Path, directory: &Path, tokens: &[(&str, String)]) -> Result<Self> {
        let mut lines = String::new();
        for (user, token) in tokens {
            let groups = if *user == "admin" { ",\"system:masters\"" } else { "" };
            writeln!(lines, "{token},{user},{user}{groups}")?;
        }
        write_private(&directory.join("tokens.csv"), lines)?;
        fs::write(directory.join("audit-policy.json"), AUDIT_POLICY)?;
        make_key(&directory.join("service-account.key"))?;

        let store = format!("http://127.0.0.1:{}", free_port(LOOPBACK)?);
        let etcd = start_etcd(program, directory, &store)?;
        await_etcd(&etcd, &store).await?;
        let port = free_port(LOOPBACK)?;
        let api_server = start_api_server(program, directory, &store, port)?;
        let url = format!("https://127.0.0.1:{port}");
        let authority = directory.join("serving").join("apiserver.crt");
        let control_plane = Self { controllers: None, api_server, _etcd: etcd, url, authority };
        let (_, admin) = tokens.iter().find(|(user, _)| *user == "admin").context("the user admin")?;
        control_plane.await_api_server(admin).await?;
        Ok(control_plane)
    }

    /// Where the API server answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate (PEM) by which clients know the API server.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// Waits for /readyz. The certificate and the token were made for this very process, so no predecessor on the
    /// same port can be taken for it.
    async fn await_api_server(&self, token: &str) -> Result<()> {
        eventually(PATIENCE, "kube-apiserver to become ready", async || {
            if let Some(status) = self.api_server.ended() {
                bail!("kube-apiserver ended with {status}{}", self.api_server.log_end());
            }
            Ok(self.is_ready(token).await.then_some(()))
        })
        .await
        .with_context(|| format!("starting the control plane{}", self.api_server.log_end()))
    }

    async fn is_ready(&self, token: &str) -> bool {
        let text = super::access::kubeconfig(&self.url, &self.authority, token);
        let Ok(kubeconfig) = kube::config::Kubeconfig::from_yaml(&text) else { return false };
        let Ok(mut config) = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await else {
            return false;
        };
        config.default_retry = false;
        let (Ok(client), Ok(request)) = (Client::try_from(config), http_get("/readyz")) else { return false };
        client.request_text(request).await.is_ok()
    }

    /// Starts the controllers.
    pub fn start_controllers(&mut self, program: &Path, directory: &Path, kubeconfig: &Path) -> Result<()> {
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let controllers = Launch::new(program)
            .argument("kube-controller-manager")
            // Most of each crash of a fix would be the 10 s of the Job controller's default.
            .environment("DBMEDIC_JOB_POD_BACK_OFF", "1s")
            .argument(option("kubeconfig", kubeconfig))
            .argument(option("service-account-private-key-file", &directory.join("service-account.key")))
            .argument(option("root-ca-file", &self.authority))
            .argument(option("cert-dir", &directory.join("controllers")))
            .argument(format!("--secure-port={}", free_port(LOOPBACK)?))
            .arguments([
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                "--use-service-account-credentials",
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
                "--concurrent-namespace-syncs=20",
                "--profiling=false",
            ])
            .log(directory.join("kube-controller-manager.log"))
            .start()?;
        self.controllers = Some(controllers);
        Ok(())
    }

    /// Waits until the controllers work: the first service account appears.
    pub async fn await_controllers(&self, client: &Client) -> Result<()> {
        let Some(controllers) = &self.controllers else { bail!("the controllers were not started") };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        eventually(PATIENCE, "kube-controller-manager to work", async || {
            if let Some(status) = controllers.ended() {
                bail!("kube-controller-manager ended with {status}{}", controllers.log_end());
            }
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(())
    }
}

fn http_get(path: &str) -> Result<hyper::Request<Vec<u8>>> {
    Ok(hyper::Request::get(path).body(Vec::new())?)
}

fn start_etcd(program: &Path, directory: &Path, url: &str) -> Result<Process> {
    let peer = format!("http://127.0.0.1:{}", free_port(LOOPBACK)?);
    Launch::new(program)
        .argument("etcd")
        .argument(format!("--data-dir={}", directory.join("etcd").display()))
        .argument(format!("--listen-client-urls={url}"))
        .argument(format!("--advertise-client-urls={url}"))
        .argument(format!("--listen-peer-urls={peer}"))
        .argument(format!("--initial-advertise-peer-urls={peer}"))
        .argument(format!("--initial-cluster=default={peer}"))
        // A single member elects itself; the usual second of waiting for others is lost time.
        .arguments(["--heartbeat-interval=20", "--election-timeout=200"])
        .arguments(["--unsafe-no-fsync", "--log-level=warn"])
        .log(directory.join("etcd.log"))
        .start()
}

async fn await_etcd(etcd: &Process, url: &str) -> Result<()> {
    let address = url.trim_start_matches("http://").to_owned();
    eventually(PATIENCE, "etcd to listen", async || {
        if let Some(status) = etcd.ended() {
            bail!("etcd ended with {status}{}", etcd.log_end());
        }
        Ok(tokio::net::TcpStream::connect(&address).await.ok())
    })
    .await?;
    Ok(())
}

fn start_api_server(program: &Path, directory: &Path, store: &str, port: u16) -> Result<Process> {
    let option = |name: &str, file: &str| format!("--{name}={}", directory.join(file).display());
    Launch::new(program)
        .argument("kube-apiserver")
        .argument(format!("--etcd-servers={store}"))
        .argument(format!("--secure-port={port}"))
        .argument(option("cert-dir", "serving"))
        .argument(option("token-auth-file", "tokens.csv"))
        .argument(option("service-account-key-file", "service-account.key"))
        .argument(option("service-account-signing-key-file", "service-account.key"))
        .argument(option("audit-policy-file", "audit-policy.json"))
        .argument(option("audit-log-path", "audit.log"))
        .arguments([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            // No pod reaches this API through a service, and a loopback address would be refused there.
            "--endpoint-reconciler-type=none",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            "--profiling=false",
        ])
        .log(directory.join("kube-apiserver.log"))
        .start()
}
