//! What comes from the network: revocation lists, and what the firmware's service says.

mod client;
mod firmware;
mod plain;
mod proxy;
mod redirect;

use crate::{
    codes,
    verify::{Fetch, LIST_LIMIT},
};
use client::{Client, Patience};
use fault::Code;
use redirect::joined;
use std::{
    collections::HashMap,
    result::Result,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use ureq::{http::Uri, tls::RootCerts};

pub use firmware::FirmwareClient;
pub use plain::{Answer as ProxyAnswer, read as read_proxy_answer};

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
    client: Client,
    limits: Limits,
    asked: Mutex<HashMap<String, Arc<OnceLock<Answer>>>>,
    spent: Mutex<Duration>,
}

impl Downloads {
    /// Nothing is fetched yet.
    pub fn new(limits: Limits) -> Self {
        let client = Client::new(&limits, RootCerts::PlatformVerifier);
        Self { client, limits, asked: Mutex::default(), spent: Mutex::default() }
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
            let via = self.client.via(&address)?;
            let time = Patience { left: time.saturating_sub(since.elapsed()), whole: time };
            let reply = self.client.get(&address, via, time)?;
            match (reply.status, reply.location, via) {
                (200, ..) => return Ok(reply.content),
                (301 | 302 | 303 | 307 | 308, Some(to), _) => address = joined(&address, &to).ok_or(BAD_ADDRESS)?,
                (407, _, Some(via)) => return Err(via.wants_login()),
                (status, ..) => return Err(format!("answered {status}").into()),
            }
        }
        Err(format!("redirects more than {} times", self.limits.redirects).into())
    }
}

const BAD_ADDRESS: &str = "is or redirects to an address that is neither http nor https";

impl Fetch for Downloads {
    fn fetch(&self, uri: &str) -> Answer {
        let cell = self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(uri.to_owned()).or_default().clone();
        cell.get_or_init(|| self.ask(uri)).clone()
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f32()).replace(".000", "")
}
