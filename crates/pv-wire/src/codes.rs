//! Error codes of reading add-secret requests.

fault::codes! {
    NOT_A_REQUEST = "request.malformed", "The file or content is not a well-formed add-secret request; nothing was sent to the ultravisor.";
    UNSUPPORTED_VERSION = "request.unsupported_version", "The request has a version other than 0x0100.";
}
