//! Secrets encrypted for keeping, as CMS (RFC 5652, RFC 5083): what `openssl cms -decrypt` reads.

use crate::{Source, codes, crypto::refused, host_key, secret::private_key};
use fault::{Fault, Result};
use openssl::{
    bn::BigNumRef,
    cms::{CMSOptions, CmsContentInfo},
    pkey::{Id, PKey, Private},
    stack::Stack,
    symm::Cipher,
    x509::{X509, X509Ref},
};
use zeroize::Zeroizing;

const PEM_BEGIN: &[u8] = b"-----BEGIN CMS-----";
/// OpenSSL's security level 2, as for all else here.
const SECURITY_BITS: u32 = 112;

/// The object identifiers, in DER, of what is encrypted in CMS: EnvelopedData (RFC 5652, 6.1) and AuthEnvelopedData (RFC
/// 5083, 2.1).
const ENVELOPED: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
const AUTH_ENVELOPED: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17";

/// Whether these bytes are CMS, in PEM or DER, and no secret in the clear. Damaged CMS counts where it begins as such: no
/// secret does.
pub fn is_sealed(bytes: &[u8]) -> bool {
    parse(bytes).is_some() || bytes.starts_with(PEM_BEGIN) || begins_like_cms(bytes)
}

/// Whether a SEQUENCE begins, whatever its length is said to be, and in it what is encrypted in CMS.
fn begins_like_cms(bytes: &[u8]) -> bool {
    let Some((0x30, rest)) = bytes.split_first().map(|(tag, rest)| (*tag, rest)) else { return false };
    // In DER the length has up to five bytes; without end, as openssl -stream writes, it has one.
    (1..=5)
        .filter_map(|length| rest.get(length..))
        .any(|rest| rest.starts_with(ENVELOPED) || rest.starts_with(AUTH_ENVELOPED))
}

/// That an encrypted secret can be read as such, whether or not a key is there to open it. `name` is what messages call it.
///
/// # Errors
/// [`codes::SECRET_DAMAGED`].
pub fn check_sealed(bytes: &[u8], name: &str) -> Result<()> {
    parse(bytes).map(drop).ok_or_else(|| damaged(name))
}

fn damaged(name: &str) -> Fault {
    Fault::new(codes::SECRET_DAMAGED, format!("The encrypted secret {name} is damaged or was changed."))
        .hint("Restore it from the backup.")
}

fn parse(bytes: &[u8]) -> Option<CmsContentInfo> {
    if bytes.starts_with(PEM_BEGIN) {
        return CmsContentInfo::from_pem(bytes).ok();
    }
    CmsContentInfo::from_der(bytes).ok()
}

/// For whom a secret is encrypted. Any one of their keys opens it.
#[derive(Debug)]
pub struct Recipients(Vec<(String, X509)>);

impl Recipients {
    /// Takes the one certificate of each file.
    ///
    /// # Errors
    /// [`codes::NOT_A_CERTIFICATE`], [`codes::SEVERAL_CERTIFICATES`], and [`codes::SECRET_RECIPIENT`] for a key that cannot decrypt or is too weak.
    pub fn new(sources: &[Source]) -> Result<Self> {
        let recipient = |source: &Source| {
            let hint = "Give each recipient its own file, without the certificates of authorities.";
            let certificate = host_key::only_certificate(source, "certificates", hint)?;
            let key = certificate.public_key().ok();
            if !key.is_some_and(|key| [Id::RSA, Id::EC].contains(&key.id()) && key.security_bits() >= SECURITY_BITS) {
                let detail = format!(
                    "The key in {} has a kind or size that is not supported for encrypting secrets.",
                    source.name
                );
                return Err(Fault::new(codes::SECRET_RECIPIENT, detail)
                    .hint("Use a certificate for an RSA key of 2048 bits or more, or for one on an elliptic curve."));
            }
            Ok((source.name.clone(), certificate))
        };
        sources.iter().map(recipient).collect::<Result<_>>().map(Self)
    }

    /// Encrypts with AES-256-GCM; PEM.
    ///
    /// # Errors
    /// [`codes::CRYPTO`].
    pub fn seal(&self, secret: &[u8]) -> Result<Vec<u8>> {
        let failed = refused("encrypt the secret for its recipients");
        let mut certificates = Stack::new().map_err(&failed)?;
        for (_, certificate) in &self.0 {
            certificates.push(certificate.clone()).map_err(&failed)?;
        }
        let sealed = CmsContentInfo::encrypt(&certificates, secret, Cipher::aes_256_gcm(), CMSOptions::BINARY);
        sealed.and_then(|sealed| sealed.to_pem()).map_err(failed)
    }

    /// The files of those for whom `sealed` is not encrypted.
    pub fn left_out(&self, sealed: &[u8]) -> Vec<&str> {
        let der = parse(sealed).and_then(|sealed| sealed.to_der().ok()).unwrap_or_default();
        self.0.iter().filter(|(_, certificate)| !names(&der, certificate)).map(|(file, _)| file.as_str()).collect()
    }

    /// Whether one of them has this key, and `sealed` is encrypted for it.
    fn include(&self, key: &PKey<Private>, sealed: &CmsContentInfo) -> bool {
        let der = sealed.to_der().unwrap_or_default();
        let fits = |certificate: &X509| certificate.public_key().is_ok_and(|public| public.public_eq(key));
        self.0.iter().any(|(_, certificate)| fits(certificate) && names(&der, certificate))
    }
}

/// Whether CMS names this certificate as a recipient's: by issuer and serial number, which follow each other in it
/// (RFC 5652, 10.2.4), or by key id.
fn names(der: &[u8], certificate: &X509Ref) -> bool {
    let contains = |what: &[u8]| !what.is_empty() && der.windows(what.len()).any(|window| window == what);
    let serial = certificate.serial_number().to_bn().map(|number| integer(&number)).unwrap_or_default();
    let by_serial = certificate.issuer_name().to_der().is_ok_and(|issuer| contains(&[issuer, serial].concat()));
    by_serial || certificate.subject_key_id().is_some_and(|id| contains(id.as_slice()))
}

/// A positive INTEGER in DER. Serial numbers have 20 bytes at most.
fn integer(number: &BigNumRef) -> Vec<u8> {
    let mut content = number.to_vec();
    if content.first().is_none_or(|first| *first >= 0x80) {
        content.insert(0, 0);
    }
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [&[0x02, length][..], &content].concat()
}

/// A private key that opens what is encrypted for it.
pub struct OpeningKey(PKey<Private>);

impl std::fmt::Debug for OpeningKey {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpeningKey").finish_non_exhaustive()
    }
}

impl OpeningKey {
    /// Reads a private key, PEM or DER, that may be encrypted. `name` is what messages call it.
    ///
    /// # Errors
    /// [`codes::SECRET_KEY_PASSPHRASE`] where it is encrypted and the passphrase is missing or wrong,
    /// [`codes::SECRET_KEY_FILE`].
    pub fn new(bytes: &[u8], passphrase: Option<&str>, name: &str) -> Result<Self> {
        if let Some(key) = private_key(bytes) {
            return Ok(Self(key));
        }
        let encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
        match passphrase.map(str::as_bytes) {
            Some(passphrase) => PKey::private_key_from_pem_passphrase(bytes, passphrase)
                .or_else(|_| PKey::private_key_from_pkcs8_passphrase(bytes, passphrase))
                .map(Self)
                .map_err(|_| {
                    let detail = format!("{name} could not be read with the passphrase given.");
                    Fault::new(codes::SECRET_KEY_PASSPHRASE, detail)
                        .hint("Check secret_key_passphrase, and that the file contains a private key in PEM or DER.")
                }),
            None if encrypted => Err(Fault::new(
                codes::SECRET_KEY_PASSPHRASE,
                format!("The private key in {name} is encrypted, and no passphrase is given."),
            )
            .hint("Give it as secret_key_passphrase, from a vault.")),
            None => Err(Fault::new(codes::SECRET_KEY_FILE, format!("{name} contains no readable private key."))
                .hint("It must be in PEM or DER; if it is encrypted, give secret_key_passphrase.")),
        }
    }

    /// Decrypts a secret. `name` is what messages call it; `recipients`, if known, help to tell why it fails.
    ///
    /// # Errors
    /// [`codes::SECRET_DAMAGED`] and [`codes::SECRET_WRONG_KEY`].
    pub fn open(&self, sealed: &[u8], name: &str, recipients: Option<&Recipients>) -> Result<Zeroizing<Vec<u8>>> {
        let damaged = || damaged(name);
        let parsed = parse(sealed).ok_or_else(damaged)?;
        // OpenSSL hides a wrong RSA key: it decrypts with a random one. Without authentication (CBC) that can seem to
        // succeed, but not twice in the same way.
        let open = || parse(sealed)?.decrypt_without_cert_check(&self.0).ok().map(Zeroizing::new);
        match (open(), open()) {
            (Some(once), Some(twice)) if once == twice => Ok(once),
            _ if recipients.is_some_and(|all| all.include(&self.0, &parsed)) => Err(damaged()),
            _ => {
                let detail = format!(
                    "The encrypted secret {name} could not be opened: it is not encrypted for this key, or was changed."
                );
                Err(Fault::new(codes::SECRET_WRONG_KEY, detail)
                    .hint("Give the private key of one of its recipients as secret_key_file."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::{
        asn1::Asn1Time,
        bn::BigNum,
        ec::{EcGroup, EcKey},
        hash::MessageDigest,
        nid::Nid,
        rsa::Rsa,
        x509::X509Name,
    };
    use std::{fs, path::Path, process::Command};

    fn rsa() -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
    }

    fn ec(curve: Nid) -> PKey<Private> {
        PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
    }

    fn certificate(key: &PKey<Private>, serial: u32) -> Source {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "Keeper").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        Source { name: format!("keeper{serial}.crt"), bytes: builder.build().to_pem().unwrap() }
    }

    fn openssl(arguments: &[&str], dir: &Path) -> Vec<u8> {
        let output = Command::new("openssl").args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn each_recipient_opens_it_here_and_with_the_command_openssl_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let keys = [rsa(), rsa(), ec(Nid::X9_62_PRIME256V1), ec(Nid::SECP384R1), ec(Nid::SECP384R1)];
        let sources: Vec<_> = keys.iter().zip([1, 0x80, 0xffff, 4, 5]).map(|(key, at)| certificate(key, at)).collect();
        let recipients = Recipients::new(&sources).unwrap();
        let sealed = recipients.seal(&[0x5e; 32]).unwrap();
        assert!(is_sealed(&sealed) && recipients.left_out(&sealed).is_empty());
        assert!(!sealed.windows(8).any(|window| window == [0x5e; 8]));
        fs::write(dir.path().join("secret"), &sealed).unwrap();
        for (key, source) in keys.into_iter().zip(&sources) {
            fs::write(dir.path().join("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
            fs::write(dir.path().join("cert.pem"), &source.bytes).unwrap();
            let command = ["cms", "-decrypt", "-inform", "PEM", "-in", "secret", "-inkey", "key.pem"];
            assert_eq!(openssl(&command, dir.path()), [0x5e; 32]);
            assert_eq!(openssl(&[&command[..], &["-recip", "cert.pem"]].concat(), dir.path()), [0x5e; 32]);
            assert_eq!(*OpeningKey(key).open(&sealed, "secret", None).unwrap(), [0x5e; 32]);
        }
        for key in [rsa(), ec(Nid::SECP384R1)] {
            let fault = OpeningKey(key).open(&sealed, "secret", Some(&recipients)).unwrap_err();
            assert_eq!(fault.code, codes::SECRET_WRONG_KEY);
        }
        let stranger = Recipients::new(&[certificate(&rsa(), 9), sources[0].clone()]).unwrap();
        assert_eq!(stranger.left_out(&sealed), ["keeper9.crt"]);
    }

    #[test]
    fn what_the_command_openssl_encrypts_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("plain"), [0x0d; 33]).unwrap();
        for key in [rsa(), ec(Nid::SECP521R1)] {
            fs::write(dir.path().join("cert.pem"), certificate(&key, 7).bytes).unwrap();
            let key = OpeningKey(key);
            for form in ["PEM", "DER"] {
                for cipher in ["-aes-256-cbc", "-aes-256-gcm"] {
                    let command = ["cms", "-encrypt", cipher, "-binary", "-in", "plain", "-outform", form, "cert.pem"];
                    let sealed = openssl(&command, dir.path());
                    assert!(is_sealed(&sealed));
                    assert_eq!(*key.open(&sealed, "secret", None).unwrap(), [0x0d; 33], "{form} {cipher}");
                    // A wrong key never seems to be right, though CBC's padding is by chance once in 256 times.
                    let other = OpeningKey(rsa());
                    for _ in 0..20 {
                        assert_eq!(other.open(&sealed, "s", None).unwrap_err().code, codes::SECRET_WRONG_KEY);
                    }
                }
            }
        }
    }

    #[test]
    fn every_changed_byte_of_it_is_noticed() {
        let key = ec(Nid::X9_62_PRIME256V1);
        let recipients = Recipients::new(&[certificate(&key, 1)]).unwrap();
        let good = CmsContentInfo::from_pem(&recipients.seal(&[1; 32]).unwrap()).unwrap().to_der().unwrap();
        let key = OpeningKey(key);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            match key.open(&bad, "secret", Some(&recipients)) {
                // What says who the recipient is, and the version, protects nothing.
                Ok(secret) => assert_eq!(*secret, [1; 32], "byte {at}"),
                Err(fault) => assert!([codes::SECRET_DAMAGED, codes::SECRET_WRONG_KEY].contains(&fault.code)),
            }
        }
        let mut bad = good;
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(key.open(&bad, "secret", Some(&recipients)).unwrap_err().code, codes::SECRET_DAMAGED);
        assert_eq!(key.open(b"-----BEGIN CMS-----\n", "secret", None).unwrap_err().code, codes::SECRET_DAMAGED);
    }

    #[test]
    fn damaged_cms_in_der_is_no_secret_in_the_clear() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("plain"), [0x0d; 32]).unwrap();
        let key = rsa();
        fs::write(dir.path().join("cert.pem"), certificate(&key, 7).bytes).unwrap();
        let key = OpeningKey(key);
        for cipher in ["-aes-256-cbc", "-aes-256-gcm"] {
            for stream in [&[][..], &["-stream"]] {
                let command = ["cms", "-encrypt", cipher, "-binary", "-in", "plain", "-outform", "DER"];
                let sealed = openssl(&[&command[..], stream, &["cert.pem"]].concat(), dir.path());
                assert!(check_sealed(&sealed, "secret").is_ok());
                // Cut off, and with a length that is not so.
                let cut = [sealed.len() - 1, sealed.len() / 2, 40].map(|length| sealed[..length].to_vec());
                let head = if sealed[1] == 0x80 { 2 } else { 4 };
                let longer = [&sealed[..1], &[0x84, 0x7f, 0, 0, 0], &sealed[head..]].concat();
                for bad in cut.into_iter().chain([longer]).filter(|bad| parse(bad).is_none()) {
                    assert!(is_sealed(&bad), "{cipher} {stream:?} {} bytes", bad.len());
                    assert_eq!(check_sealed(&bad, "secret").unwrap_err().code, codes::SECRET_DAMAGED);
                    assert_eq!(key.open(&bad, "secret", None).unwrap_err().code, codes::SECRET_DAMAGED);
                }
                assert!(parse(&sealed[..40]).is_none());
            }
        }
    }

    #[test]
    fn keys_are_read_with_their_passphrase_and_unfit_ones_are_refused() {
        let key = ec(Nid::SECP384R1);
        let cipher = Cipher::aes_256_cbc();
        let pem = key.private_key_to_pem_pkcs8_passphrase(cipher, b"right").unwrap();
        let der = key.private_key_to_pkcs8_passphrase(cipher, b"right").unwrap();
        for bytes in [&pem, &der] {
            assert!(OpeningKey::new(bytes, Some("right"), "k").is_ok());
            let fault = OpeningKey::new(bytes, Some("wr0ng"), "k").err().unwrap();
            assert_eq!(fault.code, codes::SECRET_KEY_PASSPHRASE);
            assert!(!fault.to_string().contains("wr0ng"));
        }
        assert_eq!(OpeningKey::new(&pem, None, "k").err().unwrap().code, codes::SECRET_KEY_PASSPHRASE);
        assert_eq!(OpeningKey::new(b"nothing", None, "k").err().unwrap().code, codes::SECRET_KEY_FILE);
        let weak = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
        assert_eq!(Recipients::new(&[certificate(&weak, 1)]).err().unwrap().code, codes::SECRET_RECIPIENT);
        assert!(!is_sealed(&[7; 32]) && !is_sealed(&key.private_key_to_der().unwrap()) && !is_sealed(b""));
    }
}
