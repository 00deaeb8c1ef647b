//! The program `ap_bind`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<ap_bind::ApBind>()
}
