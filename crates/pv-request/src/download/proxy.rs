//! Which proxy of the environment an address is asked through.

use super::NotFetched;
use crate::codes;
use openssl::base64::encode_block;
use std::net::Ipv6Addr;
use ureq::{Proxy, ProxyProtocol, http::Uri};

/// Where a proxy for addresses of `http` may stand, each in both spellings. The first that is set counts: its own variable,
/// that for all, and, as many set only one, that of the other scheme.
const FOR_HTTP: [[&str; 2]; 3] = [HTTP, ALL, HTTPS];
const FOR_HTTPS: [[&str; 2]; 3] = [HTTPS, ALL, HTTP];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];

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
            Some(_) => "does not accept the login in the variable",
            None => "requires a login, and the variable has none",
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
        let first =
            |places: [[&'static str; 2]; 3]| places.into_iter().find_map(|names| named(names, &value)).flatten();
        // Set to nothing, it excepts nothing, but the other spelling may.
        let exceptions = ["NO_PROXY", "no_proxy"].into_iter().filter_map(&value).find_map(|list| {
            let mut entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).peekable();
            entries.peek()?;
            let anything = Proxy::builder(ProxyProtocol::Http);
            entries.fold(anything, |all, entry| all.no_proxy(entry)).build().ok()
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

/// What a variable says in its two spellings: nothing, that there is no proxy, or which. Whoever sets one to nothing wants
/// none, so that spelling counts, whatever the other one has.
fn named(names: [&'static str; 2], value: impl Fn(&str) -> Option<String>) -> Option<Option<Result<Via, NotFetched>>> {
    let set: Vec<_> = names.into_iter().filter_map(|name| Some((name, value(name)?))).collect();
    let (name, text) = set.first()?;
    let is_off = set.iter().any(|(_, text)| text.trim().is_empty());
    Some((!is_off).then(|| via(name, text.trim())))
}

fn via(variable: &'static str, text: &str) -> Result<Via, NotFetched> {
    usable(text).map(|proxy| Via { proxy, variable }).map_err(|what| {
        let shown = masked(text).escape_debug().to_string();
        let reason = format!("was not tried, because the variable {variable} names an unusable proxy, {shown}: {what}");
        NotFetched { reason, code: codes::PROXY_UNUSABLE }
    })
}

fn usable(text: &str) -> Result<Proxy, &'static str> {
    match scheme_and_rest(text).0.map(str::to_ascii_lowercase).as_deref() {
        None | Some("http" | "https") => {}
        Some(socks) if socks.starts_with("socks") => {
            return Err("it is a SOCKS proxy; only http and https are supported");
        }
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
    if behind_address.rsplit_once(':').is_some_and(|(_, port)| !is_port(port)) {
        return Err(
            "its port is not a number from 1 to 65535 (after a login comes @HOST:PORT, and a / or : in the password must be written %2F or %3A)",
        );
    }
    Ok(proxy)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

/// The scheme, if there is one, and what stands behind its `//`. Whatever else comes before a `//` may be of a login.
fn scheme_and_rest(text: &str) -> (Option<&str>, &str) {
    let is_scheme = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, text),
    }
}

/// The address with dots in place of all that may be of a login, whatever else is wrong with it: what ends at the last `@`,
/// and, as the host may have been forgotten or the password may have an `@` itself, what stands behind a host and is no
/// port.
fn masked(text: &str) -> String {
    let (scheme, rest) = scheme_and_rest(text);
    let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
    let (login, place) = rest.rsplit_once('@').map_or(("", rest), |(_, place)| ("...@", place));
    let ipv6 = place.strip_prefix('[').and_then(|inner| inner.split_once(']')?.0.parse::<Ipv6Addr>().ok());
    let brackets = ipv6.and_then(|_| Some(place.find(']')? + 1));
    let name = || place.find(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c)).unwrap_or(place.len());
    let (host, behind) = place.split_at(brackets.unwrap_or_else(name));
    let port = behind.strip_suffix('/').unwrap_or(behind);
    if port.is_empty() || port.strip_prefix(':').is_some_and(is_port) {
        return format!("{scheme}{login}{host}{behind}");
    }
    let separator = behind.chars().next().unwrap_or_default();
    format!("{scheme}{login}{host}{separator}...")
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
    fn a_variable_that_is_set_to_nothing_stands_for_no_proxy() {
        for (http, empty) in [(Some("http_proxy"), ""), (Some("HTTP_PROXY"), " "), (None, "")] {
            let own = http.unwrap_or("ALL_PROXY");
            let variables = [(own, empty), ("https_proxy", "http://b:2")];
            assert_eq!(chosen(&variables, "http://x/"), None, "{own}");
            assert_eq!(chosen(&variables, "https://x/"), Some(("https_proxy", "b:2".into())), "{own}");
        }
        let before_all = [("http_proxy", ""), ("all_proxy", "c:3")];
        assert_eq!(chosen(&before_all, "http://x/"), None);
        assert_eq!(chosen(&before_all, "https://x/"), Some(("all_proxy", "c:3".into())));
        // In either spelling, whatever the other has.
        for variables in [[("HTTP_PROXY", ""), ("http_proxy", "a:1")], [("HTTP_PROXY", "a:1"), ("http_proxy", "")]] {
            assert_eq!(chosen(&variables, "http://x/"), None);
        }
    }

    #[test]
    fn a_list_of_exceptions_that_is_empty_does_not_hide_that_of_the_other_spelling() {
        for (capitals, small) in [("", "x"), (" ", "x"), (" , ", "x"), ("x", "")] {
            let variables = [("http_proxy", "a:1"), ("NO_PROXY", capitals), ("no_proxy", small)];
            assert_eq!(chosen(&variables, "http://x/"), None, "{capitals:?}, {small:?}");
            assert!(chosen(&variables, "http://y/").is_some());
        }
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
            // Without its host.
            ("http://me:s3cret", "port"),
            ("me:s3cret", "port"),
            ("me:s3cret/", "of the form"),
            ("http://me:3128s3cret", "port"),
            ("http://me:3128:s3cret", "of the form"),
            ("http://me:s3cret%40host", "of the form"),
            ("http://me:p@ss:s3cret", "port"),
            ("ftp://me:3128/s3cret", "neither http nor https"),
            ("socks5://host/s3cret?s3cret", "SOCKS"),
            // Without its scheme, or with what is none.
            ("http:me:s3cret@host:x", ""),
            ("http:/me:s3cret", "of the form"),
            ("me:s3c://ret@host", "of the form"),
            ("me:s3cret://host", "of the form"),
            ("[me:s3cret]:x", "port"),
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
    fn what_is_no_login_is_shown() {
        for (value, shown) in [
            ("socks5://host", "socks5://host"),
            ("ftp://host:3128/", "ftp://host:3128/"),
            ("ftp://[::1]:3128", "ftp://[::1]:3128"),
            ("ftp://me:s3cret@[::1]:3128", "ftp://...@[::1]:3128"),
            ("host:x", "host:..."),
            ("http://[::1]:x", "http://[::1]:..."),
            ("host:99999", "host:..."),
            ("ftp://host/path", "ftp://host/..."),
            ("http://me:s3cret", "http://me:..."),
        ] {
            assert_eq!(masked(value), shown);
        }
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
