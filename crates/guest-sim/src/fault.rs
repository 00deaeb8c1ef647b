//! Things that go wrong on purpose.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use se_machine::fault::Trouble;
pub use se_machine::fault::{Becomes, Spoil};

use crate::errno::Errno;

/// What a fault waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The info ioctl.
    Info,
    /// The attest ioctl.
    Attest,
    /// The add-secret ioctl.
    AddSecret,
    /// The list ioctl.
    ListSecrets,
    /// The lock ioctl.
    LockSecrets,
    /// The retrieve ioctl.
    RetrieveSecret,
    /// A read of an attribute.
    Read,
    /// A write to an attribute.
    Write,
    /// The firmware is asked to bind a queue.
    Bind,
    /// The firmware is asked to associate a queue.
    Associate,
    /// The firmware is asked to reset a queue: an unbind too, and what the kernel resets by itself.
    Reset,
}

impl On {
    /// The name as in scenario files and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Attest => "attest",
            Self::AddSecret => "add_secret",
            Self::ListSecrets => "list_secrets",
            Self::LockSecrets => "lock_secrets",
            Self::RetrieveSecret => "retrieve_secret",
            Self::Read => "read",
            Self::Write => "write",
            Self::Bind => "bind",
            Self::Associate => "associate",
            Self::Reset => "reset",
        }
    }

    fn is_firmware(self) -> bool {
        matches!(self, Self::Bind | Self::Associate | Self::Reset)
    }

    fn is_attribute(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// When the caller is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kill {
    /// Before the call takes effect; it takes none.
    Before,
    /// After the call took effect, before the caller hears of it.
    After,
}

/// One thing that goes wrong: what it waits for, which occurrence, what happens then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What is waited for.
    pub on: On,
    /// For reads and writes the end of the attribute's path, for queues the APQN `XX.YYYY`; anything without it.
    #[serde(default)]
    pub target: Option<String>,
    /// The first occurrence that is hit, counted from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// Occurrences in a row that are hit; 0 is all from then on.
    #[serde(default = "one")]
    pub times: u32,
    /// The call fails with this errno.
    #[serde(default)]
    pub errno: Option<Errno>,
    /// The ultravisor answers this; the ioctl itself succeeds.
    #[serde(default)]
    pub uv_rc: Option<u16>,
    /// `errno` and `uv_rc` are answered after the call took effect, instead of it.
    #[serde(default)]
    pub done: bool,
    /// The AP firmware answers this response code. 0x35 and 0x36 come when the association should be through.
    #[serde(default)]
    pub ap_rc: Option<u8>,
    /// The AP firmware accepts and never gets done.
    #[serde(default)]
    pub stuck: bool,
    /// The measurement that the ultravisor gives is spoiled; the call itself succeeds.
    #[serde(default)]
    pub spoil: Option<Spoil>,
    /// What becomes of the queue when the firmware is done.
    #[serde(default)]
    pub becomes: Option<Becomes>,
    /// The caller is killed.
    #[serde(default)]
    pub kill: Option<Kill>,
    /// The call takes so much longer.
    #[serde(default)]
    pub delay_ms: u64,
}

fn one() -> u32 {
    1
}

impl Fault {
    /// Refuses combinations that could never happen.
    pub fn check(&self) -> Result<()> {
        let on = self.on;
        let firmware = self.ap_rc.is_some() || self.stuck || self.becomes.is_some();
        ensure!(self.nth > 0, "a fault's nth is counted from 1");
        ensure!(
            !firmware || on.is_firmware(),
            "ap_rc, stuck and becomes are for bind, associate and reset, not {on:?}"
        );
        ensure!(self.uv_rc.is_none() || !(on.is_firmware() || on.is_attribute()), "uv_rc is for ioctls, not {on:?}");
        ensure!(self.spoil.is_none() || on == On::Attest, "spoil is for attest, not {on:?}");
        let call = self.errno.is_some() || self.kill.is_some() || self.delay_ms > 0;
        ensure!(!call || !on.is_firmware(), "errno, kill and delay_ms are for ioctls, read and write, not {on:?}");
        ensure!(
            firmware || call || self.uv_rc.is_some() || self.spoil.is_some(),
            "a fault on {on:?} that does nothing"
        );
        Ok(())
    }
}

impl Fault {
    /// What of it is the firmware's trouble.
    pub fn trouble(&self) -> Trouble {
        Trouble { rc: self.ap_rc, stuck: self.stuck, becomes: self.becomes }
    }
}

/// The faults of a guest and how often each was met.
#[derive(Debug, Default)]
pub struct Faults {
    list: Vec<(Fault, u32)>,
}

impl Faults {
    /// Faults that count from now on.
    pub fn new(faults: &[Fault]) -> Self {
        let mut new = Self::default();
        new.add(faults);
        new
    }

    /// More of them; those also count from now on.
    pub fn add(&mut self, faults: &[Fault]) {
        self.list.extend(faults.iter().map(|fault| (fault.clone(), 0)));
    }

    /// Counts an occurrence and gives the first fault that it hits. Faults that wait for the same occurrence all count.
    pub fn hit(&mut self, on: On, target: &str) -> Option<Fault> {
        let mut hit = None;
        for (fault, seen) in &mut self.list {
            let meant = fault.target.as_deref().is_none_or(|end| target.ends_with(end));
            if fault.on != on || !meant {
                continue;
            }
            *seen = seen.saturating_add(1);
            let last = fault.nth.saturating_add(fault.times).saturating_sub(1);
            if *seen >= fault.nth && (fault.times == 0 || *seen <= last) && hit.is_none() {
                hit = Some(fault.clone());
            }
        }
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(yaml: &str) -> Fault {
        let fault: Fault = serde_yaml::from_str(yaml).unwrap();
        fault.check().unwrap();
        fault
    }

    #[test]
    fn a_fault_hits_its_occurrences_and_its_target_only() {
        let mut faults = Faults::new(&[fault("{on: write, target: 00.0005/se_bind, nth: 2, times: 2, errno: EBUSY}")]);
        let mut hits = |path: &str| faults.hit(On::Write, path).is_some();
        assert!(!hits("/sys/devices/ap/card00/00.0006/se_bind"));
        let answers: Vec<bool> = (0..4).map(|_| hits("/sys/devices/ap/card00/00.0005/se_bind")).collect();
        assert_eq!(answers, [false, true, true, false]);
    }

    #[test]
    fn zero_times_is_for_ever() {
        let mut faults = Faults::new(&[fault("{on: add_secret, times: 0, uv_rc: 0x010d}")]);
        assert!((0..9).all(|_| faults.hit(On::AddSecret, "").is_some()));
    }

    #[test]
    fn a_fault_that_cannot_happen_is_refused() {
        for wrong in [
            "{on: write, uv_rc: 1}",
            "{on: bind, errno: EIO}",
            "{on: info}",
            "{on: info, stuck: true}",
            "{on: info, spoil: cuid}",
        ] {
            assert!(serde_yaml::from_str::<Fault>(wrong).unwrap().check().is_err(), "{wrong}");
        }
    }
}
