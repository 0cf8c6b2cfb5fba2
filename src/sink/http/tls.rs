//! Whom we trust, and who we are.
//!
//!
//! Read once, when the sink is made: a certificate that is renewed needs a new sink. Everything
//! that can be wrong with the files is a `Config` error of [`HttpSink::new`](super::HttpSink::new)
//! and names the setting.

use std::sync::Arc;

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert, crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::ExposeSecret;

use super::{
    Secret,
    config::{Tls, mistake},
    target::Target,
};
use crate::Result;

/// The client's side of TLS; for `http://` one that trusts nobody.
pub(super) fn client_config(tls: &Tls, target: &Target) -> Result<ClientConfig> {
    if !target.is_https() {
        if tls.is_set() {
            return Err(mistake(format!(
                "`tls` is set, but {} is not https://",
                target.shown
            )));
        }
        return Ok(verified_by(RootCertStore::empty())?.with_no_client_auth());
    }
    let roots = match &tls.ca {
        Some(ca) => given_roots(ca)?,
        None => native_roots()?,
    };
    let config = verified_by(roots)?;
    let (certificate, key) = match (&tls.certificate, &tls.key) {
        (None, None) => return Ok(config.with_no_client_auth()),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            return Err(mistake(
                "`tls.certificate` is set without `tls.key`: set both",
            ));
        }
        (None, Some(_)) => {
            return Err(mistake(
                "`tls.key` is set without `tls.certificate`: set both",
            ));
        }
    };
    let chain = certificates(certificate, "the client certificate (`tls.certificate`)")?;
    let what = "the client's private key (`tls.key`)";
    let key = PrivateKeyDer::from_pem_slice(key.read(what)?.expose_secret().as_bytes())
        .map_err(|_| mistake(format!("{what} holds no private key in PEM")))?;
    config.with_client_auth_cert(chain, key).map_err(|cause| {
        mistake(format!(
            "the client certificate and its key can't be used together: {cause}"
        ))
        .with_source(cause)
    })
}

/// TLS 1.2 and 1.3 with these roots.
fn verified_by(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    // Named explicitly: which provider is the process's default depends on what else is linked in.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| mistake("TLS can't be set up").with_source(cause))?;
    Ok(builder.with_root_certificates(roots))
}

/// Every certificate has to be usable: one that is dropped in silence would be missed too late.
fn given_roots(ca: &Secret) -> Result<RootCertStore> {
    let what = "the authorities (`tls.ca`)";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, what)? {
        roots.add(certificate).map_err(|cause| {
            mistake(format!(
                "{what} hold a certificate that can't be used: {cause}"
            ))
            .with_source(cause)
        })?;
    }
    Ok(roots)
}

/// The system's, as far as they can be read: a store may hold some that rustls does not take.
fn native_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(mistake(
            "the system has no root certificates: install ca-certificates, or set `tls.ca`",
        ));
    }
    Ok(roots)
}

/// At least one, or an error.
fn certificates(pem: &Secret, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let text = pem.read(what)?;
    let certificates = CertificateDer::pem_slice_iter(text.expose_secret().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| mistake(format!("{what} can't be read as PEM: {cause}")))?;
    if certificates.is_empty() {
        return Err(mistake(format!("{what} hold no certificate in PEM")));
    }
    Ok(certificates)
}
