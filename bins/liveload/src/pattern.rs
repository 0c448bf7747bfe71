//! Patterns of names: `*` is any text, `?` any one byte.

/// A pattern that a whole name must match.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    /// In linear time for each star: a name from a stranger does not make it
    /// look twice at the same place.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        let pattern = &self.0[..];
        let (mut at, mut name_at) = (0, 0);
        // Where to go on when something does not fit after a star: behind the
        // star, with one more byte taken by it.
        let mut again = None;
        loop {
            match (pattern.get(at), name.get(name_at)) {
                (None, None) => return true,
                (Some(b'*'), _) => {
                    at += 1;
                    again = Some((at, name_at));
                }
                (Some(b'?'), Some(_)) => (at, name_at) = (at + 1, name_at + 1),
                (Some(want), Some(have)) if want == have => {
                    (at, name_at) = (at + 1, name_at + 1);
                }
                _ => match again {
                    Some((star, taken)) if taken < name.len() => {
                        again = Some((star, taken + 1));
                        (at, name_at) = (star, taken + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("*", "anything", true),
            ("r1-*", "r1-web", true),
            ("r1-*", "r10-web", false),
            ("*-web", "r1-web", true),
            ("*-web", "r1-web2", false),
            ("r?-*b", "r1-abcb", true),
            ("r?", "r", false),
            ("web", "web", true),
            ("web", "WEB", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
            ("", "a", false),
        ] {
            let got = Pattern::new(pattern).matches(name.as_bytes());
            assert_eq!(got, want, "{pattern} {name}");
        }
    }
}
