//! Reading a body field by field, with all that is wrong with it at once, as the autoscaler's validator does.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::refusal::{Problem, Refusal};

/// What the autoscaler says of a number that it does not take.
const POSITIVE: &str = "Value must be positive";

/// A part of a body.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    at: String,
    problems: Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// The whole body.
    ///
    /// # Errors
    /// When it is not an object.
    pub fn of(body: &'a Value) -> Result<Self, Refusal> {
        match body {
            Value::Object(map) => Ok(Self { map, at: String::new(), problems: Vec::new() }),
            other => Err(Refusal::invalid(Problem::body("", "The body must be a JSON object", Some(other)))),
        }
    }

    /// A part of it, whose problems come back by [`Fields::take`].
    pub fn part(&mut self, field: &str) -> Option<Fields<'a>> {
        match self.map.get(field) {
            Some(Value::Object(map)) => Some(Fields { map, at: self.path(field), problems: Vec::new() }),
            None | Some(Value::Null) => None,
            Some(_) => {
                self.wrong(field, "must be an object");
                None
            }
        }
    }

    /// A part of it, read from something else in its place.
    pub fn part_as(&mut self, field: &str, instead: Option<&'a Value>) -> Option<Fields<'a>> {
        let part = self.part(field)?;
        Some(match instead.and_then(Value::as_object) {
            Some(map) => Fields { map, ..part },
            None => part,
        })
    }

    /// The elements of a list of objects.
    pub fn parts(&mut self, field: &str) -> Vec<Fields<'a>> {
        let Some(Value::Array(list)) = self.map.get(field) else {
            self.wrong(field, &format!("{field} must be an array"));
            return Vec::new();
        };
        let mut parts = Vec::new();
        for (index, one) in list.iter().enumerate() {
            let at = format!("{}[{index}]", self.path(field));
            match one {
                Value::Object(map) => parts.push(Fields { map, at, problems: Vec::new() }),
                other => self.problems.push(Problem::body(at, "must be an object", Some(other))),
            }
        }
        parts
    }

    /// Takes over what was found wrong with a part.
    pub fn take(&mut self, part: Self) {
        self.problems.extend(part.problems);
    }

    /// Notes a problem as it is.
    pub fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn path(&self, field: &str) -> String {
        if self.at.is_empty() { field.to_owned() } else { format!("{}.{field}", self.at) }
    }

    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: &str, message: &str) {
        self.problems.push(Problem::body(self.path(field), message, self.map.get(field)));
    }

    fn given(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field is there.
    pub fn has(&self, field: &str) -> bool {
        self.given(field).is_some()
    }

    /// A whole number, if it is there. Numbers in quotes count, as there.
    pub fn int(&mut self, field: &str, range: RangeInclusive<i64>) -> Option<i32> {
        let value = self.given(field)?;
        let number = match value {
            Value::String(text) => text.parse().ok(),
            #[allow(clippy::cast_possible_truncation, reason = "bounded before")]
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 1e12).map(|n| n as i64)),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => i32::try_from(number).ok(),
            Some(number) if number >= 0 => {
                self.wrong(field, &format!("Value must be from {} to {}", range.start(), range.end()));
                None
            }
            _ => {
                self.wrong(field, POSITIVE);
                None
            }
        }
    }

    /// A whole number that must be there.
    pub fn needed_int(&mut self, field: &str, range: RangeInclusive<i64>) -> i32 {
        let least = i32::try_from(*range.start()).unwrap_or_default();
        if !self.has(field) {
            self.wrong(field, POSITIVE);
        }
        self.int(field, range).unwrap_or(least)
    }

    /// A number that is not negative, if it is there.
    pub fn number(&mut self, field: &str) -> Option<f64> {
        let value = self.given(field)?;
        let number = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        };
        match number {
            Some(number) if number.is_finite() && (0.0..=1e9).contains(&number) => Some(number),
            _ => {
                self.wrong(field, POSITIVE);
                None
            }
        }
    }

    /// A text of at most so many bytes, if it is there.
    pub fn text(&mut self, field: &str, limit: usize) -> Option<String> {
        match self.given(field)? {
            Value::String(text) if text.len() <= limit => Some(text.clone()),
            Value::String(_) => {
                self.wrong(field, &format!("must have at most {limit} bytes"));
                None
            }
            _ => {
                self.wrong(field, &format!("{field} must be a string"));
                None
            }
        }
    }

    /// Yes or no, if it is there.
    pub fn switch(&mut self, field: &str) -> Option<bool> {
        let value = self.given(field)?;
        if !value.is_boolean() {
            self.wrong(field, &format!("{field} must be a boolean"));
        }
        value.as_bool()
    }

    /// A list of whole numbers, if it is there.
    pub fn ints(&mut self, field: &str, range: RangeInclusive<i64>, message: &str) -> Option<Vec<i32>> {
        let list = self.given(field)?.as_array();
        let numbers = list.map(|list| {
            list.iter()
                .map(|one| one.as_i64().filter(|n| range.contains(n)).and_then(|n| i32::try_from(n).ok()))
                .collect::<Option<Vec<i32>>>()
        });
        if let Some(Some(numbers)) = numbers {
            return Some(numbers);
        }
        self.wrong(field, message);
        None
    }

    /// Texts by name, if they are there.
    pub fn texts(&mut self, field: &str, limit: usize) -> Option<std::collections::BTreeMap<String, String>> {
        let map = self.given(field)?.as_object();
        let texts = map.filter(|map| map.len() <= limit).and_then(|map| {
            let text = |value: &Value| match value {
                Value::String(text) if text.len() <= 1024 => Some(text.clone()),
                Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
                _ => None,
            };
            map.iter().map(|(key, value)| Some((key.clone(), text(value)?))).collect()
        });
        if texts.is_none() {
            self.wrong(field, &format!("must be an object of at most {limit} texts"));
        }
        texts
    }

    /// Fields that are none of these.
    pub fn others(&self, known: &[&str]) -> Map<String, Value> {
        let other = |(key, _): &(&String, &Value)| !known.contains(&key.as_str());
        self.map.iter().filter(other).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// All is well, or everything that is not.
    ///
    /// # Errors
    /// With all problems.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.problems.is_empty() { Ok(()) } else { Err(Refusal::Invalid(self.problems)) }
    }
}
