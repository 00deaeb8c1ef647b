//! The few extensions that OpenSSL's builders have no safe call for, as DER.

/// Tag, length, content. Contents here stay below 64 KiB.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, ..0x80) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
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

/// CRLDistributionPoints with one point, whose list is at each of the URIs.
pub(crate) fn distribution_point(uris: &[String]) -> Vec<u8> {
    let names: Vec<u8> = uris.iter().flat_map(|uri| tlv(0x86, uri.as_bytes())).collect();
    tlv(0x30, &tlv(0x30, &tlv(0xa0, &tlv(0xa0, &names))))
}
