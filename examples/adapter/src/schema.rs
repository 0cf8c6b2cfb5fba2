//! The JSON Schema of the configuration, for editors.

use schemars::{Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Value, json};

use crate::config::AdapterConfig;

/// The schema. It knows names, types and choices, and each setting's documentation; what depends on
/// several settings together is only found by `explain` and `check`.
pub fn schema() -> Schema {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<AdapterConfig>();
    schema.insert("title".to_owned(), json!("eventlane-adapter"));
    as_yaml(&mut schema);
    schema
}

/// What YAML makes of it: a variable may stand for every value, any scalar for a text, and nothing
/// for a mapping without settings.
fn as_yaml(schema: &mut Schema) {
    transform_subschemas(&mut as_yaml, schema);
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(choices)) = object.get_mut("oneOf") {
        let bare: Vec<_> = choices.iter().filter_map(bare).collect();
        choices.extend(bare);
    }
    if object.contains_key("enum") || object.contains_key("const") {
        return;
    }
    let mut types: Vec<String> = match object.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            let all = all.iter().filter_map(Value::as_str);
            all.map(str::to_owned).collect()
        }
        _ => return,
    };
    let add = |types: &mut Vec<String>, name: &str| {
        if !types.iter().any(|it| it == name) {
            types.push(name.to_owned());
        }
    };
    let has = |types: &[String], name: &str| types.iter().any(|it| it == name);
    let patterned = object
        .get("pattern")
        .and_then(Value::as_str)
        .map(str::to_owned);
    if let Some(pattern) = patterned {
        object.insert("pattern".to_owned(), json!(format!("{pattern}|[$][{{]")));
    } else if has(&types, "string") {
        add(&mut types, "number");
        add(&mut types, "boolean");
    } else if ["integer", "number", "boolean"]
        .iter()
        .any(|it| has(&types, it))
    {
        add(&mut types, "string");
        object.insert("pattern".to_owned(), json!("[$][{]"));
    } else if has(&types, "object") {
        add(&mut types, "null");
    }
    object.insert("type".to_owned(), json!(types));
}

/// The name alone, of a choice whose settings all have defaults.
fn bare(choice: &Value) -> Option<Value> {
    let [name] = choice.get("required")?.as_array()?.as_slice() else {
        return None;
    };
    let settings = choice.get("properties")?.get(name.as_str()?)?;
    let inline = settings.get("properties").is_some();
    let optional = inline && settings.get("required").is_none();
    optional.then(|| json!({ "const": name }))
}
