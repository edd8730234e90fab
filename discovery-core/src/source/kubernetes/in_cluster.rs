//! The API server of the cluster that the process runs in.

use std::path::{Path, PathBuf};

use super::{KubernetesSource, KubernetesSourceBuilder};
use crate::{Error, environment::Environment, plan::Families, source::routes};

impl KubernetesSource {
    /// Creates a source for the API server of the cluster that `environment` describes.
    ///
    /// The address comes from `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, the token and the certificate
    /// authorities from the pod's service account. Returns `None` if these variables are not set, that is, outside of a
    /// cluster.
    ///
    /// Only addresses of `families` are used. With `None`, the families are those of `POD_IPS`, or if that variable is
    /// not set, those that the machine has a route for.
    ///
    /// # Errors
    /// [`Error::is_config`] if the variables do not make a valid URL.
    pub fn in_cluster(environment: &Environment, families: Option<Families>) -> Result<Option<Self>, Error> {
        KubernetesSourceBuilder::in_cluster(environment, families).map(KubernetesSourceBuilder::build).transpose()
    }
}

impl KubernetesSourceBuilder {
    /// Configures a source as [`KubernetesSource::in_cluster`] does.
    pub(crate) fn in_cluster(environment: &Environment, families: Option<Families>) -> Option<Self> {
        let var = |name: &str| environment.env().get(name).map(String::as_str).filter(|value| !value.is_empty());
        let host = var("KUBERNETES_SERVICE_HOST")?;
        let port = var("KUBERNETES_SERVICE_PORT_HTTPS").or_else(|| var("KUBERNETES_SERVICE_PORT")).unwrap_or("443");
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let account = environment.service_account().map_or_else(|| PathBuf::from(SERVICE_ACCOUNT), Path::to_owned);
        let pod_families = || var("POD_IPS").and_then(Families::from_pod_ips);
        let builder = Self::new(format!("https://{host}:{port}"))
            .token_file(account.join("token"))
            .ca_file(account.join("ca.crt"))
            .families(families.or_else(pod_families).unwrap_or_else(routes::families));
        Some(builder)
    }
}

/// Where the kubelet mounts the pod's service account, unless `automountServiceAccountToken` is false.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
