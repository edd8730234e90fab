//! The environment of a process: its variables and files.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::Error;

/// The file with the nameservers and the search list (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The file in which the kubelet writes the pod's namespace, unless `automountServiceAccountToken` is false.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The file with the names of hosts (hosts(5)).
const HOSTS: &str = "/etc/hosts";

/// The environment variables, the `resolv.conf`, the hosts file and the service-account namespace that a
/// [`Resolver`](crate::Resolver) uses. Tests pass their own.
///
/// ```
/// use discovery_core::Environment;
///
/// let environment = Environment::empty()
///     .with_env([("POD_NAMESPACE", "shop"), ("ORDERS_SERVICE_HOST", "127.0.0.1")])
///     .with_resolv_conf("nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local");
/// # let _ = environment;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Environment {
    env: BTreeMap<String, String>,
    resolv_conf: Text,
    namespace: Text,
    hosts: Text,
    #[cfg(feature = "kubernetes")]
    service_account: Option<PathBuf>,
}

#[derive(Clone, Debug, Default)]
enum Text {
    #[default]
    Absent,
    Given(String),
    File(PathBuf),
}

impl Environment {
    /// The environment of this process: its variables at the time of the call, `/etc/resolv.conf`, `/etc/hosts`, and
    /// the service-account namespace file. Leaves out variables that are not Unicode.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the process environment")]
    pub fn from_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            env: std::env::vars_os().filter_map(text).collect(),
            resolv_conf: Text::File(RESOLV_CONF.into()),
            namespace: Text::File(NAMESPACE_FILE.into()),
            hosts: Text::File(HOSTS.into()),
            #[cfg(feature = "kubernetes")]
            service_account: None,
        }
    }

    /// An environment without variables and files.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds variables. A later one replaces an earlier one of the same name.
    #[must_use]
    pub fn with_env<N: Into<String>, V: Into<String>>(mut self, vars: impl IntoIterator<Item = (N, V)>) -> Self {
        self.env.extend(vars.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Uses `text` as the content of `resolv.conf`.
    #[must_use]
    pub fn with_resolv_conf(mut self, text: impl Into<String>) -> Self {
        self.resolv_conf = Text::Given(text.into());
        self
    }

    /// Reads `resolv.conf` from `path`, and again after it changes.
    #[must_use]
    pub fn with_resolv_conf_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.resolv_conf = Text::File(path.into());
        self
    }

    /// Uses `text` as the content of the service-account namespace file.
    #[must_use]
    pub fn with_namespace(mut self, text: impl Into<String>) -> Self {
        self.namespace = Text::Given(text.into());
        self
    }

    /// Reads the own namespace from `path` instead of the service-account directory.
    #[must_use]
    pub fn with_namespace_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.namespace = Text::File(path.into());
        self
    }

    /// Uses `text` as the content of the hosts file.
    #[must_use]
    pub fn with_hosts(mut self, text: impl Into<String>) -> Self {
        self.hosts = Text::Given(text.into());
        self
    }

    /// Reads the hosts file from `path`, and again after it changes.
    #[must_use]
    pub fn with_hosts_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.hosts = Text::File(path.into());
        self
    }

    /// Reads `token` and `ca.crt` for the API server from this directory instead of the service-account directory.
    #[cfg(feature = "kubernetes")]
    #[must_use]
    pub fn with_service_account_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.service_account = Some(path.into());
        self
    }

    #[cfg(feature = "kubernetes")]
    pub(crate) fn service_account(&self) -> Option<&Path> {
        self.service_account.as_deref()
    }

    pub(crate) fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Returns the variables, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the text of `resolv.conf`, or `None` if the file does not exist.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn resolv_conf(&self) -> Result<Option<String>, Error> {
        self.resolv_conf.read()
    }

    pub(crate) fn namespace(&self) -> Result<Option<String>, Error> {
        self.namespace.read()
    }

    /// A stamp that differs after `resolv.conf` has changed.
    pub(crate) fn resolv_conf_stamp(&self) -> Stamp {
        self.resolv_conf.stamp()
    }

    /// Returns the text of the hosts file, or `None` if the file does not exist.
    pub(crate) fn hosts(&self) -> Result<Option<String>, Error> {
        self.hosts.read()
    }

    /// A stamp that differs after the hosts file has changed.
    pub(crate) fn hosts_stamp(&self) -> Stamp {
        self.hosts.stamp()
    }

    /// Where the hosts file is, for people.
    pub(crate) fn hosts_place(&self) -> String {
        match &self.hosts {
            Text::File(path) => path.display().to_string(),
            Text::Absent | Text::Given(_) => "hosts file".to_owned(),
        }
    }

    /// The host name of this pod, in a cluster: the kubelet sets both variables.
    pub(crate) fn pod_name(&self) -> Option<&str> {
        self.env.get("KUBERNETES_SERVICE_HOST").and(self.env.get("HOSTNAME")).map(String::as_str)
    }
}

/// Returns the index of the network interface with this name, for the zone of a link-local nameserver.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    if cfg!(target_os = "linux") {
        let is_name = !name.contains('/') && name != "." && name != "..";
        let file = Path::new("/sys/class/net").join(name).join("ifindex");
        return is_name.then(|| fs::read_to_string(file).ok()?.trim().parse().ok()).flatten();
    }
    // The C library reads the zone of an address literal, without a query.
    (format!("fe80::1%{name}"), 53).to_socket_addrs().ok()?.find_map(|addr| match addr {
        SocketAddr::V6(addr) => Some(addr.scope_id()).filter(|index| *index != 0),
        SocketAddr::V4(_) => None,
    })
}

/// The modification time, length and inode of a file. The inode matters when a file is moved into place, since it keeps
/// its own modification time.
pub(crate) type Stamp = Option<(SystemTime, u64, u64)>;

/// The stamp of the file at `path`; `None` without a readable file.
pub(crate) fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), inode(&metadata)))
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

impl Text {
    fn stamp(&self) -> Stamp {
        let Self::File(path) = self else { return None };
        stamp(path)
    }

    fn read(&self) -> Result<Option<String>, Error> {
        match self {
            Self::Absent => Ok(None),
            Self::Given(text) => Ok(Some(text.clone())),
            Self::File(path) => read_file(path),
        }
    }
}

/// A missing file is not an error: a laptop has no service account, and some systems have no `resolv.conf`.
pub(crate) fn read_file(path: &Path) -> Result<Option<String>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let text = format!("cannot read `{}`: {error}", path.display());
            Err(Error::with_source(crate::error::Kind::Config, text, error))
        }
    }
}
