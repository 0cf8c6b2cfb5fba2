//! Whether a value conforms to a JSON Schema, as far as ours uses the language: a keyword that is
//! not known here is a panic, not a pass.

use serde_json::{Map, Value};

/// # Errors
/// The first reason why not, with the place in the value.
pub(crate) fn conforms(value: &Value, schema: &Value) -> Result<(), String> {
    Check { root: schema }.value(value, schema, "")
}

struct Check<'a> {
    root: &'a Value,
}

impl Check<'_> {
    fn value(&self, value: &Value, schema: &Value, at: &str) -> Result<(), String> {
        let schema = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("{at}: nothing is allowed here")),
            Value::Object(schema) => schema,
            _ => panic!("a schema is an object or a truth value"),
        };
        for (keyword, what) in schema {
            self.keyword(value, schema, keyword, what, at)?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        value: &Value,
        schema: &Map<String, Value>,
        keyword: &str,
        what: &Value,
        at: &str,
    ) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{at}: {why}"));
        let all = || what.as_array().expect("a list of schemas");
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => Ok(()),
            "$ref" => {
                let pointer = what.as_str().unwrap().strip_prefix('#').unwrap();
                self.value(value, self.root.pointer(pointer).unwrap(), at)
            }
            "type" => {
                let one = std::slice::from_ref(what);
                let types = what.as_array().map_or(one, Vec::as_slice);
                let fits = types.iter().any(|name| is(value, name.as_str().unwrap()));
                if fits {
                    Ok(())
                } else {
                    wrong(&format!("not of type {what}"))
                }
            }
            "const" if value != what => wrong(&format!("not {what}")),
            "enum" if !all().contains(value) => wrong(&format!("not one of {what}")),
            "const" | "enum" => Ok(()),
            "anyOf" | "oneOf" => {
                let fit = all().iter().map(|schema| self.value(value, schema, at));
                let (fit, not): (Vec<_>, Vec<_>) = fit.partition(Result::is_ok);
                match (keyword, fit.len()) {
                    ("oneOf", 1) | ("anyOf", 1..) => Ok(()),
                    (_, 0) => not.into_iter().next_back().unwrap(),
                    (_, count) => wrong(&format!("{count} choices fit")),
                }
            }
            "allOf" => all()
                .iter()
                .try_for_each(|schema| self.value(value, schema, at)),
            "required" => match value {
                Value::Object(object) => {
                    let there = |name: &&Value| object.contains_key(name.as_str().unwrap());
                    match all().iter().find(|name| !there(name)) {
                        Some(name) => wrong(&format!("{name} is missing")),
                        None => Ok(()),
                    }
                }
                _ => Ok(()),
            },
            "properties" => {
                let inner = |(name, schema): (&String, &Value)| match value.get(name) {
                    Some(value) => self.value(value, schema, &format!("{at}.{name}")),
                    None => Ok(()),
                };
                what.as_object().unwrap().iter().try_for_each(inner)
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let more = value.as_object().into_iter().flatten();
                let mut more =
                    more.filter(|(name, _)| known.is_none_or(|it| !it.contains_key(*name)));
                more.try_for_each(|(name, value)| self.value(value, what, &format!("{at}.{name}")))
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                items.try_for_each(|(n, item)| self.value(item, what, &format!("{at}.{n}")))
            }
            "minimum" | "maximum" => {
                let (Some(number), Some(bound)) = (value.as_f64(), what.as_f64()) else {
                    return Ok(());
                };
                let fits = if keyword == "minimum" {
                    number >= bound
                } else {
                    number <= bound
                };
                if fits {
                    Ok(())
                } else {
                    wrong(&format!("beyond {bound}"))
                }
            }
            "pattern" => match value.as_str() {
                Some(text) if !matches(text, what.as_str().unwrap()) => {
                    wrong(&format!("not as {what}"))
                }
                _ => Ok(()),
            },
            _ => panic!("{at}: the keyword {keyword} is not known here"),
        }
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("no type {name}"),
    }
}

/// The patterns that there are.
fn matches(text: &str, pattern: &str) -> bool {
    let Some(own) = pattern.strip_suffix("[$][{]") else {
        panic!("a variable may stand for everything: {pattern}");
    };
    if text.contains("${") {
        return true;
    }
    match own.trim_end_matches('|') {
        "" => false,
        pattern if pattern.contains("(ms|s|m|h)") => {
            let unit = text
                .trim()
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            matches!(unit.trim(), "" | "ms" | "s" | "m" | "h") && unit.len() < text.trim().len()
        }
        pattern if pattern.contains("earliest") => {
            matches!(text, "earliest" | "latest") || text.starts_with(|c: char| c.is_ascii_digit())
        }
        pattern if pattern.contains("[xX]") => {
            text.len() == 3 && text.starts_with(|c: char| c.is_ascii_digit())
        }
        pattern => panic!("the pattern {pattern} is not known here"),
    }
}
