//! The program `attest_request`; what it does is in the library.

fn main() -> std::process::ExitCode {
    // No core dump and no other process of the user may show the keys in memory. Where the kernel refuses, the
    // module works all the same.
    let _ = nix::sys::prctl::set_dumpable(false);
    ansible_contract::run::<attest_request::AttestRequest>()
}
