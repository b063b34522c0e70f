//! Reading a section of the file field by field; whatever is wrong goes to the report and reading goes on.
//!
//! Adding a field is one line: `keepalive: s.read("keepalive", defaults::KEEPALIVE, |f| f.duration(1s, 1h))`. A field
//! of the file that nobody asked for is reported when the section is dropped, so none can be forgotten.

use std::path::Path;

use super::{
    node::{Entry, Node, Value},
    report::{At, Report, clip},
};

/// What all readers of one file share.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) report: &'a Report,
    /// The folder of the file; relative paths start here.
    pub(super) base: &'a Path,
}

/// A value with its name.
#[derive(Clone)]
pub(super) struct Field<'a> {
    /// Such as `shards.static[1].weight`.
    pub(super) path: String,
    /// The path with `[]` for every index.
    pattern: String,
    pub(super) node: &'a Node,
    pub(super) context: Context<'a>,
}

impl<'a> Field<'a> {
    pub(super) fn error(&self, message: impl Into<String>) {
        self.context.report.error(self.node.at, &self.path, message);
    }

    pub(super) fn warn(&self, message: impl Into<String>) {
        self.context.report.warn(self.node.at, &self.path, message);
    }

    /// The fields beneath; nothing at all counts as a section without fields.
    fn section(&self) -> Option<Section<'a>> {
        let entries: &[Entry] = match &self.node.value {
            Value::Empty => &[],
            Value::Map(entries) => entries,
            Value::Scalar(text) => {
                self.error(format!("must be a section with fields, not \"{}\"", clip(text)));
                return None;
            }
            Value::List(_) => {
                self.error("must be a section with fields, not a list");
                return None;
            }
        };
        Some(Section::new(self.path.clone(), self.pattern.clone(), self.node.at, entries, self.context))
    }

    /// The items of a list; one value counts as a list of one.
    fn items(&self, max: usize) -> Vec<Self> {
        match &self.node.value {
            Value::List(nodes) => {
                if nodes.len() > max {
                    self.error(format!("has {} items, at most {max} are accepted", nodes.len()));
                }
                let item = |(n, node)| Self {
                    path: format!("{}[{n}]", self.path),
                    pattern: format!("{}[]", self.pattern),
                    node,
                    context: self.context,
                };
                nodes.iter().take(max).enumerate().map(item).collect()
            }
            _ => vec![self.clone()],
        }
    }
}

/// A part that can be switched off.
pub(super) enum Switch<'a> {
    /// Not mentioned.
    Absent,
    Off,
    On(Section<'a>),
}

/// A section being read.
pub(super) struct Section<'a> {
    path: String,
    pattern: String,
    /// Where it starts.
    at: At,
    entries: &'a [Entry],
    pub(super) context: Context<'a>,
    /// Names asked for so far.
    names: Vec<&'static str>,
    /// Names whose value was refused.
    refused: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(node: &'a Node, context: Context<'a>) -> Option<Self> {
        Field { path: String::new(), pattern: String::new(), node, context }.section()
    }

    fn new(path: String, pattern: String, at: At, entries: &'a [Entry], context: Context<'a>) -> Self {
        let section = Self { path, pattern, at, entries, context, names: Vec::new(), refused: Vec::new() };
        let mut first = std::collections::HashMap::new();
        for Entry { key, key_at, .. } in entries {
            if let Some(line) = first.insert(key, key_at.line) {
                section.context.report.error(*key_at, &section.name(key), format!("given twice, first in line {line}"));
            }
        }
        section
    }

    /// The full name of the section itself.
    pub(super) fn title(&self) -> &str {
        &self.path
    }

    /// The full name of a field of this section.
    pub(super) fn name(&self, key: &str) -> String {
        join(&self.path, &clip(key))
    }

    /// The field, if the file has it.
    pub(super) fn field(&mut self, name: &'static str) -> Option<Field<'a>> {
        if !self.names.contains(&name) {
            self.names.push(name);
            self.context.report.know(join(&self.pattern, name));
        }
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        Some(Field {
            path: self.name(name),
            pattern: join(&self.pattern, name),
            node: &entry.node,
            context: self.context,
        })
    }

    fn accept<T>(&mut self, name: &'static str, field: &Field<'a>, read: Result<T, String>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(message) => {
                field.error(message);
                self.refused.push(name);
                None
            }
        }
    }

    /// A field with a default.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Field<'a>) -> Result<T, String>,
    ) -> T {
        let Some(field) = self.field(name) else {
            return default;
        };
        self.accept(name, &field, read(&field)).unwrap_or(default)
    }

    /// A field that may be absent or `null`.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Field<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let field = self.field(name).filter(|field| !matches!(field.node.value, Value::Empty))?;
        self.accept(name, &field, read(&field))
    }

    /// A field without a default.
    pub(super) fn require<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Field<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if self.field(name).is_none() {
            self.error(name, "is missing");
        }
        let field = self.field(name)?;
        self.accept(name, &field, read(&field))
    }

    /// A list of values, or one value; items that are refused are left out. `None` when the field is absent.
    pub(super) fn many<T>(
        &mut self,
        name: &'static str,
        max: usize,
        read: impl Fn(&Field<'a>) -> Result<T, String>,
    ) -> Option<Vec<(Field<'a>, T)>> {
        let items = self.field(name)?.items(max);
        Some(
            items.into_iter().filter_map(|item| Some((item.clone(), self.accept(name, &item, read(&item))?))).collect(),
        )
    }

    /// A section beneath; absent means without fields.
    pub(super) fn section(&mut self, name: &'static str) -> Self {
        let found = self.field(name).and_then(|field| field.section());
        found.unwrap_or_else(|| Self::new(self.name(name), join(&self.pattern, name), self.at, &[], self.context))
    }

    /// A section that can be `off`.
    pub(super) fn switch(&mut self, name: &'static str) -> Switch<'a> {
        let Some(field) = self.field(name) else {
            return Switch::Absent;
        };
        match &field.node.value {
            Value::Scalar(text) if text == "off" => Switch::Off,
            Value::Scalar(text) => {
                field.error(format!("must be a section with fields, or off, not \"{}\"", clip(text)));
                Switch::Absent
            }
            _ => field.section().map_or(Switch::Absent, Switch::On),
        }
    }

    /// A list of sections; absent or `null` means none.
    pub(super) fn sections(&mut self, name: &'static str, max: usize) -> Vec<Self> {
        let Some(field) = self.field(name) else {
            return Vec::new();
        };
        match &field.node.value {
            Value::Empty => Vec::new(),
            Value::List(_) => {
                let items = field.items(max);
                let sections: Vec<Self> = items.iter().filter_map(Field::section).collect();
                if sections.len() < items.len() {
                    self.refused.push(name);
                }
                sections
            }
            _ => {
                field.error("must be a list, each item starting with '- '");
                self.refused.push(name);
                Vec::new()
            }
        }
    }

    /// Whether none of these fields was refused, so that comparing them means something.
    pub(super) fn sound(&self, names: &[&str]) -> bool {
        !names.iter().any(|name| self.refused.contains(name))
    }

    /// Where a field stands, or else its section.
    pub(super) fn place(&self, name: &str) -> At {
        self.entries.iter().find(|entry| entry.key == name).map_or(self.at, |entry| entry.node.at)
    }

    pub(super) fn error(&self, name: &str, message: impl Into<String>) {
        self.context.report.error(self.place(name), &self.name(name), message);
    }

    pub(super) fn warn(&self, name: &str, message: impl Into<String>) {
        self.context.report.warn(self.place(name), &self.name(name), message);
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        for Entry { key, key_at, .. } in self.entries {
            if !self.names.contains(&key.as_str()) {
                self.context.report.unknown(*key_at, join(&self.path, ""), key, &self.names);
            }
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
