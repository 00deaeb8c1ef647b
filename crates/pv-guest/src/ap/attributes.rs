//! What the texts in the attributes mean.

use std::{fmt, str::FromStr};

/// A queue's name: card and domain. Written `XX.YYYY` in hex, as in sysfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Apqn {
    /// The card's number.
    pub card: u8,
    /// The domain's number.
    pub domain: u16,
}

impl fmt::Display for Apqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}.{:04x}", self.card, self.domain)
    }
}

/// The error is a phrase that says what is expected.
impl FromStr for Apqn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "must be a card and a domain in hex, XX.YYYY, from 00.0000 to ff.ffff";
        let (card, domain) = text.split_once('.').ok_or(expected)?;
        let hex = |digits: &str, len: usize| digits.len() == len && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex(card, 2) || !hex(domain, 4) {
            return Err(expected);
        }
        let card = u8::from_str_radix(card, 16).map_err(|_| expected)?;
        Ok(Self { card, domain: u16::from_str_radix(domain, 16).map_err(|_| expected)? })
    }
}

/// What a card works as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Accelerator: clear keys only.
    Accel,
    /// CCA coprocessor; cannot be used in a Secure Execution guest.
    Cca,
    /// EP11 coprocessor.
    Ep11,
}

impl Mode {
    /// The option's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accel => "accel",
            Self::Cca => "cca",
            Self::Ep11 => "ep11",
        }
    }
}

/// Reads a card's type, such as `CEX8P`: its generation and mode. `None` for what is not understood.
pub fn card_type(text: &str) -> Option<(u32, Mode)> {
    let rest = text.strip_prefix("CEX")?;
    let (letter_at, letter) = rest.char_indices().next_back()?;
    let mode = match letter {
        'A' => Mode::Accel,
        'C' => Mode::Cca,
        'P' => Mode::Ep11,
        _ => return None,
    };
    let generation = rest.get(..letter_at)?;
    let digits = !generation.is_empty() && generation.bytes().all(|b| b.is_ascii_digit());
    Some((digits.then(|| generation.parse().ok()).flatten()?, mode))
}

/// The two bits of `ap_functions` that tell how a queue is bound (see [`SeState::from_texts`]).
pub fn binding_bits(functions: &str) -> Option<u32> {
    u32::from_str_radix(functions.trim_start_matches("0x"), 16).ok().map(|bits| bits >> 14 & 3)
}

/// Where a queue stands between the guest and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeState {
    /// Free to be bound.
    Unbound,
    /// Bound, without use of secure keys.
    Bound,
    /// The association is under way.
    Pending,
    /// Associated with the secret of this index.
    Associated(u16),
    /// Usable, but the kernel does not know the secret's index: never counts as serving anything.
    AssociatedUnknown,
    /// Neither bound nor free: another guest has it, or it must be reset first.
    Unusable,
    /// The queue cannot be bound at all: not an EP11 or accelerator queue, or no Secure Execution guest.
    Unsupported,
    /// The adapter answers with an error: deconfigured, checkstopped, a failed association, being reset.
    Failing,
}

impl SeState {
    /// Puts together what `se_bind`, `se_associate` and `ap_functions` say; `None` stands for a read that failed.
    ///
    /// `ap_functions` is the most exact: bits 0xc000 are 0 usable, 1 bound without secure keys, 2 available for
    /// binding, 3 unusable (Linux `drivers/s390/crypto/ap_queue.c`); where it is missing the two texts decide.
    pub fn from_texts(mode: Mode, bind: Option<&str>, associate: Option<&str>, functions: Option<&str>) -> Self {
        let bind = match bind {
            None => return Self::Failing,
            Some("-") => return Self::Unsupported,
            Some(text) => text,
        };
        let bits = functions.and_then(binding_bits);
        let index = associate.and_then(|text| text.strip_prefix("associated "));
        match (bind, bits) {
            (_, Some(3)) => Self::Unusable,
            (_, Some(2)) | ("unbound", None) => Self::Unbound,
            ("bound", _) if mode != Mode::Ep11 => Self::Bound,
            ("bound", bits) => match (index.map(str::parse), associate, bits) {
                (Some(Ok(index)), ..) => Self::Associated(index),
                (_, Some("association pending"), _) => Self::Pending,
                (_, _, Some(0)) => Self::AssociatedUnknown,
                (_, Some("unassociated"), _) => Self::Bound,
                _ => Self::Failing,
            },
            _ => Self::Failing,
        }
    }

    /// Whether the guest holds the queue.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Bound | Self::Pending | Self::Associated(_) | Self::AssociatedUnknown)
    }

    /// As `se_bind` would say it.
    pub fn bind_text(self) -> &'static str {
        match self {
            Self::Unsupported => "-",
            Self::Failing => "unknown",
            state if state.is_held() => "bound",
            _ => "unbound",
        }
    }

    /// As `se_associate` would say it.
    pub fn associate_text(self) -> String {
        match self {
            Self::Associated(index) => format!("associated {index}"),
            Self::Pending => "association pending".into(),
            Self::AssociatedUnknown | Self::Failing => "unknown".into(),
            Self::Unsupported => "-".into(),
            Self::Unbound | Self::Bound | Self::Unusable => "unassociated".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apqn_is_written_as_sysfs_names_it() {
        let apqn: Apqn = "0a.002F".parse().unwrap();
        assert_eq!((apqn.card, apqn.domain, apqn.to_string().as_str()), (10, 47, "0a.002f"));
        for text in ["a.002f", "0a.2f", "0a002f", "0a.+02f", "", "0a.002f.", "zz.0000"] {
            assert!(text.parse::<Apqn>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_card_type_tells_generation_and_mode_of_any_generation() {
        assert_eq!(card_type("CEX8P"), Some((8, Mode::Ep11)));
        assert_eq!(card_type("CEX4A"), Some((4, Mode::Accel)));
        assert_eq!(card_type("CEX10C"), Some((10, Mode::Cca)));
        for text in ["CEX", "CEXP", "CEX8", "CEX8X", "PCIXCC", "CEX+8P", ""] {
            assert_eq!(card_type(text), None, "{text}");
        }
    }

    #[test]
    fn the_state_is_read_from_ap_functions_first() {
        let ep11 = |bind, associate, functions| SeState::from_texts(Mode::Ep11, bind, associate, functions);
        assert_eq!(ep11(Some("unbound"), Some("unassociated"), Some("0x92008000")), SeState::Unbound);
        assert_eq!(ep11(Some("unbound"), Some("unassociated"), Some("0x9200c000")), SeState::Unusable);
        assert_eq!(ep11(Some("bound"), Some("unassociated"), Some("0x92004000")), SeState::Bound);
        assert_eq!(ep11(Some("bound"), Some("associated 3"), Some("0x92000000")), SeState::Associated(3));
        assert_eq!(ep11(Some("bound"), Some("association pending"), Some("0x92004000")), SeState::Pending);
        assert_eq!(ep11(Some("bound"), None, Some("0x92000000")), SeState::AssociatedUnknown);
        assert_eq!(ep11(Some("bound"), Some("associated 99999"), Some("0x92000000")), SeState::AssociatedUnknown);
        assert_eq!(ep11(None, None, None), SeState::Failing);
        assert_eq!(ep11(Some("-"), Some("-"), None), SeState::Unsupported);
    }

    #[test]
    fn without_ap_functions_the_texts_decide() {
        let ep11 = |bind, associate| SeState::from_texts(Mode::Ep11, Some(bind), Some(associate), None);
        assert_eq!(ep11("unbound", "unassociated"), SeState::Unbound);
        assert_eq!(ep11("bound", "unassociated"), SeState::Bound);
        assert_eq!(ep11("bound", "nonsense"), SeState::Failing);
    }

    #[test]
    fn an_accelerator_is_bound_or_not_and_never_associated() {
        let accel = |bind, functions| SeState::from_texts(Mode::Accel, Some(bind), Some("-"), Some(functions));
        assert_eq!(accel("bound", "0x4000"), SeState::Bound);
        assert_eq!(accel("bound", "0x0"), SeState::Bound);
        assert_eq!(accel("unbound", "0x8000"), SeState::Unbound);
    }
}
