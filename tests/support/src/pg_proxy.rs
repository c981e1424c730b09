//! A proxy in front of PostgreSQL that understands as much of its protocol as counting messages takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api_proxy::{Action, Actions, Moment, act};

/// The codes by which a client asks for TLS or GSSAPI encryption before its first message.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];
/// No message of a client is longer in the tests; a wrong length is a mistake in the framing.
const LONGEST_MESSAGE: usize = 64 << 20;

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place among all messages of all connections, from 1.
    pub number: usize,
    /// The protocol's letter: `Q` simple query, `P` parse, `B` bind, `E` execute, `S` sync, `X` terminate, ...;
    /// `^` for the first message of a connection.
    pub kind: char,
    /// The SQL text of `Q` and `P`, else nothing.
    pub sql: Option<String>,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    actions: Actions,
    /// What is done when a message has been sent on, by its number.
    afterwards: BTreeMap<usize, Action>,
    /// Only sessions whose name begins so are counted; all if empty.
    sessions: String,
}

/// A TCP proxy in front of a PostgreSQL server. Connections that the server encrypts pass through uncounted.
pub struct PgProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Rises with every cut; connections of an earlier generation end. `None` while connections are refused.
    open: watch::Sender<Option<u64>>,
    task: JoinHandle<()>,
}

impl PgProxy {
    /// Listens on a free port of `listen`'s address (or its port, if that is not 0) and forwards to `server`.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(listen: SocketAddr, server: SocketAddr) -> Result<Self> {
        Self::start_for(listen, server, "").await
    }

    /// As [`PgProxy::start`], but only the messages of sessions whose `application_name` begins with `sessions` are
    /// counted and acted upon; those of the others pass through.
    ///
    /// # Errors
    /// As [`PgProxy::start`].
    pub async fn start_for(listen: SocketAddr, server: SocketAddr, sessions: &str) -> Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { sessions: sessions.to_owned(), ..State::default() }));
        let (open, opened) = watch::channel(Some(0));
        let task = tokio::spawn(accept(listener, server, Arc::clone(&state), opened));
        Ok(Self { address, state, open, task })
    }

    /// Where clients have to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The messages of clients so far.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.state).messages.clone()
    }

    /// How many messages clients have sent so far.
    pub fn message_count(&self) -> usize {
        lock(&self.state).messages.len()
    }

    /// Calls `action` once at the `number`-th message from the start of the proxy. [`Moment::BeforeReply`] is the
    /// first answer of the server after it: the server has then done what the message asked for, unless later
    /// messages belong to it (the answers to parse, bind and execute come with sync).
    ///
    /// # Errors
    /// That message has passed already.
    pub fn at_message(&self, number: usize, moment: Moment, action: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut state = lock(&self.state);
        if number <= state.messages.len() {
            bail!("message {number} has passed already, of {}", state.messages.len());
        }
        state.actions.add(number, moment, Box::new(action));
        Ok(())
    }

    /// Calls `action` once when the `number`-th message from the start of the proxy has been sent on. Then the
    /// connection ends: the server gets no later message of it, and the client no answer. That is what a client leaves
    /// behind that is killed at this moment.
    ///
    /// # Errors
    /// That message has passed already.
    pub fn after_message(&self, number: usize, action: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut state = lock(&self.state);
        if number <= state.messages.len() {
            bail!("message {number} has passed already, of {}", state.messages.len());
        }
        state.afterwards.insert(number, Box::new(action));
        Ok(())
    }

    /// Cuts every connection; new ones are accepted.
    pub fn cut(&self) {
        self.open.send_modify(|open| *open = open.map(|generation| generation + 1));
    }

    /// Cuts every connection and refuses new ones.
    pub fn go_away(&self) {
        self.open.send_replace(None);
    }

    /// Accepts connections again.
    pub fn come_back(&self) {
        self.open.send_modify(|open| *open = Some(open.map_or(1, |generation| generation + 1)));
    }
}

impl Drop for PgProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.open.send_replace(None);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    state: Arc<Mutex<State>>,
    open: watch::Receiver<Option<u64>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let generation = *open.borrow();
        if generation.is_none() {
            reset(&client);
            continue;
        }
        let state = Arc::clone(&state);
        let mut open = open.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = open.wait_for(|now| *now != generation) => {}
                // A connection that fails ends; the client sees that and no test asks why.
                _ = serve(client, server, state) => {}
            }
        });
    }
}

/// Ends a connection the way a port without a listener would: by RST.
fn reset(client: &TcpStream) {
    let _ = client.set_zero_linger();
}

async fn serve(client: TcpStream, server: SocketAddr, state: Arc<Mutex<State>>) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // The reply that an action waits for is this connection's, not another's.
    let awaited = Arc::new(Mutex::new(None::<usize>));

    if begin(&mut from_client, &mut to_client, &mut from_server, &mut to_server, &state, &awaited).await? {
        let answers = forward_answers(from_server, to_client, &state, &awaited);
        let messages = forward_messages(from_client, to_server, &state, &awaited);
        tokio::select! { done = answers => done, done = messages => done }
    } else {
        let out = tokio::io::copy(&mut from_client, &mut to_server);
        let back = tokio::io::copy(&mut from_server, &mut to_client);
        tokio::select! { done = out => done.map(|_| ())?, done = back => done.map(|_| ())? }
        Ok(())
    }
}

/// Forwards what precedes the first message; false when the connection is not counted: it is encrypted from here on,
/// or the session has another name.
async fn begin(
    from_client: &mut OwnedReadHalf,
    to_client: &mut OwnedWriteHalf,
    from_server: &mut OwnedReadHalf,
    to_server: &mut OwnedWriteHalf,
    state: &Mutex<State>,
    awaited: &Mutex<Option<usize>>,
) -> Result<bool> {
    loop {
        let mut head = [0_u8; 4];
        from_client.read_exact(&mut head).await?;
        let body = body(from_client, head).await?;
        let code = body.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
        let bytes = [&head[..], &body].concat();
        if !ENCRYPTION_REQUESTS.contains(&code) {
            if !is_counted(&body, &lock(state).sessions) {
                to_server.write_all(&bytes).await?;
                return Ok(false);
            }
            send(to_server, &bytes, '^', None, state, awaited).await?;
            return Ok(true);
        }
        to_server.write_all(&bytes).await?;
        let answer = from_server.read_u8().await?;
        to_client.write_u8(answer).await?;
        if answer != b'N' {
            return Ok(false);
        }
    }
}

/// Whether a session that begins with this message is counted: its parameters are pairs of texts that end with a zero.
fn is_counted(startup: &[u8], sessions: &str) -> bool {
    let texts: Vec<&[u8]> = startup.get(4..).unwrap_or_default().split(|byte| *byte == 0).collect();
    let name = texts.chunks(2).find(|pair| pair[0] == b"application_name").and_then(|pair| pair.get(1));
    name.copied().unwrap_or_default().starts_with(sessions.as_bytes())
}

async fn body(from_client: &mut OwnedReadHalf, head: [u8; 4]) -> Result<Vec<u8>> {
    let length = u32::from_be_bytes(head) as usize;
    if !(4..=LONGEST_MESSAGE).contains(&length) {
        bail!("a message of {length} bytes");
    }
    let mut body = vec![0; length - 4];
    from_client.read_exact(&mut body).await?;
    Ok(body)
}

async fn forward_messages(
    mut from_client: OwnedReadHalf,
    mut to_server: OwnedWriteHalf,
    state: &Mutex<State>,
    awaited: &Mutex<Option<usize>>,
) -> Result<()> {
    loop {
        let kind = from_client.read_u8().await?;
        let mut head = [0_u8; 4];
        from_client.read_exact(&mut head).await?;
        let body = body(&mut from_client, head).await?;
        let sql = sql(kind, &body);
        let bytes = [&[kind][..], &head, &body].concat();
        send(&mut to_server, &bytes, char::from(kind), sql, state, awaited).await?;
    }
}

/// The SQL text of a simple query or of a parse message, whose first string is the statement's name.
fn sql(kind: u8, body: &[u8]) -> Option<String> {
    let mut texts = body.split(|byte| *byte == 0);
    let text = match kind {
        b'Q' => texts.next(),
        b'P' => texts.nth(1),
        _ => None,
    };
    text.map(|text| String::from_utf8_lossy(text).into_owned())
}

async fn send(
    to_server: &mut OwnedWriteHalf,
    bytes: &[u8],
    kind: char,
    sql: Option<String>,
    state: &Mutex<State>,
    awaited: &Mutex<Option<usize>>,
) -> Result<()> {
    let (number, actions, afterwards) = {
        let mut state = lock(state);
        let number = state.messages.len() + 1;
        state.messages.push(Message { number, kind, sql });
        if state.actions.awaits_reply(number) {
            *awaited.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
        }
        (number, state.actions.take(number, false), state.afterwards.remove(&number))
    };
    if !act(actions).await? {
        bail!("message {number} is lost");
    }
    to_server.write_all(bytes).await?;
    if let Some(action) = afterwards {
        tokio::task::spawn_blocking(action).await.context("the action of a test")?;
        bail!("nothing after message {number} is sent on");
    }
    Ok(())
}

async fn forward_answers(
    mut from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    state: &Mutex<State>,
    awaited: &Mutex<Option<usize>>,
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from_server.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let number = awaited.lock().unwrap_or_else(PoisonError::into_inner).take();
        let actions = number.map(|number| lock(state).actions.take(number, true));
        act(actions.unwrap_or_default()).await?;
        to_client.write_all(&buffer[..length]).await?;
    }
}
