//! Where a redirect leads: reference resolution (RFC 3986, 5.2).

use ureq::http::Uri;

/// The address that `to` means in an answer of `base`. `None` for what names no host or cannot be read.
pub(super) fn joined(base: &Uri, to: &str) -> Option<Uri> {
    // A fragment is of no interest to a server.
    let to = to.split_once('#').map_or(to, |(to, _)| to);
    let (own_scheme, rest) = scheme_and_rest(to);
    let scheme = own_scheme.or_else(|| base.scheme_str())?;
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path, query) = match rest.strip_prefix("//") {
        Some(network) => {
            let (authority, path) = network.split_at(network.find('/').unwrap_or(network.len()));
            (authority, path.to_owned(), query)
        }
        // Such as `http:path`, which nobody could ask.
        None if own_scheme.is_some() => return None,
        None => {
            let authority = base.authority()?.as_str();
            match (rest, base.path().rsplit_once('/')) {
                ("", _) => (authority, base.path().to_owned(), query.or_else(|| base.query())),
                (absolute, _) if absolute.starts_with('/') => (authority, absolute.to_owned(), query),
                (relative, Some((folder, _))) => (authority, format!("{folder}/{relative}"), query),
                (relative, None) => (authority, relative.to_owned(), query),
            }
        }
    };
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{scheme}://{authority}{}{query}", without_dots(&path)).parse().ok()
}

/// The scheme, if there is one, and what is behind its colon. A colon that comes later is part of a path or a query.
fn scheme_and_rest(to: &str) -> (Option<&str>, &str) {
    match to.split_once(':') {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => (Some(scheme), rest),
        _ => (None, to),
    }
}

/// The path without its segments `.` and `..`, beginning at the root (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => {
                kept.push(segment);
                continue;
            }
        }
        // At the end, dots name a folder.
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_leads(base: &str, rows: &[(&str, &str)]) {
        let base = base.parse().unwrap();
        for (to, whole) in rows {
            assert_eq!(joined(&base, to).map(|uri| uri.to_string()).as_deref(), Some(*whole), "{to}");
        }
    }

    #[test]
    fn a_redirect_is_read_in_the_light_of_the_address_that_gives_it() {
        assert_leads(
            "http://a:8080/b/c?d",
            &[
                ("https://x/y", "https://x/y"),
                ("https://x", "https://x/"),
                ("https://x?y", "https://x/?y"),
                ("//x/y", "http://x/y"),
                ("/y", "http://a:8080/y"),
                ("y", "http://a:8080/b/y"),
            ],
        );
        assert_leads("http://a", &[("y", "http://a/y"), ("?y", "http://a/?y"), ("../y", "http://a/y")]);
    }

    #[test]
    fn only_a_colon_before_path_and_query_ends_a_scheme() {
        assert_leads(
            "http://a/b/c",
            &[
                ("/get?u=http://x", "http://a/get?u=http://x"),
                ("get?u=http://x/../y", "http://a/b/get?u=http://x/../y"),
                ("?u=http://x", "http://a/b/c?u=http://x"),
                ("/to/http://x", "http://a/to/http://x"),
                ("./y:z", "http://a/b/y:z"),
                ("y#http://x", "http://a/b/y"),
            ],
        );
    }

    /// The examples of RFC 3986, 5.4, but those without an authority, and without fragments, which are not sent.
    #[test]
    fn the_examples_of_the_standard_are_resolved_as_it_says() {
        assert_leads(
            "http://a/b/c/d;p?q",
            &[
                ("g", "http://a/b/c/g"),
                ("./g", "http://a/b/c/g"),
                ("g/", "http://a/b/c/g/"),
                ("/g", "http://a/g"),
                ("//g", "http://g/"),
                ("?y", "http://a/b/c/d;p?y"),
                ("g?y", "http://a/b/c/g?y"),
                ("#s", "http://a/b/c/d;p?q"),
                ("g#s", "http://a/b/c/g"),
                ("g?y#s", "http://a/b/c/g?y"),
                (";x", "http://a/b/c/;x"),
                ("g;x", "http://a/b/c/g;x"),
                ("", "http://a/b/c/d;p?q"),
                (".", "http://a/b/c/"),
                ("./", "http://a/b/c/"),
                ("..", "http://a/b/"),
                ("../", "http://a/b/"),
                ("../g", "http://a/b/g"),
                ("../..", "http://a/"),
                ("../../", "http://a/"),
                ("../../g", "http://a/g"),
                ("../../../g", "http://a/g"),
                ("../../../../g", "http://a/g"),
                ("/./g", "http://a/g"),
                ("/../g", "http://a/g"),
                ("g.", "http://a/b/c/g."),
                (".g", "http://a/b/c/.g"),
                ("g..", "http://a/b/c/g.."),
                ("..g", "http://a/b/c/..g"),
                ("./../g", "http://a/b/g"),
                ("./g/.", "http://a/b/c/g/"),
                ("g/./h", "http://a/b/c/g/h"),
                ("g/../h", "http://a/b/c/h"),
                ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
                ("g;x=1/../y", "http://a/b/c/y"),
                ("g?y/../x", "http://a/b/c/g?y/../x"),
            ],
        );
    }

    #[test]
    fn what_names_no_host_leads_nowhere() {
        let base = "http://a/b".parse().unwrap();
        for to in ["http://[", "http:", "http:g", "http:/g", "http://", "///g", "mailto:me@x", ":g", "file:/etc"] {
            assert_eq!(joined(&base, to), None, "{to}");
        }
    }
}
