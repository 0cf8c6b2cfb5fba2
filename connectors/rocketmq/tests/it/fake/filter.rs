//! Filters: lists of tags, and as much of SQL92 as the tests need.

use crate::fake::pb::{FilterExpression, Message};

/// What a subscription wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Tags(Vec<String>),
    /// Terms that all have to hold.
    Sql(Vec<Term>),
}

/// A property, an operator, and what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    name: String,
    operator: String,
    value: String,
}

impl Filter {
    /// `None` if it can't be read.
    pub(super) fn read(expression: &FilterExpression) -> Option<Self> {
        const SQL: i32 = 2;
        let text = &expression.expression;
        if expression.r#type != SQL {
            let tags = text.split("||").map(|tag| tag.trim().to_owned());
            return Some(Self::Tags(tags.collect()));
        }
        let terms: Option<Vec<_>> = text.split(" AND ").map(term).collect();
        Some(Self::Sql(terms?))
    }

    pub(super) fn takes(&self, message: &Message) -> bool {
        let tag = message
            .system_properties
            .as_ref()
            .and_then(|it| it.tag.as_deref());
        match self {
            Self::Tags(tags) => tags
                .iter()
                .any(|it| it.is_empty() || it == "*" || Some(it.as_str()) == tag),
            Self::Sql(terms) => terms.iter().all(|term| {
                let value = match &*term.name {
                    "TAGS" => tag,
                    name => message.user_properties.get(name).map(String::as_str),
                };
                term.holds(value)
            }),
        }
    }
}

fn term(text: &str) -> Option<Term> {
    let words: Vec<_> = text.split_whitespace().collect();
    let (name, operator, value) = match words[..] {
        [name, "IS", "NULL"] => (name, "NULL", ""),
        [name, "IS", "NOT", "NULL"] => (name, "NOT NULL", ""),
        [
            name,
            operator @ ("=" | "<>" | "<" | "<=" | ">" | ">="),
            value,
        ] => (name, operator, value),
        _ => return None,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(fits).then(|| Term {
        name: name.to_owned(),
        operator: operator.to_owned(),
        value: value.trim_matches('\'').to_owned(),
    })
}

impl Term {
    fn holds(&self, value: Option<&str>) -> bool {
        let Some(value) = value else {
            return self.operator == "NULL";
        };
        let order = match (value.parse::<f64>(), self.value.parse::<f64>()) {
            (Ok(one), Ok(other)) => one.total_cmp(&other),
            _ => value.cmp(&self.value),
        };
        match &*self.operator {
            "NOT NULL" => true,
            "=" => order.is_eq(),
            "<>" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            _ => false,
        }
    }
}
