//! YAML in lines that Ansible's own checks take: at most 160 characters.

/// Where lines are folded.
const WIDTH: usize = 120;

/// Folds long lines of block YAML whose values are plain or in single quotes, as serde_yaml writes them: to YAML, a line
/// break within such a value is a space.
pub fn folded(text: &str) -> String {
    text.lines().map(|line| one(line) + "\n").collect()
}

fn one(line: &str) -> String {
    // More than that of a key behind the mark of a list's entry.
    let indentation = line.len() - line.trim_start_matches(' ').len() + 4;
    let (mut out, mut length) = (String::new(), 0);
    for (at, word) in line.split(' ').enumerate() {
        // At the beginning of a line, other characters would be a comment or a key, and a run of spaces would be lost.
        let breakable = word.starts_with(|c: char| c.is_alphanumeric()) && !out.ends_with([' ', ':', '-']);
        if length + word.len() > WIDTH && breakable {
            out.push('\n');
            out.push_str(&" ".repeat(indentation));
            length = indentation;
        } else if at > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += word.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn folded_yaml_means_the_same_in_shorter_lines() {
        let long = "A sentence - with: marks, 'quotes' # and so on, two  spaces, (brackets); ".repeat(12);
        let plain = "Words and more words ".repeat(20).trim().to_owned();
        let value = json!({"key": [long, {"inner": plain, "short": "x"}], "list": [plain], "none": null});
        let text = folded(&serde_yaml::to_string(&value).unwrap());
        assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), value, "{text}");
        assert!(text.lines().all(|line| line.len() <= 160), "{text}");
    }
}
