//! How an order is spelled: the text of `order_by` read into the domain's `TaskOrder`.

use crate::domain::{InvalidReason, OrderField, OrderKey, Rule, TaskOrder};

const MAX_BYTES: usize = 1000;

/// Reads an order; the empty one is newest first.
pub(in crate::api) fn parse(text: &str) -> Result<TaskOrder, Rule> {
    if text.len() > MAX_BYTES {
        return Err(refusal(format!("must have at most {MAX_BYTES} bytes")));
    }
    if words(text).next().is_none() {
        return Ok(TaskOrder::newest_first());
    }
    TaskOrder::by(text.split(',').zip(1..).map(key).collect::<Result<_, _>>()?)
}

/// One entry of the list, with its place in it, counted from 1.
fn key((entry, place): (&str, usize)) -> Result<OrderKey, Rule> {
    let mut words = words(entry);
    let Some(field) = words.next().and_then(field) else {
        return Err(refusal(format!(
            "entry {place}: expected one of the fields create_time, update_time, due_time, due, start_time, priority, \
             title and position"
        )));
    };
    let descending = match (words.next(), words.next()) {
        (None | Some("asc"), None) => false,
        (Some("desc"), None) => true,
        _ => {
            return Err(refusal(format!(
                "entry {place}: expected only desc or asc after the field; a comma separates the fields"
            )));
        }
    };
    Ok(OrderKey { field, descending })
}

/// What spaces separate; of white space AIP-132 knows the space alone.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

fn field(name: &str) -> Option<OrderField> {
    Some(match name {
        "create_time" => OrderField::CreateTime,
        "update_time" => OrderField::UpdateTime,
        "due_time" => OrderField::DueTime,
        "priority" => OrderField::Priority,
        "title" => OrderField::Title,
        "due" => OrderField::Due,
        "start_time" => OrderField::StartTime,
        "position" => OrderField::Position,
        _ => return None,
    })
}

fn refusal(text: String) -> Rule {
    Rule::of(InvalidReason::OrderBy, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrderField::*;

    #[test]
    fn an_empty_order_is_newest_first() {
        for text in ["", " ", "     "] {
            assert_eq!(parse(text).unwrap(), TaskOrder::newest_first(), "{text:?}");
        }
        assert_eq!(parse("create_time desc").unwrap(), TaskOrder::newest_first());
    }

    #[test]
    fn fields_come_in_either_direction_and_spaces_do_not_matter() {
        let all = "create_time,update_time,due_time,priority,title";
        for (text, expected) in [
            ("create_time", vec![(CreateTime, false)]),
            ("update_time asc", vec![(UpdateTime, false)]),
            ("due_time desc", vec![(DueTime, true)]),
            ("priority desc, due_time", vec![(Priority, true), (DueTime, false)]),
            ("  priority   desc  ,due_time  ", vec![(Priority, true), (DueTime, false)]),
            ("title asc,priority desc", vec![(Title, false), (Priority, true)]),
            (all, [CreateTime, UpdateTime, DueTime, Priority, Title].map(|field| (field, false)).to_vec()),
        ] {
            let keys =
                expected.into_iter().map(|(field, descending)| OrderKey { field, descending }).collect();
            assert_eq!(parse(text).unwrap(), TaskOrder::by(keys).unwrap(), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let (fields, direction) = ("expected one of the fields create_time", "expected only desc or asc");
        for (text, entry, part) in [
            ("name", "entry 1: ", fields),
            ("Title", "entry 1: ", fields),
            ("desc", "entry 1: ", fields),
            (",", "entry 1: ", fields),
            (",title", "entry 1: ", fields),
            ("title,", "entry 2: ", fields),
            ("title, ,priority", "entry 2: ", fields),
            ("title\0", "entry 1: ", fields),
            ("title\tdesc", "entry 1: ", fields),
            ("title; drop table tasks", "entry 1: ", fields),
            ("priority, (select 1)", "entry 2: ", fields),
            ("-title", "entry 1: ", fields),
            ("title DESC", "entry 1: ", direction),
            ("title priority", "entry 1: ", direction),
            ("title desc asc", "entry 1: ", direction),
            ("priority, title desc desc", "entry 2: ", direction),
            ("title,priority,title desc", "", "must name each field at most once"),
            ("title desc,title desc", "", "must name each field at most once"),
        ] {
            let rule = parse(text).unwrap_err();
            assert_eq!(rule.reason, InvalidReason::OrderBy, "{text:?}");
            assert!(rule.text.starts_with(&format!("{entry}{part}")), "{text:?}: {}", rule.text);
        }
    }

    #[test]
    fn the_length_is_bounded() {
        let padded = |spaces| format!("title{}", " ".repeat(spaces));
        assert!(parse(&padded(MAX_BYTES - 5)).is_ok());
        assert_eq!(parse(&padded(MAX_BYTES - 4)).unwrap_err().text, "must have at most 1000 bytes");
        assert!(parse(&",".repeat(1000)).is_err());
        assert!(parse(&"title,".repeat(200_000)).is_err());
    }
}
