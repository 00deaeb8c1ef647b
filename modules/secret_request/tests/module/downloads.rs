//! The option `download_crls`, with a web server on this machine.

use crate::world::{World, code, warns};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::Stdio;
use test_pki::{Crl, CrlServer, Pki, Reply, days_from_now, write_file};

const LISTS: [&str; 3] = ["/inter_ca.crl", "/root_ca.crl", "/ibm.crl"];

/// A world whose certificates say that the lists are on the server, where they are.
fn world(server: &CrlServer) -> World {
    let world = World::with_crls_at(&server.uri(""));
    serve(&world, server);
    world
}

fn serve(world: &World, server: &CrlServer) {
    for path in LISTS {
        server.put(path, Reply::Content(std::fs::read(world.path(&path[1..])).unwrap()));
    }
}

fn options(world: &World, path: &str) -> Value {
    world.options(path, json!({"crls": [], "download_crls": true}))
}

#[test]
fn lists_are_fetched_once_in_a_task_and_nothing_of_them_is_kept() {
    let server = CrlServer::start().unwrap();
    let world = world(&server);
    let mut task = options(&world, "");
    task["path"] = json!(null);
    task["requests"] = (0..20).map(|at| json!({"path": world.text(&format!("request{at}"))})).collect();
    let made = world.run(&task);
    assert_eq!(made["changed"], true, "{made}");
    assert_eq!(server.asked(), LISTS);
    for entry in made["requests"].as_array().unwrap() {
        assert!(entry["host_keys"].as_array().unwrap().iter().all(|host| host["crl_next_update"].is_string()));
    }
    // Requests with their manifests, the secret, the id file, the user's key; no list that was not there.
    let names: Vec<_> = world.files().into_iter().map(|(path, ..)| path.display().to_string()).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".crl")).count(), 3, "{names:?}");
    assert_eq!(world.run(&task)["changed"], false);
    assert_eq!(server.asked().len(), 6, "the next run asks again");
}

#[test]
fn check_mode_fetches_and_writes_nothing() {
    let server = CrlServer::start().unwrap();
    let world = world(&server);
    let before = world.files();
    let mut options = options(&world, "request");
    options["_ansible_check_mode"] = json!(true);
    let result = world.run(&options);
    assert_eq!(result["changed"], true, "{result}");
    assert_eq!((world.files(), server.asked().len()), (before, 3));
}

#[test]
fn without_the_option_nothing_is_asked_and_the_error_names_each_address() {
    let server = CrlServer::start().unwrap();
    let world = world(&server);
    let all = ["inter_ca.crl", "root_ca.crl", "ibm.crl"];
    for (at, missing) in all.into_iter().enumerate() {
        let crls: Vec<_> = all.iter().filter(|name| **name != missing).map(|name| world.text(name)).collect();
        let result = world.run(&world.options("request", json!({"crls": crls})));
        assert_eq!(code(&result), "hkd.no_crl");
        let hint = result["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(&server.uri(LISTS[at])) && hint.contains("download_crls: true"), "{hint}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn lists_that_cannot_be_had_are_an_error_that_says_why_and_lists_in_files_count() {
    let server = CrlServer::start().unwrap();
    let world = world(&server);
    server.put("/ibm.crl", Reply::Status(500));
    let result = world.run(&options(&world, "request"));
    assert_eq!(code(&result), "hkd.crl_download", "{result}");
    let told = format!("{} answered 500", server.uri("/ibm.crl"));
    assert!(result["error"]["detail"].as_str().unwrap().contains(&told), "{result}");
    assert!(!world.path("secret").exists() && !world.path("request").exists());

    let with_file = world.options("request", json!({"crls": [world.text("ibm.crl")], "download_crls": true}));
    let asked = server.asked().len();
    assert_eq!(world.run(&with_file)["changed"], true);
    assert_eq!(server.asked()[asked..], LISTS[..2]);
}

#[test]
fn a_request_that_is_there_stays_with_a_warning_where_a_list_is_outdated_and_no_other_can_be_had() {
    let server = CrlServer::start().unwrap();
    let world = world(&server);
    let old = Crl { last_update: days_from_now(-9), next_update: days_from_now(-1), ..Crl::default() };
    let options = world.options("request", json!({"download_crls": true}));
    assert_eq!(world.run(&options)["changed"], true);
    assert_eq!(server.asked(), Vec::<String>::new());
    server.put("/ibm.crl", Reply::Status(404));
    write_file(&world.path("ibm.crl"), &world.pki().signing.crl(&old).unwrap().to_pem().unwrap()).unwrap();
    let unchanged = world.run(&options);
    assert_eq!(unchanged["changed"], false, "{unchanged}");
    assert!(warns(&unchanged, "hkd.crl_outdated"));
    assert!(unchanged["warnings"].to_string().contains("answered 404"), "{unchanged}");
    assert_eq!(code(&world.run(&world.options("other", json!({"download_crls": true})))), "hkd.crl_outdated");
    // Once there is a current one, that is used.
    serve(&world, &server);
    server.put("/ibm.crl", Reply::Content(world.pki().signing_crl().unwrap().to_der().unwrap()));
    assert_eq!(world.run(&world.options("other", json!({"download_crls": true})))["changed"], true);
}

fn run_in(world: &World, variable: (&str, &str), options: &Value) -> Value {
    let mut child = world.command();
    let mut child =
        child.env(variable.0, variable.1).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(options.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn the_proxy_of_the_environment_is_asked() {
    let proxy = CrlServer::start().unwrap();
    // Nobody knows this host but the proxy.
    let world = World::with_crls_at("http://crl.invalid");
    for path in LISTS {
        let content = std::fs::read(world.path(&path[1..])).unwrap();
        proxy.put(path, Reply::Content(content));
    }
    let result = run_in(&world, ("http_proxy", &proxy.uri("")), &options(&world, "request"));
    assert_eq!(result["changed"], true, "{result}");
    // Not by CONNECT, which this proxy, like many, allows to port 443 only.
    assert_eq!(proxy.asked(), LISTS.map(|path| format!("http://crl.invalid{path}")));

    let result = world.run(&options(&world, "other"));
    assert_eq!(code(&result), "hkd.crl_download", "{result}");
    assert_eq!(proxy.asked().len(), 3);
}

#[test]
fn addresses_of_https_are_asked_through_a_tunnel() {
    let proxy = CrlServer::start().unwrap();
    let world = World::with_crls_at("https://crl.invalid");
    let result = run_in(&world, ("https_proxy", &proxy.uri("")), &options(&world, "request"));
    // The server that is itself at the other end speaks no TLS.
    assert_eq!(code(&result), "hkd.crl_download", "{result}");
    assert_eq!(proxy.asked()[0], "crl.invalid:443");
}

#[test]
fn a_proxy_that_wants_a_login_says_so_and_gets_it_from_its_address() {
    for scheme in ["http", "https"] {
        let proxy = CrlServer::start().unwrap();
        proxy.demand_login("Basic bWU6czNjcmV0");
        let world = World::with_crls_at(&format!("{scheme}://crl.invalid"));
        serve(&world, &proxy);
        let host = proxy.uri("").replace("http://", "");
        let variable = if scheme == "http" { "http_proxy" } else { "HTTPS_PROXY" };
        for (login, why) in [("", "has none"), ("me:wr0ng@", "does not accept the login")] {
            let result = run_in(&world, (variable, &format!("http://{login}{host}")), &options(&world, "request"));
            assert_eq!(code(&result), "hkd.proxy_login", "{result}");
            let detail = result["error"]["detail"].as_str().unwrap();
            assert!(detail.contains(variable) && detail.contains(&host) && detail.contains(why), "{detail}");
            assert!(result["error"]["hint"].as_str().unwrap().contains("USER:PASSWORD@"), "{result}");
            assert!(!result.to_string().contains("wr0ng"), "{result}");
        }
        let result = run_in(&world, (variable, &format!("http://me:s3cret@{host}")), &options(&world, "request"));
        match scheme {
            "http" => assert_eq!(result["changed"], true, "{result}"),
            // Behind the tunnel there is no TLS.
            _ => assert_eq!(code(&result), "hkd.crl_download", "{result}"),
        }
        assert!(!result.to_string().contains("s3cret"), "{result}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_that_names_the_variable_and_no_password() {
    let world = World::with_crls_at("http://crl.invalid");
    for (value, what) in [
        ("socks5://me:s3cret@127.0.0.1:1080", "SOCKS"),
        ("http://me:s3cret@127.0.0.1:312800", "port"),
        ("http://me:s3cret@", "HOST:PORT"),
    ] {
        let result = run_in(&world, ("ALL_PROXY", value), &options(&world, "request"));
        assert_eq!(code(&result), "hkd.proxy_unusable", "{result}");
        let detail = result["error"]["detail"].as_str().unwrap();
        assert!(detail.contains("variable ALL_PROXY") && detail.contains(what), "{detail}");
        assert!(!result.to_string().contains("s3cret"), "{result}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let value = format!("http://me:s3cret@{closed}");
    let result = run_in(&world, ("http_proxy", &value), &options(&world, "request"));
    assert_eq!(code(&result), "hkd.crl_download", "{result}");
    let detail = result["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("through the proxy of the variable http_proxy") && !detail.contains("s3cret"), "{detail}");
}

#[test]
fn https_needs_a_server_that_is_trusted() {
    let web = Pki::new("Armonk").unwrap().root;
    let server = CrlServer::start_tls(&web).unwrap();
    let world = world(&server);
    let refused = world.run(&options(&world, "request"));
    assert_eq!(code(&refused), "hkd.crl_download", "{refused}");
    assert_eq!(server.asked(), Vec::<String>::new());
    write_file(&world.path("web.crt"), &web.certificate.to_pem().unwrap()).unwrap();
    let result = run_in(&world, ("SSL_CERT_FILE", &world.text("web.crt")), &options(&world, "request"));
    assert_eq!(result["changed"], true, "{result}");
    assert_eq!(server.asked(), LISTS);
}
