//! What the ultravisor's return codes mean, in sentences that claim no more than is known.

use super::device::UvAnswer;
use crate::codes;
use fault::{Code, Fault};

const STOP_USING: &str =
    "Stop using this guest and look into the host: such an answer does not come about in normal operation.";
const REBOOT: &str = "A lock cannot be taken back: reboot the guest, then add all secrets before locking.";
const BUILD_AGAIN: &str = "Build the request again for this ultravisor; the facts module shows what it supports.";

/// Return code, code, meaning, what to do next.
const ANSWERS: &[(u16, Code, &str, &str)] = &[
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
        "This machine's ultravisor does not offer the call.",
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
        "It was built for another host key or another image, or was changed on the way; the ultravisor does not tell which. \
         Build it again from this host's key document and the image that this guest runs.",
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
        "Something that the request or the image demands is not met, for example the extension secret or the CUID; the ultravisor does not tell which.",
    ),
    (0x010d, codes::DUMP_IN_PROGRESS, "a dump of the guest is in progress", "Try again when the dump has ended."),
];

/// The fault that an answer other than success is.
pub(super) fn fault(purpose: &str, answer: UvAnswer) -> Fault {
    let known = ANSWERS.iter().find(|(rc, ..)| *rc == answer.rc);
    let (code, meaning, hint) = known
        .map_or((codes::UNKNOWN_ANSWER, "a code that is not documented", ""), |(_, code, meaning, hint)| {
            (*code, *meaning, *hint)
        });
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

    #[test]
    fn every_answer_has_a_code_of_its_own() {
        for (at, (rc, code, ..)) in ANSWERS.iter().enumerate() {
            assert!(ANSWERS[at + 1..].iter().all(|(other_rc, other, ..)| other != code && other_rc != rc), "{rc:04x}");
            assert_eq!(fault("add a secret", UvAnswer { rc: *rc, rrc: 0 }).code, *code);
        }
    }

    #[test]
    fn an_unknown_answer_keeps_its_number() {
        let fault = fault("add a secret", UvAnswer { rc: 0x0777, rrc: 0x12 });
        assert_eq!(
            (fault.code, fault.answer.uv_rc, fault.answer.uv_rrc),
            (codes::UNKNOWN_ANSWER, Some(0x777), Some(0x12))
        );
        assert!(fault.detail.contains("0x0777"));
    }
}
