//! The few extensions that OpenSSL's builders have no safe call for, as DER.

/// Tag, length, content. Contents here stay below 256 bytes.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    let mut out = vec![tag];
    if length >= 0x80 {
        out.push(0x81);
    }
    out.push(length);
    out.extend(content);
    out
}

/// AuthorityKeyIdentifier with a key id.
pub(crate) fn authority_key_id(key_id: &[u8]) -> Vec<u8> {
    tlv(0x30, &tlv(0x80, key_id))
}

/// CRLNumber.
pub(crate) fn crl_number(number: u8) -> Vec<u8> {
    tlv(0x02, &[number & 0x7f])
}

/// CRLDistributionPoints with one URI.
pub(crate) fn distribution_point(uri: &str) -> Vec<u8> {
    tlv(0x30, &tlv(0x30, &tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes())))))
}
