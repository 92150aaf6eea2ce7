//! Where a value of the configuration stands: file and line, or variable.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where something was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1 on.
        line: usize,
    },
    /// In a variable of the environment or of a `.env` file.
    Variable(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Origins by key, the layer that counts only. Elements of arrays have their index: `instrument[0].symbol`.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where a key has its value from; `None` for the default.
    pub fn of(&self, key: &str) -> Option<&Origin> {
        self.0.get(key)
    }

    /// Every key that was configured.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(key, origin)| (key.as_str(), origin))
    }

    /// Where what a complaint names was configured. Complaints leave out which element of an array they mean: it is the
    /// one whose value they quote behind the key.
    pub(super) fn behind(
        &self,
        complaint: &str,
        value_at: impl Fn(&str) -> Option<String>,
    ) -> Option<&Origin> {
        let named = complaint.split(|c: char| c == ':' || c.is_whitespace()).next()?;
        let mut elements: Vec<_> = self.0.iter().filter(|(key, _)| without_index(key) == named).collect();
        if elements.is_empty() {
            // A complaint about a table as a whole.
            let inside =
                |key: &str| without_index(key).strip_prefix(named).is_some_and(|rest| rest.starts_with('.'));
            return self.0.iter().find(|(key, _)| inside(key)).map(|(_, origin)| origin);
        }
        let quoted = plain(complaint[named.len()..].trim_start_matches([':', ' ']));
        let is_quoted = |key: &str| value_at(key).is_some_and(|value| begins_with(&quoted, &plain(&value)));
        // Of several with the value the last: it is the one too many.
        let at = elements.iter().rposition(|(key, _)| is_quoted(key)).unwrap_or(0);
        Some(elements.swap_remove(at).1)
    }

    /// Everything that a file configures. One that does not parse configures nothing.
    pub(super) fn add_file(&mut self, path: &Path, text: &str) {
        let Ok(table) = DeTable::parse(text) else { return };
        walk_table(table.get_ref(), "", &mut |key, at, _| {
            let origin = Origin::File { path: path.to_owned(), line: line_of(text, at) };
            self.set(key, origin);
        });
    }

    /// Everything that a variable configures.
    pub(super) fn add_variable(&mut self, name: &str, layer: &toml::Table) {
        let text = layer.to_string();
        let Ok(table) = DeTable::parse(&text) else { return };
        walk_table(table.get_ref(), "", &mut |key, _, _| self.set(key, Origin::Variable(name.to_owned())));
    }

    fn set(&mut self, key: &str, origin: Origin) {
        // As a whole: its elements of an earlier layer are gone.
        let inside = format!("{key}[");
        self.0.retain(|old, _| !old.starts_with(&inside));
        // A later layer replaces a whole array: what stood in further elements of the earlier one is gone.
        if let Some(array) = key.split_once("[0]").map(|(array, _)| array.to_owned()) {
            let is_first = self.0.get(key).is_none_or(|old| !old.is_same_layer(&origin));
            if is_first {
                let inside = format!("{array}[");
                self.0.retain(|key, old| !key.starts_with(&inside) || old.is_same_layer(&origin));
            }
        }
        self.0.insert(key.to_owned(), origin);
    }
}

impl Origin {
    fn is_same_layer(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path: a, .. }, Self::File { path: b, .. }) => a == b,
            (Self::Variable(a), Self::Variable(b)) => a == b,
            _ => false,
        }
    }
}

/// A value as configurations and complaints both can write it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != '"' && *c != ' ').flat_map(char::to_lowercase).collect()
}

/// A text begins with a value, which ends there.
fn begins_with(text: &str, value: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.strip_prefix(value).is_some_and(is_end)
}

/// Line of a byte, from 1 on.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The key whose value, or whose name, covers a byte of a file.
pub(super) fn key_at(text: &str, at: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut found = None;
    walk_spans(table.get_ref(), "", &mut |key, span| {
        if span.contains(&at) {
            found = Some(key.to_owned());
        }
    });
    found
}

/// The first number that no signed 64-bit word holds, with its key and its byte: TOML knows no larger ones.
pub(super) fn too_large(text: &str) -> Option<(String, usize)> {
    let table = DeTable::parse(text).ok()?;
    let mut found = None;
    walk_table(table.get_ref(), "", &mut |key, at, value| {
        if let DeValue::Integer(number) = value
            && i64::from_str_radix(number.as_str(), number.radix()).is_err()
        {
            found.get_or_insert((key.to_owned(), at));
        }
    });
    found
}

fn without_index(key: &str) -> String {
    let mut bare = String::with_capacity(key.len());
    let mut is_inside = false;
    for c in key.chars() {
        match c {
            '[' => is_inside = true,
            ']' => is_inside = false,
            c if !is_inside => bare.push(c),
            _ => {}
        }
    }
    bare
}

/// Visits every key that has a value of its own with the byte at which it stands.
fn walk_table(table: &DeTable<'_>, prefix: &str, visit: &mut impl FnMut(&str, usize, &DeValue<'_>)) {
    for (key, value) in table {
        let name = joined(prefix, key.get_ref());
        walk_value(value, &name, key.span().start, visit);
    }
}

fn walk_value(
    value: &Spanned<DeValue<'_>>,
    name: &str,
    at: usize,
    visit: &mut impl FnMut(&str, usize, &DeValue<'_>),
) {
    match value.get_ref() {
        DeValue::Table(inner) => walk_table(inner, name, visit),
        DeValue::Array(elements) if elements.iter().any(|e| matches!(e.get_ref(), DeValue::Table(_))) => {
            for (index, element) in elements.iter().enumerate() {
                walk_value(element, &format!("{name}[{index}]"), element.span().start, visit);
            }
        }
        plain => visit(name, at, plain),
    }
}

/// Visits every key with the bytes from its name to the end of its value, outer ones first.
fn walk_spans(table: &DeTable<'_>, prefix: &str, visit: &mut impl FnMut(&str, std::ops::Range<usize>)) {
    for (key, value) in table {
        let name = joined(prefix, key.get_ref());
        visit(&name, key.span().start..value.span().end.max(key.span().end));
        let elements = match value.get_ref() {
            DeValue::Array(elements) => elements.iter().collect(),
            _ => vec![value],
        };
        for element in elements {
            if let DeValue::Table(inner) = element.get_ref() {
                walk_spans(inner, &name, visit);
            }
        }
    }
}

fn joined(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}
