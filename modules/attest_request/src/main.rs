//! The program `attest_request`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<attest_request::AttestRequest>()
}
