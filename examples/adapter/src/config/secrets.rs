//! What a file leaves to others: `${NAME}`, `${NAME:-default}`, `${file:PATH}`, and `file: PATH` in
//! place of a secret.

use std::{fs, path::Path};

use super::{
    fault::{Fault, is_secret},
    node::{Node, Place, Value},
};

/// Where variables come from.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts in what a document leaves to the environment and to files. `$$` stands for `$`.
///
/// # Errors
/// A variable that is not set, a file that can't be read.
pub fn resolve(document: &mut Node, variables: Variables<'_>) -> Result<(), Fault> {
    let mut path = Vec::new();
    walk(document, &mut path, variables)
}

fn walk(node: &mut Node, path: &mut Vec<String>, variables: Variables<'_>) -> Result<(), Fault> {
    if let Some(file) = named_file(node, path) {
        let at = node.at;
        let mut name = file.clone();
        walk(&mut name, path, variables)?;
        let text = read(name.text().unwrap_or_default(), at)?;
        node.value = Value::Scalar { text, plain: false };
        node.secret = true;
        return Ok(());
    }
    let at = node.at;
    match &mut node.value {
        Value::Scalar { text, .. } if text.contains('$') => {
            let (put_in, secret) = replace(text, at, variables)?;
            *text = put_in;
            node.secret = secret;
        }
        Value::Scalar { .. } => {}
        Value::List(items) => {
            for item in items {
                walk(item, path, variables)?;
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                path.push(key.text.clone());
                walk(value, path, variables)?;
                path.pop();
            }
        }
    }
    Ok(())
}

/// The `PATH` of `file: PATH` in place of a text. Not where it means something by itself: where
/// dead letters go, and what the sink authenticates with, whose files it follows as they change.
fn named_file<'a>(node: &'a Node, path: &[String]) -> Option<&'a Node> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    let ([(key, file)], Some(name)) = (entries.as_slice(), path.last()) else {
        return None;
    };
    let followed = path
        .iter()
        .skip_while(|key| *key != "http")
        .any(|key| matches!(key.as_str(), "auth" | "tls"));
    let is_text = key.text == "file" && file.text().is_some();
    (is_text && name != "dead_letter" && !followed).then_some(file)
}

fn read(path: &str, at: Place) -> Result<String, Fault> {
    match fs::read_to_string(Path::new(path)) {
        Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(Fault::new(format!("can't read the file {path}: {error}")).at(at)),
    }
}

/// The text with everything put in, and whether a secret is in it.
fn replace(text: &str, at: Place, variables: Variables<'_>) -> Result<(String, bool), Fault> {
    let (mut out, mut rest, mut secret) = (String::new(), text, false);
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some(inside) = rest.strip_prefix('{') else {
            out.push('$');
            continue;
        };
        let Some((inside, after)) = inside.split_once('}') else {
            return Err(Fault::new("`${` without `}`")
                .at(at)
                .label("`$$` stands for `$`"));
        };
        rest = after;
        if let Some(path) = inside.strip_prefix("file:") {
            out.push_str(&read(path.trim(), at)?);
            secret = true;
            continue;
        }
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(legal) {
            let message = format!("`${{{inside}}}` names no variable");
            let label = "write ${NAME}, ${NAME:-default} or ${file:PATH}; `$$` stands for `$`";
            return Err(Fault::new(message).at(at).label(label));
        }
        // As in a shell, `:-` takes an empty variable for one that is not set.
        let set = variables(name).filter(|value| default.is_none() || !value.is_empty());
        match set.as_deref().or(default) {
            Some(value) => out.push_str(value),
            None => {
                let fault = Fault::new(format!("the variable {name} is not set"));
                return Err(fault
                    .at(at)
                    .label(format!("or give a default: ${{{name}:-...}}")));
            }
        }
        secret |= is_secret(name);
    }
    out.push_str(rest);
    Ok((out, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::node::parse;

    fn resolved(text: &str) -> Result<Node, Fault> {
        let mut node = parse(text)?.remove(0);
        resolve(&mut node, &|name| match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            "API_TOKEN" => Some("hush".to_owned()),
            _ => None,
        })?;
        Ok(node)
    }

    fn text(text: &str) -> String {
        let node = resolved(&format!("a: \"{text}\"")).unwrap();
        node.get("a").unwrap().text().unwrap().to_owned()
    }

    #[test]
    fn variables_are_put_in() {
        for (written, read) in [
            ("http://${HOST}/", "http://example.com/"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("$${HOST} $5 $", "${HOST} $5 $"),
        ] {
            assert_eq!(text(written), read);
        }
        for wrong in ["${NONE}", "${HOST", "${a b}", "${}"] {
            assert!(resolved(&format!("a: \"{wrong}\"")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_are_put_in_where_a_text_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        fs::write(&file, "hush\n").unwrap();
        let file = file.display();
        let node = resolved(&format!(
            "a: ${{file:{file}}}\nb: {{file: {file}}}\nc: ${{HOST}}\nd: ${{API_TOKEN}}\n\
             dead_letter: {{file: {file}}}\nhttp: {{auth: {{bearer: {{token: {{file: {file}}}}}}}}}"
        ));
        let node = node.unwrap();
        for (key, value, secret) in [
            ("a", "hush", true),
            ("b", "hush", true),
            ("c", "example.com", false),
            ("d", "hush", true),
        ] {
            let at = node.get(key).unwrap();
            assert_eq!((at.text().unwrap(), at.secret), (value, secret), "{key}");
        }
        assert!(node.get("dead_letter").unwrap().get("file").is_some());
        let token = node.get("http").unwrap().get("auth").unwrap();
        assert!(
            token
                .get("bearer")
                .unwrap()
                .get("token")
                .unwrap()
                .get("file")
                .is_some()
        );
        assert!(resolved("a: ${file:/nowhere}").is_err());
    }
}
