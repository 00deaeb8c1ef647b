//! Error codes of asking for an attestation and of judging it. Those of reading are in [`pv_wire::attestation::codes`].

fault::codes! {
    NOTHING_EXPECTED = "args.nothing_expected", "Neither image nor secret store nor host key is given to compare an attestation with, so it would show nothing.";

    KEY_FILE = "attest.key_malformed", "The file with the key of an attestation request does not hold 32 bytes.";
    NO_IMAGE = "attest.no_image", "No image is given, and without it a measurement cannot be checked.";
    REQUEST_MISMATCH = "attest.request_mismatch", "The response answers another request than the one that was sent, or the request in it was altered.";
    KEY_MISMATCH = "attest.key_mismatch", "The key does not belong to the attestation request.";
    MEASUREMENT_MISMATCH = "attest.measurement_mismatch", "The measurement is another than the image and the response's data would have: the guest runs another image, or the response was altered.";
    EXPIRED = "attest.expired", "The request was made too long ago, or at a time that has not come: what answers it shows nothing about now.";
    NOT_ASKED = "attest.not_asked", "The request did not ask the ultravisor for what the attestation is to be compared with.";
    IMAGE_HOST_KEY = "attest.image_host_key", "The guest's image was opened with a host key that is not among the allowed ones.";
    ATTESTATION_HOST_KEY = "attest.attestation_host_key", "A machine whose host key is not among the allowed ones has answered.";
    STORE_MISMATCH = "attest.store_mismatch", "The guest's secret store took other requests since boot than expected, or in another order.";
    NOT_LOCKED = "attest.not_locked", "The guest's secret store holds what it should, but whether it is locked is not as expected.";
    USER_DATA = "attest.user_data", "The user data that were measured are not those expected, or not the hash of the guest's claims.";
    CLAIMS_MISSING = "attest.claims_missing", "The guest has not bound what it is expected to claim about itself.";
    ADDED_REQUESTS = "attest.added_requests", "The guest says that it added other requests than those expected, though their tags may be the same.";
    SSH_HOST_KEYS = "attest.ssh_host_keys", "The SSH host key that the guest is known by is none of those that the attested guest has: another guest may have answered in its place.";
    BOOT_ID = "attest.boot_id", "The attested guest has another boot id than expected: it was rebooted, or another guest has answered.";
    CUID_CHANGED = "attest.cuid_changed", "The attested guest has another configuration unique id than the pinned one: it was started again, or another guest has answered.";
    CUID_SHARED = "attest.cuid_shared", "Several responses of one batch, or a response and the pin of another guest, have the same configuration unique id: one guest has answered for several, or the pin is left over from a guest that is gone.";
    FIRMWARE_INVALID = "attest.firmware_invalid", "The firmware's service says that the firmware of the guest's machine is not valid.";
    FIRMWARE_UNREACHABLE = "attest.firmware_unreachable", "The firmware's service could not be asked, or what it answered cannot be read: nothing is known of the machine's firmware.";
    SIGNING_KEY = "attest.signing_key", "The key that is to sign an attestation result cannot be read, or is not on the curve P-256 or P-384.";
    RESULT = "attest.result", "An attestation result could not be written as JSON or YAML.";
}
