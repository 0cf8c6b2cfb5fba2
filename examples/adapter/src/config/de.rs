//! From a [`Node`] to whatever implements `Deserialize`, with the place of every mistake.

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
    value::{StrDeserializer, StringDeserializer},
};

use super::{
    fault::Fault,
    node::{Key, Node, Value},
};

/// Reads a `T` from what a file says.
///
/// # Errors
/// The first mistake.
pub fn read<'a, T: serde::Deserialize<'a>>(node: &'a Node) -> Result<T, Fault> {
    T::deserialize(De(node)).map_err(|fault| fault.at(node.at))
}

#[derive(Clone, Copy)]
struct De<'a>(&'a Node);

type Result<T, E = Fault> = std::result::Result<T, E>;

impl<'a> De<'a> {
    fn placed<T>(self, result: Result<T>) -> Result<T> {
        result.map_err(|fault| fault.within(self.0, self.0.at))
    }

    fn unexpected<T>(self, expected: &dyn de::Expected) -> Result<T> {
        let found = match &self.0.value {
            Value::Map(_) => Unexpected::Map,
            Value::List(_) => Unexpected::Seq,
            Value::Scalar { .. } if self.0.is_null() => Unexpected::Unit,
            Value::Scalar { .. } => Unexpected::Str(""),
        };
        self.placed(Err(Fault::invalid_type(found, expected)))
    }

    fn map<V: Visitor<'a>>(self, entries: &'a [(Key, Node)], visitor: V) -> Result<V::Value> {
        let map = Entries {
            entries: entries.iter(),
            value: None,
        };
        self.placed(visitor.visit_map(map))
    }
}

enum Plain<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

/// What a scalar without quotes means: YAML's core schema.
fn plain(text: &str) -> Plain<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x")
        && let Ok(number) = u64::from_str_radix(digits, 16)
    {
        return Plain::Unsigned(number);
    }
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text(text);
    }
    if let Ok(number) = text.parse() {
        return Plain::Unsigned(number);
    }
    if let Ok(number) = text.parse() {
        return Plain::Signed(number);
    }
    match text.parse() {
        Ok(number) => Plain::Float(number),
        Err(_) => Plain::Text(text),
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.value {
            Value::Map(entries) => self.map(entries, visitor),
            Value::List(items) => self.placed(visitor.visit_seq(Items(items.iter().enumerate()))),
            Value::Scalar { text, plain: false } => self.placed(visitor.visit_borrowed_str(text)),
            Value::Scalar { text, plain: true } => self.placed(match plain(text) {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Unsigned(value) => visitor.visit_u64(value),
                Plain::Signed(value) => visitor.visit_i64(value),
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Text(value) => visitor.visit_borrowed_str(value),
            }),
        }
    }

    numbers! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
        deserialize_unit
    }

    /// What is written is the text, whatever it looks like: `12` or `true` in place of a name.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.value {
            Value::Scalar { text, .. } if !self.0.is_null() => {
                self.placed(visitor.visit_borrowed_str(text))
            }
            _ => self.unexpected(&"a text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => self.unexpected(&"a list"),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    /// A key with nothing behind it, its settings commented out say, is a mapping without any.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.value {
            Value::Map(entries) => self.map(entries, visitor),
            _ if self.0.is_null() => self.map(&[], visitor),
            _ => self.unexpected(&"a mapping"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    /// `name`, or `name: value`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let chosen = match &self.0.value {
            Value::Scalar { text, .. } if !self.0.is_null() => Chosen {
                name: text,
                at: self.0,
                key: None,
                value: None,
            },
            Value::Map(entries) if entries.len() == 1 => {
                let (key, value) = &entries[0];
                Chosen {
                    name: &key.text,
                    at: self.0,
                    key: Some(key),
                    value: Some(value),
                }
            }
            _ => {
                let message = format!("expected exactly one of {}", names.join(", "));
                return self.placed(Err(Fault::new(message)));
            }
        };
        self.placed(visitor.visit_enum(chosen))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some((at, item)) = self.0.next() else {
            return Ok(None);
        };
        let value = seed.deserialize(De(item));
        let placed = |fault: Fault| fault.within(item, item.at).at(item.at);
        value
            .map(Some)
            .map_err(|fault| placed(fault).under(at.to_string()))
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, (Key, Node)>,
    value: Option<(&'a Key, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        let text: StrDeserializer<'_, Fault> = key.text.as_str().into_deserializer();
        seed.deserialize(text)
            .map(Some)
            .map_err(|fault| fault.at(key.at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let Some((key, value)) = self.value.take() else {
            return Err(Fault::new("a value without a key"));
        };
        // What is missing in it, or an empty one itself, has no place of its own.
        let placed = |fault: Fault| fault.within(value, key.at).at(key.at);
        seed.deserialize(De(value))
            .map_err(|fault| placed(fault).under(&key.text))
    }
}

struct Chosen<'a> {
    name: &'a str,
    at: &'a Node,
    key: Option<&'a Key>,
    value: Option<&'a Node>,
}

impl<'de> EnumAccess<'de> for Chosen<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name: StringDeserializer<Fault> = self.name.to_owned().into_deserializer();
        let at = self.key.map_or(self.at.at, |key| key.at);
        match seed.deserialize(name) {
            Ok(variant) => Ok((variant, self)),
            Err(fault) => Err(fault.at(at)),
        }
    }
}

impl<'de> VariantAccess<'de> for Chosen<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<()> {
        match self.value {
            Some(value) if !value.is_null() => {
                let empty = matches!(&value.value, Value::Map(entries) if entries.is_empty());
                let fault = Fault::new(format!("`{}` takes no value", self.name));
                if empty {
                    Ok(())
                } else {
                    Err(fault.at(value.at))
                }
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        match self.value {
            Some(value) => seed
                .deserialize(De(value))
                .map_err(|fault| fault.under(self.name)),
            None => Err(self.bare()),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        match self.value {
            Some(value) => De(value)
                .deserialize_seq(visitor)
                .map_err(|fault| fault.under(self.name)),
            None => Err(self.bare()),
        }
    }

    /// A bare name is one with every setting at its default.
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.value {
            Some(value) => De(value)
                .deserialize_map(visitor)
                .map_err(|fault| fault.under(self.name)),
            None => De(self.at).map(&[], visitor),
        }
    }
}

impl Chosen<'_> {
    fn bare(&self) -> Fault {
        Fault::new(format!("`{}` needs a value", self.name)).at(self.at.at)
    }
}
