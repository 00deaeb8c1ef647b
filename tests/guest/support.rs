//! What the tests share: one world for all of them, guests and requests in it, and questions to results and logs.

use e2e::{Guest, World};
use openssl::pkey::PKey;
use pv_request::{AddSecret, Extension, HostKey, ImageTags, RequestKeys, Secret, SecretClass, UserData};
use pv_wire::SecretId;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The machines `m1` and `m2`, the images `image` and `other`. Making keys takes longer than most tests, so all share
/// them. Nothing tells when the last test ends: what earlier runs left is removed here.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    // Not cargo's folder for tests: it belongs to whoever builds them, which may be another user.
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    let all = std::env::temp_dir().join(format!("seguest-guest-tests-{uid}"));
    std::fs::create_dir_all(&all).unwrap();
    for left in std::fs::read_dir(&all).unwrap().map(|entry| entry.unwrap().path()) {
        if !Path::new("/proc").join(left.file_name().unwrap()).exists() {
            std::fs::remove_dir_all(left).unwrap();
        }
    }
    let world = World::new(&all.join(std::process::id().to_string()), &["m1", "m2"]).unwrap();
    world.image("other", &[]).unwrap();
    world
});

/// The world of all tests.
pub fn world() -> &'static World {
    &WORLD
}

/// A name that no other test uses.
pub fn unique(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{kind}{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A guest of `image` on `m1`; `scenario` is the rest of its scenario.
pub fn guest(scenario: &str) -> Guest {
    Guest::start(world(), &unique("guest"), "m1", scenario).unwrap()
}

/// A new file with this content, which guests see under the same path.
pub fn file(content: &[u8]) -> String {
    let path = world().path(&unique("file"));
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A path at which nothing is.
pub fn no_file() -> String {
    world().path(&unique("nothing")).to_str().unwrap().to_owned()
}

/// A folder that every user may enter, for programs that are to be run by another user.
pub fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A request for guests of `image`, not built yet.
pub fn add(secret: Secret) -> AddSecret {
    let image = ImageTags::read(&world().path("image.hdr")).unwrap();
    AddSecret { image, secret, extension: Extension::None, cuid: None, flags: 0, user_data: UserData::default() }
}

/// An association secret of that name.
pub fn association(name: &str) -> Secret {
    Secret::new(SecretClass::Association, SecretId::of_name(name), &[7; 32], name).unwrap()
}

/// The request, built for these machines.
pub fn build(request: &AddSecret, machines: &[&str]) -> Vec<u8> {
    let key = |machine: &&str| {
        let pem = std::fs::read(world().path(&format!("{machine}.pub"))).unwrap();
        HostKey::new(PKey::public_key_from_pem(&pem).unwrap(), machine).unwrap()
    };
    let keys: Vec<_> = machines.iter().map(key).collect();
    request.build(&keys, RequestKeys::generate().unwrap()).unwrap()
}

/// A file with a request of a new association secret of that name for `m1`.
pub fn request(name: &str) -> String {
    file(&build(&add(association(name)), &["m1"]))
}

/// The id of a name, as results show it.
pub fn id(name: &str) -> String {
    SecretId::of_name(name).to_string()
}

/// Runs a module that must not fail.
pub fn ok(guest: &Guest, module: &str, arguments: &Value) -> Value {
    let result = guest.module(module, arguments).unwrap();
    assert_ne!(result["failed"], true, "{result}");
    result
}

/// Runs a module that must fail with this code.
pub fn fails(guest: &Guest, module: &str, arguments: &Value, code: &str) -> Value {
    let result = guest.module(module, arguments).unwrap();
    assert_eq!(result["error"]["code"], code, "{result}");
    result
}

/// The same arguments in check mode.
pub fn checked(arguments: &Value) -> Value {
    let mut arguments = arguments.clone();
    arguments["_ansible_check_mode"] = true.into();
    arguments
}

/// Adds association secrets of these names.
pub fn with_secrets(guest: &Guest, names: &[&str]) {
    let requests: Vec<_> = names.iter().map(|name| json!({"path": request(name)})).collect();
    assert_eq!(ok(guest, "secret_add", &json!({"requests": requests}))["changed"], true);
}

/// Whether a warning ends with this code.
pub fn warned(result: &Value, code: &str) -> bool {
    let code = format!("[{code}]");
    result["warnings"].as_array().is_some_and(|list| list.iter().any(|line| line.as_str().unwrap().ends_with(&code)))
}

/// One field of every element of a list.
pub fn column(list: &Value, field: &str) -> Vec<Value> {
    list.as_array().unwrap().iter().map(|element| element[field].clone()).collect()
}

/// Everything so far that had, or could have had, an effect on the guest: all but the ioctls info and list, and the
/// probe of the lock, which alone is answered 0x0104 (no request here has another version) where nothing is locked.
pub fn effects(guest: &Guest) -> Vec<String> {
    let harmless = |event: &Value| match (event["what"].as_str(), event["name"].as_str()) {
        (Some("set" | "read"), _) | (_, Some("info" | "list_secrets")) => true,
        (_, Some("add_secret")) => event["uv_rc"] == "0x0104",
        _ => false,
    };
    let told = |event: &Value| format!("{} {} {}", event["what"], event["name"], event["value"]);
    guest.log().unwrap().iter().filter(|event| !harmless(event)).map(told).collect()
}

/// What the ultravisor answered to the add-secret calls so far; null where the kernel refused.
pub fn adds(guest: &Guest) -> Vec<Value> {
    let log = guest.log().unwrap();
    log.iter().filter(|event| event["name"] == "add_secret").map(|event| event["uv_rc"].clone()).collect()
}

/// Runs a command in the guest that must succeed.
pub fn shell(guest: &Guest, command: &str) -> String {
    let output = guest.run(Path::new("/bin/sh"), &["-c", command], b"").unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a module that a fault kills: it must end by a signal and say nothing.
pub fn is_killed(guest: &Guest, module: &str, arguments: &Value) {
    use std::os::unix::process::ExitStatusExt;
    let output = run(guest, module, arguments);
    assert_eq!((output.status.signal(), output.stdout.len()), (Some(9), 0), "{output:?}");
}

/// Runs a module without looking at what it says.
pub fn run(guest: &Guest, module: &str, arguments: &Value) -> Output {
    guest.run(&binary(module), &["-"], arguments.to_string().as_bytes()).unwrap()
}

/// A module.
pub fn binary(module: &str) -> PathBuf {
    e2e::place::binary(module).unwrap()
}
