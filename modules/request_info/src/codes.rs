//! Error codes of this module.

fault::codes! {
    SIGNATURE_INVALID = "request.signature_invalid", "The request's user data are not signed by the certificate's key, or the request was changed afterwards.";
}
