//! Filters, orders and cursors of tasks as SQL.
//!
//! Each condition answers true or false, never null, so that `not` means the same on a task without the field.

use crate::domain::{
    Comparison, Condition, Cursor, Filter, OrderField, OrderKey, PresentField, SortValue, TaskQuery,
    TimeField,
};
use crate::storage::engine::sql::{Fragment, Value};

/// What a task must fulfil to be on this page, besides being the owner's.
pub(in crate::storage) fn condition(query: &TaskQuery) -> Fragment {
    let mut out = Fragment::new();
    out.sql(if query.show_deleted { "true" } else { "delete_time is null" });
    // The lists that are sent all day are made elsewhere (`ranges.rs`); the default one in another order is a plain shape.
    if query.filter != Filter::everything() || query.order.keys().len() > 1 {
        out.shaped_by_caller();
    }
    if query.filter != Filter::everything() {
        out.sql(" and ");
        filter(&mut out, &query.filter);
    }
    if let Some(cursor) = &query.after {
        out.sql(" and ");
        after(&mut out, query.order.keys(), query.order.id_descending(), cursor);
    }
    out
}

fn filter(out: &mut Fragment, tree: &Filter) {
    match tree {
        Filter::All(parts) if parts.is_empty() => {
            out.sql("true");
        }
        Filter::All(parts) => joined(out, parts, " and "),
        Filter::Any(parts) if parts.is_empty() => {
            out.sql("false");
        }
        Filter::Any(parts) => joined(out, parts, " or "),
        Filter::Not(inner) => {
            out.sql("not ");
            joined(out, std::slice::from_ref(&**inner), "");
        }
        Filter::Is(one) => single(out, one),
    }
}

fn joined(out: &mut Fragment, parts: &[Filter], with: &'static str) {
    out.sql("(");
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            out.sql(with);
        }
        filter(out, part);
    }
    out.sql(")");
}

fn single(out: &mut Fragment, condition: &Condition) {
    match condition {
        Condition::Completed(value) => out.sql("completed = ").bind(Value::Bool(*value)),
        Condition::Priority(comparison, priority) => {
            out.sql("priority").sql(operator(*comparison)).bind(Value::Small(priority.code()))
        }
        Condition::TitleIs(text) => out.sql("title = ").bind(Value::Text(text.clone())),
        Condition::TitleContains(text) => contains(out, "title_key", text),
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
    }
}

const fn order_column(field: OrderField) -> &'static str {
    match field {
        OrderField::CreateTime => "create_time",
        OrderField::UpdateTime => "update_time",
        OrderField::DueTime => "due_time",
        OrderField::Priority => "priority",
        OrderField::Title => "title_key",
    }
}

/// The `order by` list: the keys, then the id.
pub(in crate::storage) fn order(query: &TaskQuery) -> Fragment {
    let mut out = Fragment::new();
    if query.order.keys().len() > 1 {
        out.shaped_by_caller();
    }
    for key in query.order.keys() {
        if key.field == OrderField::DueTime {
            // False before true on both engines: the tasks without a due time come last.
            out.sql("(due_time is null), ");
        }
        out.sql(order_column(key.field)).sql(direction(key.descending)).sql(", ");
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
        match value {
            SortValue::Time(None) => out.sql(order_column(key.field)).sql(" is null and "),
            value => out.sql(order_column(key.field)).sql(" = ").bind(bound(value)).sql(" and "),
        };
    }
}

fn key_beyond(out: &mut Fragment, key: OrderKey, value: &SortValue) {
    let column = order_column(key.field);
    match value {
        // Nothing comes after the absent ones.
        SortValue::Time(None) => out.sql("false"),
        value if key.field == OrderField::DueTime => {
            out.sql("(due_time is null or due_time").sql(beyond(key.descending)).bind(bound(value)).sql(")")
        }
        value => out.sql(column).sql(beyond(key.descending)).bind(bound(value)),
    };
}

const fn beyond(descending: bool) -> &'static str {
    if descending { " < " } else { " > " }
}

fn bound(value: &SortValue) -> Value {
    match value {
        SortValue::Time(time) => {
            Value::Time(crate::storage::engine::types::Moment(time.map_or(0, |time| time.as_micros())))
        }
        SortValue::Priority(priority) => Value::Small(priority.code()),
        SortValue::Text(text) => Value::Text(text.clone()),
    }
}
