//! TLS: whom the sink trusts, whom it presents itself as, and which HTTP comes of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use eventlane::sink::http::{HttpSink, HttpSinkConfig, Protocol, Secret, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};

use crate::{
    server::Hyper,
    support::{config, deliver, event, retried},
};

struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Identity {
    certificate: String,
    key: String,
    der: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: (
                certificate.der().clone(),
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            ),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }
}

fn acceptor(identity: &Identity, clients: Option<&Authority>, alpn: &[&str]) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(authority.roots(), provider)
                .build()
                .unwrap(),
        ),
    };
    let (certificate, key) = (identity.der.0.clone(), identity.der.1.clone_key());
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn trusting(url: &str, authority: &Authority) -> HttpSinkConfig {
    config(url).with_tls(Tls::default().with_ca(authority.pem()))
}

#[tokio::test]
async fn the_version_is_negotiated() {
    let authority = Authority::new("ours");
    let identity = authority.issue("localhost", |_| ());
    for (offered, protocol, version) in [
        (
            &["h2", "http/1.1"][..],
            Protocol::Auto,
            http::Version::HTTP_2,
        ),
        (&["http/1.1"], Protocol::Auto, http::Version::HTTP_11),
        (&[], Protocol::Auto, http::Version::HTTP_11),
        (&["h2", "http/1.1"], Protocol::Http1, http::Version::HTTP_11),
        (&["h2"], Protocol::Http2, http::Version::HTTP_2),
    ] {
        let mut server = Hyper::tls(acceptor(&identity, None, offered)).await;
        let config = trusting(&server.url(), &authority).with_protocol(protocol);
        deliver(&HttpSink::new(config).unwrap(), event()).await;
        let request = server.request().await;
        assert_eq!(request.version(), version);
        assert_eq!(request.headers()["ce-id"], "1");
        let host = format!("localhost:{}", server.port());
        match version {
            http::Version::HTTP_2 => assert_eq!(request.uri().authority().unwrap().as_str(), host),
            _ => assert_eq!(request.headers()["host"], host),
        }
    }
}

/// What is verified is the name in the URL, what the receiver sees is the configured one.
#[tokio::test]
async fn the_host_header_changes_neither_the_connection_nor_its_verification() {
    let authority = Authority::new("ours");
    let identity = authority.issue("localhost", |_| ());
    for protocol in ["h2", "http/1.1"] {
        let mut server = Hyper::tls(acceptor(&identity, None, &[protocol])).await;
        let config = trusting(&server.url(), &authority).with_header("host", "other.example.com");
        deliver(&HttpSink::new(config).unwrap(), event()).await;
        let request = server.request().await;
        let seen = match protocol {
            "h2" => request.uri().authority().unwrap().as_str(),
            _ => request.headers()["host"].to_str().unwrap(),
        };
        assert_eq!(seen, "other.example.com");
    }
}

#[tokio::test]
async fn what_cannot_be_trusted_is_a_retry_that_says_why() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let day = Duration::from_secs(24 * 3600);
    let past = |age: u32| SystemTime::now() - day * age;
    let expired = ours.issue("localhost", |params| {
        params.not_before = past(2).into();
        params.not_after = past(1).into();
    });
    for (identity, hint) in [
        (theirs.issue("localhost", |_| ()), "`tls.ca`"),
        (ours.issue("elsewhere", |_| ()), "not valid for name"),
        (expired, "expired"),
    ] {
        let server = Hyper::tls(acceptor(&identity, None, &["h2"])).await;
        let sink = HttpSink::new(trusting(&server.url(), &ours)).unwrap();
        let failure = retried(&sink, event()).await;
        assert_eq!(failure.reason, "tls", "{}", failure.message);
        assert!(
            failure
                .message
                .starts_with(&format!("POST {}: tls: ", server.url()))
        );
        assert!(failure.message.contains(hint), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_receiver_without_tls_is_a_retry_that_says_so() {
    let server = crate::server::Raw::start(|_| crate::server::OK).await;
    let authority = Authority::new("ours");
    let url = server.url().replace("http://", "https://");
    // It never answers what is no request to it; closing is all that ends this.
    let config = trusting(&url, &authority).with_connect_timeout(Duration::from_millis(200));
    let failure = retried(&HttpSink::new(config).unwrap(), event()).await;
    assert_eq!(failure.reason, "connect", "{}", failure.message);
}

#[tokio::test]
async fn client_certificates() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = servers.issue("localhost", |_| ());
    let client = clients.issue("me", |_| ());
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.pem");
    std::fs::write(&key, &client.key).unwrap();
    for protocol in ["h2", "http/1.1"] {
        let server = Hyper::tls(acceptor(&server, Some(&clients), &[protocol])).await;
        let tls = Tls::default().with_ca(servers.pem());
        let with = tls
            .clone()
            .with_client(client.certificate.as_str(), Secret::file(&key));
        deliver(
            &HttpSink::new(config(&server.url()).with_tls(with)).unwrap(),
            event(),
        )
        .await;

        let failure = retried(
            &HttpSink::new(config(&server.url()).with_tls(tls)).unwrap(),
            event(),
        )
        .await;
        assert_eq!(failure.reason, "tls", "{}", failure.message);
        assert!(
            failure.message.to_lowercase().contains("certificate"),
            "{}",
            failure.message
        );
    }
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let authority = Authority::new("ours");
    let (one, other) = (authority.issue("a", |_| ()), authority.issue("b", |_| ()));
    let mut certificate_only = Tls::default().with_ca(authority.pem());
    certificate_only.certificate = Some(one.certificate.as_str().into());
    let mut key_only = Tls::default().with_ca(authority.pem());
    key_only.key = Some(one.key.as_str().into());
    let ca = || Tls::default().with_ca(authority.pem());
    for (tls, hint) in [
        (
            Tls::default().with_ca(Secret::file("/no/such/file")),
            "/no/such/file",
        ),
        (
            Tls::default().with_ca("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----"),
            "`tls.ca`",
        ),
        (Tls::default().with_ca(one.key.as_str()), "no certificate"),
        (
            ca().with_client(one.certificate.as_str(), "x"),
            "no private key",
        ),
        (
            ca().with_client(one.certificate.as_str(), other.key.as_str()),
            "together",
        ),
        (certificate_only, "`tls.key`"),
        (key_only, "`tls.certificate`"),
    ] {
        let error = HttpSink::new(config("https://localhost").with_tls(tls)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(hint) && !text.contains('\n'), "{text}");
    }
}
