//! Revocation lists from the network.

use crate::{Source, verify::Fetch};
use std::{
    collections::HashMap,
    result::Result,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use ureq::{
    Agent, Error, Proxy,
    tls::{RootCerts, TlsConfig, TlsProvider},
};

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
    /// Whether the proxy is used, by CONNECT, that the first of `ALL_PROXY`, `HTTPS_PROXY` and `HTTP_PROXY` names, in
    /// capitals or not, unless `NO_PROXY` names the host.
    pub proxy_from_environment: bool,
}

impl Default for Limits {
    /// Enough for any real list; one that is slower or larger is no reason to hang.
    fn default() -> Self {
        Self {
            each: Duration::from_secs(10),
            all: Duration::from_secs(60),
            bytes: Source::LIMIT,
            redirects: 3,
            proxy_from_environment: true,
        }
    }
}

type Answer = Result<Arc<[u8]>, String>;

/// Gets what is at `http` and `https` addresses, each once: later the first answer counts, also if it was none.
/// Servers of `https` are verified with the system's roots, or those that `SSL_CERT_FILE` names. What is fetched stays
/// in memory.
#[derive(Debug)]
pub struct Downloads {
    agent: Agent,
    limits: Limits,
    asked: Mutex<HashMap<String, Arc<OnceLock<Answer>>>>,
    spent: Mutex<Duration>,
}

impl Downloads {
    /// Nothing is fetched yet.
    pub fn new(limits: Limits) -> Self {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(limits.proxy_from_environment.then(Proxy::try_from_env).flatten())
            .max_redirects(limits.redirects)
            .max_redirects_will_error(true)
            .user_agent("seguest-pv")
            .build()
            .new_agent();
        Self { agent, limits, asked: Mutex::default(), spent: Mutex::default() }
    }

    fn ask(&self, uri: &str) -> Answer {
        let spent = *self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.limits.all.saturating_sub(spent).min(self.limits.each);
        if left.is_zero() {
            return Err(format!("was not asked, for other downloads took {} already", seconds(self.limits.all)));
        }
        let since = Instant::now();
        let answer = self.request(uri, left);
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) += since.elapsed();
        answer.map(Arc::from).map_err(|error| self.reason(&error, left))
    }

    fn request(&self, uri: &str, left: Duration) -> Result<Vec<u8>, Error> {
        let mut answer = self.agent.get(uri).config().timeout_global(Some(left)).build().call()?;
        answer.body_mut().with_config().limit(self.limits.bytes).read_to_vec()
    }

    /// Words that follow the address.
    fn reason(&self, error: &Error, left: Duration) -> String {
        match error {
            Error::StatusCode(code) => format!("answered {code}"),
            Error::Timeout(_) => format!("gave no whole answer within {}", seconds(left)),
            Error::HostNotFound => "is on a host that is not known here".into(),
            Error::TooManyRedirects => format!("redirects more than {} times", self.limits.redirects),
            Error::BadUri(_) => "is or redirects to an address that is neither http nor https".into(),
            Error::BodyExceedsLimit(_) => format!("is larger than {} KiB", self.limits.bytes >> 10),
            // It may quote what the environment says of the proxy.
            Error::ConnectProxyFailed(_) => {
                "was refused by the proxy, which must let CONNECT through to this port".into()
            }
            Error::Io(error) => format!("could not be asked ({})", error.to_string().escape_debug()),
            other => format!("could not be fetched ({})", other.to_string().escape_debug()),
        }
    }
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
