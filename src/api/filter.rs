//! How a filter is spelled: the grammar of AIP-160, as far as `ListTasksRequest` states it, read into the
//! domain's `Filter`.
//!
//! The parser never goes back by more than one word, so that its time is linear in the text.

use std::borrow::Cow;

use winnow::combinator::{alt, eof, not, opt, peek, preceded, repeat, repeat_till, separated, terminated};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location as _, Stateful};
use winnow::token::{one_of, take_till, take_while};

use crate::domain::{
    Comparison, Condition, Filter, InvalidReason, PresentField, Priority, Rule, TimeField, Timestamp,
    text::fold,
};

const MAX_BYTES: usize = 1000;
const MAX_TERMS: usize = 20;
const MAX_DEPTH: usize = 10;

const NO_CONDITION: &str = "expected a condition: field, operator and value, or a text, or (";
const NO_VALUE: &str = "expected a value: a word without an operator in it, or a text in double quotes";
const KEYWORD: &str = "expected a condition or a value; as texts, AND, OR and NOT stand in double quotes";
const UNKNOWN_FIELD: &str = "unknown field; the fields are completed, priority, title, description, labels, \
    due_time, create_time, update_time, complete_time; a text with an operator in it stands in double quotes";

type Input<'text> = Stateful<LocatingSlice<&'text str>, Counts>;
type Parsed<T> = Result<T, Refusal>;

/// What is limited, as far as the parser has come.
#[derive(Debug, Default)]
struct Counts {
    terms: usize,
    depth: usize,
}

#[derive(Debug)]
enum Refusal {
    /// Something else may stand here.
    NotHere,
    /// This is wrong, after this many bytes, whatever else is tried.
    Final(usize, Cow<'static, str>),
}

impl ParserError<Input<'_>> for Refusal {
    type Inner = Self;

    fn from_input(_: &Input<'_>) -> Self {
        Self::NotHere
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }

    fn is_backtrack(&self) -> bool {
        matches!(self, Self::NotHere)
    }
}

fn refused<T>(at: usize, what: impl Into<Cow<'static, str>>) -> Parsed<T> {
    Err(Refusal::Final(at, what.into()))
}

/// Reads a filter; the empty one lets every task pass.
pub(super) fn parse(text: &str) -> Result<Filter, Rule> {
    let rule = |text: String| Rule::of(InvalidReason::Filter, text);
    if text.len() > MAX_BYTES {
        return Err(rule(format!("must have at most {MAX_BYTES} bytes")));
    }
    read(text).map_err(|refusal| {
        let (at, what) = match refusal {
            Refusal::Final(at, what) => (at, what),
            Refusal::NotHere => (text.len(), NO_CONDITION.into()),
        };
        let position = text.char_indices().take_while(|(start, _)| *start < at).count() + 1;
        rule(format!("at character {position}: {what}"))
    })
}

fn read(text: &str) -> Parsed<Filter> {
    if let Some(at) = text.find(char::is_control) {
        return refused(
            at,
            "must not contain control characters, not even tabs or line feeds",
        );
    }
    let mut input = Stateful {
        input: LocatingSlice::new(text),
        state: Counts::default(),
    };
    spaces(&mut input)?;
    if input.is_empty() {
        return Ok(Filter::everything());
    }
    let filter = expression(&mut input)?;
    if input.is_empty() {
        Ok(filter)
    } else {
        refused(start(&input), "unexpected ), as no ( is open")
    }
}

fn start(input: &Input<'_>) -> usize {
    input.current_token_start()
}

fn expression(input: &mut Input<'_>) -> Parsed<Filter> {
    separated(1.., sequence, keyword("AND"))
        .map(|parts| joined(Filter::All, parts))
        .parse_next(input)
}

fn sequence(input: &mut Input<'_>) -> Parsed<Filter> {
    let end = alt((eof.void(), ')'.void(), keyword("AND").void()));
    let factors = repeat_till(1.., factor, peek(end));
    factors
        .map(|(parts, ())| joined(Filter::All, parts))
        .parse_next(input)
}

fn factor(input: &mut Input<'_>) -> Parsed<Filter> {
    separated(1.., term, keyword("OR"))
        .map(|parts| joined(Filter::Any, parts))
        .parse_next(input)
}

/// The parts under one `wrap`: one alone is not wrapped, and what is wrapped alike is taken apart.
fn joined(wrap: fn(Vec<Filter>) -> Filter, parts: Vec<Filter>) -> Filter {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match (part, wrap(Vec::new())) {
            (Filter::All(inner), Filter::All(_)) | (Filter::Any(inner), Filter::Any(_)) => flat.extend(inner),
            (part, _) => flat.push(part),
        }
    }
    if flat.len() == 1 {
        flat.remove(0)
    } else {
        wrap(flat)
    }
}

fn term(input: &mut Input<'_>) -> Parsed<Filter> {
    let at = start(input);
    if opt(negation).parse_next(input)?.is_none() {
        return simple(input);
    }
    if opt(negation).parse_next(input)?.is_some() {
        return refused(at, "expected at most one NOT or - before a condition or a (");
    }
    nested(at, simple, input).map(|inner| Filter::Not(Box::new(inner)))
}

fn negation(input: &mut Input<'_>) -> Parsed<()> {
    alt((keyword("NOT").void(), '-'.void())).parse_next(input)
}

fn simple(input: &mut Input<'_>) -> Parsed<Filter> {
    let at = start(input);
    if opt(token("(")).parse_next(input)?.is_none() {
        return condition(input);
    }
    let inner = nested(at, expression, input)?;
    let closed = opt(token(")")).parse_next(input)?.is_some();
    if closed {
        Ok(inner)
    } else {
        refused(at, "expected a ) that closes this (")
    }
}

type Part = fn(&mut Input<'_>) -> Parsed<Filter>;

/// What `part` reads, one level deeper. The check comes first, so that no text makes the stack grow.
fn nested(at: usize, part: Part, input: &mut Input<'_>) -> Parsed<Filter> {
    if input.state.depth == MAX_DEPTH {
        return refused(
            at,
            format!("must nest at most {MAX_DEPTH} parentheses and negations"),
        );
    }
    input.state.depth += 1;
    let filter = part(input)?;
    input.state.depth -= 1;
    Ok(filter)
}

/// One term: a comparison, or a text alone.
fn condition(input: &mut Input<'_>) -> Parsed<Filter> {
    let at = start(input);
    let Some(left) = opt(|input: &mut _| text(":", input)).parse_next(input)? else {
        return refused(at, NO_CONDITION);
    };
    input.state.terms += 1;
    if input.state.terms > MAX_TERMS {
        return refused(at, format!("must have at most {MAX_TERMS} terms"));
    }
    let operator_at = start(input);
    let Some(operator) = opt(operator).parse_next(input)? else {
        return Ok(Filter::Is(Condition::Word(fold(left.not_empty()?))));
    };
    if left.quoted {
        return refused(
            at,
            "expected a field before the operator; it stands without quotes",
        );
    }
    let Some(field) = FIELDS.iter().find(|(name, _, _)| *name == left.chars) else {
        return refused(at, UNKNOWN_FIELD);
    };
    let value_at = start(input);
    // A colon ends no value, so that a time can stand without quotes.
    let Some(value) = opt(|input: &mut _| text("", input)).parse_next(input)? else {
        return refused(value_at, NO_VALUE);
    };
    comparison(field, operator_at, operator, &value)
}

/// A field as callers write it: its name, what it is, and the operators that it takes.
type Field = (&'static str, Kind, &'static str);

enum Kind {
    Completed,
    Priority,
    Title,
    Description,
    Labels,
    Time(TimeField),
}

const FIELDS: [Field; 9] = [
    ("completed", Kind::Completed, "= and !="),
    ("priority", Kind::Priority, "= != < <= > >="),
    ("title", Kind::Title, "= != and :"),
    ("description", Kind::Description, ":* alone"),
    ("labels", Kind::Labels, ": alone"),
    ("due_time", Kind::Time(TimeField::Due), "= != < <= > >= and :*"),
    ("create_time", Kind::Time(TimeField::Create), "= != < <= > >="),
    ("update_time", Kind::Time(TimeField::Update), "= != < <= > >="),
    (
        "complete_time",
        Kind::Time(TimeField::Complete),
        "= != < <= > >= and :*",
    ),
];

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Has,
    Is(Comparison),
    IsNot,
}

fn operator(input: &mut Input<'_>) -> Parsed<Operator> {
    alt((
        token("!=").value(Operator::IsNot),
        token("<=").value(Operator::Is(Comparison::LessOrEqual)),
        token("<").value(Operator::Is(Comparison::Less)),
        token(">=").value(Operator::Is(Comparison::GreaterOrEqual)),
        token(">").value(Operator::Is(Comparison::Greater)),
        token("=").value(Operator::Is(Comparison::Equal)),
        token(":").value(Operator::Has),
    ))
    .parse_next(input)
}

fn comparison((name, kind, takes): &Field, at: usize, operator: Operator, value: &Text) -> Parsed<Filter> {
    use Operator::{Has, Is, IsNot};
    if operator == IsNot {
        let equal = comparison(&(name, *kind, takes), at, Is(Comparison::Equal), value)?;
        return Ok(Filter::Not(Box::new(equal)));
    }
    let anything = value.chars == "*" && !value.quoted;
    Ok(Filter::Is(match (kind, operator) {
        (Kind::Completed, Is(Comparison::Equal)) => Condition::Completed(value.truth()?),
        (Kind::Priority, Is(comparison)) => Condition::Priority(comparison, value.priority()?),
        (Kind::Title, Is(Comparison::Equal)) => Condition::TitleIs(value.chars.clone()),
        (Kind::Title, Has) => Condition::TitleContains(fold(value.not_empty()?)),
        (Kind::Description, Has) if anything => Condition::Present(PresentField::Description),
        (Kind::Labels, Has) if anything => Condition::Present(PresentField::Labels),
        (Kind::Labels, Has) => Condition::HasLabel(value.not_empty()?.to_owned()),
        (Kind::Time(TimeField::Due), Has) if anything => Condition::Present(PresentField::DueTime),
        (Kind::Time(TimeField::Complete), Has) if anything => Condition::Present(PresentField::CompleteTime),
        (Kind::Time(time), Is(comparison)) => Condition::Time(*time, comparison, value.time()?),
        _ => return refused(at, format!("{name} takes {takes}")),
    }))
}

/// A word, or a string without its quotes and escapes.
struct Text {
    at: usize,
    chars: String,
    quoted: bool,
}

impl Text {
    fn not_empty(&self) -> Parsed<&str> {
        if self.chars.is_empty() {
            refused(self.at, "the text must not be empty")
        } else {
            Ok(&self.chars)
        }
    }

    fn truth(&self) -> Parsed<bool> {
        match self.chars.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => refused(self.at, "expected true or false"),
        }
    }

    fn priority(&self) -> Parsed<Priority> {
        match self.chars.strip_prefix("PRIORITY_").unwrap_or(&self.chars) {
            "LOW" => Ok(Priority::Low),
            "MEDIUM" => Ok(Priority::Medium),
            "HIGH" => Ok(Priority::High),
            _ => refused(self.at, "expected LOW, MEDIUM or HIGH"),
        }
    }

    /// A time as RFC 3339 spells it in upper case. Digits below the microsecond are cut off.
    fn time(&self) -> Parsed<Timestamp> {
        let shape = self.chars.replace(|digit: char| digit.is_ascii_digit(), "0");
        let zone = shape
            .strip_prefix("0000-00-00T00:00:00")
            .map(|rest| match rest.strip_prefix(".0") {
                Some(more) => more.trim_start_matches('0'),
                None => rest,
            });
        if !matches!(zone, Some("Z" | "+00:00" | "-00:00")) {
            return refused(
                self.at,
                "expected an RFC 3339 time such as \"2026-03-01T09:00:00Z\"",
            );
        }
        // The clock of the service knows no leap seconds; to take one would be to guess what is meant.
        if self.chars.get(17..19) == Some("60") {
            return refused(
                self.at,
                "expected no leap second, but the second before or after it",
            );
        }
        // prost reads more spellings than RFC 3339 has; the shape leaves it the calendar and the offset.
        let Ok(time) = self.chars.parse::<prost_types::Timestamp>() else {
            return refused(self.at, "expected a date, a time of day and an offset that exist");
        };
        Timestamp::from_parts(time.seconds, time.nanos)
            .or_else(|_| refused(self.at, "expected a time between the years 1 and 9999 in UTC"))
    }
}

/// A string, or a word that runs up to white space, a quote, a parenthesis, an operator or one of `also`.
fn text(also: &'static str, input: &mut Input<'_>) -> Parsed<Text> {
    let at = start(input);
    if let Some(chars) = opt(string).parse_next(input)? {
        return Ok(Text {
            at,
            chars,
            quoted: true,
        });
    }
    let chars = word(also).parse_next(input)?;
    if matches!(chars, "AND" | "OR" | "NOT") {
        return refused(at, KEYWORD);
    }
    Ok(Text {
        at,
        chars: chars.to_owned(),
        quoted: false,
    })
}

fn string(input: &mut Input<'_>) -> Parsed<String> {
    let at = start(input);
    let escaped = preceded('\\', one_of(['"', '\\']).take());
    let pieces = repeat(0.., alt((take_till(1.., ['"', '\\']), escaped)));
    let chars = preceded('"', pieces).parse_next(input)?;
    if input.is_empty() {
        return refused(at, "expected a double quote that closes this one");
    }
    if opt(token("\"")).parse_next(input)?.is_none() {
        return refused(start(input), r#"expected \" or \\, as there is no other escape"#);
    }
    Ok(chars)
}

fn word<'text>(also: &'static str) -> impl Parser<Input<'text>, &'text str, Refusal> {
    let ends = move |char: char| char.is_whitespace() || "\"()=<>!".contains(char) || also.contains(char);
    // An exclamation mark ends a word only where != begins.
    let piece = alt((
        take_while(1.., move |char| !ends(char)).void(),
        ('!', not('=')).void(),
    ));
    terminated(repeat::<_, _, (), _, _>(1.., piece).take(), spaces)
}

fn keyword<'text>(name: &'static str) -> impl Parser<Input<'text>, &'text str, Refusal> {
    word(":").verify(move |word: &str| word == name)
}

fn token<'text>(name: &'static str) -> impl Parser<Input<'text>, &'text str, Refusal> {
    terminated(name, spaces)
}

fn spaces(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}
