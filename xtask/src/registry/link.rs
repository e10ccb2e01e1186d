//! The `Link` header (RFC 8288), by which a registry says where a list goes on.

/// The address of the next page.
pub fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (url, after) = rest.split_once('<')?.1.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        if parameters.split([';', ',']).any(is_next) {
            return Some(url);
        }
        rest = after;
    }
}

fn is_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split(' ');
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, expected) in [
            (r#"</v2/a?n=1&last=b>; rel="next""#, Some("/v2/a?n=1&last=b")),
            ("<b>;rel=next", Some("b")),
            (r#"<a>; rel="prev", <b>; title="x, y"; REL="last Next""#, Some("b")),
            (r#"<a>; rel="prev next-one""#, None),
            ("<a", None),
            ("", None),
        ] {
            assert_eq!(next(header), expected, "{header}");
        }
    }
}
