//! The API server of the cluster that we are in.

use std::path::{Path, PathBuf};

use crate::{
    Error,
    environment::Environment,
    plan::Families,
    source::kubernetes::{KubernetesSource, KubernetesSourceBuilder},
    source::routes,
};

impl KubernetesSource {
    /// The API server of the cluster that `environment` are in, by `KUBERNETES_SERVICE_HOST` and
    /// `KUBERNETES_SERVICE_PORT`, with the token and the certificate authorities of the pod's service account. `None`
    /// where these variables are not set: not in a cluster.
    ///
    /// Addresses of a family that `families` lacks are left out; with `None`, of one that `POD_IPS` lacks, or if that is
    /// not set, that the machine has no route for.
    ///
    /// # Errors
    /// [`Error::is_config`] when the variables give no URL.
    pub fn in_cluster(environment: &Environment, families: Option<Families>) -> Result<Option<Self>, Error> {
        builder(environment, families).map(KubernetesSourceBuilder::build).transpose()
    }
}

/// The same, to be configured further.
pub(crate) fn builder(environment: &Environment, families: Option<Families>) -> Option<KubernetesSourceBuilder> {
    let var = |name: &str| environment.env().get(name).map(String::as_str).filter(|value| !value.is_empty());
    let host = var("KUBERNETES_SERVICE_HOST")?;
    let port = var("KUBERNETES_SERVICE_PORT_HTTPS").or_else(|| var("KUBERNETES_SERVICE_PORT")).unwrap_or("443");
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let account = environment.service_account().map_or_else(|| PathBuf::from(SERVICE_ACCOUNT), Path::to_owned);
    let of_pod = || var("POD_IPS").and_then(Families::from_pod_ips);
    let builder = KubernetesSource::builder(format!("https://{host}:{port}"))
        .token_file(account.join("token"))
        .ca_file(account.join("ca.crt"))
        .families(families.or_else(of_pod).unwrap_or_else(routes::families));
    Some(builder)
}

/// Where the kubelet puts the pod's service account, unless `automountServiceAccountToken` is false.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
