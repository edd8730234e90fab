//! The certificate authority of a cluster, and the credentials of its programs.

use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::node::{FOLDER, NODE_IP, Node};

/// The certificates that a client of the API server needs.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// The authority's certificate in PEM, as pods find it in `ca.crt`.
    pub(crate) authority: String,
    /// The authority's certificate in DER.
    pub(crate) authority_der: Vec<u8>,
}

/// The administrator's token. It has no value outside of a test's namespaces.
pub(crate) const ADMIN_TOKEN: &str = "administrator";

/// Generates all keys and writes them where the node's programs look for them.
pub(crate) fn write(node: &Node) -> io::Result<Keys> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    let authority = CertifiedIssuer::self_signed(params, key()?).map_err(io::Error::other)?;

    let names = ["127.0.0.1", NODE_IP, "10.96.0.1", "fd00:96::1", "localhost", "kubernetes", "kubernetes.default"];
    let names = names.into_iter().chain(["kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]);
    let mut params = CertificateParams::new(names.map(str::to_owned).collect::<Vec<_>>()).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = key()?;
    let server = params.signed_by(&server_key, &authority).map_err(io::Error::other)?;
    let accounts = key()?;

    let put = |name: &str, text: &str| fs::write(node.path(format!("{FOLDER}/{name}")), text);
    put("ca.crt", &authority.pem())?;
    put("apiserver.crt", &server.pem())?;
    put("apiserver.key", &server_key.serialize_pem())?;
    put("accounts.key", &accounts.serialize_pem())?;
    put("accounts.pub", &accounts.public_key_pem())?;
    put("tokens.csv", &format!("{ADMIN_TOKEN},admin,1,system:masters\n"))?;
    put("kubeconfig", &KUBECONFIG.replace("FOLDER", FOLDER).replace("TOKEN", ADMIN_TOKEN))?;
    Ok(Keys { authority: authority.pem(), authority_der: authority.der().to_vec() })
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: 'https://127.0.0.1:6443', certificate-authority: FOLDER/ca.crt}}]
users: [{name: admin, user: {token: TOKEN}}]
contexts: [{name: here, context: {cluster: here, user: admin}}]
current-context: here
";
