//! Programs that are killed in the middle, two at once, and an ordinary user's.

use crate::scenario::{CUID, MACHINE, entry, requests};
use crate::{again_if_it_hangs, laboratory, new_folder};
use anyhow::Result;
use e2e::lab::{ALL, Equipment, Outcome, Step};
use e2e::{Guest, World, fleet_cards};
use serde_json::{Value, json};
use std::sync::OnceLock;

/// A boot with all of it.
#[derive(Debug)]
struct Troubles {
    steps: Vec<(&'static str, Step)>,
    outcomes: Vec<Outcome>,
}

/// Runs a program and kills it as soon as a command succeeds; says how it ended.
fn killed(program: &str, when: &str) -> String {
    format!(
        "{program} - < arguments > said & p=$!; \
         for i in $(seq 1000); do {{ {when}; }} > /dev/null 2>&1 && break; usleep 10000; done; \
         kill -9 $p; wait $p; echo \"ended with $?\"; cat said"
    )
}

/// Runs a program twice at once.
fn twice(program: &str) -> String {
    format!(
        "{program} - < arguments > one & p=$!; {program} - < arguments > two & q=$!; \
         wait $p; first=$?; wait $q; second=$?; echo \"$first $second\"; cat one; echo; cat two"
    )
}

fn steps(requests: &[Value]) -> Vec<(&'static str, Step)> {
    let add = json!({"requests": requests[..2].iter().map(|content| json!({"content": content})).collect::<Vec<_>>()});
    let queues = json!({"entries": [entry("first"), entry("second"), {"mode": "accel"}], "timeout": 60});
    let release = json!({"state": "unbound", "all": true, "timeout": 60});
    let lock = json!({"require": ["first", "second"], "exact": true});
    let shell = |commands: String, arguments: &Value| Step::Shell(commands, vec![("arguments", arguments.clone())]);
    let set = |fragment: &str| Step::Set(fragment.to_owned());
    let fast = || set("delays: {bind_ms: 0, associate_ms: 0, reset_ms: 0}");
    let intent = "test -s /run/seguest-pv/private/requests.json && usleep 300000";
    let pending = "grep -q pending /sys/devices/ap/card*/*.*/se_associate";
    let resetting = "grep -q 'in progress' /sys/devices/ap/card*/*.*/reset";
    let begun = "test -s /run/seguest-pv/private/queue-journal.json && usleep 300000";
    let user = |program: &str| format!("chmod 644 arguments; chmod 755 . ..; su user -c '{program} -' < arguments");
    vec![
        // A call that the ultravisor is busy with, and then carries out although nobody waits for it any more. A process
        // in it does not die before it ends, so this is as short as may be and yet long after the kill on a busy host.
        ("slow add", set("faults: [{on: add_secret, delay_ms: 8000}]")),
        ("add, killed, carried out", shell(killed("secret_add", intent), &add)),
        ("no faults", set("clear_faults: true")),
        ("one secret", Step::State),
        ("add after that", Step::Module("secret_add", add.clone())),
        ("add again after that", Step::Module("secret_add", add.clone())),
        ("two secrets", Step::State),
        ("empty", Step::Empty),
        ("add refused late", set("faults: [{on: add_secret, delay_ms: 8000, uv_rc: 0x010d}]")),
        ("add, killed, refused", shell(killed("secret_add", intent), &add)),
        ("no faults any more", set("clear_faults: true")),
        ("no secret", Step::State),
        ("add after a refusal", Step::Module("secret_add", add.clone())),
        ("two secrets again", Step::State),
        // Queues: what is under way when the program is killed ends with the next setting, not before.
        ("slow bind", set("delays: {bind_ms: 600000}")),
        ("bind, killed", shell(killed("ap_bind", begun), &queues)),
        ("fast", fast()),
        ("bind after that", Step::Module("ap_bind", queues.clone())),
        ("bind again after that", Step::Module("ap_bind", queues.clone())),
        ("served", Step::State),
        ("release", Step::Module("ap_bind", release.clone())),
        ("slow associate", set("delays: {associate_ms: 600000}")),
        ("associate, killed", shell(killed("ap_bind", pending), &queues)),
        ("fast again", fast()),
        ("bind after an association", Step::Module("ap_bind", queues.clone())),
        ("bind again after an association", Step::Module("ap_bind", queues.clone())),
        ("served after an association", Step::State),
        // Were it shown as free at once, the program could come to its end before it is killed.
        ("slow reset", set("delays: {reset_ms: 600000}\nswitches: {bound_during_reset: true}")),
        ("release, killed", shell(killed("ap_bind", resetting), &release)),
        ("fast once more", fast()),
        ("free at once", set("switches: {bound_during_reset: false}")),
        ("release after that", Step::Module("ap_bind", release.clone())),
        ("nothing served", Step::State),
        // Two at once.
        ("slow firmware", set("delays: {bind_ms: 300, associate_ms: 300, reset_ms: 300}")),
        ("two binds", shell(twice("ap_bind"), &queues)),
        ("served once", Step::State),
        ("two releases", shell(twice("ap_bind"), &release)),
        ("empty again", Step::Empty),
        ("slow adds", set("faults: [{on: add_secret, times: 0, delay_ms: 300}]")),
        ("two adds", shell(twice("secret_add"), &add)),
        ("added once", Step::State),
        ("two locks", shell(twice("secret_lock"), &lock)),
        ("locked", Step::State),
        // An ordinary user.
        ("facts, user", shell(user("facts"), &json!({}))),
        ("add, user", shell(user("secret_add"), &add)),
        ("lock, user", shell(user("secret_lock"), &lock)),
        ("bind, user", shell(user("ap_bind"), &queues)),
        ("nothing done by a user", Step::State),
    ]
}

impl Troubles {
    fn of(kernel: &str) -> Option<&'static Self> {
        static RUNS: [OnceLock<Option<Troubles>>; ALL.len()] = [const { OnceLock::new() }; ALL.len()];
        let at = ALL.iter().position(|name| *name == kernel).unwrap();
        let make =
            || again_if_it_hangs(kernel, || Self::make(kernel)).expect("the guest comes to the end of its steps");
        RUNS[at].get_or_init(make).as_ref()
    }

    fn make(kernel: &str) -> Result<Option<Self>> {
        let Some(lab) = laboratory(kernel) else { return Ok(None) };
        let world = World::new(&new_folder(), &[MACHINE])?;
        let steps = steps(&requests(&world)?);
        let plain: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
        let scenario = format!("ultravisor: {{cuid: \"{CUID}\"}}\n{}", fleet_cards());
        let machine = Guest::start_machine(&world, "real", MACHINE, "image", &scenario)?;
        // While one processor repeats a call that the ultravisor is busy with, the other one runs who kills.
        let two = Equipment { emulator: vec!["-smp".into(), "2".into()], ..Equipment::default() };
        let outcomes =
            lab.run_with(kernel, &machine, &plain, &two, |_| anyhow::bail!("nothing is done from outside"))?;
        Ok(Some(Self { steps, outcomes }))
    }

    fn of_step(&self, name: &str) -> &Outcome {
        let at = self.steps.iter().position(|(found, _)| *found == name);
        &self.outcomes[at.expect(name)]
    }

    /// The result of a module that did not fail.
    fn changed(&self, step: &str) -> bool {
        let outcome = self.of_step(step);
        assert_eq!(outcome.code, 0, "{step}: {}", outcome.said);
        outcome.said["changed"] == true
    }

    fn was_killed(&self, step: &str) {
        // By signal 9, and it had said nothing; the shell says so too.
        let said = self.of_step(step).said.as_str().unwrap();
        assert!(said.ends_with("ended with 137") && !said.contains('{'), "{step}: {said}");
    }

    fn secrets(&self, step: &str) -> usize {
        self.of_step(step).said["secrets"].as_array().unwrap().len()
    }

    fn queues(&self, step: &str, state: &str) -> usize {
        let queues = self.of_step(step).said["queues"].as_array().unwrap();
        queues.iter().filter(|queue| queue["state"] == state).count()
    }

    /// The results of two programs at once, the one that changed something first.
    fn both(&self, step: &str) -> [Value; 2] {
        let said = self.of_step(step).said.as_str().unwrap();
        let lines = said.lines().skip(1).filter(|line| !line.is_empty());
        let mut results = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let (one, two) = (results.next().unwrap(), results.next().unwrap());
        if one["changed"] == true { [one, two] } else { [two, one] }
    }
}

pub fn a_killed_add_is_settled_by_the_next_run(kernel: &str) {
    let Some(run) = Troubles::of(kernel) else { return };
    run.was_killed("add, killed, carried out");
    assert_eq!(run.secrets("one secret"), 1);
    assert!(run.changed("add after that"));
    let added = &run.of_step("add after that").said["requests"];
    assert_eq!((&added[0]["changed"], &added[1]["changed"]), (&json!(false), &json!(true)), "{added}");
    assert!(!run.changed("add again after that"));
    assert_eq!(run.secrets("two secrets"), 2);

    run.was_killed("add, killed, refused");
    assert_eq!(run.secrets("no secret"), 0);
    assert!(run.changed("add after a refusal"));
    assert_eq!(run.secrets("two secrets again"), 2);
}

pub fn a_killed_bind_or_release_is_settled_by_the_next_run(kernel: &str) {
    let Some(run) = Troubles::of(kernel) else { return };
    for (killed, then, again, served) in [
        ("bind, killed", "bind after that", "bind again after that", "served"),
        (
            "associate, killed",
            "bind after an association",
            "bind again after an association",
            "served after an association",
        ),
    ] {
        run.was_killed(killed);
        run.changed(then);
        assert!(!run.changed(again), "{again}: {}", run.of_step(again).said);
        assert_eq!((run.queues(served, "associated"), run.queues(served, "bound")), (2, 1), "{served}");
    }
    run.was_killed("release, killed");
    run.changed("release after that");
    let left = run.queues("nothing served", "associated") + run.queues("nothing served", "bound");
    assert_eq!(left, 0, "{}", run.of_step("nothing served").said);
}

pub fn of_two_at_once_one_does_it_and_the_other_finds_it_done_or_leaves_it_alone(kernel: &str) {
    let Some(run) = Troubles::of(kernel) else { return };
    for step in ["two binds", "two releases", "two adds", "two locks"] {
        let [did, found] = run.both(step);
        assert_eq!((&did["changed"], &found["changed"]), (&json!(true), &json!(false)), "{step}: {did} {found}");
        assert_ne!(did["failed"], true, "{step}: {did}");
        // Who comes while another one is at work on the queues leaves them alone, and says so.
        let left = step.ends_with("binds") || step.ends_with("releases");
        let code = &found["error"]["code"];
        assert!(code.is_null() || left && *code == "ap.in_use_by_another", "{step}: {found}");
    }
    assert_eq!((run.queues("served once", "associated"), run.queues("served once", "bound")), (2, 1));
    assert_eq!(run.secrets("added once"), 2);
    assert_eq!(run.of_step("locked").said["locked"], true);
}

pub fn an_ordinary_user_is_told_what_is_missing_and_changes_nothing(kernel: &str) {
    let Some(run) = Troubles::of(kernel) else { return };
    let said = |step: &str| -> Value { serde_json::from_str(run.of_step(step).said.as_str().unwrap()).expect(step) };
    for (step, code) in
        [("add, user", "uv.not_permitted"), ("lock, user", "uv.not_permitted"), ("bind, user", "ap.not_permitted")]
    {
        let said = said(step);
        assert_eq!(said["error"]["code"], code, "{step}: {said}");
        assert!(said["error"]["hint"].as_str().is_some_and(|hint| hint.contains("become: true")), "{step}: {said}");
    }
    let facts = said("facts, user");
    assert_ne!(facts["failed"], true, "{facts}");
    let facts = &facts["ansible_facts"]["ansible_secure_execution"];
    assert_eq!(facts["role"], "guest");
    assert!(facts["problems"].to_string().contains("uv.not_permitted"), "{facts}");
    let before = &run.of_step("locked").said;
    assert_eq!(&run.of_step("nothing done by a user").said, before);
}

#[test]
fn on_kernel_6_12_a_killed_add_is_settled_by_the_next_run() {
    a_killed_add_is_settled_by_the_next_run("6.12");
}

#[test]
fn on_kernel_7_2_a_killed_add_is_settled_by_the_next_run() {
    a_killed_add_is_settled_by_the_next_run("7.2");
}

#[test]
fn on_kernel_6_12_a_killed_bind_or_release_is_settled_by_the_next_run() {
    a_killed_bind_or_release_is_settled_by_the_next_run("6.12");
}

#[test]
fn on_kernel_7_2_a_killed_bind_or_release_is_settled_by_the_next_run() {
    a_killed_bind_or_release_is_settled_by_the_next_run("7.2");
}

#[test]
fn on_kernel_6_12_of_two_at_once_one_does_it_and_the_other_finds_it_done_or_leaves_it_alone() {
    of_two_at_once_one_does_it_and_the_other_finds_it_done_or_leaves_it_alone("6.12");
}

#[test]
fn on_kernel_7_2_of_two_at_once_one_does_it_and_the_other_finds_it_done_or_leaves_it_alone() {
    of_two_at_once_one_does_it_and_the_other_finds_it_done_or_leaves_it_alone("7.2");
}

#[test]
fn on_kernel_6_12_an_ordinary_user_is_told_what_is_missing_and_changes_nothing() {
    an_ordinary_user_is_told_what_is_missing_and_changes_nothing("6.12");
}

#[test]
fn on_kernel_7_2_an_ordinary_user_is_told_what_is_missing_and_changes_nothing() {
    an_ordinary_user_is_told_what_is_missing_and_changes_nothing("7.2");
}
