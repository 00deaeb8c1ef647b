//! What the ultravisor's return codes mean, in sentences that claim no more than is known. The same number may mean
//! another thing to another call, so each call has its own table (s390-tools `rust/pv_core/src/uvdevice`, Linux
//! `arch/s390/include/asm/uv.h`).

use super::device::UvAnswer;
use crate::codes;
use fault::{Code, Fault};

const STOP_USING: &str = "Stop using this guest and examine the host: such an answer never occurs in normal operation.";
const REBOOT: &str = "A lock cannot be removed: reboot the guest, then add all secrets before locking.";
const BUILD_AGAIN: &str = "Build the request again for this ultravisor; the facts module shows what it supports.";

/// Return code, code, meaning, what to do next.
pub(super) type Answers = &'static [(u16, Code, &'static str, &'static str)];

/// Answers of every call.
const COMMON: Answers = &[
    (
        0x0000,
        codes::INVALID_ANSWER,
        "no valid return code",
        "Check that kernel and firmware support Secure Execution guests.",
    ),
    (
        0x0002,
        codes::INVALID_COMMAND,
        "invalid ultravisor command",
        "This machine's ultravisor does not support the call.",
    ),
    (
        0x0005,
        codes::INVALID_SIZE,
        "invalid command size",
        "Kernel and ultravisor do not agree; update the guest's kernel.",
    ),
    (0x0030, codes::HOME_SPACE, "home space control error", STOP_USING),
    (0x0031, codes::TRANSLATION, "translation exception", STOP_USING),
    (0x0032, codes::INVALID_ADDRESS, "invalid address", STOP_USING),
];

/// Answers of the add call.
pub(super) const ADD: Answers = &[
    (
        0x0101,
        codes::STORE_NOT_MODIFIABLE,
        "not allowed to modify the secret store",
        "The guest's configuration does not permit it.",
    ),
    (0x0102, codes::STORE_LOCKED, "the secret store is locked", REBOOT),
    (0x0103, codes::ACCESS_EXCEPTION, "access exception on the request", STOP_USING),
    (0x0104, codes::REQUEST_VERSION, "unsupported request version", BUILD_AGAIN),
    (
        0x0105,
        codes::REQUEST_SIZE,
        "invalid request size",
        "Copy the request again or build it again: it may be damaged.",
    ),
    (0x0106, codes::REQUEST_HOST_KEYS, "invalid number of host keys", BUILD_AGAIN),
    (0x0107, codes::REQUEST_FLAGS, "unsupported flags in the request", BUILD_AGAIN),
    (
        0x0108,
        codes::NOT_FOR_THIS_GUEST,
        "the request cannot be decrypted",
        "It was built for another host key or another image, or was changed in transit; the ultravisor does not report which. Build it again from this host's key document and the image that this guest runs.",
    ),
    (0x0109, codes::SECRET_UNSUPPORTED, "unsupported secret type or extension", BUILD_AGAIN),
    (0x010a, codes::SECRET_LENGTH, "invalid length of the secret", BUILD_AGAIN),
    (
        0x010b,
        codes::STORE_FULL,
        "the secret store is full",
        "Secrets cannot be removed one by one: reboot the guest and add fewer.",
    ),
    (
        0x010c,
        codes::SECRET_REFUSED,
        "the secret cannot be added",
        "The request or the image requires something that is not met, for example the extension secret or the CUID; the ultravisor does not report which.",
    ),
    (0x010d, codes::DUMP_IN_PROGRESS, "a dump of the guest is in progress", "Try again when the dump has ended."),
];

/// Answers of the lock call.
pub(super) const LOCK: Answers = &[
    (
        0x0101,
        codes::STORE_NOT_MODIFIABLE,
        "not allowed to modify the secret store",
        "The guest's configuration does not permit it.",
    ),
    (0x0102, codes::STORE_LOCKED, "the secret store is already locked", REBOOT),
];

/// Answers of the retrieve call.
pub(super) const RETRIEVE: Answers = &[
    (
        0x0009,
        codes::BUFFER_TOO_SMALL,
        "the buffer is too small for the secret",
        "The secret is longer than the list of secrets says; update the guest's kernel.",
    ),
    // The kernel's header has this number for it, pvsecret's source the other.
    (
        0x0109,
        codes::BUFFER_TOO_SMALL,
        "the buffer is too small for the secret",
        "The secret is longer than the list of secrets says; update the guest's kernel.",
    ),
    (0x0102, codes::RETRIEVE_ACCESS, "access exception", STOP_USING),
    (
        0x010f,
        codes::STORE_EMPTY,
        "the secret store is empty",
        "The store is empty after each boot: add the secret first (seguest.pv.secret_add).",
    ),
    (
        0x0110,
        codes::NO_SUCH_INDEX,
        "no secret with that index",
        "Indices follow the order of adding and belong to one boot; name the secret by name or id.",
    ),
    (
        0x0111,
        codes::NOT_RETRIEVABLE,
        "the secret is not retrievable",
        "Only plaintext secrets and keys can be retrieved; an association secret never leaves the ultravisor.",
    ),
];

/// The fault that an answer other than success to a call with these answers of its own is.
pub(super) fn fault(purpose: &str, own: Answers, answer: UvAnswer) -> Fault {
    let known = COMMON.iter().chain(own).find(|(rc, ..)| *rc == answer.rc);
    let (code, meaning, hint) = known.map_or(
        (
            codes::UNKNOWN_ANSWER,
            "a code that is not documented for this call",
            "Look up the code in the machine's documentation; the module does not interpret it.",
        ),
        |(_, code, meaning, hint)| (*code, *meaning, *hint),
    );
    Fault::new(
        code,
        format!(
            "The ultravisor was asked to {purpose} and answered 0x{:04x} (reason 0x{:04x}): {meaning}.",
            answer.rc, answer.rrc
        ),
    )
    .hint(hint)
    .uv(answer.rc, answer.rrc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uv::attest::ATTEST;

    #[test]
    fn every_meaning_of_a_calls_answers_has_a_code_of_its_own_and_says_what_to_do() {
        for own in [ADD, LOCK, RETRIEVE, ATTEST] {
            let answers: Vec<_> = COMMON.iter().chain(own).collect();
            for (at, (rc, code, meaning, hint)) in answers.iter().enumerate() {
                for (other, known, means, _) in &answers[at + 1..] {
                    assert!(other != rc && (known == code) == (means == meaning), "{rc:04x} and {other:04x}");
                }
                assert!(!hint.is_empty());
                assert_eq!(fault("do it", own, UvAnswer { rc: *rc, rrc: 0 }).code, *code);
            }
        }
    }

    #[test]
    fn the_same_number_means_another_thing_to_another_call() {
        let code = |own, rc| fault("do it", own, UvAnswer { rc, rrc: 0 }).code;
        assert_eq!((code(ADD, 0x0102), code(RETRIEVE, 0x0102)), (codes::STORE_LOCKED, codes::RETRIEVE_ACCESS));
        assert_eq!(
            (code(ADD, 0x010c).name, code(ATTEST, 0x010c).name),
            ("uv.secret_refused", "attest.no_host_key_slot")
        );
        assert_eq!(code(LOCK, 0x0108), codes::UNKNOWN_ANSWER);
        assert_eq!((code(&[], 0x0102), code(&[], 0x0005)), (codes::UNKNOWN_ANSWER, codes::INVALID_SIZE));
    }

    #[test]
    fn an_unknown_answer_keeps_its_number() {
        let fault = fault("add a secret", ADD, UvAnswer { rc: 0x0777, rrc: 0x12 });
        assert_eq!(
            (fault.code, fault.answer.uv_rc, fault.answer.uv_rrc),
            (codes::UNKNOWN_ANSWER, Some(0x777), Some(0x12))
        );
        assert!(fault.detail.contains("0x0777"));
    }
}
