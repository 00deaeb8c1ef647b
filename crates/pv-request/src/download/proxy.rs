//! Which proxy of the environment an address is asked through.

use super::NotFetched;
use crate::codes;
use openssl::base64::encode_block;
use ureq::{Proxy, ProxyProtocol, http::Uri};

/// Where a proxy for addresses of `http` may stand, the first that is set counts: its own variable, that for all, and, as
/// many set only one, that of the other scheme.
const FOR_HTTP: [&str; 6] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"];
const FOR_HTTPS: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];

/// A proxy, and the variable that names it.
#[derive(Clone, Debug)]
pub(super) struct Via {
    pub(super) proxy: Proxy,
    pub(super) variable: &'static str,
}

impl Via {
    /// Whether addresses of `http` can be asked without a tunnel. To a proxy that is itself spoken to by TLS, only the
    /// client of `CONNECT` speaks.
    pub(super) fn takes_whole_addresses(&self) -> bool {
        self.proxy.protocol() == ProxyProtocol::Http
    }

    /// The value of the header Proxy-Authorization, if the variable gives a login.
    pub(super) fn login(&self) -> Option<String> {
        let (user, password) = (self.proxy.username(), self.proxy.password());
        user.or(password)?;
        let pair = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
        Some(format!("Basic {}", encode_block(pair.as_bytes())))
    }

    /// That the proxy answered 407. The login itself is never told.
    pub(super) fn wants_login(&self) -> NotFetched {
        let (variable, host, port) = (self.variable, self.proxy.host(), self.proxy.port());
        let what = match self.login() {
            Some(_) => "does not take the login that the variable gives",
            None => "wants a login, and the variable gives none",
        };
        let reason = format!("was refused by the proxy {host}:{port} of the variable {variable}, which {what} (407)");
        NotFetched { reason, code: codes::PROXY_LOGIN }
    }
}

/// The proxies that the environment names.
#[derive(Debug)]
pub(super) struct Proxies {
    http: Option<Result<Via, NotFetched>>,
    https: Option<Result<Via, NotFetched>>,
    /// Any proxy: of interest is only which hosts are asked without one, by the rules of the client.
    exceptions: Option<Proxy>,
}

impl Proxies {
    /// Takes them from the variables of which `value` gives the values.
    pub(super) fn new(value: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &'static str| Some((name, value(name).filter(|text| !text.trim().is_empty())?));
        let first =
            |names: [&'static str; 6]| names.into_iter().find_map(set).map(|(name, text)| via(name, text.trim()));
        let exceptions = ["NO_PROXY", "no_proxy"].into_iter().find_map(&value).and_then(|list| {
            let anything = Proxy::builder(ProxyProtocol::Http);
            list.split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .fold(anything, |all, entry| all.no_proxy(entry))
                .build()
                .ok()
        });
        Self { http: first(FOR_HTTP), https: first(FOR_HTTPS), exceptions }
    }

    /// The proxy through which `address` is asked, if any.
    pub(super) fn through(&self, address: &Uri) -> Result<Option<&Via>, NotFetched> {
        if self.exceptions.as_ref().is_some_and(|proxy| proxy.is_no_proxy(address)) {
            return Ok(None);
        }
        let via = if address.scheme_str() == Some("https") { &self.https } else { &self.http };
        via.as_ref().map(|via| via.as_ref().map_err(Clone::clone)).transpose()
    }
}

fn via(variable: &'static str, text: &str) -> Result<Via, NotFetched> {
    usable(text).map(|proxy| Via { proxy, variable }).map_err(|what| {
        let shown = masked(text).escape_debug().to_string();
        let reason =
            format!("was not asked, for the variable {variable} names no proxy that can be used, {shown}: {what}");
        NotFetched { reason, code: codes::PROXY_UNUSABLE }
    })
}

fn usable(text: &str) -> Result<Proxy, &'static str> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        None | Some("http" | "https") => {}
        Some(socks) if socks.starts_with("socks") => return Err("it is a SOCKS proxy; only http and https are spoken"),
        Some(_) => return Err("its scheme is neither http nor https"),
    }
    let proxy = Proxy::new(text).map_err(|_| "it is not of the form http://HOST:PORT")?;
    if proxy.host().is_empty() {
        return Err("it names no host");
    }
    // Of a port that is none the client would take that of the scheme.
    let authority = proxy.uri().authority().map_or("", |authority| authority.as_str());
    let behind_login = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let behind_address = behind_login.rsplit_once(']').map_or(behind_login, |(_, port)| port);
    let port = behind_address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if port.is_some_and(|port| port.is_err() || port == Ok(0)) {
        return Err("its port is no number from 1 to 65535 (a / or : in the password must be written %2F or %3A)");
    }
    Ok(proxy)
}

/// The address with dots in place of user and password, which end at the last `@`, whatever else is wrong with it.
fn masked(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let joint = if scheme.is_empty() { "" } else { "://" };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{joint}...@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::new(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn chosen(variables: &[(&str, &str)], address: &str) -> Option<(&'static str, String)> {
        let proxies = proxies(variables);
        let via = proxies.through(&address.parse().unwrap()).unwrap();
        via.map(|via| (via.variable, format!("{}:{}", via.proxy.host(), via.proxy.port())))
    }

    #[test]
    fn each_scheme_has_its_variable_and_takes_the_others_where_it_is_not_set() {
        let all = [("HTTP_PROXY", "a:1"), ("https_proxy", "http://b:2"), ("ALL_PROXY", "c:3")];
        assert_eq!(chosen(&all, "http://x/"), Some(("HTTP_PROXY", "a:1".into())));
        assert_eq!(chosen(&all, "https://x/"), Some(("https_proxy", "b:2".into())));
        assert_eq!(chosen(&all[2..], "http://x/"), Some(("ALL_PROXY", "c:3".into())));
        assert_eq!(chosen(&all[1..2], "http://x/"), Some(("https_proxy", "b:2".into())));
        assert_eq!(chosen(&[("http_proxy", " ")], "http://x/"), None);
        let not = |list| [("http_proxy", "a:1"), ("no_proxy", list)];
        assert_eq!(chosen(&not("y, x"), "http://x/"), None);
        assert_eq!(chosen(&not("*"), "http://x/"), None);
        assert_eq!(chosen(&not(".x"), "http://in.x/"), None);
        assert!(chosen(&not("y"), "http://x/").is_some());
    }

    #[test]
    fn an_address_that_cannot_be_used_is_named_with_its_variable_and_without_its_password() {
        for (value, what) in [
            ("socks5://me:s3cret@host:1080", "SOCKS"),
            ("ftp://me:s3cret@host", "neither http nor https"),
            ("http://me:s3cret@host:99999", "port"),
            ("http://me:s3cret@host:0", "port"),
            ("http://me:s3c/ret@host:3128", "port"),
            ("http://me:s3cret@", "of the form"),
            ("http://me:s3cret@host name", "of the form"),
            ("me:s3cret@ho\u{1b}st", "of the form"),
            ("http://me:s3cret@x@host:x", "port"),
            ("http://me:%ff%ffs3cret@host", "of the form"),
        ] {
            let fault = proxies(&[("https_proxy", value)]).through(&"http://x/".parse().unwrap()).unwrap_err();
            assert_eq!(fault.code, codes::PROXY_UNUSABLE, "{value}");
            let reason = &fault.reason;
            assert!(reason.contains("https_proxy") && reason.contains(what), "{value}: {reason}");
            assert!(!reason.contains("s3c") && !reason.contains("ret@") && !reason.contains('\u{1b}'), "{reason}");
        }
        // It does not matter where no proxy is asked.
        let unused = proxies(&[("http_proxy", "socks5://host"), ("no_proxy", "x")]);
        assert!(unused.through(&"http://x/".parse().unwrap()).unwrap().is_none());
    }

    #[test]
    fn a_login_is_decoded_once_and_never_told() {
        let proxies = proxies(&[("http_proxy", "http://me:s%40cret@[::1]:3128")]);
        let via = proxies.through(&"http://x/".parse().unwrap()).unwrap().unwrap();
        assert_eq!(via.login().as_deref(), Some("Basic bWU6c0BjcmV0"));
        let fault = via.wants_login();
        assert_eq!(fault.code, codes::PROXY_LOGIN);
        assert!(fault.reason.contains("[::1]:3128") && !fault.reason.contains("cret"), "{}", fault.reason);
    }
}
