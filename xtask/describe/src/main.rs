//! Every module's options, results and error codes as JSON, from the types themselves: a list of objects, in the order in
//! which the documentation names the modules.

use ansible_contract::describe;

fn main() {
    let modules = [
        describe::<secret_request::SecretRequest>(),
        describe::<request_info::RequestInfo>(),
        describe::<guest::Guest>(),
        describe::<secret_add::SecretAdd>(),
        describe::<secret_lock::SecretLock>(),
        describe::<secret_retrieve::SecretRetrieve>(),
        describe::<ap_bind::ApBind>(),
        describe::<facts::Facts>(),
        describe::<attest::Attest>(),
        describe::<attest_request::AttestRequest>(),
        describe::<attest_verify::AttestVerify>(),
    ];
    println!("{}", serde_json::Value::from_iter(modules));
}
