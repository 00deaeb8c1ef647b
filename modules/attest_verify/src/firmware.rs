//! Whose word on the firmware of a guest's machine counts.

use crate::options::Options;
use ansible_contract::codes as args;
use fault::{Fault, Result};
use pv_request::FirmwareClient;
use pv_request::Source;
use pv_request::attest::{FirmwareInterface, FirmwareService};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use trusted::{Firmware, missing};

/// A service that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedService {
    /// Which.
    pub service: FirmwareService,
    /// The file of the certificates that its server is verified by; `None`: the system's.
    pub roots: Option<PathBuf>,
}

/// The service that the options name, if any is asked.
///
/// # Errors
/// `args.missing`, `args.invalid`.
pub fn asked(options: &Options) -> Result<Option<AskedService>> {
    let interface = match options.firmware() {
        Firmware::None if options.firmware.is_some() => return Ok(None),
        Firmware::None => {
            let given = [options.firmware_url.is_some(), options.firmware_ca.is_some()].contains(&true);
            return if given { Err(missing("firmware", "without it no service is asked")) } else { Ok(None) };
        }
        Firmware::V1 => FirmwareInterface::V1,
        Firmware::V2 => FirmwareInterface::V2,
    };
    let base = options.firmware_url.as_deref().unwrap_or(FirmwareService::IBM);
    let service = FirmwareService::new(base, interface).map_err(|what| {
        Fault::new(args::INVALID, format!("The address in the option firmware_url {what}."))
            .hint("Give an address such as https://HOST/PATH, or leave it out to ask IBM.")
    })?;
    Ok(Some(AskedService { service, roots: options.firmware_ca.as_ref().map(|path| path.as_path().to_owned()) }))
}

/// Those who ask, one for each file of certificates: no state is asked about twice in a task.
#[derive(Debug, Default)]
pub struct Clients(HashMap<Option<PathBuf>, Result<Arc<FirmwareClient>>>);

impl Clients {
    /// Who asks this service.
    ///
    /// # Errors
    /// The `file.*` codes, and `hkd.not_a_certificate`.
    pub fn get(&mut self, asked: &AskedService) -> Result<Arc<FirmwareClient>> {
        let client = |roots: &Option<PathBuf>| {
            let source = roots.as_deref().map(Source::read).transpose()?;
            FirmwareClient::new(source.as_ref(), FirmwareClient::LIMITS).map(Arc::new)
        };
        self.0.entry(asked.roots.clone()).or_insert_with_key(client).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &str) -> Result<Option<AskedService>> {
        asked(&serde_json::from_str(options).unwrap())
    }

    #[test]
    fn nobody_is_asked_unless_that_is_said() {
        assert_eq!((of("{}"), of(r#"{"firmware": "none"}"#)), (Ok(None), Ok(None)));
        // For one of several answers.
        assert_eq!(of(r#"{"firmware": "none", "firmware_url": "https://host"}"#), Ok(None));
        assert_eq!(of(r#"{"firmware_url": "https://host"}"#).unwrap_err().code, args::MISSING);
        assert_eq!(of(r#"{"firmware_ca": "/ca"}"#).unwrap_err().code, args::MISSING);
    }

    #[test]
    fn ibm_is_asked_unless_another_service_is_named() {
        let address = |options: &str| of(options).unwrap().unwrap().service.address().to_owned();
        assert!(address(r#"{"firmware": "v1"}"#).starts_with("https://esupport.ibm.com/"));
        assert!(address(r#"{"firmware": "v2", "firmware_url": "https://host/x"}"#).starts_with("https://host/x/hmrs/"));
        let fault = of(r#"{"firmware": "v1", "firmware_url": "https://me:s3cret@host"}"#).unwrap_err();
        assert!(fault.code == args::INVALID && !fault.detail.contains("s3cret"), "{fault}");
    }
}
