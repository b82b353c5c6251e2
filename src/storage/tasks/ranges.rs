//! Lists that are ranges of an index: the default list, and those by `completed`, by `priority` or by both, in the order
//! of creation. They come straight out of the index at any depth, and are few shapes, each prepared once.
//!
//! Two indexes serve them. The list by both values is one range of `(user_id, completed, priority, create_time, task_id)`;
//! one that leaves a value open is merged out of the ranges of all its values, which both engines do as they read.

use super::task_row::COLUMNS;
use crate::domain::{
    Comparison, Condition, Cursor, Filter, OrderField, Owner, Priority, SortValue, TaskQuery,
};
use crate::storage::engine::sql::{Fragment, Value};
use crate::storage::engine::types::{Id, Moment};

/// One such list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Ranges {
    pub(in crate::storage) owner: Owner,
    completed: Option<bool>,
    priority: Option<Priority>,
    descending: bool,
    after: Option<(Moment, Id)>,
    pub(in crate::storage) page_size: usize,
}

impl Ranges {
    /// The list, if it is one of these.
    pub(in crate::storage) fn of(owner: Owner, query: &TaskQuery) -> Option<Self> {
        let [key] = query.order.keys() else { return None };
        if query.show_deleted || key.field != OrderField::CreateTime {
            return None;
        }
        let (completed, priority) = values(&query.filter)?;
        let after = match &query.after {
            None => None,
            Some(Cursor { values, id }) => match values.as_slice() {
                [SortValue::Time(Some(time))] => Some(((*time).into(), (*id).into())),
                _ => return None,
            },
        };
        let (descending, page_size) = (key.descending, query.page_size.get());
        Some(Self { owner, completed, priority, descending, after, page_size })
    }

    /// The statement that reads it, and one row more than the page has, to know whether there is another.
    pub(in crate::storage) fn statement(&self) -> Fragment {
        let mut out = Fragment::new();
        if self.completed.is_none() && self.priority.is_none() {
            self.range(&mut out, None);
            out.sql(if self.descending { ORDER_DESC } else { ORDER_ASC });
            return self.limited(out);
        }
        let completed = self.completed.map_or(vec![false, true], |completed| vec![completed]);
        let priorities = self.priority.map_or(Priority::ALL.to_vec(), |priority| vec![priority]);
        let values =
            completed.iter().flat_map(|done| priorities.iter().map(move |priority| (*done, *priority)));
        let count = completed.len() * priorities.len();
        for (at, value) in values.enumerate() {
            out.sql(if at > 0 { " union all " } else { "" });
            if count > 1 {
                // PostgreSQL merges what is in order by itself, SQLite what the whole asks for.
                out.each("(", "");
                self.range(&mut out, Some(value));
                out.each(self.order_of_both(), "").each(" limit ", "");
                out.bind_on_postgres(self.limit()).each(")", "");
            } else {
                self.range(&mut out, Some(value));
            }
        }
        out.each(self.order_of_both(), if self.descending { ORDER_DESC } else { ORDER_ASC });
        self.limited(out)
    }

    fn limited(&self, mut out: Fragment) -> Fragment {
        out.sql(" limit ").bind(self.limit());
        out
    }

    fn limit(&self) -> Value {
        Value::Big(i64::try_from(self.page_size + 1).unwrap_or(i64::MAX))
    }

    /// The order of the index of both values, which is named so that no other can give it: see the migration `leaner`.
    const fn order_of_both(&self) -> &'static str {
        if self.descending {
            " order by create_time desc nulls last, task_id desc nulls last"
        } else {
            " order by create_time asc nulls first, task_id asc nulls first"
        }
    }

    fn range(&self, out: &mut Fragment, of: Option<(bool, Priority)>) {
        out.sql("select ").sql(COLUMNS).sql(" from tasks where user_id = ");
        out.bind(Value::Id(self.owner.user().into())).sql(" and delete_time is null");
        if let Some((completed, priority)) = of {
            out.sql(" and completed = ").bind(Value::Bool(completed));
            out.sql(" and priority = ").bind(Value::Small(priority.code()));
        }
        if let Some((time, id)) = self.after {
            // Compared as a row, this is one range of the index on either engine.
            out.sql(" and (create_time, task_id)").sql(if self.descending { " < (" } else { " > (" });
            out.bind(Value::Time(time)).sql(", ").bind(Value::Id(id)).sql(")");
        }
    }
}

const ORDER_DESC: &str = " order by create_time desc, task_id desc";
const ORDER_ASC: &str = " order by create_time asc, task_id asc";

/// The values that a filter asks for, when it asks for nothing else.
fn values(filter: &Filter) -> Option<(Option<bool>, Option<Priority>)> {
    let parts = match filter {
        Filter::All(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let (mut completed, mut priority) = (None, None);
    for part in parts {
        match part {
            Filter::Is(Condition::Completed(value)) if completed.is_none() => completed = Some(*value),
            Filter::Is(Condition::Priority(Comparison::Equal, value)) if priority.is_none() => {
                priority = Some(*value);
            }
            _ => return None,
        }
    }
    Some((completed, priority))
}
