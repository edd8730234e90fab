//! The variables of the downward API.

use std::collections::BTreeMap;

/// Environment variables. One that is empty counts as absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(crate) fn from_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The pod's name: `POD_NAME`, else `HOSTNAME`, which is the same unless the pod sets `hostname` or uses the node's network.
    pub(crate) fn pod_name(&self) -> Option<&str> {
        self.get("POD_NAME").or_else(|| self.get("HOSTNAME"))
    }

    /// What is worth telling others about a pod.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let told = [
            ("kubernetes.namespace", "POD_NAMESPACE"),
            ("kubernetes.pod", "POD_NAME"),
            ("kubernetes.node", "NODE_NAME"),
        ];
        told.into_iter().filter_map(|(key, name)| Some((key, self.get(name)?)))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(vars: I) -> Self {
        Self(vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
