//! `secret_add` after a run that did not hear what became of its request: killed, or with an error of the kernel.

use crate::support::*;
use pv_request::Secret;
use serde_json::{Value, json};

const MODULE: &str = "secret_add";

#[test]
fn a_secret_that_was_added_although_the_kernel_reported_an_error_is_not_added_twice() {
    if !e2e::can_simulate("a_secret_that_was_added_although_the_kernel_reported_an_error_is_not_added_twice") {
        return;
    }
    let guest = guest("faults: [{on: add_secret, errno: EIO, done: true}]");
    let arguments = json!({"path": request("a")});
    fails(&guest, MODULE, &arguments, "uv.ioctl_failed");
    for arguments in [&checked(&arguments), &arguments] {
        let result = ok(&guest, MODULE, arguments);
        assert_eq!(result["requests"][0]["evidence"], "added_this_boot");
        assert!(warned(&result, "uv.outcome_found"), "{result}");
    }
    assert!(!warned(&ok(&guest, MODULE, &arguments), "uv.outcome_found"), "it is said once");
    assert_eq!(guest.state().unwrap()["secrets"].as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_was_killed_before_it_noted_the_answer_is_settled_by_the_next() {
    if !e2e::can_simulate("a_run_that_was_killed_before_it_noted_the_answer_is_settled_by_the_next") {
        return;
    }
    for (when, changed, evidence) in [("after", false, "added_this_boot"), ("before", true, "added_now")] {
        let guest = guest(&format!("faults: [{{on: add_secret, kill: {when}}}]"));
        let arguments = json!({"path": request("a")});
        is_killed(&guest, MODULE, &arguments);
        let predicted = ok(&guest, MODULE, &checked(&arguments));
        let result = ok(&guest, MODULE, &arguments);
        assert!(warned(&predicted, "uv.outcome_found") && warned(&result, "uv.outcome_found"), "{when}: {result}");
        assert_eq!(predicted["changed"], changed, "{when}: {predicted}");
        assert_eq!((&result["changed"], &result["requests"][0]["evidence"]), (&json!(changed), &json!(evidence)));
        assert_eq!(guest.state().unwrap()["secrets"].as_array().unwrap().len(), 1, "{when}");
    }
}

#[test]
fn a_killed_run_is_not_settled_where_nothing_can_tell_its_outcome() {
    if !e2e::can_simulate("a_killed_run_is_not_settled_where_nothing_can_tell_its_outcome") {
        return;
    }
    let guest = guest("faults: [{on: add_secret, kill: after}]");
    let mut arguments = json!({"path": file(&build(&add(Secret::meta()), &["m1"]))});
    is_killed(&guest, MODULE, &arguments);
    for _ in 0..2 {
        fails(&guest, MODULE, &arguments, "uv.outcome_unknown");
    }
    assert_eq!(adds(&guest).len(), 1);
    arguments["force"] = true.into();
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
}

#[test]
fn a_request_whose_outcome_is_unknown_blocks_only_itself() {
    if !e2e::can_simulate("a_request_whose_outcome_is_unknown_blocks_only_itself") {
        return;
    }
    let guest = guest("faults: [{on: add_secret, kill: before}]");
    let meta = file(&build(&add(Secret::meta()), &["m1"]));
    is_killed(&guest, MODULE, &json!({"path": meta}));
    let requests = [request("a"), meta, request("b")].map(|path| json!({"path": path}));
    let arguments = json!({ "requests": requests });
    let codes = |result: &Value| -> Vec<Value> {
        column(&result["requests"], "error").iter().map(|error| error["code"].clone()).collect()
    };
    let predicted = fails(&guest, MODULE, &checked(&arguments), "uv.outcome_unknown");
    let result = fails(&guest, MODULE, &arguments, "uv.outcome_unknown");
    for result in [&predicted, &result] {
        assert_eq!(codes(result), [Value::Null, json!("uv.outcome_unknown"), Value::Null], "{result}");
        assert_eq!(column(&result["requests"], "changed"), [json!(true), json!(false), json!(true)], "{result}");
        assert_eq!(result["changed"], true, "{result}");
    }
    assert_eq!(column(&result["secrets"], "id"), [id("a"), id("b")]);
    // Nothing more can be done, and the others are in the store.
    for arguments in [&arguments, &checked(&arguments)] {
        assert_eq!(fails(&guest, MODULE, arguments, "uv.outcome_unknown")["changed"], false);
    }
    let forced = json!({"requests": requests, "force": true});
    assert_eq!(column(&ok(&guest, MODULE, &forced)["requests"], "changed"), [json!(false), json!(true), json!(false)]);
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
}

#[test]
fn a_run_that_is_killed_while_it_waits_for_a_dump_leaves_nothing_open() {
    if !e2e::can_simulate("a_run_that_is_killed_while_it_waits_for_a_dump_leaves_nothing_open") {
        return;
    }
    let guest = guest("faults: [{on: add_secret, uv_rc: 0x010d}]");
    let meta = json!({"path": file(&build(&add(Secret::meta()), &["m1"])), "timeout": 0});
    fails(&guest, MODULE, &meta, "uv.dump_in_progress");
    let record = "/run/seguest-pv/private/requests.json";
    shell(&guest, &format!("grep -q refused {record} && ! grep -q intended {record}"));
    guest.set("{clear_faults: true}").unwrap();
    assert_eq!(ok(&guest, MODULE, &meta)["changed"], true);
}

#[test]
fn an_error_of_the_kernel_leaves_open_whether_a_meta_request_was_taken() {
    if !e2e::can_simulate("an_error_of_the_kernel_leaves_open_whether_a_meta_request_was_taken") {
        return;
    }
    let guest = guest("faults: [{on: add_secret, errno: EIO, done: true}]");
    let arguments = json!({"path": file(&build(&add(Secret::meta()), &["m1"]))});
    fails(&guest, MODULE, &arguments, "uv.ioctl_failed");
    fails(&guest, MODULE, &arguments, "uv.outcome_unknown");
    assert_eq!(adds(&guest).len(), 1);
}
