//! Temporary directories, free ports and where things lie.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, anyhow};

const PREFIX: &str = "dbmedic-tests-";

/// Whether temporary directories stay behind: the variable `DBMEDIC_KEEP` is set.
fn keep() -> bool {
    std::env::var_os("DBMEDIC_KEEP").is_some()
}

/// A temporary directory of this program, removed on drop and at the latest when the program has ended, however it
/// ended. With `DBMEDIC_KEEP` set in the environment it stays.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new directory whose name contains `name`.
    ///
    /// # Errors
    /// The temporary directory is not writable.
    pub fn new(name: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let root = root()?;
        let path = root.join(format!("{}-{name}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !keep() {
            // A directory that cannot be removed now is removed when the program has ended.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The directory of this program run, under which every [`Scratch`] lies.
fn root() -> Result<&'static Path> {
    static ROOT: OnceLock<Result<(PathBuf, Option<ChildStdin>), String>> = OnceLock::new();
    match ROOT.get_or_init(|| make_root().map_err(|error| format!("{error:#}"))) {
        Ok((path, _)) => Ok(path),
        Err(error) => Err(anyhow!("{error}")),
    }
}

fn make_root() -> Result<(PathBuf, Option<ChildStdin>)> {
    let parent = std::env::temp_dir();
    sweep(&parent);
    let process = std::process::id();
    let started = start_ticks(process).unwrap_or_default();
    let path = parent.join(format!("{PREFIX}{process}-{started}"));
    fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    // PostgreSQL runs as another user than root and has to pass through.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let watchdog = if keep() { None } else { Some(remove_at_end(&path)?) };
    Ok((path, watchdog))
}

/// Starts a shell that waits for this program's end (its input closes) and then removes `path`.
fn remove_at_end(path: &Path) -> Result<ChildStdin> {
    let mut watchdog = Command::new("sh")
        .args(["-c", r#"read -r _; sleep 1; rm -rf "$1"; sleep 4; rm -rf "$1""#, "remove-at-end"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("starting sh")?;
    watchdog.stdin.take().context("the input of sh")
}

/// Removes directories that runs left behind whose process is gone.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split_once('-'));
        let Some((process, started)) = owner else { continue };
        let Ok(process) = process.parse() else { continue };
        if start_ticks(process).is_none_or(|ticks| ticks.to_string() != started) {
            // Somebody else's directory stays: it is not ours to remove.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// When a process was started, in clock ticks since boot; tells apart two processes of the same number.
fn start_ticks(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name may contain spaces; it ends at the last parenthesis, and field 22 is the start.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// A port of the address that nothing listens on at this moment.
///
/// # Errors
/// The address is not one of this machine.
pub fn free_port(address: IpAddr) -> Result<u16> {
    let listener =
        TcpListener::bind(SocketAddr::new(address, 0)).with_context(|| format!("looking for a port of {address}"))?;
    Ok(listener.local_addr()?.port())
}

/// The root of the source tree.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

/// The directory with the programs (`dbmedic`, `kubectl-dbmedic`): that of the variable `DBMEDIC_PROGRAMS`, else of the
/// running build, which is the running program's, or its parent for tests, examples and benches.
///
/// # Errors
/// The running program cannot tell where it is.
pub fn programs_directory() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("DBMEDIC_PROGRAMS") {
        return std::path::absolute(given).context("the directory of DBMEDIC_PROGRAMS");
    }
    let program = std::env::current_exe().context("looking for the running program")?;
    let directory = program.parent().context("the running program's directory")?;
    let inner = directory.file_name().is_some_and(|name| name == "deps" || name == "examples");
    Ok(if inner { directory.parent().unwrap_or(directory).to_path_buf() } else { directory.to_path_buf() })
}

/// Random text of 32 hexadecimal digits.
pub(crate) fn random_text() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes).context("reading /dev/urandom")?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("writing {}", path.display()))?;
    file.write_all(content.as_ref()).with_context(|| format!("writing {}", path.display()))
}
