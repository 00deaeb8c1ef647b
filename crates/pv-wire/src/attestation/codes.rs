//! Error codes of reading attestation requests, what answers them, and claims.

fault::codes! {
    MALFORMED = "attest.malformed", "An attestation request, a response or the file around it is cut off, or its parts contradict each other.";
    VERSION = "attest.unsupported_version", "An attestation request or exchange file is of a version other than 0x0100, or asks for another algorithm than HMAC with SHA-512.";
    FLAG_UNKNOWN = "attest.flag_unknown", "An attestation request has a flag that is not known here, so what it would bring cannot be judged.";
    NOT_A_REQUEST = "attest.not_a_request", "An attestation response was given where a request is asked for; a request is answered once.";
    NOT_A_RESPONSE = "attest.not_a_response", "An attestation request was given where a response is asked for: no guest has answered it yet.";
    ADDITIONAL_INCOMPLETE = "attest.additional_incomplete", "The response holds less additional data than the request's flags ask for.";
    ADDITIONAL_EXCESS = "attest.additional_excess", "The response holds more additional data than the request's flags ask for.";
    CLAIMS = "attest.claims", "The claims of a guest are not a document as the module attest writes it.";
}
