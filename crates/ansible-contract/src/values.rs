//! How many values a JSON text holds, known before it is parsed: each costs a hundred bytes of memory, and takes two in the text.

/// As many are taken; ten thousand requests with thirty options each are a seventh of that.
pub(crate) const MAX: usize = 2_000_000;

/// Whether a text has more. All but the first value of a list or an object come after a comma.
pub(crate) fn are_too_many(text: &[u8]) -> bool {
    let (mut separators, mut in_text, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => separators += 1,
            _ => {}
        }
    }
    separators > MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_what_is_in_a_text_is_none() {
        let list = |commas: usize| format!("[{}0]", "0,".repeat(commas));
        assert!(!are_too_many(list(MAX - 1).as_bytes()));
        assert!(are_too_many(list(MAX).as_bytes()));
        assert!(!are_too_many(format!(r#"{{"a": "\\\"{}"}}"#, ",[{".repeat(MAX)).as_bytes()));
    }
}
