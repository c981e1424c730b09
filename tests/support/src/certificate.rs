//! Certificates for test servers, made with the `openssl` program.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::Launch;

/// A server's certificate, signed by an authority made for it alone.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The authority's certificate (PEM): what a client trusts.
    pub authority: PathBuf,
    /// The server's certificate (PEM).
    pub certificate: PathBuf,
    /// The server's private key (PEM).
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one for these alternative names (`DNS:localhost`, `IP:127.0.0.1`), valid for two days, in `directory`.
    ///
    /// # Errors
    /// `openssl` is missing or refuses.
    pub fn make(directory: &Path, names: &[String]) -> Result<Self> {
        let file = |name: &str| directory.join(name);
        let extensions = file("server.ext");
        std::fs::write(&extensions, format!("subjectAltName={}\n", names.join(",")))?;
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        Launch::new("openssl")
            .arguments(["req", "-x509", "-subj", "/CN=dbmedic tests"])
            .arguments(new_key)
            .argument("-keyout")
            .argument(file("ca.key"))
            .argument("-out")
            .argument(file("ca.crt"))
            .run()?;
        Launch::new("openssl")
            .arguments(["req", "-new", "-subj", "/CN=server"])
            .arguments(&new_key[..5])
            .argument("-keyout")
            .argument(file("server.key"))
            .argument("-out")
            .argument(file("server.csr"))
            .run()?;
        Launch::new("openssl")
            .arguments(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"])
            .argument(file("server.csr"))
            .argument("-CA")
            .argument(file("ca.crt"))
            .argument("-CAkey")
            .argument(file("ca.key"))
            .argument("-extfile")
            .argument(extensions)
            .argument("-out")
            .argument(file("server.crt"))
            .run()?;
        Ok(Self { authority: file("ca.crt"), certificate: file("server.crt"), key: file("server.key") })
    }
}

/// Makes a private key (EC P-256, PEM) that signs service account tokens.
pub(crate) fn make_key(path: &Path) -> Result<()> {
    Launch::new("openssl")
        .arguments(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
        .argument(path)
        .run()
}
