//! Which proxy a request goes through, as Go's `golang.org/x/net/http/httpproxy` decides it, and with it Helm: never one for
//! this machine, HTTPS_PROXY for https and HTTP_PROXY for http, each else ALL_PROXY, and none for what NO_PROXY lists.

use std::net::IpAddr;

use anyhow::{Result, bail};
use helmpack::oci::reference::is_loopback;
use ipnet::IpNet;
use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use super::location;

/// The variables for a scheme, the first one that is set counts.
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const NONE: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// What the environment says of proxies.
pub struct Proxies {
    https: Option<(&'static str, String)>,
    http: Option<(&'static str, String)>,
    exceptions: Vec<Exception>,
}

/// An entry of NO_PROXY.
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

enum Hosts {
    All,
    Network(IpNet),
    /// The domain and all below it.
    Domain(String),
    /// All below the domain.
    Below(String),
}

impl Proxies {
    /// What the variables of this process say.
    pub fn of_environment() -> Proxies {
        Proxies::new(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let first = |names: &[&'static str]| {
            let set = names.iter().filter_map(|name| Some((*name, variable(name)?.trim().to_owned())));
            set.into_iter().find(|(_, value)| !value.is_empty())
        };
        let exceptions = first(&NONE).map(|(_, list)| list.split(',').filter_map(Exception::parse).collect());
        Proxies { https: first(&HTTPS), http: first(&HTTP), exceptions: exceptions.unwrap_or_default() }
    }

    /// The proxy for a URL, with the variable that names it.
    pub fn of(&self, url: &Uri) -> Result<Option<(&'static str, Proxy)>> {
        let host = url.host().unwrap_or_default();
        let excepted = |exception: &Exception| exception.holds(host, location::port(url));
        if is_loopback(host) || self.exceptions.iter().any(excepted) {
            return Ok(None);
        }
        let named = if url.scheme_str() == Some("https") { &self.https } else { &self.http };
        let Some((variable, address)) = named else { return Ok(None) };
        // The address is not repeated: there may be a password in it.
        match Proxy::new(address) {
            Ok(proxy) if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) => {
                Ok(Some((variable, proxy)))
            }
            _ => bail!("{variable} is no address of a proxy such as http://proxy.example.org:3128"),
        }
    }
}

impl Exception {
    /// Reads an entry; what is none is passed over, as everywhere.
    fn parse(entry: &str) -> Option<Exception> {
        let entry = entry.trim().to_ascii_lowercase();
        if let Ok(network) = entry.parse() {
            return Some(Exception { hosts: Hosts::Network(network), port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            // Else the colon is one of an IPv6 address.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (entry.as_str(), None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let hosts = match (host.parse::<IpAddr>(), host.trim_start_matches("*.").trim_start_matches('.')) {
            _ if host == "*" => Hosts::All,
            (Ok(address), _) => Hosts::Network(address.into()),
            (_, "") => return None,
            (_, domain) if domain == host => Hosts::Domain(domain.to_owned()),
            (_, domain) => Hosts::Below(domain.to_owned()),
        };
        Some(Exception { hosts, port })
    }

    fn holds(&self, host: &str, port: u16) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        let host_is_meant = match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network) => host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address)),
            Hosts::Domain(domain) => host == *domain || below(domain),
            Hosts::Below(domain) => below(domain),
        };
        host_is_meant && self.port.is_none_or(|only| only == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variable and the host of the proxy for a URL.
    fn of(set: &[(&str, &str)], url: &str) -> Result<Option<(&'static str, String)>> {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let proxy = Proxies::new(variable).of(&url.parse().unwrap())?;
        Ok(proxy.map(|(variable, proxy)| (variable, proxy.host().to_owned())))
    }

    #[test]
    fn each_scheme_has_its_variable_and_this_machine_none() {
        let all = [("HTTPS_PROXY", "http://s"), ("http_proxy", "p:3128"), ("ALL_PROXY", "http://u:secret@a")];
        for (set, url, expected) in [
            (&all[..], "https://ghcr.io/v2/", Some(("HTTPS_PROXY", "s"))),
            (&all[..], "http://ghcr.io/v2/", Some(("http_proxy", "p"))),
            (&all[1..], "https://ghcr.io", Some(("ALL_PROXY", "a"))),
            (&all[1..2], "https://ghcr.io", None),
            (&all[..1], "http://ghcr.io", None),
            (&all[..], "http://127.0.0.1:5000/", None),
            (&all[..], "https://localhost/", None),
            (&all[..], "https://[::1]:5000/", None),
            (&[("HTTPS_PROXY", " "), ("https_proxy", "http://low")], "https://ghcr.io", Some(("https_proxy", "low"))),
        ] {
            let expected = expected.map(|(variable, host)| (variable, host.to_owned()));
            assert_eq!(of(set, url).unwrap(), expected, "{url} {set:?}");
        }
    }

    #[test]
    fn what_no_proxy_lists_is_asked_directly() {
        for (list, url, direct) in [
            ("localhost, ghcr.io", "https://ghcr.io/v2/", true),
            ("ghcr.io", "https://GHCR.io", true),
            ("ghcr.io", "https://pkg.ghcr.io", true),
            ("ghcr.io", "https://notghcr.io", false),
            (".ghcr.io", "https://pkg.ghcr.io", true),
            (".ghcr.io", "https://ghcr.io", false),
            ("*.ghcr.io", "https://pkg.ghcr.io", true),
            ("ghcr.io:443", "https://ghcr.io", true),
            ("ghcr.io:5000", "https://ghcr.io", false),
            ("10.0.0.0/8", "https://10.1.2.3:5000", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3", true),
            ("10.1.2.3:5000", "https://10.1.2.3:5000", true),
            ("10.1.2.3:5000", "https://10.1.2.3", false),
            ("fd00::/8", "https://[fd00::1]", true),
            ("fd00::1", "https://[fd00::1]:5000", true),
            ("[fd00::1]", "https://[fd00::1]", true),
            ("[fd00::1]:5000", "https://[fd00::1]", false),
            ("a,*", "https://ghcr.io", true),
            ("", "https://ghcr.io", false),
            (",.,:1,a:b:c,ghcr.io:port", "https://ghcr.io", false),
        ] {
            let set = [("HTTPS_PROXY", "http://proxy"), ("no_proxy", list)];
            assert_eq!(of(&set, url).unwrap().is_none(), direct, "{url} with {list}");
        }
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_named_without_its_password() {
        for address in ["foo://u:secret@proxy", "socks5://u:secret@proxy:1080", "http://", "http://u:secret@"] {
            let error = of(&[("HTTPS_PROXY", address)], "https://ghcr.io").unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY is no address of a proxy") && !error.contains("secret"), "{error}");
            assert!(of(&[("HTTPS_PROXY", address)], "http://ghcr.io").unwrap().is_none());
        }
    }
}
