//! Asking the firmware's service about states that were measured.

use super::{
    Limits, NotFetched,
    client::{Client, Patience},
    seconds,
};
use crate::{
    Source,
    attest::{FirmwareAnswer, FirmwareOpinion, FirmwareService, FirmwareState, firmware_unreachable},
    host_key::{certificates, damaged, not_a_certificate},
};
use fault::Result;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use ureq::{
    http::Uri,
    tls::{Certificate, RootCerts},
};

/// What s390-tools send beside the question.
const HEADERS: [(&str, &str); 2] = [("x-client-id", "X"), ("accept", "application/json")];

type Question = (FirmwareService, FirmwareState);

/// Asks services about the firmware, about each state once: the state goes out, over `https`, and nothing else. No redirect is
/// followed. It is the only part that hands something to others.
#[derive(Debug)]
pub struct FirmwareClient {
    client: Client,
    limits: Limits,
    asked: Mutex<HashMap<Question, Arc<OnceLock<Arc<FirmwareAnswer>>>>>,
    /// With questions that got no answer, or none that can be read.
    lost: Mutex<Duration>,
}

impl FirmwareClient {
    /// Enough for a service that works; one that does not is not waited for twice.
    pub const LIMITS: Limits = Limits {
        each: Duration::from_secs(30),
        all: Duration::from_secs(60),
        bytes: 1 << 20,
        redirects: 0,
        proxy_from_environment: true,
    };

    /// Nobody is asked yet. Servers are verified with the certificates in `roots`, or else with the system's roots or those that
    /// `SSL_CERT_FILE` names. [`Limits::all`] is the time for questions that get no answer.
    ///
    /// # Errors
    /// [`crate::codes::NOT_A_CERTIFICATE`].
    pub fn new(roots: Option<&Source>, limits: Limits) -> Result<Self> {
        let roots = roots.map(trusted).transpose()?.unwrap_or(RootCerts::PlatformVerifier);
        Ok(Self { client: Client::new(&limits, roots), limits, asked: Mutex::default(), lost: Mutex::default() })
    }

    /// What `service` says about `state`; the first answer counts, also if it was none.
    pub fn ask(&self, service: &FirmwareService, state: &FirmwareState) -> Arc<FirmwareAnswer> {
        let question = (service.clone(), *state);
        let cell = self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(question).or_default().clone();
        let answer = || {
            let said = self.said(service, state).map_err(|NotFetched { reason, .. }| {
                firmware_unreachable(format!("The firmware's service at {} {reason}.", service.address()))
            });
            Arc::new(FirmwareAnswer { service: service.clone(), state: *state, said })
        };
        Arc::clone(cell.get_or_init(answer))
    }

    fn said(
        &self,
        service: &FirmwareService,
        state: &FirmwareState,
    ) -> std::result::Result<FirmwareOpinion, NotFetched> {
        let lost = || self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.limits.all.saturating_sub(*lost()).min(self.limits.each);
        if left.is_zero() {
            let all = seconds(self.limits.all);
            return Err(format!("was not asked, because other questions got no answer within {all}").into());
        }
        let since = Instant::now();
        let answer = self.post(service, state, left);
        let said = answer.and_then(|answer| FirmwareOpinion::read(&answer).map_err(Into::into));
        if said.is_err() {
            *lost() += since.elapsed();
        }
        said
    }

    fn post(
        &self,
        service: &FirmwareService,
        state: &FirmwareState,
        left: Duration,
    ) -> std::result::Result<Vec<u8>, NotFetched> {
        let address: Uri = service.address().parse().map_err(|_| super::BAD_ADDRESS)?;
        let via = self.client.via(&address)?;
        let time = Patience { left, whole: left };
        let reply = self.client.post(&address, via, &HEADERS, &FirmwareService::question(state), time)?;
        match reply.status {
            200 => Ok(reply.content),
            status => Err(format!("answered {status}").into()),
        }
    }
}

/// The certificates in a file, as the only roots.
fn trusted(source: &Source) -> Result<RootCerts> {
    let all = certificates(source)?;
    let roots = all.iter().map(|root| root.to_der().map(|der| Certificate::from_der(&der).to_owned()));
    let roots: Vec<_> = roots.collect::<std::result::Result<_, _>>().map_err(|_| damaged(&source.name))?;
    if roots.is_empty() {
        return Err(not_a_certificate(&source.name));
    }
    Ok(RootCerts::from(roots))
}
