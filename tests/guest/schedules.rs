//! Random schedules through the real program, as `crates/guest-state/src/whole/schedules.rs` has them in memory: runs of `guest`
//! that are killed or fail anywhere, two at once, restarts, and other programs that bind and unbind queues. A schedule that
//! ends badly is shrunk to few events that do; where time decides, in kills after a while and in two runs at once, that may
//! lead elsewhere, so the first panic is the one to read.
//!
//! A few are tried in every run. `SEGUEST_SCHEDULES=10000` tries so many, and `PROPTEST_RNG_SEED` others.

use crate::queues::*;
use crate::support::*;
use crate::whole::GUEST;
use e2e::Guest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::Duration;

const USUAL: u32 = 25;
const APQNS: [&str; 5] = ["00.0005", "00.0006", "01.0005", "01.0006", "02.0005"];
const SECRETS: [&str; 2] = ["a", "b"];

/// What is asked for, in every run of a schedule.
#[derive(Clone, Debug)]
struct Wish {
    secrets: usize,
    locked: bool,
    entries: usize,
    exclusive: bool,
    rebalance: bool,
}

impl Wish {
    fn arguments(&self, requests: &[Value]) -> Value {
        let entries = [ep11("a", KEY_A), accel(), ep11("b", KEY_A), ep11("b", KEY_B)];
        // No entry for a secret that is not asked for.
        let most = if self.secrets == 1 { 2 } else { entries.len() };
        json!({
            "secrets": &requests[..self.secrets],
            "lock": self.locked,
            "queues": &entries[..self.entries.min(most)],
            // An empty list would release all, which must be asked for in another way.
            "exclusive": self.exclusive && self.entries > 0,
            "rebalance": self.rebalance,
        })
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// A run; something goes wrong in it, if its calls are that many.
    Run(Trouble),
    /// Two runs that begin together.
    AtOnce(Trouble),
    /// A restart of the guest.
    Reboot,
    /// Another program binds a queue, or unbinds it.
    Turned { queue: usize, bound: bool },
}

#[derive(Clone, Debug)]
enum Trouble {
    None,
    /// A fault of the simulator.
    Fault(String),
    /// The program is killed after so long.
    Killed {
        microseconds: u32,
    },
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let ioctls = prop::sample::select(vec!["info", "add_secret", "list_secrets", "lock_secrets"]);
    let attributes = prop::sample::select(vec!["se_bind", "se_associate"]);
    let on = prop_oneof![
        ioctls.prop_map(|ioctl| format!("on: {ioctl}")),
        attributes.prop_map(|attribute| format!("on: write, target: {attribute}")),
    ];
    let hows = vec!["kill: before", "kill: after", "errno: EIO", "errno: EIO, done: true", "errno: EBUSY"];
    let fault = (on, 1..5_u32, prop::sample::select(hows));
    prop_oneof![
        1 => Just(Trouble::None),
        5 => fault.prop_map(|(on, nth, how)| Trouble::Fault(format!("{on}, nth: {nth}, {how}"))),
        3 => (1..9000_u32).prop_map(|microseconds| Trouble::Killed { microseconds }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => trouble().prop_map(Event::Run),
        2 => trouble().prop_map(Event::AtOnce),
        1 => Just(Event::Reboot),
        2 => (0..APQNS.len(), any::<bool>()).prop_map(|(queue, bound)| Event::Turned { queue, bound }),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    (1..=SECRETS.len(), any::<bool>(), 0..5_usize, prop::bool::weighted(0.3), prop::bool::weighted(0.3)).prop_map(
        |(secrets, locked, entries, exclusive, rebalance)| Wish { secrets, locked, entries, exclusive, rebalance },
    )
}

/// Runs the module, and perhaps kills it; whether it ended well. What it says is not looked at: whatever that is, the next run
/// must go well.
fn run_with(guest: &Guest, arguments: &Value, trouble: &Trouble) -> bool {
    let input = arguments.to_string();
    let output = match trouble {
        Trouble::Killed { microseconds } => {
            let seconds = format!("0.{microseconds:06}");
            let module = binary(GUEST);
            let arguments = ["--signal=KILL", seconds.as_str(), module.to_str().unwrap(), "-"];
            guest.run(Path::new("/usr/bin/timeout"), &arguments, input.as_bytes()).unwrap()
        }
        _ => run(guest, GUEST, arguments),
    };
    output.status.success()
}

/// Whether the run that was to meet a trouble did.
fn happens(guest: &Guest, arguments: &Value, event: &Event) -> bool {
    let mut met = false;
    if let Event::Run(Trouble::Fault(fault)) | Event::AtOnce(Trouble::Fault(fault)) = event {
        guest.set(&format!("faults: [{{{fault}}}]")).unwrap();
    }
    match event {
        Event::Run(trouble) => met = !run_with(guest, arguments, trouble),
        Event::AtOnce(trouble) => thread::scope(|scope| {
            scope.spawn(|| run_with(guest, arguments, &Trouble::None));
            run_with(guest, arguments, trouble);
        }),
        Event::Reboot => guest.reboot().unwrap(),
        Event::Turned { queue, bound } => {
            let apqn = APQNS[*queue];
            let card = apqn.split('.').next().unwrap();
            // The kernel may refuse: the queue is busy, or is so already.
            let file = format!("/sys/devices/ap/card{card}/{apqn}/se_bind");
            shell(guest, &format!("test -e {file} && {{ echo {} >{file} || true; }} 2>/dev/null", u8::from(*bound)));
        }
    }
    guest.set("clear_faults: true").unwrap();
    met
}

/// The ids of the secrets in the store, in their order.
fn stored(state: &Value) -> Vec<Value> {
    column(&state["secrets"], "id")
}

/// Whatever happened: no secret is there twice, and nothing is locked with something missing.
fn assert_sound(guest: &Guest, wanted: &[Value]) {
    let state = guest.state().unwrap();
    let stored = stored(&state);
    let times = |id: &Value| stored.iter().filter(|there| *there == id).count();
    assert!(stored.iter().all(|id| times(id) == 1), "a secret was added again: {state}");
    assert!(state["locked"] == false || wanted.iter().all(|id| times(id) == 1), "locked too early: {state}");
}

/// One schedule; how many runs met a trouble.
fn attempt(guest: &Guest, requests: &[Value], wish: &Wish, events: &[Event]) -> usize {
    guest.reboot().unwrap();
    let arguments = wish.arguments(requests);
    // The simulator shows ids without their 0x.
    let wanted: Vec<Value> = SECRETS[..wish.secrets].iter().map(|name| id(name)[2..].into()).collect();
    let mut met = 0;
    for event in events {
        met += usize::from(happens(guest, &arguments, event));
        assert_sound(guest, &wanted);
    }
    let last = ok(guest, GUEST, &arguments);
    assert_sound(guest, &wanted);
    let state = guest.settled(Duration::from_secs(5)).unwrap();
    assert_eq!((&state["locked"], stored(&state).len()), (&json!(wish.locked), wish.secrets), "{last}");
    assert!(wanted.iter().all(|id| stored(&state).contains(id)), "{state}");
    let asked = arguments["queues"].as_array().unwrap();
    let entries = last["entries"].as_array().map_or(&[][..], Vec::as_slice);
    let serving: BTreeSet<_> = entries.iter().map(|entry| entry["apqn"].as_str().unwrap()).collect();
    assert_eq!((entries.len(), serving.len()), (asked.len(), asked.len()), "{last}");
    for queue in state["queues"].as_array().unwrap() {
        let Some(at) = entries.iter().position(|entry| entry["apqn"] == queue["apqn"]) else {
            assert!(arguments["exclusive"] == false || queue["state"] == "unbound", "{last} {state}");
            continue;
        };
        let id = asked[at]["name"].as_str().map_or(Value::Null, |name| id(name)[2..].into());
        assert_eq!((&entries[at]["status"], &queue["secret_id"]), (&json!("served"), &id), "{last} {state}");
        assert_ne!(queue["state"], "unbound", "{last} {state}");
    }
    let again = ok(guest, GUEST, &arguments);
    assert_eq!(again["changed"], false, "{again} after {last}");
    met
}

#[test]
fn whatever_happened_to_a_guest_the_next_run_makes_it_right_and_one_more_changes_nothing() {
    if !e2e::can_simulate("whatever_happened_to_a_guest_the_next_run_makes_it_right_and_one_more_changes_nothing") {
        return;
    }
    let guest = guest(CARDS);
    guest.set("delays: {bind_ms: 1, settle_ms: 0, associate_ms: 1, reset_ms: 1}").unwrap();
    let requests = SECRETS.map(|name| json!({"name": name, "path": request(name)}));
    let cases = std::env::var("SEGUEST_SCHEDULES").map_or(USUAL, |count| count.parse().unwrap());
    let met = Cell::new(0);
    let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(wish(), prop::collection::vec(event(), 0..8)), |(wish, events)| {
            met.set(met.get() + attempt(&guest, &requests, &wish, &events));
            Ok(())
        })
        .unwrap_or_else(|why| panic!("{why}"));
    assert!(met.get() > 0, "nothing went wrong in any of {cases} schedules");
}
