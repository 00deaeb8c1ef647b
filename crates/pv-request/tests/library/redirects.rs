//! Redirects, as a web server on this machine gives them.

use pv_request::{Downloads, Limits, verify::Fetch as _};
use test_pki::{CrlServer, Reply};

#[test]
fn a_redirect_may_be_relative_and_name_other_addresses_in_its_query() {
    let server = CrlServer::start().unwrap();
    let downloads = Downloads::new(Limits { proxy_from_environment: false, ..Limits::default() });
    for (from, to, place) in [
        ("/to/other", "/get?u=http://x", "/get?u=http://x"),
        ("/to/query", "?d=1", "/to/query?d=1"),
        ("/to/folder", "../up/./this.crl", "/up/this.crl"),
    ] {
        server.put(from, Reply::Redirect(to.into()));
        server.put(place, Reply::Content(to.into()));
        let asked = server.asked().len();
        assert_eq!(*downloads.fetch(&server.uri(from)).unwrap(), *to.as_bytes());
        assert_eq!(server.asked()[asked..], [from, place], "{to}");
    }
}
