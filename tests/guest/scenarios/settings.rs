//! Settings of the switches: what nobody can know without hardware.
//!
//! All combinations would be thousands of runs for each case. There is a set of settings in which each pair of values of
//! two switches meets (pairwise), with the defaults in it. Every case is run under all of them, and a case whose code
//! depends on a switch also under each of that switch's values alone. Where the fault itself is the answer that is given
//! (errno, uv_rc, ap_rc), no switch has a say in it but in what comes before and after: such a case is run under the
//! defaults and one more of the set, another for each case. An ordinary user runs the defaults only: what he adds is
//! another way of mounting, not other rules.

use super::case::Case;
use serde_json::{Map, Value, json};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

/// The switches by where they stand in a scenario, with their values, the default first.
static SWITCHES: LazyLock<Vec<(&str, &str, Vec<Value>)>> = LazyLock::new(|| {
    let off = || vec![json!(false), json!(true)];
    let on = || vec![json!(true), json!(false)];
    let orders = ["version", "size", "host_keys", "flags"].map(|first| json!([first]));
    vec![
        ("switches", "check_order", orders.to_vec()),
        ("switches", "other_image_is_constraint", off()),
        ("switches", "other_cuid_is_undecryptable", off()),
        ("switches", "full_before_decryption", off()),
        ("switches", "cck_update_unprimes", on()),
        ("switches", "doubled_id_is_not_unique", on()),
        ("switches", "reset_keeps_binding", on()),
        ("switches", "bound_during_reset", off()),
        ("switches", "slow_bind_is_eio", off()),
        ("switches", "accelerator_without_keys", off()),
        ("switches", "dead_queue_reads_zero", off()),
        ("switches", "fresh_wrapping", off()),
        ("switches", "attest_order", vec![json!(["version"]), json!(["decryption"])]),
        ("kernel", "manners", vec![json!("new"), json!("old")]),
        ("kernel", "list_pages", vec![json!(1), json!(4)]),
    ]
});

/// Whether there is such a switch.
pub fn is_switch(name: &str) -> bool {
    SWITCHES.iter().any(|(_, switch, _)| *switch == name)
}

/// One value for each switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting(Vec<usize>);

impl Setting {
    fn values(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static Value, usize)> {
        SWITCHES.iter().zip(&self.0).map(|((part, name, values), at)| (*part, *name, &values[*at], *at))
    }

    /// Whether the switch has this value.
    pub fn is(&self, switch: &str, value: &Value) -> bool {
        self.values().any(|(_, name, set, _)| name == switch && set == value)
    }

    /// As a fragment of a scenario.
    pub fn scenario(&self) -> Value {
        let mut scenario = Map::new();
        for (part, name, value, _) in self.values() {
            scenario.entry(part).or_insert_with(|| json!({}))[name] = value.clone();
        }
        scenario.into()
    }
}

/// Only what differs from the defaults.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut others = self.values().filter(|(.., at)| *at > 0).map(|(_, name, value, _)| format!("{name}: {value}"));
        let text: Vec<_> = others.by_ref().collect();
        write!(f, "{{{}}}", text.join(", "))
    }
}

/// The settings that the case at this place in the table is run under.
pub fn of(at: usize, case: &Case) -> Vec<Setting> {
    let ordinary = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0);
    if ordinary {
        return vec![defaults()];
    }
    let mut settings = PAIRWISE.clone();
    if case.gives_the_answer() {
        settings = vec![defaults(), PAIRWISE[1 + at % (PAIRWISE.len() - 1)].clone()];
    }
    for (at, (_, name, values)) in SWITCHES.iter().enumerate() {
        if case.switches().contains(name) {
            settings.extend((1..values.len()).map(|value| {
                let mut setting = defaults();
                setting.0[at] = value;
                setting
            }));
        }
    }
    settings
}

fn defaults() -> Setting {
    Setting(vec![0; SWITCHES.len()])
}

/// The smallest of several sets that meet every pair.
static PAIRWISE: LazyLock<Vec<Setting>> =
    LazyLock::new(|| (0..100).map(covering).min_by_key(Vec::len).unwrap_or_default());

/// The defaults, then settings until every pair of values of two switches was met. Each is built switch by switch, in an
/// order that `seed` decides, from the values that meet the most new pairs.
fn covering(seed: u64) -> Vec<Setting> {
    let counts: Vec<usize> = SWITCHES.iter().map(|(.., values)| values.len()).collect();
    let mut open: Vec<[(usize, usize); 2]> = Vec::new();
    for (a, &values_a) in counts.iter().enumerate() {
        for (b, &values_b) in counts.iter().enumerate().skip(a + 1) {
            open.extend((0..values_a).flat_map(|x| (0..values_b).map(move |y| [(a, x), (b, y)])));
        }
    }
    let mut random = seed;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let mut settings = vec![defaults()];
    loop {
        let Some(setting) = settings.last() else { return settings };
        open.retain(|pair| !pair.iter().all(|(switch, value)| setting.0[*switch] == *value));
        if open.is_empty() {
            return settings;
        }
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_cached_key(|_| next());
        let start = open[usize::try_from(next()).unwrap_or_default() % open.len()];
        settings.push(complete(start, &order, &open, &counts, &mut next));
    }
}

/// A setting with these two values.
fn complete(
    start: [(usize, usize); 2],
    order: &[usize],
    open: &[[(usize, usize); 2]],
    counts: &[usize],
    random: &mut impl FnMut() -> u64,
) -> Setting {
    let mut set: Vec<Option<usize>> = vec![None; counts.len()];
    start.iter().for_each(|(switch, value)| set[*switch] = Some(*value));
    for &switch in order {
        if set[switch].is_none() {
            let met = |at: (usize, usize), value: usize| {
                if at.0 == switch { at.1 == value } else { set[at.0] == Some(at.1) }
            };
            let about = |pair: &&[(usize, usize); 2]| pair.iter().any(|at| at.0 == switch);
            let gain =
                |value: usize| open.iter().filter(about).filter(|pair| pair.iter().all(|at| met(*at, value))).count();
            set[switch] = (0..counts[switch]).max_by_key(|value| (gain(*value), random()));
        }
    }
    Setting(set.into_iter().map(Option::unwrap_or_default).collect())
}

#[test]
fn every_pair_of_values_of_two_switches_meets_in_a_setting_and_the_defaults_are_one() {
    assert_eq!(PAIRWISE[0], defaults());
    for (a, (.., values_a)) in SWITCHES.iter().enumerate() {
        for (b, (.., values_b)) in SWITCHES.iter().enumerate().filter(|(b, _)| *b != a) {
            for (x, y) in (0..values_a.len()).flat_map(|x| (0..values_b.len()).map(move |y| (x, y))) {
                assert!(PAIRWISE.iter().any(|setting| setting.0[a] == x && setting.0[b] == y), "{a} {x} {b} {y}");
            }
        }
    }

    assert!(PAIRWISE.len() <= 11, "{} settings", PAIRWISE.len());
}

/// The example in the simulator's README names every switch with its default; a test there keeps it so.
#[test]
fn every_switch_of_the_simulator_is_set_here() {
    let readme = std::fs::read_to_string(e2e::place::repository().join("crates/guest-sim/README.md")).unwrap();
    let example = readme.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let example: Value = serde_yaml::from_str(example).unwrap();
    let theirs: Vec<_> = example["switches"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut ours: Vec<_> = SWITCHES.iter().filter(|(part, ..)| *part == "switches").map(|(_, name, _)| *name).collect();
    ours.sort_unstable();
    assert_eq!(ours, theirs);
}
