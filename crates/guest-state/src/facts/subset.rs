//! Which parts are asked for.

use ansible_contract::codes;
use fault::{Fault, Result};

/// A part of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the kernel tells of the ultravisor.
    Ultravisor,
    /// The secret store.
    Secrets,
    /// Crypto queues.
    Ap,
}

const PARTS: [(&str, Part); 3] = [("ultravisor", Part::Ultravisor), ("secrets", Part::Secrets), ("ap", Part::Ap)];

/// The parts that a subset names: everything if it only leaves out, `min` counts for nothing.
///
/// # Errors
/// `args.invalid` for a name that is not one.
pub fn parts(subset: &[String]) -> Result<Vec<Part>> {
    let mut wanted: Vec<Part> = Vec::new();
    let all = || PARTS.map(|(_, part)| part);
    if subset.iter().all(|name| name.starts_with('!')) {
        wanted.extend(all());
    }
    for name in subset.iter().filter(|name| !name.starts_with('!')) {
        match name.as_str() {
            "all" => wanted.extend(all()),
            "min" => {}
            other => wanted.push(part(other)?),
        }
    }
    for name in subset.iter().filter_map(|name| name.strip_prefix('!')) {
        match name {
            "all" => wanted.clear(),
            "min" => {}
            other => {
                let left_out = part(other)?;
                wanted.retain(|part| *part != left_out);
            }
        }
    }
    Ok(wanted)
}

fn part(name: &str) -> Result<Part> {
    PARTS.iter().find(|(known, _)| *known == name).map(|(_, part)| *part).ok_or_else(|| {
        Fault::new(codes::INVALID, "The option gather_subset names a part that does not exist.")
            .hint("Use all, min, ultravisor, secrets or ap, or one of them after an exclamation mark.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<Part> {
        parts(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn parts_are_chosen_and_left_out_as_with_ansibles_own_facts() {
        assert_eq!(of(&["all"]), [Part::Ultravisor, Part::Secrets, Part::Ap]);
        assert_eq!(of(&["min"]), []);
        assert_eq!(of(&["secrets"]), [Part::Secrets]);
        assert_eq!(of(&["!ap"]), [Part::Ultravisor, Part::Secrets]);
        assert_eq!(of(&["all", "!secrets"]), [Part::Ultravisor, Part::Ap]);
        assert_eq!(of(&["!all"]), []);
        assert_eq!(of(&[]), [Part::Ultravisor, Part::Secrets, Part::Ap]);
    }

    #[test]
    fn an_unknown_part_is_refused() {
        assert_eq!(parts(&["network".into()]).unwrap_err().code, codes::INVALID);
        assert_eq!(parts(&["!network".into()]).unwrap_err().code, codes::INVALID);
    }
}
