//! Error codes of building requests and of verifying host key documents.

fault::codes! {
    SEVERAL_CERTIFICATES = "file.several_certificates", "A file contains several certificates where only one is allowed.";
    FILE_TOO_LARGE = "file.too_large", "A file is larger than any valid one, and was not read.";

    IMAGE_NO_HEADER = "image.no_header", "The file contains no Secure Execution header in any of its possible places.";
    IMAGE_MALFORMED = "image.malformed", "The Secure Execution header is truncated, or its sizes contradict each other.";
    IMAGE_VERSION = "image.unsupported_version", "The Secure Execution header is of a version other than 0x0100.";

    SECRET_SIZE = "request.secret_size", "The secret has a size that its type does not allow.";
    SECRET_KEY = "request.secret_key", "The private key given as secret cannot be read, or is of a kind that cannot be a secret.";
    SECRET_RECIPIENT = "request.secret_recipient", "A certificate in secret_recipients has a key that is too weak or cannot decrypt.";
    SECRET_KEY_FILE = "request.secret_key_file", "The file secret_key_file contains no readable private key.";
    SECRET_KEY_PASSPHRASE = "request.secret_key_passphrase", "The private key secret_key_file is encrypted, and its passphrase is missing or wrong.";
    SECRET_WRONG_KEY = "request.secret_wrong_key", "The encrypted secret cannot be decrypted with this key: it is encrypted for another key, or the file was changed.";
    SECRET_DAMAGED = "request.secret_damaged", "The encrypted secret is damaged or was changed.";
    EXTENSION_SIZE = "request.extension_size", "An extension secret or a customer communication key is not 32 bytes long.";
    USER_DATA_SIZE = "request.user_data_size", "The user data is longer than its kind allows.";
    SIGNING_KEY = "request.user_signing_key", "The key to sign the user data cannot be read, or is of an unsuitable kind.";
    USER_CERT_MISMATCH = "request.user_cert_mismatch", "The request's user data were signed with a key of another kind than the certificate's, or are not signed.";
    ID_FILE = "request.id_file", "The YAML file that names a secret is not as pvsecret writes it.";
    NO_HOST_KEY = "request.no_host_key", "The request names no host key document, so no machine could open it.";
    TOO_MANY_HOST_KEYS = "request.too_many_host_keys", "There are more host keys than the 255 that fit into a request.";
    CRYPTO = "request.crypto", "OpenSSL refused a step that should always work.";

    NOT_A_CERTIFICATE = "hkd.not_a_certificate", "The file contains no X.509 certificate, a damaged one, or extra data after it.";
    TOO_MANY = "hkd.too_many", "There are more certificates or revocation lists than the module reads.";
    NOT_A_CRL = "hkd.not_a_crl", "The file contains no certificate revocation list, a damaged one, or extra data after it.";
    WEAK_KEY = "hkd.weak_key", "The host key document's key gives less than 112 bits of security.";
    WRONG_CURVE = "hkd.wrong_curve", "The host key document's key is not on the curve P-521, so it is not a host key.";
    KEY_USAGE = "hkd.key_usage", "The host key document or the IBM signing key does not allow this use of its key.";
    EXPIRED = "hkd.expired", "The host key document is no longer valid.";
    NOT_YET_VALID = "hkd.not_yet_valid", "The host key document is not valid yet.";
    AUTHORITY_KEY_ID = "hkd.authority_key_id", "The host key document says that a key other than the IBM signing key issued it.";
    WRONG_ISSUER = "hkd.wrong_issuer", "The host key document names an issuer other than the IBM signing key.";
    SIGNATURE = "hkd.signature", "The host key document is not signed by the IBM signing key: it is forged or damaged.";
    WEAK_SIGNATURE = "hkd.weak_signature", "The host key document, a certificate above it or a revocation list is signed with a weak digest or an unknown method.";
    CRITICAL_EXTENSION = "hkd.critical_extension", "The host key document, a certificate above it or a revocation list has an unknown critical extension, so it must not be used.";
    REVOKED = "hkd.revoked", "IBM has revoked the host key document.";
    NO_CRL = "hkd.no_crl", "The revocation list of the certificate's issuer is missing, so revocation cannot be ruled out.";
    CRL_DOWNLOAD = "hkd.crl_download", "The revocation list of the certificate's issuer is missing, and could not be fetched from the addresses in the certificate.";
    PROXY_LOGIN = "hkd.proxy_login", "A revocation list could not be fetched, because the proxy requires a login, or rejects the one in the environment.";
    PROXY_UNUSABLE = "hkd.proxy_unusable", "A revocation list could not be fetched, because an environment variable names a proxy that cannot be used.";
    CRL_SCOPE = "hkd.crl_scope", "A revocation list is only partial: a delta, or for some of its issuer's certificates.";
    CRL_OUTDATED = "hkd.crl_outdated", "The revocation list of the certificate's issuer has passed its next update.";
    CRL_NOT_YET_VALID = "hkd.crl_not_yet_valid", "The revocation list of the certificate's issuer is not valid yet.";
    CRL_SIGNATURE = "hkd.crl_signature", "A revocation list is not signed by the key of the issuer named in it.";
    NO_SIGNING_KEY = "hkd.no_signing_key", "None of the certificates is an IBM signing key.";
    SEVERAL_SIGNING_KEYS = "hkd.several_signing_keys", "More than one of the certificates is an IBM signing key.";
    NO_INTERMEDIATE = "hkd.no_intermediate", "The IBM signing key was issued by the root itself; an intermediate certification authority is required.";
    CHAIN_EXPIRED = "hkd.chain_expired", "The IBM signing key's certificate, or one above it, is no longer valid.";
    CHAIN_NOT_YET_VALID = "hkd.chain_not_yet_valid", "The IBM signing key's certificate, or one above it, is not valid yet.";
    CHAIN_REVOKED = "hkd.chain_revoked", "The IBM signing key's certificate, or one above it, is revoked.";
    SIGNING_KEY_INVALID = "hkd.signing_key_invalid", "The IBM signing key's certificate does not lead to a trusted root.";
    NO_SYSTEM_TRUST = "hkd.no_system_trust", "No bundle of trusted root certificates was found on the system.";
}
