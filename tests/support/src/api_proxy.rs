//! A proxy in front of the API server that counts writes.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, plain_kubeconfig};
use crate::scratch::{Scratch, random_text, write_private};

/// When a proxy acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request has come from the client; it is sent on after the action.
    BeforeSend,
    /// As [`Moment::BeforeSend`], but the server never sees it, as the connection ends after the action: what a client
    /// that dies before its write leaves behind.
    Lost,
    /// The server has done it and answered; the client learns that after the action.
    BeforeReply,
}

/// Something that a proxy does once.
pub(crate) type Action = Box<dyn FnOnce() + Send>;

/// The actions that wait for a message, by number and moment.
#[derive(Default)]
pub(crate) struct Actions(BTreeMap<usize, Vec<(Moment, Action)>>);

impl Actions {
    pub(crate) fn add(&mut self, number: usize, moment: Moment, action: Action) {
        self.0.entry(number).or_default().push((moment, action));
    }

    /// Whether something waits for the answer to this message.
    pub(crate) fn awaits_reply(&self, number: usize) -> bool {
        self.0.get(&number).is_some_and(|actions| actions.iter().any(|(moment, _)| *moment == Moment::BeforeReply))
    }

    /// Takes out what is to be done when the message comes, or when its answer does.
    pub(crate) fn take(&mut self, number: usize, reply: bool) -> Vec<(Moment, Action)> {
        let all = self.0.remove(&number).unwrap_or_default();
        let (now, later) = all.into_iter().partition(|(moment, _)| (*moment == Moment::BeforeReply) == reply);
        self.0.insert(number, later);
        now
    }
}

/// Does what is to be done; false if the message is lost with it. Actions wait for processes to die, which must not
/// hold up other connections.
pub(crate) async fn act(actions: Vec<(Moment, Action)>) -> Result<bool> {
    let mut goes_on = true;
    for (moment, action) in actions {
        tokio::task::spawn_blocking(action).await.context("the action of a test")?;
        goes_on &= moment != Moment::Lost;
    }
    Ok(goes_on)
}

/// One write that passed.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its place among all writes, from 1.
    pub number: usize,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The client's name for itself (`User-Agent`), empty if it gave none.
    pub client: String,
    /// The body as text.
    pub body: String,
    /// The server's answer; `None` until it came.
    pub status: Option<u16>,
    /// When it came.
    pub at: Instant,
}

#[derive(Default)]
struct State {
    requests: usize,
    writes: Vec<Write>,
    actions: Actions,
}

/// A plain HTTP server that forwards to the API server with the client's own token. Watches stream through.
///
/// A write is a POST, PUT, PATCH or DELETE, except those of leases, reviews of rights and tokens, requests for tokens
/// and dry runs: everything that leaves a trace a person could see.
pub struct ApiProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
    directory: Scratch,
}

impl ApiProxy {
    /// Starts in front of a cluster, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The cluster's kubeconfig is not usable.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let upstream = upstream(cluster).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let (open, opened) = watch::channel(true);
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&state), opened));
        Ok(Self { address, state, open, task, directory: Scratch::new("api-proxy")? })
    }

    /// Where clients have to connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig that leads through this proxy.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig(&self, token: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(format!("{}.kubeconfig", &random_text()?[..8]));
        write_private(&path, plain_kubeconfig(&self.url(), token))?;
        Ok(path)
    }

    /// The writes so far, in the order in which they came.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.state).writes.clone()
    }

    /// How many writes came so far.
    pub fn write_count(&self) -> usize {
        lock(&self.state).writes.len()
    }

    /// How many requests of any kind came so far.
    pub fn request_count(&self) -> usize {
        lock(&self.state).requests
    }

    /// Calls `action` once at the `number`-th write from the start of the proxy.
    ///
    /// # Errors
    /// That write has passed already.
    pub fn at_write(&self, number: usize, moment: Moment, action: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut state = lock(&self.state);
        if number <= state.writes.len() {
            bail!("write {number} has passed already, of {}", state.writes.len());
        }
        state.actions.add(number, moment, Box::new(action));
        Ok(())
    }

    /// Cuts every connection and refuses new ones: the API server is away.
    pub fn go_away(&self) {
        self.open.send_replace(false);
    }

    /// Accepts connections again.
    pub fn come_back(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.open.send_replace(false);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client of the API server that adds no rights of its own and repeats nothing.
async fn upstream(cluster: &Cluster) -> Result<Client> {
    let mut kubeconfig = Kubeconfig::read_from(cluster.kubeconfig("admin")?)?;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo::default());
    }
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    config.read_timeout = None;
    Client::try_from(config).context("a client of the API server")
}

async fn accept(listener: TcpListener, upstream: Client, state: Arc<Mutex<State>>, open: watch::Receiver<bool>) {
    while let Ok((connection, _)) = listener.accept().await {
        if !*open.borrow() {
            // RST, as from a port where nobody listens.
            let _ = connection.set_zero_linger();
            continue;
        }
        tokio::spawn(serve(connection, upstream.clone(), Arc::clone(&state), open.clone()));
    }
}

async fn serve(connection: TcpStream, upstream: Client, state: Arc<Mutex<State>>, mut open: watch::Receiver<bool>) {
    let _ = connection.set_nodelay(true);
    let service = service_fn(|request| {
        let (upstream, state) = (upstream.clone(), Arc::clone(&state));
        async move { answer(request, upstream, &state).await }
    });
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service);
    tokio::select! {
        _ = open.wait_for(|open| !open) => {}
        _ = serving => {}
    }
}

/// The error ends the connection.
async fn answer(request: Request<Incoming>, upstream: Client, state: &Mutex<State>) -> io::Result<Response<Body>> {
    match forward(request, upstream, state).await {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(io::Error::other("the request is lost")),
        Err(error) => {
            let mut response = Response::new(Body::from(format!("{error:#}").into_bytes()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}

/// Nothing if the request is lost on purpose.
async fn forward(request: Request<Incoming>, upstream: Client, state: &Mutex<State>) -> Result<Option<Response<Body>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut forwarded = Request::builder().method(head.method.clone()).uri(head.uri.clone());
    for (name, value) in &head.headers {
        if ![HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            forwarded = forwarded.header(name, value);
        }
    }
    if !head.headers.contains_key(AUTHORIZATION) {
        bail!("a request without a token");
    }
    lock(state).requests += 1;
    let number = is_write(&head.method, head.uri.path(), head.uri.query()).then(|| {
        let client = head.headers.get(USER_AGENT).and_then(|name| name.to_str().ok()).unwrap_or_default();
        note(state, head.method.as_str(), head.uri.path(), client, &body)
    });
    let actions = number.map(|number| lock(state).actions.take(number, false));
    if !act(actions.unwrap_or_default()).await? {
        return Ok(None);
    }
    let response = upstream.send(forwarded.body(Body::from(body))?).await?;
    let Some(number) = number else { return Ok(Some(response)) };

    // The whole answer has to be here before the action, else the server may still be working.
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let actions = {
        let mut state = lock(state);
        state.writes[number - 1].status = Some(head.status.as_u16());
        state.actions.take(number, true)
    };
    act(actions).await?;
    Ok(Some(Response::from_parts(head, Body::from(body))))
}

fn note(state: &Mutex<State>, method: &str, path: &str, client: &str, body: &Bytes) -> usize {
    let mut state = lock(state);
    let number = state.writes.len() + 1;
    state.writes.push(Write {
        number,
        method: method.to_owned(),
        path: path.to_owned(),
        client: client.to_owned(),
        body: String::from_utf8_lossy(body).into_owned(),
        status: None,
        at: Instant::now(),
    });
    number
}

fn is_write(method: &Method, path: &str, query: Option<&str>) -> bool {
    let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    let dry_run = query.unwrap_or_default().split('&').any(|pair| pair.starts_with("dryRun="));
    let parts: Vec<&str> = path.split('/').collect();
    let lease = path.starts_with("/apis/coordination.k8s.io/") && parts.contains(&"leases");
    let review = parts.last().is_some_and(|last| last.ends_with("reviews"));
    let token = parts.last() == Some(&"token") && parts.contains(&"serviceaccounts");
    changes && !dry_run && !lease && !review && !token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_reviews_tokens_dry_runs_and_reads_are_no_writes() {
        let post = |path| is_write(&Method::POST, path, None);
        assert!(post("/api/v1/namespaces/shop/events"));
        assert!(is_write(&Method::PATCH, "/apis/dbmedic.io/v1alpha1/namespaces/n/anomalies/leases", None));
        assert!(!is_write(&Method::PATCH, "/apis/coordination.k8s.io/v1/namespaces/n/leases/dbmedic", None));
        assert!(!post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
        assert!(!post("/api/v1/namespaces/n/serviceaccounts/operator/token"));
        assert!(!is_write(&Method::PATCH, "/api/v1/namespaces/n/pods/p", Some("fieldManager=x&dryRun=All")));
        assert!(!is_write(&Method::GET, "/api/v1/namespaces/n/pods/p", None));
    }
}
