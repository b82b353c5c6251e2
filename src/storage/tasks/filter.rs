//! Filters, orders and cursors of tasks as SQL.
//!
//! Each condition answers true or false, never null, so that `not` means the same on a task without the field.

use crate::domain::{
    Comparison, Condition, Cursor, Filter, OrderField, OrderKey, PresentField, SortValue, TaskQuery,
    TimeField, Timestamp,
};
use crate::storage::engine::sql::{Fragment, Value};
use crate::storage::engine::types::Moment;

/// What a task must fulfil to be on this page, besides being the owner's.
pub(in crate::storage) fn condition(query: &TaskQuery) -> Fragment {
    let mut out = Fragment::new();
    out.sql(if query.show_deleted { "true" } else { "delete_time is null" });
    // The lists that are sent all day are made elsewhere (`ranges.rs`); the default one in another order is a plain shape, and
    // so is one list by position, as whoever shows it asks for it.
    let is_plain = query.filter == Filter::everything() || is_list_by_position(query);
    if !is_plain || query.order.keys().len() > 1 {
        out.shaped_by_caller();
    }
    if query.filter != Filter::everything() {
        out.sql(" and ");
        filter(&mut out, &query.filter, query.now);
    }
    if let Some(cursor) = &query.after {
        out.sql(" and ");
        after(&mut out, query.order.keys(), query.order.id_descending(), cursor);
    }
    out
}

/// Whether this is what lies in one list, or in none, in its own order.
fn is_list_by_position(query: &TaskQuery) -> bool {
    matches!(query.filter, Filter::Is(Condition::InList(_)))
        && matches!(query.order.keys(), [OrderKey { field: OrderField::Position, .. }])
}

fn filter(out: &mut Fragment, tree: &Filter, now: Timestamp) {
    match tree {
        Filter::All(parts) if parts.is_empty() => {
            out.sql("true");
        }
        Filter::All(parts) => joined(out, parts, " and ", now),
        Filter::Any(parts) if parts.is_empty() => {
            out.sql("false");
        }
        Filter::Any(parts) => joined(out, parts, " or ", now),
        Filter::Not(inner) => {
            out.sql("not ");
            joined(out, std::slice::from_ref(&**inner), "", now);
        }
        Filter::Is(one) => single(out, one, now),
    }
}

fn joined(out: &mut Fragment, parts: &[Filter], with: &'static str, now: Timestamp) {
    out.sql("(");
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            out.sql(with);
        }
        filter(out, part, now);
    }
    out.sql(")");
}

fn single(out: &mut Fragment, condition: &Condition, now: Timestamp) {
    match condition {
        Condition::Completed(value) => out.sql("completed = ").bind(Value::Bool(*value)),
        Condition::Priority(comparison, priority) => {
            out.sql("priority").sql(operator(*comparison)).bind(Value::Small(priority.code()))
        }
        Condition::TitleIs(text) => out.sql("title = ").bind(Value::Text(text.clone())),
        Condition::TitleContains(text) => contains(out, "title_key", text),
        Condition::Time(TimeField::Start, comparison, time) => {
            start_time(out.sql("coalesce(")).sql(operator(*comparison));
            out.bind(Value::Big(time.as_micros())).sql(", false)")
        }
        Condition::Time(field, comparison, time) => {
            let column = time_column(*field);
            out.sql("(").sql(column).sql(" is not null and ").sql(column).sql(operator(*comparison));
            out.bind(Value::Time((*time).into())).sql(")")
        }
        Condition::Present(PresentField::Description) => out.sql("coalesce(description, '') <> ''"),
        Condition::Present(PresentField::DueTime) => out.sql("due_time is not null"),
        Condition::Present(PresentField::CompleteTime) => out.sql("complete_time is not null"),
        Condition::Present(PresentField::Labels) => {
            out.each("jsonb_array_length(labels) > 0", "json_array_length(labels) > 0")
        }
        Condition::Present(PresentField::DueDate) => out.sql("(details->>'due_day') is not null"),
        Condition::Present(PresentField::StartTime) => out.sql("(details->>'start_time') is not null"),
        Condition::Present(PresentField::DeleteTime) => out.sql("delete_time is not null"),
        Condition::Present(PresentField::TaskList) => out.sql("list_id is not null"),
        Condition::InList(None) => out.sql("list_id is null"),
        Condition::InList(Some((user, list))) => {
            out.sql("(");
            if let Some(user) = user {
                out.sql("user_id = ").bind(Value::Id((*user).into())).sql(" and ");
            }
            out.sql("list_id is not null and list_id = ").bind(Value::Id((*list).into())).sql(")")
        }
        Condition::Recurring(true) => out.sql("(details->>'recurrence') is not null"),
        Condition::Recurring(false) => out.sql("(details->>'recurrence') is null"),
        Condition::Present(PresentField::ParentTask) => out.sql("parent_id is not null"),
        Condition::Below(None) => out.sql("parent_id is null"),
        Condition::Below(Some((user, parent))) => {
            out.sql("(");
            if let Some(user) = user {
                out.sql("user_id = ").bind(Value::Id((*user).into())).sql(" and ");
            }
            out.sql("parent_id is not null and parent_id = ").bind(Value::Id((*parent).into())).sql(")")
        }
        Condition::DueDate(comparison, day) => {
            out.each("coalesce((details->>'due_day')::bigint", "coalesce((details->>'due_day')");
            out.sql(operator(*comparison)).bind(Value::Big(day.number().into())).sql(", false)")
        }
        Condition::Overdue(true) => overdue(out, now),
        Condition::Overdue(false) => overdue(out.sql("not "), now),
        Condition::HasAnnotation(key) => annotation(out.sql("("), key).sql(" is not null)"),
        Condition::Annotation(key, value) => {
            annotation(out.sql("coalesce("), key).sql(" = ").bind(Value::Text(value.clone())).sql(", false)")
        }
        Condition::HasLabel(label) => {
            out.each("jsonb_exists(labels, ", "exists (select 1 from json_each(labels) where value = ");
            out.bind(Value::Text(label.clone())).sql(")")
        }
        Condition::Word(text) => {
            out.sql("(");
            contains(out, "title_key", text);
            out.sql(" or ");
            contains(out, "coalesce(description_key, '')", text);
            out.sql(")")
        }
    };
}

/// The text under a key; null without one.
fn annotation<'a>(out: &'a mut Fragment, key: &str) -> &'a mut Fragment {
    out.each(
        "details->'annotations'->>",
        "(select value from json_each(details, '$.annotations') where key = ",
    );
    out.bind(Value::Text(key.to_owned())).each("", ")")
}

/// When work is to begin, in microseconds; null without.
fn start_time(out: &mut Fragment) -> &mut Fragment {
    out.each("(details->>'start_time')::bigint", "(details->>'start_time')")
}

/// Whether a task is neither completed nor deleted, and was due before now, by its due time or the end of its due day.
pub(in crate::storage) fn overdue(out: &mut Fragment, now: Timestamp) -> &mut Fragment {
    out.sql("(not completed and delete_time is null and coalesce(due_time < ").bind(Value::Time(now.into()));
    out.each(", (details->>'due_end')::bigint < ", ", (details->>'due_end') < ");
    out.bind(Value::Big(now.as_micros())).sql(", false))")
}

/// A search for the text itself: neither engine knows wildcards here.
fn contains<'a>(out: &'a mut Fragment, column: &'static str, text: &str) -> &'a mut Fragment {
    out.each("strpos(", "instr(").sql(column).sql(", ").bind(Value::Text(text.to_owned())).sql(") > 0")
}

const fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => " = ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
    }
}

const fn time_column(field: TimeField) -> &'static str {
    match field {
        TimeField::Create => "create_time",
        TimeField::Update => "update_time",
        TimeField::Due => "due_time",
        TimeField::Complete => "complete_time",
        TimeField::Delete => "delete_time",
        // Made of what JSON holds.
        TimeField::Start => "null",
    }
}

/// What an order compares; times that JSON holds in microseconds.
fn order_column(out: &mut Fragment, field: OrderField) -> &mut Fragment {
    match field {
        OrderField::CreateTime => out.sql("create_time"),
        OrderField::UpdateTime => out.sql("update_time"),
        OrderField::DueTime => out.sql("due_time"),
        OrderField::Priority => out.sql("priority"),
        OrderField::Title => out.sql("title_key"),
        OrderField::StartTime => start_time(out),
        OrderField::Position => out.sql("position"),
        OrderField::Due => out.each(
            "coalesce((extract(epoch from due_time) * 1000000)::bigint, (details->>'due_end')::bigint)",
            "coalesce(due_time, details->>'due_end')",
        ),
    }
}

/// Whether tasks may lack it: those come last.
const fn may_be_absent(field: OrderField) -> bool {
    matches!(field, OrderField::DueTime | OrderField::Due | OrderField::StartTime)
}

/// The `order by` list: the keys, then the id.
pub(in crate::storage) fn order(query: &TaskQuery) -> Fragment {
    let mut out = Fragment::new();
    if query.order.keys().len() > 1 {
        out.shaped_by_caller();
    }
    if let [OrderKey { field: OrderField::Position, descending }] = query.order.keys() {
        // No two tasks of a user have the same.
        out.sql("position").sql(direction(*descending));
        return out;
    }
    for key in query.order.keys() {
        if may_be_absent(key.field) {
            // False before true on both engines: the tasks without one come last.
            order_column(out.sql("("), key.field).sql(" is null), ");
        }
        order_column(&mut out, key.field).sql(direction(key.descending)).sql(", ");
    }
    out.sql("task_id").sql(direction(query.order.id_descending()));
    out
}

const fn direction(descending: bool) -> &'static str {
    if descending { " desc" } else { " asc" }
}

/// Everything that comes after the cursor.
fn after(out: &mut Fragment, keys: &[OrderKey], id_descending: bool, cursor: &Cursor) {
    if let ([OrderKey { field: OrderField::CreateTime, descending }], [SortValue::Time(Some(time))]) =
        (keys, cursor.values.as_slice())
    {
        // Compared as a row, this is one range of the index on either engine.
        out.sql("(create_time, task_id)").sql(beyond(*descending)).sql("(").bind(Value::Time((*time).into()));
        out.sql(", ").bind(Value::Id(cursor.id.into())).sql(")");
        return;
    }
    if let ([key @ OrderKey { field: OrderField::Position, .. }], [position]) =
        (keys, cursor.values.as_slice())
    {
        out.sql("position").sql(beyond(key.descending)).bind(bound(*key, position));
        return;
    }
    // (a beyond x) or (a = x and b beyond y) or … and at last the id.
    out.sql("(");
    for length in 0..keys.len() {
        equal_up_to(out, keys, cursor, length);
        key_beyond(out, keys[length], &cursor.values[length]);
        out.sql(" or ");
    }
    equal_up_to(out, keys, cursor, keys.len());
    out.sql("task_id").sql(beyond(id_descending)).bind(Value::Id(cursor.id.into())).sql(")");
}

fn equal_up_to(out: &mut Fragment, keys: &[OrderKey], cursor: &Cursor, length: usize) {
    for (key, value) in keys.iter().zip(&cursor.values).take(length) {
        order_column(out, key.field);
        match value {
            SortValue::Time(None) => out.sql(" is null and "),
            value => out.sql(" = ").bind(bound(*key, value)).sql(" and "),
        };
    }
}

fn key_beyond(out: &mut Fragment, key: OrderKey, value: &SortValue) {
    if *value == SortValue::Time(None) {
        // Nothing comes after the absent ones.
        out.sql("false");
        return;
    }
    out.sql("(");
    if may_be_absent(key.field) {
        order_column(out, key.field).sql(" is null or ");
    }
    order_column(out, key.field).sql(beyond(key.descending)).bind(bound(key, value)).sql(")");
}

const fn beyond(descending: bool) -> &'static str {
    if descending { " < " } else { " > " }
}

fn bound(key: OrderKey, value: &SortValue) -> Value {
    match value {
        SortValue::Time(time) if matches!(key.field, OrderField::Due | OrderField::StartTime) => {
            Value::Big(time.map_or(0, Timestamp::as_micros))
        }
        SortValue::Time(time) => Value::Time(Moment(time.map_or(0, Timestamp::as_micros))),
        SortValue::Priority(priority) => Value::Small(priority.code()),
        SortValue::Text(text) => Value::Text(text.clone()),
    }
}
