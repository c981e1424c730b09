//! A YAML document that knows where each of its parts stands, and what is wrong with it in words that name the place.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::super::text::clean;

/// What a message quotes at most, in characters.
const QUOTED: usize = 40;

/// Most levels of a document: twice those of an object as the API server gives it back. Each takes room on the stack.
const DEEPEST: usize = 24;

/// What is wrong, and where: line and column from 1, where they are known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Problem {
    place: Option<(u64, u64)>,
    message: String,
}

impl Problem {
    pub(super) fn nowhere(message: String) -> Self {
        Self { place: None, message }
    }

    /// As compilers say it: `FILE:LINE:COLUMN: MESSAGE`.
    pub(super) fn in_file(&self, file: &str) -> String {
        match self.place {
            Some((line, column)) => format!("{file}:{line}:{column}: {}", self.message),
            None => format!("{file}: {}", self.message),
        }
    }
}

/// A document, read once for its places.
pub(super) struct Document<'a> {
    text: &'a str,
    root: Spanned<Node>,
}

enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Fields(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'a> Document<'a> {
    /// Reads one YAML document.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let (before, _) = bytes.split_at(error.valid_up_to());
            let before = String::from_utf8_lossy(before);
            let line = before.matches('\n').count() as u64 + 1;
            let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) as u64 + 1;
            Problem { place: Some((line, column)), message: "found bytes that are no UTF-8, allowed: UTF-8".to_owned() }
        })?;
        let options = serde_saphyr::options! { budget: serde_saphyr::budget! { max_depth: DEEPEST } };
        match serde_saphyr::from_str_with_options(text, options) {
            Ok(root) => Ok(Self { text, root }),
            Err(error) => Err(Problem { place: place(error.location()), message: words(&error, None) }),
        }
    }

    /// The document as what it stands for.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_saphyr::from_str(self.text).map_err(|error| {
            let at = place(error.location());
            let found = at.and_then(|at| found_at(&self.root, at, ""));
            let message = words(&error, found.as_ref().map(|(_, node)| *node));
            let path = found.map(|(path, _)| path).filter(|path| !path.is_empty());
            Problem { place: at, message: path.map_or(message.clone(), |path| format!("{}: {message}", clean(&path))) }
        })
    }

    /// The text of a field; `None` when it is not there or no text.
    pub(super) fn text_of(&self, path: &str) -> Option<&str> {
        match self.parts(path).last() {
            Some((_, true, Spanned { value: Node::Scalar(Value::String(text)), .. })) => Some(text),
            _ => None,
        }
    }

    /// What is wrong with a field: the place is that of the field, or of what it should stand in.
    pub(super) fn problem(&self, path: &str, message: &str) -> Problem {
        let place = self.parts(path).last().and_then(|(key, _, node)| {
            place(Some(match (key, &node.value) {
                (Some(key), Node::List(_) | Node::Fields(_)) => *key,
                _ => node.referenced,
            }))
        });
        Problem { place, message: clean(&format!("{path}: {message}")) }
    }

    /// The first field below `path` that was written and is not among what was understood: the API server would drop it
    /// without a word. `schema` is that of what stands at `path`.
    pub(super) fn unknown(&self, path: &str, understood: &Value, schema: &JSONSchemaProps) -> Option<Problem> {
        let (_, _, node) = self.parts(path).last().copied().filter(|(_, whole, _)| *whole)?;
        let Unknown { path, at, allowed } = unknown(&node.value, understood, Some(schema), path)?;
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        let message = clean(&format!("{path}: found a field that is not known here, allowed: {allowed}"));
        Some(Problem { place: place(Some(at)), message })
    }

    /// The nodes on the way to a path such as `spec.detect.metrics[1]`, as far as they are there: where its name stands,
    /// whether it is the end of the path, the node.
    fn parts(&self, path: &str) -> Vec<(Option<Location>, bool, &Spanned<Node>)> {
        let mut node = &self.root;
        let mut parts = vec![(None, path.is_empty(), node)];
        let mut names = path.split(['.', '[']).peekable();
        while let Some(name) = names.next() {
            let index = name.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
            let (key, next) = match (&node.value, index) {
                (Node::Fields(fields), None) => match fields.iter().find(|(key, _)| key.value == name) {
                    Some((key, next)) => (Some(key.referenced), next),
                    None => break,
                },
                (Node::List(items), Some(index)) => match items.get(index) {
                    Some(next) => (None, next),
                    None => break,
                },
                _ => break,
            };
            parts.push((key, names.peek().is_none(), next));
            node = next;
        }
        parts
    }
}

fn place(location: Option<Location>) -> Option<(u64, u64)> {
    location.map(|location| (location.line(), location.column())).filter(|(line, _)| *line > 0)
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The outermost node that begins at a place, or has a field whose name stands there, with its path.
fn found_at<'a>(node: &'a Spanned<Node>, at: (u64, u64), path: &str) -> Option<(String, &'a Node)> {
    let is_name = |(key, _): &(Spanned<String>, Spanned<Node>)| place(Some(key.referenced)) == Some(at);
    let has_name = matches!(&node.value, Node::Fields(fields) if fields.iter().any(is_name));
    if has_name || place(Some(node.referenced)) == Some(at) {
        return Some((path.to_owned(), &node.value));
    }
    match &node.value {
        Node::Scalar(_) => None,
        Node::List(items) => {
            items.iter().enumerate().find_map(|(index, item)| found_at(item, at, &format!("{path}[{index}]")))
        }
        Node::Fields(fields) => fields.iter().find_map(|(key, value)| found_at(value, at, &below(path, &key.value))),
    }
}

/// A field that is not known where it stands, and those that are.
struct Unknown {
    path: String,
    at: Location,
    allowed: Vec<String>,
}

fn unknown(written: &Node, understood: &Value, schema: Option<&JSONSchemaProps>, path: &str) -> Option<Unknown> {
    match (written, understood) {
        (Node::Fields(written), Value::Object(understood)) => {
            let fields = schema.and_then(|schema| schema.properties.as_ref());
            written.iter().find_map(|(key, value)| {
                let path = below(path, &key.value);
                match understood.get(&key.value) {
                    Some(understood) => {
                        let schema = fields.and_then(|fields| fields.get(&key.value));
                        unknown(&value.value, understood, schema, &path)
                    }
                    // Known, and left out when it is written: as empty as if it were not there.
                    None if fields.is_some_and(|fields| fields.contains_key(&key.value)) => None,
                    None => {
                        let allowed = fields.into_iter().flat_map(|fields| fields.keys().cloned()).collect();
                        Some(Unknown { path, at: key.referenced, allowed })
                    }
                }
            })
        }
        (Node::List(written), Value::Array(understood)) => {
            let schema = schema.and_then(|schema| match schema.items.as_ref()? {
                JSONSchemaPropsOrArray::Schema(schema) => Some(&**schema),
                JSONSchemaPropsOrArray::Schemas(schemas) => schemas.first(),
            });
            written.iter().zip(understood).enumerate().find_map(|(index, (written, understood))| {
                unknown(&written.value, understood, schema, &format!("{path}[{index}]"))
            })
        }
        _ => None,
    }
}

/// What a parser's error says, in the words of our other messages.
fn words(error: &Error, node: Option<&Node>) -> String {
    let error = match error.without_snippet() {
        Error::AliasError { error, .. } => error.without_snippet(),
        other => other,
    };
    let found = node.map_or_else(|| "something else".to_owned(), Node::shown);
    let allowed = |allowed: &str| format!("found {found}, allowed: {allowed}");
    match error {
        Error::MultipleDocuments { .. } => "found a second YAML document, allowed: one in a file".to_owned(),
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(|| "a field".to_owned(), shown);
            format!("found {key} a second time, allowed: each field once")
        }
        Error::SerdeMissingField { field, .. } => format!("found no field {}, which is required", shown(field)),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("found {}, allowed: {}", shown(variant), expected.join(", "))
        }
        Error::InvalidScalar { ty, .. } => allowed(&expected_words(ty)),
        Error::Unexpected { expected, .. } => allowed(&expected_words(expected)),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            allowed(&expected_words(expected))
        }
        Error::Budget { .. } => "found too many parts or too many levels, allowed: those that a rule has".to_owned(),
        Error::NullIntoString { .. } => "found nothing, allowed: text".to_owned(),
        Error::NonFiniteFloat { value, .. } => format!("found {}, allowed: a finite number", shown(value)),
        // What a type of ours says of itself.
        Error::Message { msg, .. } if node.is_some() => format!("found {found}: {}", clean(msg)),
        // The words of the YAML parser about brackets, quotes and indentation.
        other => {
            let said = UserMessageFormatter.format_message(other);
            format!("found no YAML document: {}", clean(&said))
        }
    }
}

/// What a parser calls an expected thing, as people say it.
fn expected_words(expected: &str) -> String {
    let limits = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match expected {
        "u8" => limits(0, u8::MAX.into()),
        "u16" => limits(0, u16::MAX.into()),
        "u32" => limits(0, u32::MAX.into()),
        "i8" => limits(i8::MIN.into(), i8::MAX.into()),
        "i16" => limits(i16::MIN.into(), i16::MAX.into()),
        "i32" => limits(i32::MIN.into(), i32::MAX.into()),
        "u64" | "usize" | "u128" => "a whole number that is not negative".to_owned(),
        "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" | "floating point" => "a number".to_owned(),
        "bool" | "boolean" | "a boolean" => "true or false".to_owned(),
        other if other.contains("sequence") => "a list".to_owned(),
        other if other.contains("mapping") || other.contains("map") || other.starts_with("struct ") => {
            "fields, as in name: value".to_owned()
        }
        other if other.contains("string") => "text".to_owned(),
        other => clean(other),
    }
}

fn shown(text: &str) -> String {
    let text = clean(text);
    let short: String = text.chars().take(QUOTED).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{short}{more}\"")
}

impl Node {
    fn shown(&self) -> String {
        match self {
            Self::Scalar(Value::Null) => "nothing".to_owned(),
            Self::Scalar(Value::String(text)) => shown(text),
            Self::Scalar(other) => shown(&other.to_string()),
            Self::List(_) => "a list".to_owned(),
            Self::Fields(_) => "fields".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNode;

        impl<'de> Visitor<'de> for AnyNode {
            type Value = Node;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value, a list or fields")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(key) = entries.next_key()? {
                    fields.push((key, entries.next_value()?));
                }
                Ok(Node::Fields(fields))
            }
        }

        deserializer.deserialize_any(AnyNode)
    }
}
