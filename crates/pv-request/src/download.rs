//! Revocation lists from the network.

mod plain;
mod proxy;
mod redirect;

use crate::{
    codes,
    verify::{Fetch, LIST_LIMIT},
};
use fault::Code;
use proxy::{Proxies, Via};
use redirect::joined;
use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    result::Result,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use ureq::{
    Agent, Error,
    http::Uri,
    tls::{RootCerts, TlsConfig, TlsProvider},
};

pub use plain::{Answer as ProxyAnswer, read as read_proxy_answer};

const USER_AGENT: &str = "seguest-pv";

/// How far a download may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time for one address, redirects included.
    pub each: Duration,
    /// Time for all of them, added up.
    pub all: Duration,
    /// The most bytes of one answer.
    pub bytes: u64,
    /// How many redirects are followed.
    pub redirects: u32,
    /// Whether the proxy is used that `HTTP_PROXY`, `HTTPS_PROXY` or `ALL_PROXY` names, in capitals or not, unless
    /// `NO_PROXY` names the host: by a GET with the whole address for `http`, by CONNECT for `https`. One of the first three
    /// that is set to nothing stands for no proxy.
    pub proxy_from_environment: bool,
}

impl Default for Limits {
    /// Enough for any real list; one that is slower or larger is no reason to hang.
    fn default() -> Self {
        Self {
            each: Duration::from_secs(10),
            all: Duration::from_secs(60),
            bytes: LIST_LIMIT as u64,
            redirects: 3,
            proxy_from_environment: true,
        }
    }
}

/// Why nothing came from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFetched {
    /// Words that follow the address, such as "answered 404".
    pub reason: String,
    /// [`codes::CRL_DOWNLOAD`], or a code of its own for what is not the address's fault.
    pub code: Code,
}

impl<T: Into<String>> From<T> for NotFetched {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), code: codes::CRL_DOWNLOAD }
    }
}

type Answer = Result<Arc<[u8]>, NotFetched>;

/// Gets what is at `http` and `https` addresses, each once: later the first answer counts, also if it was none.
/// Servers of `https` are verified with the system's roots, or those that `SSL_CERT_FILE` names. What is fetched stays
/// in memory.
#[derive(Debug)]
pub struct Downloads {
    agent: Agent,
    proxies: Option<Proxies>,
    limits: Limits,
    asked: Mutex<HashMap<String, Arc<OnceLock<Answer>>>>,
    spent: Mutex<Duration>,
}

impl Downloads {
    /// Nothing is fetched yet.
    pub fn new(limits: Limits) -> Self {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
        // Redirects are followed here: each may be asked for in another way.
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
        Self { agent, proxies, limits, asked: Mutex::default(), spent: Mutex::default() }
    }

    fn ask(&self, uri: &str) -> Answer {
        let spent = *self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.limits.all.saturating_sub(spent).min(self.limits.each);
        if left.is_zero() {
            return Err(
                format!("was not tried, because other downloads already took {}", seconds(self.limits.all)).into()
            );
        }
        let since = Instant::now();
        let answer = self.follow(uri, left);
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) += since.elapsed();
        answer.map(Arc::from)
    }

    /// What is at the address, or where that leads.
    fn follow(&self, uri: &str, time: Duration) -> Result<Vec<u8>, NotFetched> {
        let (since, mut address) = (Instant::now(), uri.parse::<Uri>().map_err(|_| BAD_ADDRESS)?);
        for _ in 0..=self.limits.redirects {
            if !matches!(address.scheme_str(), Some("http" | "https")) {
                return Err(BAD_ADDRESS.into());
            }
            let via = self.proxies.as_ref().map(|proxies| proxies.through(&address)).transpose()?.flatten();
            let left = time.saturating_sub(since.elapsed());
            let (status, location, content) = self.get(&address, via, left, time)?;
            match (status, location, via) {
                (200, ..) => return Ok(content),
                (301 | 302 | 303 | 307 | 308, Some(to), _) => address = joined(&address, &to).ok_or(BAD_ADDRESS)?,
                (407, _, Some(via)) => return Err(via.wants_login()),
                (status, ..) => return Err(format!("answered {status}").into()),
            }
        }
        Err(format!("redirects more than {} times", self.limits.redirects).into())
    }

    /// Status, where else it is, and content. `time` is what was there for all steps together.
    fn get(
        &self,
        address: &Uri,
        via: Option<&Via>,
        left: Duration,
        time: Duration,
    ) -> Result<(u16, Option<String>, Vec<u8>), NotFetched> {
        if left.is_zero() {
            return Err(too_slow(time));
        }
        if let Some(via) = via.filter(|via| via.takes_whole_addresses() && address.scheme_str() == Some("http")) {
            let answer = plain::get(via, address, left, self.limits.bytes)
                .map_err(|error| self.of_io(&error, Some(via), time))?;
            return Ok((answer.status, answer.location, answer.content));
        }
        let refused = |error: Error| self.reason(&error, via, time);
        let request =
            self.agent.get(address).config().timeout_global(Some(left)).proxy(via.map(|via| via.proxy.clone()));
        let mut answer = request.build().call().map_err(refused)?;
        let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        let content = match status {
            200 => answer.body_mut().with_config().limit(self.limits.bytes).read_to_vec().map_err(refused)?,
            _ => Vec::new(),
        };
        Ok((status, location, content))
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
            (other, _) => format!("could not be fetched ({})", other.to_string().escape_debug()).into(),
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
        format!("is larger than {} KiB", self.limits.bytes >> 10).into()
    }
}

const BAD_ADDRESS: &str = "is or redirects to an address that is neither http nor https";

fn too_slow(time: Duration) -> NotFetched {
    format!("gave no complete answer within {}", seconds(time)).into()
}

impl Fetch for Downloads {
    fn fetch(&self, uri: &str) -> Answer {
        let cell = self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(uri.to_owned()).or_default().clone();
        cell.get_or_init(|| self.ask(uri)).clone()
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f32()).replace(".000", "")
}
