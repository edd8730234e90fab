//! How the API server is reached.

use std::{fmt, path::PathBuf, time::Duration};

use kube::{Client, Config};

use super::failure::Failure;
use crate::Error;

/// Where the API server is, and who we are to it.
#[derive(Clone)]
pub(in super::super) struct Connection {
    pub(in super::super) url: String,
    pub(in super::super) token: Option<String>,
    pub(in super::super) token_file: Option<PathBuf>,
    pub(in super::super) ca_file: Option<PathBuf>,
}

impl Connection {
    /// A client on the runtime of the caller: it has a task of its own there.
    ///
    /// It reads the token file at once, and then at least once a minute, and the CA file likewise.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let failed = |error: kube::Error| Failure::local(&error);
        Client::try_from(self.config().map_err(|error| Failure::Other(error.to_string()))?).map_err(failed)
    }

    /// Checks what can be checked without I/O.
    pub(in super::super) fn check(&self) -> Result<(), Error> {
        self.config().map(|_| ())
    }

    fn config(&self) -> Result<Config, Error> {
        let refuse = |why: &str| Error::config(format!("`{}` is no URL of an API server: {why}", self.url));
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") {
            return Err(refuse("it begins with `https://` or `http://`"));
        }
        let mut config = match self.url.parse() {
            Ok(url) => Config::new(url),
            Err(error) => return Err(refuse(&format!("{error}"))),
        };
        config.connect_timeout = Some(CONNECT);
        config.write_timeout = Some(CONNECT);
        // Our own waits are spread out and know what was asked.
        config.default_retry = false;
        config.auth_info.token = self.token.clone().map(Into::into);
        config.auth_info.token_file = self.token_file.as_ref().map(|path| path.to_string_lossy().into_owned());
        if let Some(path) = &self.ca_file {
            config.root_cert_file = Some(path.clone());
            // The file decides; without this the machine's own authorities would be loaded first, which a minimal image
            // does not have.
            config.root_cert = Some(Vec::new());
        }
        Ok(config)
    }
}

/// A token is nobody's business.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &self.url)
            .field("token_file", &self.token_file)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// The API server is in the same network.
const CONNECT: Duration = Duration::from_secs(5);
