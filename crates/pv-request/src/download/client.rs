//! Asking a server once: no redirect is followed, and nothing is remembered.

use super::{
    BAD_ADDRESS, Limits, NotFetched, plain,
    proxy::{Proxies, Via},
    seconds,
};
use std::{
    io::{self, ErrorKind},
    result::Result,
    time::Duration,
};
use ureq::{
    Agent, Error,
    http::{Response, Uri},
    tls::{RootCerts, TlsConfig, TlsProvider},
};

pub(super) const USER_AGENT: &str = "seguest-pv";

/// What a server answered.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: u16,
    /// Where else it is, if the answer says so.
    pub(super) location: Option<String>,
    /// The content, if the status is 200.
    pub(super) content: Vec<u8>,
}

/// How long a question may take: what is left, and what was there for all steps together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) left: Duration,
    pub(super) whole: Duration,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    proxies: Option<Proxies>,
    bytes: u64,
}

impl Client {
    /// Servers of `https` are verified with `roots`.
    pub(super) fn new(limits: &Limits, roots: RootCerts) -> Self {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(roots).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .build()
            .new_agent();
        let proxies = limits.proxy_from_environment.then(|| Proxies::new(|name| std::env::var(name).ok()));
        Self { agent, proxies, bytes: limits.bytes }
    }

    /// The proxy through which `address` is asked, if any.
    pub(super) fn via(&self, address: &Uri) -> Result<Option<&Via>, NotFetched> {
        Ok(self.proxies.as_ref().map(|proxies| proxies.through(address)).transpose()?.flatten())
    }

    /// Gets what is at `address`.
    pub(super) fn get(&self, address: &Uri, via: Option<&Via>, time: Patience) -> Result<Reply, NotFetched> {
        if time.left.is_zero() {
            return Err(too_slow(time.whole));
        }
        if let Some(via) = via.filter(|via| via.takes_whole_addresses() && address.scheme_str() == Some("http")) {
            let plain::Answer { status, location, content } = plain::get(via, address, time.left, self.bytes)
                .map_err(|error| self.of_io(&error, Some(via), time.whole))?;
            return Ok(Reply { status, location, content });
        }
        let proxy = via.map(|via| via.proxy.clone());
        let request = self.agent.get(address).config().timeout_global(Some(time.left)).proxy(proxy).build();
        self.reply(request.call(), via, time)
    }

    /// Posts JSON to `address`, which is one of `https`.
    pub(super) fn post(
        &self,
        address: &Uri,
        via: Option<&Via>,
        headers: &[(&str, &str)],
        json: &str,
        time: Patience,
    ) -> Result<Reply, NotFetched> {
        let request = self.agent.post(address).content_type("application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let proxy = via.map(|via| via.proxy.clone());
        let request = request.config().timeout_global(Some(time.left)).proxy(proxy).https_only(true).build();
        self.reply(request.send(json), via, time)
    }

    fn reply(
        &self,
        answer: Result<Response<ureq::Body>, Error>,
        via: Option<&Via>,
        time: Patience,
    ) -> Result<Reply, NotFetched> {
        let refused = |error: Error| self.reason(&error, via, time.whole);
        let mut answer = answer.map_err(refused)?;
        let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        let content = match status {
            200 => answer.body_mut().with_config().limit(self.bytes).read_to_vec().map_err(refused)?,
            _ => Vec::new(),
        };
        Ok(Reply { status, location, content })
    }

    /// Words that follow the address.
    fn reason(&self, error: &Error, via: Option<&Via>, time: Duration) -> NotFetched {
        match (error, via) {
            (Error::Timeout(_), _) => too_slow(time),
            (Error::HostNotFound, None) => "is on a host whose name cannot be resolved".into(),
            (Error::HostNotFound, Some(via)) => format!(
                "was not tried, because the host of the proxy in the variable {} cannot be resolved",
                via.variable
            )
            .into(),
            (Error::BadUri(_), _) => BAD_ADDRESS.into(),
            (Error::BodyExceedsLimit(_), _) => self.too_large(),
            // It may quote what the environment says of the proxy.
            (Error::ConnectProxyFailed(why), Some(via)) if why.contains("responded 407") => via.wants_login(),
            (Error::ConnectProxyFailed(_), _) => {
                "was refused by the proxy, which must let CONNECT through to this port".into()
            }
            (Error::Io(error), _) => self.of_io(error, via, time),
            (other, _) => format!("could not be asked ({})", other.to_string().escape_debug()).into(),
        }
    }

    fn of_io(&self, error: &io::Error, via: Option<&Via>, time: Duration) -> NotFetched {
        let through =
            via.map_or_else(String::new, |via| format!(" through the proxy of the variable {}", via.variable));
        match error.kind() {
            ErrorKind::TimedOut => too_slow(time),
            ErrorKind::FileTooLarge => self.too_large(),
            _ => format!("could not be reached{through} ({})", error.to_string().escape_debug()).into(),
        }
    }

    fn too_large(&self) -> NotFetched {
        format!("gave an answer larger than {} KiB", self.bytes >> 10).into()
    }
}

fn too_slow(time: Duration) -> NotFetched {
    format!("gave no complete answer within {}", seconds(time)).into()
}
