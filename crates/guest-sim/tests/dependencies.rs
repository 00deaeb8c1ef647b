//! What keeps the simulator an independent witness.

use std::process::Command;

#[test]
fn the_simulator_uses_no_crate_that_it_is_a_test_of() {
    let mut tree = Command::new(env!("CARGO"));
    let tree = tree.args(["tree", "--package", "guest-sim", "--edges", "normal,build", "--prefix", "none"]);
    let output = tree.arg("--offline").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"p521"));
    for other in ["ansible-contract", "fault", "pv-guest", "pv-request", "pv-wire", "openssl", "openssl-sys"] {
        assert!(!names.contains(&other), "{other}");
    }
}
