//! The warnings of all requests of a task, each told once with the requests that it is about.

use fault::{Code, Fault};
use std::collections::HashMap;

/// Of one code, so many different sentences are told in full.
const IN_FULL: usize = 3;
/// So many requests are named.
const NAMED: usize = 10;

/// What was found so far.
#[derive(Debug, Default)]
pub struct Warnings {
    found: Vec<Warning>,
    /// Where a sentence is in `found`.
    known: HashMap<String, usize>,
}

#[derive(Debug)]
struct Warning {
    code: Code,
    /// As it is told, with the code at its end.
    text: String,
    /// Labels of the requests that it is about.
    about: Vec<String>,
}

impl Warnings {
    /// Takes up the warnings of one request.
    pub fn take(&mut self, label: &str, faults: &[Fault]) {
        for fault in faults {
            let text = ansible_contract::warning(fault);
            let at = *self.known.entry(text.clone()).or_insert(self.found.len());
            match self.found.get_mut(at) {
                Some(warning) if warning.about.last().is_some_and(|last| last == label) => {}
                Some(warning) => warning.about.push(label.to_owned()),
                None => self.found.push(Warning { code: fault.code, text, about: vec![label.to_owned()] }),
            }
        }
    }

    /// What the operator reads. Where there were several requests, it says which.
    pub fn told(self, requests: usize) -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        // Of each code: how many sentences were told, and which requests the others are about.
        let mut rest: Vec<(Code, usize, Vec<String>)> = Vec::new();
        for warning in self.found {
            let at = rest.iter().position(|(code, ..)| *code == warning.code).unwrap_or_else(|| {
                rest.push((warning.code, 0, Vec::new()));
                rest.len() - 1
            });
            let Some((_, shown, others)) = rest.get_mut(at) else { continue };
            if *shown == IN_FULL {
                others.extend(warning.about);
                continue;
            }
            *shown += 1;
            told.push(match warning.about.as_slice() {
                _ if requests == 1 => warning.text,
                [one] => format!("{one}: {}", warning.text),
                many if many.len() == requests => format!("All {requests} requests: {}", warning.text),
                many => format!("{} of {requests} requests ({}): {}", many.len(), names(many), warning.text),
            });
        }
        for (code, _, others) in rest.into_iter().filter(|(.., others)| !others.is_empty()) {
            told.push(format!(
                "The same of {} more ({}): {} [{}]",
                others.len(),
                names(&others),
                code.meaning,
                code.name
            ));
        }
        told
    }
}

fn names(of: &[String]) -> String {
    let named = of.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if of.len() > NAMED { format!("{named} and {} more", of.len() - NAMED) } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;

    fault::codes! {
        ORIGIN_NOT_PROVED = "request.origin_not_proved", "Nothing proves where it comes from.";
        SECRET_CREATED = "request.secret_created", "A new secret was made.";
    }

    fn told(requests: &[(&str, &[Fault])]) -> Vec<String> {
        let mut warnings = Warnings::default();
        requests.iter().for_each(|(label, faults)| warnings.take(label, faults));
        warnings.told(requests.len())
    }

    #[test]
    fn a_single_request_is_not_named() {
        assert_eq!(told(&[("a", &[Fault::new(SECRET_CREATED, "One.")])]), ["One. [request.secret_created]"]);
    }

    #[test]
    fn what_is_true_of_several_is_told_once_with_their_number() {
        let same = Fault::new(ORIGIN_NOT_PROVED, "Anybody.");
        let all: &[Fault] = std::slice::from_ref(&same);
        assert_eq!(told(&[("a", all), ("b", all)]), ["All 2 requests: Anybody. [request.origin_not_proved]"]);
        assert_eq!(
            told(&[("a", all), ("b", &[]), ("c", all)]),
            ["2 of 3 requests (a, c): Anybody. [request.origin_not_proved]"]
        );
        assert_eq!(told(&[("a", all), ("b", &[])]), ["a: Anybody. [request.origin_not_proved]"]);
    }

    #[test]
    fn three_hundred_of_one_kind_are_four_lines() {
        let faults: Vec<_> = (0..300).map(|at| [Fault::new(SECRET_CREATED, format!("Secret {at}."))]).collect();
        let labels: Vec<_> = (0..300).map(|at| format!("guest{at}")).collect();
        let requests: Vec<_> =
            labels.iter().map(String::as_str).zip(faults.iter().map(<[Fault; 1]>::as_slice)).collect();
        let lines = told(&requests);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[0], "guest0: Secret 0. [request.secret_created]");
        assert!(lines[3].starts_with("The same of 297 more (guest3, guest4, "), "{}", lines[3]);
        assert!(lines[3].ends_with("[request.secret_created]") && lines[3].len() < 400, "{}", lines[3]);
    }
}
