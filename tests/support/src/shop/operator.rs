//! The operator as a process of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{OPERATOR, Shop};
use crate::{Cluster, Launch, Process, eventually, free_port};

impl Shop {
    /// Starts the operator with the rights of its own service account.
    ///
    /// # Errors
    /// The program does not start.
    pub async fn start_operator(&self, cluster: &Cluster) -> Result<Operator> {
        let kubeconfig = cluster.service_account_kubeconfig(OPERATOR.0, OPERATOR.1).await?;
        self.start_operator_with(kubeconfig, "operator-0")
    }

    /// Starts an operator with a given kubeconfig and identity, for the shop's namespace only.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start_operator_with(&self, kubeconfig: PathBuf, identity: &str) -> Result<Operator> {
        let namespace = self.namespace.as_str();
        let arguments = [
            "--watch-namespaces",
            namespace,
            "--namespace",
            namespace,
            "--image",
            self.options.image,
            "--lease-seconds",
            "6",
            "--identity",
            identity,
        ];
        self.launch_operator(kubeconfig, &["operator"], &arguments, &[])
    }

    /// Starts the program with these arguments and variables, as its Deployment or a person would. What two processes
    /// of one machine cannot share is added: the port and the history.
    ///
    /// # Errors
    /// The program does not start.
    pub fn launch_operator(
        &self,
        kubeconfig: PathBuf,
        command: &[&str],
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<Operator> {
        let port = free_port("127.0.0.1".parse()?)?;
        std::fs::create_dir_all(self.data_directory())?;
        let started = Instant::now();
        let mut launch = Launch::new(self.programs.join("dbmedic"))
            .clean_environment()
            .environment("KUBECONFIG", kubeconfig)
            .environment("DBMEDIC_LOG", std::env::var("DBMEDIC_LOG").unwrap_or_else(|_| "info".to_owned()))
            .arguments(command)
            .arguments(["--listen", &format!("127.0.0.1:{port}")])
            .argument("--data-dir")
            .argument(self.data_directory())
            .arguments(arguments)
            .log(self.operator_log());
        for (name, value) in environment {
            launch = launch.environment(name, value);
        }
        Ok(Operator { process: launch.start()?, port, started })
    }
}

/// A running operator.
pub struct Operator {
    /// Its process.
    pub process: Process,
    /// Port of its endpoints.
    pub port: u16,
    /// When it was started.
    pub started: Instant,
}

impl Operator {
    /// What an endpoint answers: status and body.
    ///
    /// # Errors
    /// Nothing listens yet.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: operator\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status, body.to_owned()))
    }

    /// A figure of `/metrics` without labels.
    ///
    /// # Errors
    /// Nothing listens, or there is no such figure.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("no figure {name}"))?.parse().with_context(|| format!("the figure {name}"))
    }

    /// Waits until so many further rounds were judged.
    ///
    /// # Errors
    /// They are not, within a minute.
    pub async fn rounds_pass(&self, count: u32) -> Result<()> {
        let rounds = async || self.metric("dbmedic_rounds_total").await;
        let until = rounds().await? + f64::from(count);
        eventually(
            Duration::from_mins(1),
            "some rounds are over",
            async || Ok((rounds().await? >= until).then_some(())),
        )
        .await
    }

    /// Waits until `/readyz` says ready; returns the time since the start.
    ///
    /// # Errors
    /// It does not within half a minute.
    pub async fn ready(&self) -> Result<Duration> {
        eventually(Duration::from_secs(30), "the operator is ready", async || {
            Ok(matches!(self.get("/readyz").await, Ok((200, _))).then(|| self.started.elapsed()))
        })
        .await
    }
}
