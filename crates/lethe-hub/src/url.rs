//! The little of URLs that is needed: escaping, where one leads to, and whether two have the same origin.

/// Scheme and authority of a URL, `https://host:port`; only http and https.
pub(crate) fn origin(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // Names and passwords in URLs are a way to be mistaken about the host.
    (!authority.is_empty() && !authority.contains(['@', '\\']))
        .then(|| &url[..url.len() - rest.len() + authority.len()])
}

/// Whether two URLs lead to the same server over the same scheme and port: only then may one see the other's token.
pub(crate) fn same_origin(a: &str, b: &str) -> bool {
    matches!((origin(a), origin(b)), (Some(a), Some(b)) if with_port(a).eq_ignore_ascii_case(&with_port(b)))
}

fn with_port(origin: &str) -> String {
    let (scheme, authority) = origin.split_once("://").unwrap_or_default();
    // An address in brackets has colons of its own.
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    match (port, scheme) {
        (Some(_), _) => origin.to_owned(),
        (None, "https") => format!("{origin}:443"),
        (None, _) => format!("{origin}:80"),
    }
}

/// Where a `Location` on the page `base` leads to.
pub(crate) fn join(base: &str, location: &str) -> Option<String> {
    let lower = location.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return origin(location).map(|_| location.to_owned());
    }
    let from = origin(base)?;
    let absolute = match location {
        "" => return None,
        _ if location.starts_with("//") => format!("{}:{location}", from.split_once(':')?.0),
        _ if location.starts_with('/') => format!("{from}{location}"),
        // A scheme comes before any slash.
        _ if location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':')) => return None,
        _ => {
            let path = base.split(['?', '#']).next().unwrap_or(base);
            let folder = path[from.len()..].rfind('/').map_or(path.len(), |slash| from.len() + slash);
            format!("{}/{location}", &path[..folder])
        }
    };
    origin(&absolute).map(|_| absolute.clone())
}

/// A path with everything escaped that is not a letter, a digit or one of `-._~/`.
pub(crate) fn escape_path(path: &str) -> String {
    path.split('/').map(escape).collect::<Vec<_>>().join("/")
}

/// One segment of a path, slashes escaped too.
pub(crate) fn escape(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (a, b, same) in [
            ("https://hub.co/a", "https://hub.co/b?c", true),
            ("https://hub.co", "https://HUB.co:443/x", true),
            ("http://hub.co", "http://hub.co:80/x", true),
            ("http://[::1]/x", "http://[::1]:80/y", true),
            ("https://hub.co", "http://hub.co", false),
            ("https://hub.co", "https://hub.co:8443", false),
            ("https://hub.co", "https://hub.co.evil.example", false),
            ("https://hub.co", "https://cdn.hub.co", false),
            ("https://hub.co", "https://hub.co@evil.example/", false),
            ("https://hub.co", "ftp://hub.co", false),
            ("https://", "https://", false),
        ] {
            assert_eq!(same_origin(a, b), same, "{a} and {b}");
        }
    }

    #[test]
    fn locations() {
        let base = "https://hub.co/a/b?c=/d";
        for (location, target) in [
            ("https://cdn.example/x?sig=%2F", Some("https://cdn.example/x?sig=%2F")),
            ("HTTP://cdn.example/x", None),
            ("/x/y", Some("https://hub.co/x/y")),
            ("//cdn.example/x", Some("https://cdn.example/x")),
            ("x", Some("https://hub.co/a/x")),
            ("ftp://x", None),
            ("file:///etc/passwd", None),
            ("javascript:x", None),
            ("", None),
            ("https://a@b/", None),
        ] {
            assert_eq!(join(base, location).as_deref(), target, "{location}");
        }
        assert_eq!(join("https://hub.co", "x").as_deref(), Some("https://hub.co/x"));
    }

    #[test]
    fn escaping() {
        assert_eq!(escape_path("sub dir/ä?#%.gguf"), "sub%20dir/%C3%A4%3F%23%25.gguf");
        assert_eq!(escape("refs/pr/1"), "refs%2Fpr%2F1");
    }
}
