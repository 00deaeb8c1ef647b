//! What is found of a guest's answer.

use super::{FirmwareState, firmware};
use fault::{Code, Fault};
use pv_wire::attestation::{AdditionalData, Claims, layout};
use std::borrow::Cow;

/// What a verdict comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The measurement is good and all that was expected is so.
    Affirming,
    /// The answer is to the request and new, but shows something else than expected.
    Contraindicated,
    /// Nothing is known: no answer to this request, an old one, or nothing to compare it with.
    None,
}

impl Status {
    /// As results and an EAR spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Affirming => "affirming",
            Self::Contraindicated => "contraindicated",
            Self::None => "none",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A stable name.
    pub name: &'static str,
    /// Whether it is as expected; `None` where it was not compared, or agrees without being proved.
    pub ok: Option<bool>,
    /// A sentence about what was found. Most are always the same: a fleet has hundreds of thousands of them.
    pub detail: Cow<'static, str>,
    // Of most checks there is nothing to say here, so they do not keep room for it.
    wrong: Option<Box<Wrong>>,
}

/// What more there is to say of a check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wrong {
    code: Code,
    hint: Cow<'static, str>,
    voids: bool,
}

impl Check {
    /// It is as expected.
    pub fn passed(name: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { name, ok: Some(true), detail: detail.into(), wrong: None }
    }

    /// It was not compared.
    pub fn skipped(name: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { ok: None, ..Self::passed(name, detail) }
    }

    /// It is not as expected.
    pub fn failed(name: &'static str, fault: Fault) -> Self {
        Self::wrong(name, fault, false)
    }

    /// It is not as expected, and so nothing is known of the guest: the status is then [`Status::None`].
    pub fn voiding(name: &'static str, fault: Fault) -> Self {
        Self::wrong(name, fault, true)
    }

    fn wrong(name: &'static str, fault: Fault, voids: bool) -> Self {
        let Fault { code, detail, hint, .. } = fault;
        let wrong = Some(Box::new(Wrong { code, hint: hint.into(), voids }));
        Self { name, ok: Some(false), detail: detail.into(), wrong }
    }

    /// The code of what is wrong.
    pub fn code(&self) -> Option<Code> {
        self.wrong.as_ref().map(|wrong| wrong.code)
    }

    /// What to do about what is wrong, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.wrong.as_ref().map(|wrong| wrong.hint.as_ref()).filter(|hint| !hint.is_empty())
    }

    /// Says what to do about it instead; nothing, if nothing is wrong.
    pub fn advise(&mut self, hint: String) {
        if let Some(wrong) = &mut self.wrong {
            wrong.hint = hint.into();
        }
    }

    /// Whether nothing is known of the guest because of it.
    fn voids(&self) -> bool {
        self.wrong.as_ref().is_some_and(|wrong| wrong.voids)
    }

    /// That it agrees proves nothing, for the measurement is not good.
    fn without_proof(&mut self) {
        if self.ok == Some(true) {
            self.ok = None;
            self.detail.to_mut().push_str(" Nothing proves it, for the measurement is not good.");
        }
    }
}

/// What the measurement proves about the guest, whatever it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The configuration unique id of this start of the guest.
    pub cuid: [u8; layout::CUID_LEN],
    /// The additional data; nothing in it if they do not fit the request.
    pub additional: AdditionalData,
    /// The additional data as they came.
    pub additional_bytes: Vec<u8>,
    /// The user data: the guest's word.
    pub user_data: Vec<u8>,
    /// The claims that they are the hash of: the guest's word.
    pub claims: Option<Claims>,
}

/// What is found of the secret store. Only what was measured is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreReport {
    /// The store's hash.
    pub hash: [u8; layout::STORE_HASH_LEN],
    /// The hash that it should have.
    pub expected: [u8; layout::STORE_HASH_LEN],
    /// Whether it is locked, if that can be seen from the hash.
    pub locked: Option<bool>,
    /// Why the two differ: a sentence.
    pub explanation: Option<String>,
}

/// All that is found of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was looked at, in a fixed order.
    pub checks: Vec<Check>,
    /// What was measured; `None` without a good measurement.
    pub proved: Option<Proved>,
    /// The secret store, if it was measured and expected.
    pub store: Option<StoreReport>,
    /// Age of the request in seconds.
    pub age: i64,
    /// Until when an affirming verdict holds, in seconds since 1970.
    pub(super) valid_until: i64,
}

impl Verdict {
    /// What it all comes to.
    pub fn status(&self) -> Status {
        let mut failed = self.checks.iter().filter(|check| check.ok == Some(false)).peekable();
        let measured = self.checks.iter().any(|check| check.name == MEASUREMENT && check.ok.is_some());
        if !measured || failed.clone().any(Check::voids) {
            return Status::None;
        }
        if failed.peek().is_some() { Status::Contraindicated } else { Status::Affirming }
    }

    /// Whether the measurement is that of the image and the response's data, by the ultravisor that was asked.
    pub fn is_verified(&self) -> bool {
        self.proved.is_some()
    }

    /// Until when it holds, in seconds since 1970; `None` unless it is affirming.
    pub fn valid_until(&self) -> Option<i64> {
        (self.status() == Status::Affirming).then_some(self.valid_until)
    }

    /// The first thing that is wrong; `None` for an affirming verdict.
    pub fn fault(&self) -> Option<Fault> {
        self.checks.iter().find_map(|check| {
            let wrong = check.wrong.as_ref()?;
            Some(Fault::new(wrong.code, check.detail.clone()).hint(wrong.hint.clone()))
        })
    }

    /// The firmware's state, if its service's word is all that is missing: then it is worth asking.
    pub fn firmware_question(&self) -> Option<&FirmwareState> {
        let mut others = self.checks.iter().filter(|check| check.name != firmware::NAME);
        let is_missing = self.checks.iter().any(|check| check.name == firmware::NAME && check.voids());
        let proved = self.proved.as_ref().filter(|_| is_missing && others.all(|check| check.ok != Some(false)))?;
        proved.additional.firmware_state.as_deref()
    }

    /// Adds what was looked at elsewhere, such as in the other answers of a batch.
    pub fn add(&mut self, mut check: Check) {
        if self.proved.is_none() {
            check.without_proof();
        }
        self.checks.push(check);
    }

    /// Takes back what agrees behind the measurement's check, if that is not good.
    pub(super) fn settle(mut self) -> Self {
        if self.proved.is_none() {
            let behind = self.checks.iter_mut().skip_while(|check| check.name != MEASUREMENT).skip(1);
            behind.for_each(Check::without_proof);
        }
        self
    }
}

/// The name of the check without which none counts.
pub(super) const MEASUREMENT: &str = "measurement";

#[cfg(test)]
mod tests {
    use super::{super::codes, *};

    fn status(checks: Vec<Check>) -> Status {
        let verdict = Verdict { checks, proved: None, store: None, age: 0, valid_until: 0 };
        assert!(!verdict.is_verified());
        verdict.status()
    }

    #[test]
    fn without_a_measurement_that_was_compared_nothing_is_known_of_the_guest() {
        let good = |name| Check::passed(name, "It agrees.");
        let bad = |name| Check::failed(name, Fault::new(codes::BOOT_ID, "It differs.").hint("Reboot."));
        assert_eq!(status(vec![good("boot_id")]), Status::None);
        assert_eq!(status(vec![Check::skipped(MEASUREMENT, "There is no image."), good("boot_id")]), Status::None);
        assert_eq!(status(vec![good(MEASUREMENT), good("boot_id")]), Status::Affirming);
        assert_eq!(status(vec![good(MEASUREMENT), bad("boot_id")]), Status::Contraindicated);
    }

    #[test]
    fn advice_replaces_the_hint_of_what_is_wrong_and_is_nothing_to_what_is_right() {
        let mut check = Check::failed("boot_id", Fault::new(codes::BOOT_ID, "It differs.").hint("Reboot."));
        check.advise("Wait.".into());
        assert_eq!(check.hint(), Some("Wait."));
        let mut check = Check::passed("boot_id", "It agrees.");
        check.advise("Wait.".into());
        assert_eq!(check.hint(), None);
    }
}
