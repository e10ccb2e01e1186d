//! A registry with a certificate of its own authority, as many companies run one: `--ca-file` trusts it, and nothing
//! else does.

use std::fs;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::copy::stderr;
use crate::publish::{REPOSITORY, checkout, command, fails, succeeds};
use crate::registry::{Place, Registry, State};

/// An authority that nobody knows.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(parameters, key) }
    }

    /// A server that this authority calls `name`, until the year `until`.
    fn server(&self, name: &str, until: i32) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.not_after = date_time_ymd(until, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        config.with_single_cert(vec![certificate.into()], key).unwrap()
    }
}

#[test]
fn a_registry_of_a_private_authority_is_trusted_with_its_certificate_and_with_no_other() {
    let checkout = checkout("publish-tls");
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    // Beside the checkout, which must stay clean.
    let write = |name: &str, pem: &str| {
        let path = checkout.root.with_file_name(name);
        fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let (ca, wrong, empty) = (write("ca.pem", &ours.pem), write("other.pem", &other.pem), write("empty.pem", ""));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = write("broken.pem", &format!("{}{broken}", ours.pem));
    let start = |name: &str, until: i32| {
        let state = State { place: Place::Relative, referrers: true, ..State::default() };
        Registry::start_tls(ours.server(name, until), state)
    };
    let registry = start("127.0.0.1", 4000);
    let (stranger, old) = (start("registry.example.org", 4000), start("127.0.0.1", 2020));
    for (registry, ca, expected) in [
        (&registry, None, "UnknownIssuer; --ca-file FILE trusts the authorities in FILE"),
        (&registry, Some(&wrong), "UnknownIssuer"),
        (&registry, Some(&empty), "empty.pem holds no certificate in PEM format"),
        (&registry, Some(&broken), "broken.pem: invalid peer certificate: BadEncoding"),
        (&stranger, Some(&ca), "not valid for name"),
        (&old, Some(&ca), "expired"),
    ] {
        let mut command = command(&checkout, &registry.host, &[]);
        command.args(ca.map(|ca| ["--ca-file", ca]).into_iter().flatten());
        let output = command.output().unwrap();
        fails(&output, expected);
        // What no second try mends is tried once, and nobody reads a request.
        assert!(!stderr(&output).contains("trying again"), "{}", stderr(&output));
        assert!(registry.take_requests().iter().all(|request| request == "cut off"), "{expected}");
    }
    let trusting = ["--ca-file", ca.as_str()];
    succeeds(&command(&checkout, &registry.host, &trusting).output().unwrap());
    assert!(registry.state().tags.contains_key(&(REPOSITORY.to_owned(), checkout.version())));
    let reference = format!("oci://{}/{REPOSITORY}:{}", registry.host, checkout.version());
    succeeds(&checkout.run(&["verify", &reference, trusting[0], trusting[1]]));
}
