//! Error codes of building requests and of verifying host key documents.

fault::codes! {
    FILE_MISSING = "file.missing", "A file that was named does not exist.";
    FILE_UNREADABLE = "file.unreadable", "A file could not be read.";
    FILE_TOO_LARGE = "file.too_large", "A file is larger than anything that belongs there, and was not read.";

    IMAGE_NO_HEADER = "image.no_header", "The file holds no Secure Execution header where one may be.";
    IMAGE_MALFORMED = "image.malformed", "The Secure Execution header is cut off or its sizes contradict each other.";
    IMAGE_VERSION = "image.unsupported_version", "The Secure Execution header is of a version other than 0x0100.";

    SECRET_SIZE = "request.secret_size", "The secret has a size that its type does not allow.";
    SECRET_KEY = "request.secret_key", "The private key given as secret cannot be read or is of a kind that no secret can be.";
    EXTENSION_SIZE = "request.extension_size", "An extension secret or a customer communication key is not 32 bytes long.";
    NO_HOST_KEY = "request.no_host_key", "The request names no host key document, so no machine could open it.";
    TOO_MANY_HOST_KEYS = "request.too_many_host_keys", "A request has room for 255 host keys.";
    CRYPTO = "request.crypto", "OpenSSL refused a step that should always work.";

    NOT_A_CERTIFICATE = "hkd.not_a_certificate", "The file holds no X.509 certificate.";
    NOT_A_CRL = "hkd.not_a_crl", "The file holds no certificate revocation list.";
    WEAK_KEY = "hkd.weak_key", "The host key document's key gives less than 112 bits of security.";
    WRONG_CURVE = "hkd.wrong_curve", "The host key document's key is not on the curve P-521, so it is no host key.";
}
