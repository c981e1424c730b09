//! The programs and files of a PostgreSQL server.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::unistd::{User, geteuid};

use super::{SUPERUSER, Settings};
use crate::certificate::Certificate;
use crate::process::Launch;
use crate::scratch::{Scratch, random_text, write_private};

/// What every test server has: fast, not durable, everything loaded that dbmedic reads.
const PARAMETERS: [(&str, &str); 11] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "replica"),
    ("max_wal_senders", "5"),
    ("hot_standby", "on"),
    ("shared_buffers", "64MB"),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("unix_socket_directories", ""),
    ("log_line_prefix", "%m [%p] %u@%d %a "),
    ("password_encryption", "scram-sha-256"),
];

/// The directory with `initdb` and `postgres`: that of the variable `DBMEDIC_POSTGRES_PROGRAMS`, of the `PATH`, or the
/// newest of Debian's.
pub fn programs() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("DBMEDIC_POSTGRES_PROGRAMS") {
        return Ok(given.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link may stand alone on the path; the other programs lie beside what it leads to.
    let on_path = std::env::split_paths(&path).filter_map(|directory| directory.join("initdb").canonicalize().ok());
    let mut directories = on_path.filter_map(|program| program.parent().map(Path::to_path_buf));
    if let Some(found) = directories.find(|directory| directory.join("postgres").is_file()) {
        return Ok(found);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number =
        |path: &Path| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    versions
        .filter_map(|entry| Some((number(&entry.path())?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .max()
        .map(|(_, programs)| programs)
        .context("PostgreSQL is not installed; run `make tools`")
}

/// The user of the system that servers run as: PostgreSQL refuses to run as root.
pub fn account() -> Result<Option<&'static str>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    if User::from_name("postgres")?.is_none() {
        bail!("root cannot run PostgreSQL, and there is no user postgres; run `make tools`");
    }
    Ok(Some("postgres"))
}

/// Makes the server's user the owner of a file or an empty directory.
pub fn give_to_account(path: &Path) -> Result<()> {
    if let Some(account) = account()? {
        let user = User::from_name(account)?.context("the user postgres")?;
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("giving {} to {account}", path.display()))?;
    }
    Ok(())
}

/// The superuser's password, the same for every server of this program.
pub fn password() -> Result<&'static str> {
    static PASSWORD: OnceLock<Option<String>> = OnceLock::new();
    PASSWORD.get_or_init(|| random_text().ok()).as_deref().context("no randomness for a password")
}

/// Copies the data directory that this program initialises once.
pub fn copy_template(programs: &Path, data: &Path) -> Result<()> {
    static TEMPLATE: OnceLock<Result<Scratch, String>> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| initialise(programs).map_err(|error| format!("{error:#}")));
    let template = template.as_ref().map_err(|error| anyhow!("{error}"))?;
    Launch::new("cp").argument("-a").argument(template.path().join("data")).argument(data).run()
}

fn initialise(programs: &Path) -> Result<Scratch> {
    let template = Scratch::new("postgres-template")?;
    let password_file = template.path().join("password");
    write_private(&password_file, password()?)?;
    give_to_account(template.path())?;
    give_to_account(&password_file)?;
    Launch::new(programs.join("initdb"))
        .arguments(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--username"])
        .argument(SUPERUSER)
        .argument("--pwfile")
        .argument(password_file)
        .argument("-D")
        .argument(template.path().join("data"))
        .account(account()?)
        .run()?;
    Ok(template)
}

/// Copies a running primary as a standby of it.
pub fn copy_primary(programs: &Path, data: &Path, address: IpAddr, port: u16) -> Result<()> {
    Launch::new(programs.join("pg_basebackup"))
        .arguments(["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync", "--pgdata"])
        .argument(data)
        .argument(format!("--dbname=host={address} port={port} user={SUPERUSER} sslmode=disable"))
        .environment("PGPASSWORD", password()?)
        .account(account()?)
        .run()
}

/// Writes the server's parameters and access rules.
pub fn configure(data: &Path, settings: &Settings, port: u16, certificate: Option<&Certificate>) -> Result<()> {
    let mut text = format!("listen_addresses = '{}'\nport = {port}\n", settings.address);
    let mut add = |name: &str, value: &str| writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
    for (name, value) in PARAMETERS {
        add(name, value)?;
    }
    if let Some(certificate) = certificate {
        add("ssl", "on")?;
        add("ssl_cert_file", &certificate.certificate.display().to_string())?;
        add("ssl_key_file", &certificate.key.display().to_string())?;
    }
    for (name, value) in &settings.parameters {
        add(name, value)?;
    }
    // The later of two lines for one parameter holds.
    let path = data.join("postgresql.conf");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    write_access_rules(data, false)
}

/// Writes who may connect: with a password, from this machine, and only with TLS if demanded.
pub fn write_access_rules(data: &Path, demand_tls: bool) -> Result<()> {
    let others = if demand_tls { "hostssl" } else { "host" };
    let rules = format!(
        "host all {SUPERUSER} 127.0.0.0/8 scram-sha-256\n\
         host replication {SUPERUSER} 127.0.0.0/8 scram-sha-256\n\
         {others} all all 127.0.0.0/8 scram-sha-256\n"
    );
    let path = data.join("pg_hba.conf");
    fs::write(&path, rules).with_context(|| format!("writing {}", path.display()))
}

/// Whether any process runs in this directory.
pub fn is_in_use(data: &Path) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok()).any(|directory| directory == data)
}

/// Makes a certificate for the server's address and for `localhost`.
pub fn certificate(directory: &Path, settings: &Settings) -> Result<Certificate> {
    let names = [format!("IP:{}", settings.address), "DNS:localhost".to_owned()];
    let certificate = Certificate::make(directory, &names)?;
    fs::set_permissions(&certificate.key, fs::Permissions::from_mode(0o600))?;
    give_to_account(&certificate.key)?;
    give_to_account(&certificate.certificate)?;
    Ok(certificate)
}
