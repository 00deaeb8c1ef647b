//! What ultravisor and kernel give.

use pv_guest::ap::{Apqn, Mkvp, MkvpState, Mode, SeState, card_type};
use pv_guest::uv::SecretList;
use pv_guest::{firmware, sysfs};

/// The list of secrets.
pub fn secret_list(data: &[u8]) {
    let Ok(list) = SecretList::parse(data) else { return };
    assert!(list.secrets.len() <= usize::from(list.total));
    assert_eq!(list.infos().len(), list.secrets.len());
    assert_eq!(list.is_complete(), list.secrets.len() == usize::from(list.total));
}

/// The texts of attributes, one for each of the readers at once.
pub fn attributes(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(apqn) = text.parse::<Apqn>() {
        assert!(apqn.to_string().eq_ignore_ascii_case(&text));
    }
    if let Some((generation, _)) = card_type(&text) {
        assert!(text.contains(&generation.to_string()));
    }
    if let Some(pattern) = Mkvp::from_hex(&text) {
        assert_eq!(Mkvp::from_hex(&pattern.to_string()), Some(pattern));
    }
    let _ = MkvpState::parse(&text);
    if let Some(bits) = sysfs::bits(&text) {
        assert!(bits.is_sorted());
    }
    if let Some(hashes) = firmware::hashes(&text) {
        assert!(!hashes.is_empty() && !hashes.contains(&[0; 32]));
    }
    // se_bind, se_associate and ap_functions of one queue.
    let mut lines = text.lines().map(Some).chain([None; 3]);
    let mut next = || lines.next().flatten();
    let (bind, associate, functions) = (next(), next(), next());
    for mode in [Mode::Ep11, Mode::Accel] {
        let state = SeState::from_texts(mode, bind, associate, functions);
        assert!(!(state.bind_text().is_empty() || state.associate_text().is_empty()));
        assert!(bind.is_some() || state == SeState::Failing);
    }
}
