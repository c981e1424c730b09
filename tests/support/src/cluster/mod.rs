//! A Kubernetes API for the tests: a control plane of its own, or the cluster of a given kubeconfig.

mod access;
mod apply;
mod control_plane;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::OnceCell;

use crate::eventually::eventually;
use crate::scratch::{Scratch, free_port, programs_directory, random_text, workspace, write_private};
use crate::skipped::skipped;
pub(crate) use access::{plain_kubeconfig, token as service_account_token};
use control_plane::ControlPlane;

/// The users every cluster knows. `admin` may do everything, the others nothing until [`Cluster::grant`].
pub const USERS: [&str; 8] = ["admin", "alice", "bob", "carol", "dave", "erin", "frank", "grace"];

/// The variable that names the kubeconfig of a cluster to use instead of one of our own. Its user must be allowed
/// everything, impersonation included; the other [`USERS`] are impersonated.
pub const KUBECONFIG_VARIABLE: &str = "KUBECONFIG_FOR_TESTS";

/// The variable that names the program with the control plane, if it is not where `make tools` puts it.
pub const PROGRAM_VARIABLE: &str = "DBMEDIC_CLUSTER_PROGRAM";

/// A running Kubernetes API. It ends when this is dropped, and at the latest with the program.
#[derive(Debug)]
pub struct Cluster {
    // Dropped before the directory that it writes to.
    control_plane: Option<ControlPlane>,
    directory: Scratch,
    program: PathBuf,
    kubeconfigs: BTreeMap<&'static str, PathBuf>,
    start_time: Duration,
}

impl Cluster {
    /// Starts a control plane with files, ports and users of its own, or takes the one of `KUBECONFIG_FOR_TESTS`.
    ///
    /// # Errors
    /// The program is not built, or a component does not get ready within a minute (its log's end is in the error).
    pub async fn start() -> Result<Self> {
        // A second caller finds it installed, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let start = Instant::now();
        let directory = Scratch::new("cluster")?;
        let program = program()?;
        let given = std::env::var_os(KUBECONFIG_VARIABLE).map(PathBuf::from);
        let mut kubeconfigs = BTreeMap::new();
        let control_plane = if let Some(given) = given {
            for user in USERS {
                kubeconfigs.insert(user, access::impersonating(&given, user, directory.path())?);
            }
            None
        } else {
            let mut tokens = Vec::new();
            for user in USERS {
                tokens.push((user, random_text()?));
            }
            let control_plane = ControlPlane::start(&program, directory.path(), &tokens).await?;
            for (user, token) in &tokens {
                let path = directory.path().join(format!("{user}.kubeconfig"));
                write_private(&path, access::kubeconfig(control_plane.url(), control_plane.authority(), token))?;
                kubeconfigs.insert(*user, path);
            }
            Some(control_plane)
        };
        let mut cluster = Self { control_plane, directory, program, kubeconfigs, start_time: Duration::ZERO };
        cluster.be_usable().await?;
        cluster.start_time = start.elapsed();
        Ok(cluster)
    }

    /// A control plane for a test that changes what everybody on it shares, as the gates. Nobody's own cluster is a place
    /// for that: with `KUBECONFIG_FOR_TESTS` there is none, and the test is said to be skipped.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn own() -> Result<Option<Self>> {
        if std::env::var_os(KUBECONFIG_VARIABLE).is_some() {
            skipped(&format!("it changes what a whole cluster shares, and {KUBECONFIG_VARIABLE} gives one"));
            return Ok(None);
        }
        Self::start().await.map(Some)
    }

    /// The one cluster of this program, started by the first caller.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    async fn be_usable(&mut self) -> Result<()> {
        let client = self.client("admin").await?;
        let version = client.apiserver_version().await.context("asking the API server for its version")?;
        let Some(control_plane) = &mut self.control_plane else {
            eprintln!("tests use the cluster of {KUBECONFIG_VARIABLE}, version {}", version.git_version);
            return Ok(());
        };
        control_plane.start_controllers(&self.program, self.directory.path(), &self.kubeconfigs["admin"])?;
        control_plane.await_controllers(&client).await
    }

    /// How long it took until everything was ready.
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    /// The cluster's own files and logs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The program that has all components and kubectl in it.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The audit log of every write, one JSON object per line; absent with a given kubeconfig.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.control_plane.as_ref().map(|_| self.directory.path().join("audit.log"))
    }

    /// A kubeconfig of one of [`USERS`].
    ///
    /// # Errors
    /// There is no such user.
    pub fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        let Some(path) = self.kubeconfigs.get(user) else { bail!("there is no user {user}; there are {USERS:?}") };
        Ok(path.clone())
    }

    /// A client of one of [`USERS`]. It belongs to the runtime of the caller, so each test takes its own.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn client(&self, user: &str) -> Result<Client> {
        client_of(&self.kubeconfig(user)?).await
    }

    /// The kubeconfig of a service account with a token of its own (valid for a day), made if it does not exist.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        let path = self.directory.path().join(format!("{namespace}-{name}-{}.kubeconfig", free_number()));
        let text = access::with_token(&self.kubeconfig("admin")?, &token)?;
        write_private(&path, text)?;
        Ok(path)
    }

    /// A client with the rights of a service account, made if it does not exist.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn service_account_client(&self, namespace: &str, name: &str) -> Result<Client> {
        client_of(&self.service_account_kubeconfig(namespace, name).await?).await
    }

    /// A token of a service account, valid for a day; the account is made if it does not exist.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client("admin").await?, namespace);
        access::token(&accounts, name).await
    }

    /// A new namespace whose name begins with `prefix`, ready for pods.
    ///
    /// # Errors
    /// The API server refuses, or no default service account appears within 30 s.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let client = self.client("admin").await?;
        let name = format!("{prefix}-{}", &random_text()?[..8]);
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
        eventually(Duration::from_secs(30), format!("the default service account of {name}"), async || {
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(name)
    }

    /// Lets one of [`USERS`] or a service account (`system:serviceaccount:NAMESPACE:NAME`) use `verbs` on
    /// `resources` of `group` in a namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn grant(
        &self,
        namespace: &str,
        user: &str,
        group: &str,
        resources: &[&str],
        verbs: &[&str],
    ) -> Result<()> {
        access::grant(self.client("admin").await?, namespace, user, group, resources, verbs).await
    }

    /// Applies every document of a YAML text as admin, in order, with server-side apply and strict fields. Objects
    /// that name no namespace go to `namespace`. Returns when the kinds it defines can be used.
    ///
    /// # Errors
    /// Names the object that the API server refuses and why.
    pub async fn apply_yaml(&self, text: &str, namespace: &str) -> Result<()> {
        apply::text(&self.client("admin").await?, text, namespace).await
    }

    /// Applies a file, or every `.yaml` file of a directory in the order of their names, as [`Cluster::apply_yaml`].
    ///
    /// # Errors
    /// Names the file and the object that the API server refuses and why.
    pub async fn apply(&self, path: &Path, namespace: &str) -> Result<()> {
        apply::path(&self.client("admin").await?, path, namespace).await
    }

    /// Runs kubectl as one of [`USERS`], with the built plugins on its `PATH`.
    ///
    /// # Errors
    /// It cannot be started; that kubectl itself fails is in the output.
    pub async fn kubectl(&self, user: &str, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = std::process::Command::new(&self.program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .arg("kubectl")
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig(user)?)
            .env("PATH", format!("{}:{path}", programs_directory()?.display()));
        tokio::task::spawn_blocking(move || command.output()).await?.context("running kubectl")
    }
}

/// A client for the current context of a kubeconfig.
///
/// # Errors
/// The file is not a usable kubeconfig.
async fn client_of(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn free_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn program() -> Result<PathBuf> {
    let program = std::env::var_os(PROGRAM_VARIABLE)
        .map_or_else(|| workspace().join("target").join("tools").join("cluster"), PathBuf::from);
    if !program.is_file() {
        bail!("the control plane of the tests is not built: no file {}; run `make tools`", program.display());
    }
    Ok(program)
}
