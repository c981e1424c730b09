//! Processes that end with the program that started them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How a process is to be started.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    clean_environment: bool,
    log: Option<PathBuf>,
    account: Option<String>,
    death_signal: &'static str,
}

impl Launch {
    /// A program to start without arguments, with this program's environment and without a log.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            clean_environment: false,
            log: None,
            account: None,
            death_signal: "KILL",
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts from an empty environment, except `PATH`.
    #[must_use]
    pub fn clean_environment(mut self) -> Self {
        self.clean_environment = true;
        self
    }

    /// Appends what the process writes (both streams) to this file. Without a log it is thrown away.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Runs as this user of the system, which only root may do.
    #[must_use]
    pub(crate) fn account(mut self, account: Option<&str>) -> Self {
        self.account = account.map(str::to_owned);
        self
    }

    /// The signal that the process gets when this program ends without having stopped it; `KILL` if not set.
    #[must_use]
    pub(crate) fn death_signal(mut self, signal: &'static str) -> Self {
        self.death_signal = signal;
        self
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", self.death_signal]);
        if let Some(account) = &self.account {
            command.arg(format!("--reuid={account}")).arg(format!("--regid={account}")).arg("--clear-groups");
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        if self.clean_environment {
            command.env_clear();
            command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).process_group(0);
        if let Some(path) = &self.log {
            let log = fs::OpenOptions::new().create(true).append(true).open(path);
            let log = log.with_context(|| format!("opening {}", path.display()))?;
            command.stdout(log.try_clone()?).stderr(log);
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Ok(command)
    }

    /// Starts the process.
    ///
    /// # Errors
    /// The program or `setpriv` cannot be run, or the log cannot be written.
    pub fn start(&self) -> Result<Process> {
        if self.program.components().count() > 1 && !self.program.exists() {
            bail!("there is no program {}", self.program.display());
        }
        let child = spawn(self.command()?).with_context(|| format!("starting {}", self.program.display()))?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Process(Arc::new(Inner { name, pid, log: self.log.clone(), child: Mutex::new(child) })))
    }

    /// Runs the process to its end and fails with what it wrote if that was not a success.
    ///
    /// # Errors
    /// It cannot be started, or ended with another code than 0.
    pub(crate) fn run(&self) -> Result<()> {
        let mut command = self.command()?;
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.with_context(|| format!("running {}", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        bail!(
            "{} ended with {}: {}{}",
            self.program.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }
}

/// A running process and its group. The group is killed when the last clone of this handle is dropped.
#[derive(Debug, Clone)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    pid: Pid,
    log: Option<PathBuf>,
    child: Mutex<Child>,
}

impl Inner {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What the process itself started may outlive it, so the group is killed in every case; it fails only if
        // nobody is left.
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = self.child().wait();
    }
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.pid.as_raw().unsigned_abs()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.0.child().try_wait().ok().flatten()
    }

    /// Sends a signal to the process, not to its group; nothing happens when it has ended.
    pub fn signal(&self, signal: Signal) {
        // Under the lock nobody else collects the process, so its number cannot be another's.
        let mut child = self.0.child();
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill(self.0.pid, signal);
        }
    }

    /// Kills it and returns when it is gone, so that nothing it does can be seen afterwards.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        let _ = self.0.child().wait();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `timeout`; the end of its log is in the error.
    pub async fn wait(&self, timeout: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if start.elapsed() >= timeout {
                bail!("{} still runs after {:.1} s{}", self.0.name, timeout.as_secs_f64(), self.log_end());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The end of its log for an error message; empty without a log.
    pub fn log_end(&self) -> String {
        self.0.log.as_deref().map_or_else(String::new, log_end)
    }
}

/// The last 20 lines of a log for an error message.
pub(crate) fn log_end(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    format!("; the end of {}:\n{}", path.display(), lines[lines.len().saturating_sub(20)..].join("\n"))
}

struct Order {
    command: Command,
    answer: mpsc::SyncSender<io::Result<Child>>,
}

/// Starts a process from a thread that lives as long as the program: the kernel sends the death signal when the
/// *thread* that started a process ends, and the threads of tests end early.
fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for mut order in received {
                let _ = order.answer.send(order.command.spawn());
            }
        });
        orders
    });
    let (answer, answered) = mpsc::sync_channel(1);
    spawner.send(Order { command, answer }).map_err(|_| anyhow!("the thread that starts processes is gone"))?;
    let child = answered.recv().context("the thread that starts processes is gone")??;
    Ok(child)
}
