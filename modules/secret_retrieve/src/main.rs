//! The program `secret_retrieve`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<secret_retrieve::SecretRetrieve>()
}
