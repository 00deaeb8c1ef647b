//! Error codes of this module.

fault::codes! {
    NOT_OURS = "attest.not_ours", "The file in the place of an attestation request is none; it is not overwritten.";
    KEY_EXISTS = "attest.key_exists", "The file in the place of an attestation request's key is not the key of the request beside it; it is not overwritten.";
}
