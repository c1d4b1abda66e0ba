//! The conditions of a rule.

use super::document::placeholder;
use super::fields::Reader;
use crate::domain::ParamPath;
use crate::policy::code::Code;
use crate::policy::condition::{CALLER, Condition, Group, Length, Test};
use crate::policy::diagnostic::{Path, Pos, quoted};
use crate::policy::window::{Minute, Weekdays, Window, Zone};
use crate::policy::yaml::{Node, Value};

const KEYS: [&str; 21] = [
    "time_after",
    "time_before",
    "weekdays",
    "timezone",
    "param_eq",
    "param_gt",
    "param_gte",
    "param_lt",
    "param_lte",
    "param_contains",
    "param_starts",
    "param_ends",
    "param_len",
    "param_matches",
    "param_in",
    "param_not_in",
    "param_exists",
    "param_schema",
    "all",
    "any",
    "not",
];

/// The conditions on the clock of one mapping.
#[derive(Default)]
struct Clock {
    window: Option<Window>,
    weekdays: Option<Weekdays>,
    zone: Option<(Zone, Pos)>,
    /// The place of `time_before`.
    before: Pos,
    /// The place of `weekdays`.
    weekdays_at: Pos,
    /// Part of it was wrong, and the error is reported already.
    is_broken: bool,
}

impl Reader<'_> {
    /// The conditions of a rule. An empty mapping has no condition.
    pub(super) fn conditions(&mut self, node: &Node, path: &Path<'_>) -> Group {
        self.group(node, path).unwrap_or_default()
    }

    fn group(&mut self, node: &Node, path: &Path<'_>) -> Option<Group> {
        let entries = self.map(node, path, "a mapping of conditions")?;
        let (mut clock, mut group) = (Clock::default(), Group::new());
        for entry in entries {
            let (value, here) = (&entry.value, path.key(&entry.key));
            match entry.key.as_str() {
                "time_after" | "time_before" => {
                    let time = self.time(value, &here);
                    clock.is_broken |= time.is_none();
                    let window = clock.window.get_or_insert(Window { after: None, before: None });
                    if entry.key == "time_before" {
                        clock.before = entry.pos;
                    }
                    let side = if entry.key == "time_after" { &mut window.after } else { &mut window.before };
                    *side = time;
                }
                "weekdays" => {
                    clock.weekdays_at = entry.pos;
                    clock.weekdays = self.weekdays(value, &here);
                    clock.is_broken |= clock.weekdays.is_none();
                }
                "timezone" => {
                    clock.zone = self.zone(value, &here).map(|zone| (zone, entry.pos));
                    clock.is_broken |= clock.zone.is_none();
                }
                "all" | "any" => {
                    let groups = self.groups(value, &here);
                    group.push(if entry.key == "all" { Condition::All(groups) } else { Condition::Any(groups) });
                }
                "not" => group.push(Condition::Not(self.inner_group(value, &here))),
                key if KEYS.contains(&key) => self.params(key, value, &here, &mut group),
                _ => self.unknown(entry, path, "condition", &KEYS),
            }
        }
        let mut whole = self.clock(clock, path);
        whole.append(&mut group);
        Some(whole)
    }

    /// A group inside `all`, `any` or `not`. It must hold a condition, because an empty group always holds.
    fn inner_group(&mut self, node: &Node, path: &Path<'_>) -> Group {
        if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
            self.error(
                node.pos,
                path,
                Code::EmptyValue,
                "must hold at least one condition: an empty mapping always holds",
            );
        }
        self.group(node, path).unwrap_or_default()
    }

    fn groups(&mut self, node: &Node, path: &Path<'_>) -> Vec<Group> {
        let Some(items) = self.list(node, path, "a list of mappings of conditions") else { return Vec::new() };
        if items.is_empty() {
            self.error(
                node.pos,
                path,
                Code::EmptyValue,
                "must not be empty: give it at least one mapping of conditions",
            );
        }
        items.iter().enumerate().map(|(i, item)| self.inner_group(item, &path.item(i))).collect()
    }

    /// The conditions on the clock, checked together.
    fn clock(&mut self, clock: Clock, path: &Path<'_>) -> Group {
        let mut group = Group::new();
        if clock.is_broken {
            return group;
        }
        if let (Some((_, pos)), None, None) = (&clock.zone, clock.window, clock.weekdays) {
            let message =
                "means nothing here: it goes with `time_after`, `time_before` or `weekdays` in the same mapping";
            self.error(*pos, &path.key("timezone"), Code::InvalidTimeWindow, message);
        }
        let zone = clock.zone.map(|(zone, _)| zone).unwrap_or_default();
        if let Some(window) = clock.window {
            match window {
                Window { after: Some(after), before: Some(before) } if after == before => {
                    let message = format!(
                        "is the same as `time_after` ({after}), which leaves no time at all: leave both out if the \
                         whole day is meant"
                    );
                    self.error(clock.before, &path.key("time_before"), Code::InvalidTimeWindow, message);
                }
                Window { after: None, before: Some(before) } if before.is_midnight() => {
                    let message =
                        "nothing is before 00:00, so this never holds: leave it out if the end of the day is meant";
                    self.warn(clock.before, &path.key("time_before"), Code::NeverHolds, message);
                }
                _ => {}
            }
            group.push(Condition::Time(window, zone.clone()));
        }
        if let (Some(window), Some(weekdays)) = (clock.window, clock.weekdays)
            && window.crosses_midnight()
            && weekdays.days().count() < 7
        {
            let message = "is the day of the moment, and the window crosses midnight: after 00:00 it is the next day; \
                to follow a night, write two mappings under `any`, one up to 00:00 and one from 00:00 with the next \
                days";
            self.warn(clock.weekdays_at, &path.key("weekdays"), Code::WeekdayAfterMidnight, message);
        }
        if let Some(weekdays) = clock.weekdays {
            group.push(Condition::Weekdays(weekdays, zone));
        }
        group
    }

    fn time(&mut self, node: &Node, path: &Path<'_>) -> Option<Minute> {
        const WANTED: &str = "a time like \"09:00\" or \"18:30\"";
        let Value::Text(text) = &node.value else {
            self.wrong(node, path, WANTED);
            return None;
        };
        let time = Minute::parse(text);
        if time.is_none() {
            self.error(
                node.pos,
                path,
                Code::InvalidTime,
                format!("`{}` must be {WANTED} (00:00 to 23:59, no seconds)", quoted(text)),
            );
        }
        time
    }

    fn weekdays(&mut self, node: &Node, path: &Path<'_>) -> Option<Weekdays> {
        const WANTED: &str = "a list of days, Monday = 1 to Sunday = 7, like [1, 2, 3, 4, 5]";
        let items = self.list(node, path, WANTED)?;
        if items.is_empty() {
            self.error(node.pos, path, Code::EmptyValue, format!("must be {WANTED}: an empty one never holds"));
            return None;
        }
        let (mut weekdays, mut is_right) = (Weekdays::default(), true);
        for (i, item) in items.iter().enumerate() {
            let day = match &item.value {
                Value::Number(number) => number.as_u64().and_then(|day| u8::try_from(day).ok()),
                _ => None,
            };
            let (code, message) = match day.filter(|day| (1..=7).contains(day)) {
                None => (Code::InvalidValue, "must be a whole number from 1 (Monday) to 7 (Sunday)".to_owned()),
                Some(day) if !weekdays.add(day) => (Code::DuplicateValue, format!("the day {day} is given twice")),
                Some(_) => continue,
            };
            is_right = false;
            self.error(item.pos, &path.item(i), code, message);
        }
        is_right.then_some(weekdays)
    }

    fn zone(&mut self, node: &Node, path: &Path<'_>) -> Option<Zone> {
        let name = self.text(node, path, 64)?;
        match Zone::named(name) {
            Ok(zone) => Some(zone),
            Err(near) => {
                let hint = near
                    .map_or("write one like Europe/Berlin or UTC".to_owned(), |near| format!("did you mean `{near}`?"));
                self.error(
                    node.pos,
                    path,
                    Code::InvalidTime,
                    format!("`{}` is no time zone of the IANA database, {hint}", quoted(name)),
                );
                None
            }
        }
    }

    /// One `param_*` condition: a mapping from parameters to the expected value of each.
    fn params(&mut self, key: &str, node: &Node, path: &Path<'_>, group: &mut Group) {
        let wanted = "a mapping from parameter names to what is expected, like { count: 100 }";
        let Some(entries) = self.map(node, path, wanted) else { return };
        if entries.is_empty() {
            self.error(node.pos, path, Code::EmptyValue, format!("must be {wanted}: an empty one always holds"));
        }
        for entry in entries {
            let here = path.key(&entry.key);
            if entry.key.is_empty() {
                self.error(entry.pos, &here, Code::EmptyValue, "the name of a parameter must not be empty");
            }
            let is_right = self.names(key, &entry.value, &here, true);
            let Some(test) = self.test(key, &entry.value, &here).filter(|_| is_right) else { continue };
            let name = ParamPath::new(entry.key.as_str());
            let is_about_caller = test.names_caller();
            group.push(if is_about_caller { Condition::Caller(name, test) } else { Condition::Param(name, test) });
        }
    }

    /// Checks names like `${actor.id}` in an expected value: there is one, and it is a whole value. `is_whole` says
    /// whether this node is one. False if something is wrong.
    fn names(&mut self, key: &str, node: &Node, path: &Path<'_>, is_whole: bool) -> bool {
        const TAKEN: [&str; 6] =
            ["param_eq", "param_in", "param_not_in", "param_contains", "param_starts", "param_ends"];
        match &node.value {
            Value::Text(text) => {
                let Some(name) = placeholder(text).filter(|name| name.contains('.')) else { return true };
                let message = if name != CALLER {
                    format!("unknown name `{}`: there is only `{CALLER}`, the name of whoever proposes", quoted(name))
                } else if !TAKEN.contains(&key) {
                    format!("`{CALLER}` means nothing here: it goes with {}", TAKEN.join(", "))
                } else if text != CALLER || !is_whole {
                    format!("`{CALLER}` must be the whole value, not a part of one")
                } else {
                    return true;
                };
                self.error(node.pos, path, Code::UnknownWord, message);
                false
            }
            Value::List(items) => {
                let is_whole = is_whole && matches!(key, "param_in" | "param_not_in");
                // Every item is read, so that every mistake is reported.
                let right = items.iter().enumerate().map(|(i, item)| self.names(key, item, &path.item(i), is_whole));
                right.collect::<Vec<_>>().into_iter().all(|is_right| is_right)
            }
            Value::Map(entries) => {
                let right = entries.iter().map(|entry| self.names(key, &entry.value, &path.key(&entry.key), false));
                right.collect::<Vec<_>>().into_iter().all(|is_right| is_right)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }

    fn test(&mut self, key: &str, node: &Node, path: &Path<'_>) -> Option<Test> {
        match key {
            "param_gt" => self.ordered(node, path).map(Test::Gt),
            "param_gte" => self.ordered(node, path).map(Test::Gte),
            "param_lt" => self.ordered(node, path).map(Test::Lt),
            "param_lte" => self.ordered(node, path).map(Test::Lte),
            "param_eq" => self.present(node, path).map(Test::Eq),
            "param_contains" => self.present(node, path).map(Test::Contains),
            "param_in" => self.values(node, path, "a list of the values it may have, or `{ set: NAME }`").map(Test::In),
            "param_not_in" => {
                self.values(node, path, "a list of the values it must not have, or `{ set: NAME }`").map(Test::NotIn)
            }
            "param_starts" => self.part_of_text(node, path).map(Test::Starts),
            "param_ends" => self.part_of_text(node, path).map(Test::Ends),
            "param_len" => self.length(node, path).map(Test::Len),
            "param_schema" => self.shape(node, path).map(|shape| Test::Schema(Box::new(shape))),
            "param_exists" => {
                let Value::Bool(wanted) = node.value else {
                    self.wrong(node, path, "true (the parameter must be there) or false (it must not)");
                    return None;
                };
                Some(Test::Exists(wanted))
            }
            _ => self.regex(node, path).map(Test::Matches),
        }
    }

    /// The values of a list or a set.
    fn values(&mut self, node: &Node, path: &Path<'_>, wanted: &str) -> Option<Vec<serde_json::Value>> {
        let items = self.list_or_set(node, path, wanted)?;
        if items.is_empty() {
            self.error(node.pos, path, Code::EmptyValue, "must not be empty: nothing is in an empty list");
        }
        let values = items.iter().enumerate().map(|(i, item)| self.present(item, &path.item(i)));
        // Every item is read, so that every mistake is reported.
        values.collect::<Vec<_>>().into_iter().collect()
    }

    /// A text that another one begins or ends with.
    fn part_of_text(&mut self, node: &Node, path: &Path<'_>) -> Option<String> {
        let text = self.any_text(node, path, usize::MAX)?;
        if text.is_empty() {
            let message = "must not be empty: every text begins and ends with the empty one";
            self.error(node.pos, path, Code::EmptyValue, message);
            return None;
        }
        Some(text.to_owned())
    }

    /// A length: a whole number, or a mapping with `min`, `max` or both.
    fn length(&mut self, node: &Node, path: &Path<'_>) -> Option<Length> {
        const WANTED: &str = "a whole number, or a mapping with `min`, `max` or both";
        let entries = match &node.value {
            Value::Number(_) => return self.count(node, path).map(|count| Length { min: count, max: Some(count) }),
            Value::Map(entries) => entries,
            _ => {
                self.wrong(node, path, WANTED);
                return None;
            }
        };
        let (mut length, mut is_right) = (Length { min: 0, max: None }, true);
        for entry in entries {
            let here = path.key(&entry.key);
            match entry.key.as_str() {
                "min" => {
                    let min = self.count(&entry.value, &here);
                    is_right &= min.is_some();
                    length.min = min.unwrap_or_default();
                }
                "max" => {
                    length.max = self.count(&entry.value, &here);
                    is_right &= length.max.is_some();
                }
                _ => {
                    self.unknown(entry, path, "key", &["min", "max"]);
                    is_right = false;
                }
            }
        }
        if entries.is_empty() {
            self.error(node.pos, path, Code::EmptyValue, format!("must be {WANTED}: an empty one always holds"));
            return None;
        }
        if let Some(max) = length.max.filter(|max| is_right && *max < length.min) {
            let message = format!("`max` ({max}) is below `min` ({}), which leaves no length at all", length.min);
            self.error(node.pos, path, Code::InvalidValue, message);
            return None;
        }
        is_right.then_some(length)
    }

    /// A value that has an order: a number or a text.
    fn ordered(&mut self, node: &Node, path: &Path<'_>) -> Option<serde_json::Value> {
        if matches!(node.value, Value::Number(_) | Value::Text(_)) {
            return Some(node.to_json());
        }
        self.wrong(node, path, "a number or text to compare with");
        None
    }

    /// Any value but null: a parameter that is null counts as missing.
    fn present(&mut self, node: &Node, path: &Path<'_>) -> Option<serde_json::Value> {
        if node.value != Value::Null {
            return Some(node.to_json());
        }
        let message = "must be a value, not nothing (null): a parameter that is null counts as missing, which is \
            `param_exists: {name: false}`";
        self.error(node.pos, path, Code::EmptyValue, message);
        None
    }
}
