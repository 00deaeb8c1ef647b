//! `hardware-questions`, the program for who has the hardware: what it asks can be asked of real kernels. What the firmware
//! answers here is the simulated machine's.

use crate::scenario::{CUID, MACHINE, requests};
use crate::{again_if_it_hangs, laboratory, new_folder};
use anyhow::Result;
use e2e::lab::Step;
use e2e::{Guest, OTHER_KEY, WANTED_KEY, World, fleet_cards};
use serde_json::{Value, json};

/// The reports of a run that only reads, and of one that does everything; none without laboratory.
fn reports(kernel: &str) -> Result<Option<[Value; 2]>> {
    let Some(lab) = laboratory(kernel) else { return Ok(None) };
    let world = World::new(&new_folder(), &[MACHINE])?;
    let own = requests(&world)?[0].clone();
    let all = "base64 -d < content > request; \
               hardware-questions --queue 00.0005 --until-reboot --request request --lock 2>/dev/null";
    let steps = [
        Step::Shell("hardware-questions 2>/dev/null".into(), Vec::new()),
        Step::State,
        Step::Shell(all.into(), vec![("content", own)]),
        Step::State,
    ];
    let scenario = format!(
        "ultravisor: {{cuid: \"{CUID}\"}}\ndelays: {{bind_ms: 150, associate_ms: 1500, reset_ms: 150}}\n{}",
        fleet_cards()
    );
    let machine = Guest::start_machine(&world, "real", MACHINE, "image", &scenario)?;
    let outcomes = lab.run(kernel, &machine, &steps)?;
    let report = |at: usize| -> Result<Value> {
        let said = outcomes[at].said.as_str().unwrap_or_default();
        assert_eq!(outcomes[at].code, 0, "{said}");
        Ok(serde_json::from_str(said)?)
    };
    let state = |at: usize| (&outcomes[at].said["locked"], outcomes[at].said["secrets"].as_array().map(Vec::len));
    assert_eq!(state(1), (&json!(false), Some(0)), "the first run only reads");
    assert_eq!(state(3), (&json!(true), Some(2)));
    assert!(!outcomes[3].said["queues"].to_string().contains("\"bound\""), "{}", outcomes[3].said);
    Ok(Some([report(0)?, report(2)?]))
}

/// That these questions have these answers; a state where there is none.
fn answered(report: &Value, expected: &[(&str, &str)]) {
    let all = report["answers"].as_array().unwrap();
    for (id, answer) in expected {
        let finding = all.iter().find(|finding| finding["id"] == *id).expect(id);
        let found = finding["answer"].as_str().or(finding["state"].as_str()).unwrap();
        assert_eq!(found, *answer, "{finding:#}");
    }
}

fn check(kernel: &str, of_kernel: &[(&str, &str)]) {
    let Some([read, all]) = again_if_it_hangs(kernel, || reports(kernel)).unwrap() else { return };
    let common = [
        ("info.words", "own_order"),
        ("list.end", "zeros"),
        ("lock.probe", "version"),
        ("lock.probe_harmless", "unchanged"),
    ];
    answered(&read, &common);
    answered(&read, of_kernel);
    answered(&read, &[("bind.write", "not_tried"), ("form.order", "not_tried"), ("lock.call", "not_tried")]);
    let queue = [
        ("bind.write", "eio_then_bound"),
        ("bind.again", "einval"),
        ("bind.mkvps", "at_once"),
        ("reset.binding", "kept"),
        ("unbind.in_reset", "free"),
        ("bind.in_reset", "eio"),
    ];
    answered(&all, &queue);
    let lasting = [
        ("form.order", "order"),
        ("add.request", "added"),
        ("associate.write", "pending"),
        ("associate.mkvps", "blocked"),
        ("add.again", "added"),
        ("associate.doubled", "failed"),
        ("lock.call", "locked"),
        ("lock.again", "already"),
        ("lock.form", "locked_first"),
        ("lock.add", "locked"),
    ];
    answered(&all, &lasting);
    for report in [read, all] {
        assert!(report["system"]["kernel"].as_str().unwrap().starts_with(kernel), "{}", report["system"]);
        let text = report.to_string();
        for telling in ["93AADFK719460083", CUID, WANTED_KEY, OTHER_KEY, "0005"] {
            assert!(!text.contains(telling), "{telling} is in the report: {report:#}");
        }
    }
}

#[test]
fn the_hardware_questions_are_asked_on_6_12() {
    check("6.12", &[("list.pages", "one_page_only"), ("retrieve.missing", "not_tried"), ("keys.lines", "not_tried")]);
}

#[test]
fn the_hardware_questions_are_asked_on_7_2() {
    check("7.2", &[("list.pages", "taken"), ("retrieve.missing", "empty"), ("keys.lines", "fifteen")]);
}
