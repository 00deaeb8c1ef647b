//! The program `secret_lock`; what it does is in the library.

fn main() -> std::process::ExitCode {
    ansible_contract::run::<secret_lock::SecretLock>()
}
