//! How a filter is spelled: the grammar of AIP-160, as far as `ListTasksRequest` states it, read into the
//! domain's `Filter`.
//!
//! The parser never goes back by more than one word, so that its time is linear in the text.

use winnow::combinator::{alt, eof, not, opt, peek, preceded, repeat, repeat_till, separated, terminated};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location as _, Stateful};
use winnow::token::{one_of, take_till, take_while};

use super::filter_fields::{
    ANNOTATION, ANNOTATIONS, FIELDS, Operator, Parsed, Refusal, Text, comparison, refused,
};
use crate::domain::{Annotations, Comparison, Condition, Filter, InvalidReason, Rule, text::fold};

const MAX_BYTES: usize = 1000;
const MAX_TERMS: usize = 20;
const MAX_DEPTH: usize = 10;

const CONDITION: &str = "expected a condition: field, operator and value, or a text, or (";
const VALUE: &str = "expected a value: a word without an operator in it, or a text in double quotes";
const QUOTE: &str = r#"expected a closing double quote; before it, a backslash stands only in \" and \\"#;
const FIELD: &str = "unknown field; the fields are completed, priority, title, description, labels, \
    due_time, due_date, start_time, overdue, create_time, update_time, complete_time, delete_time, \
    task_list, parent_task, recurring, annotations.KEY; a text with an operator in it stands in double quotes";

type Input<'text> = Stateful<LocatingSlice<&'text str>, Counts>;

/// What is limited, as far as the parser has come.
#[derive(Debug, Default)]
struct Counts {
    terms: usize,
    depth: usize,
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

/// Reads what alone may stand here.
fn expected<'text, T>(
    what: &'static str,
    mut part: impl Parser<Input<'text>, T, Refusal>,
    input: &mut Input<'text>,
) -> Parsed<T> {
    let at = input.current_token_start();
    part.parse_next(input).map_err(|refusal| match refusal {
        Refusal::NotHere => Refusal::Final(at, what.into()),
        refusal => refusal,
    })
}

/// Reads a filter; the empty one lets every task pass.
pub(in crate::api) fn parse(text: &str) -> Result<Filter, Rule> {
    let rule = |text: String| Rule::of(InvalidReason::Filter, text);
    if text.len() > MAX_BYTES {
        return Err(rule(format!("must have at most {MAX_BYTES} bytes")));
    }
    read(text).map_err(|refusal| {
        let (at, what) = match refusal {
            Refusal::Final(at, what) => (at, what),
            Refusal::NotHere => (text.len(), CONDITION.into()),
        };
        let position = text.char_indices().take_while(|(start, _)| *start < at).count() + 1;
        rule(format!("at character {position}: {what}"))
    })
}

fn read(text: &str) -> Parsed<Filter> {
    if let Some(at) = text.find(char::is_control) {
        return refused(at, "must not contain control characters such as tabs");
    }
    let mut input = Stateful { input: LocatingSlice::new(text), state: Counts::default() };
    spaces(&mut input)?;
    if input.is_empty() {
        return Ok(Filter::everything());
    }
    let filter = expression(&mut input)?;
    expected("unexpected ), as no ( is open", eof, &mut input)?;
    Ok(filter)
}

fn expression(input: &mut Input<'_>) -> Parsed<Filter> {
    let parts = separated(1.., sequence, keyword("AND")).parse_next(input)?;
    Ok(joined(Filter::All, parts))
}

fn sequence(input: &mut Input<'_>) -> Parsed<Filter> {
    let end = alt((eof.void(), ')'.void(), keyword("AND").void()));
    let (parts, ()) = repeat_till(1.., factor, peek(end)).parse_next(input)?;
    Ok(joined(Filter::All, parts))
}

fn factor(input: &mut Input<'_>) -> Parsed<Filter> {
    let parts = separated(1.., term, keyword("OR")).parse_next(input)?;
    Ok(joined(Filter::Any, parts))
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
        return flat.remove(0);
    }
    wrap(flat)
}

fn term(input: &mut Input<'_>) -> Parsed<Filter> {
    let at = input.current_token_start();
    // What is negated follows a dash at once: in `milk - fresh` the dash is hardly meant to exclude.
    let negation = alt((keyword("NOT"), "-"));
    if opt(negation).parse_next(input)?.is_none() {
        return simple(input);
    }
    nested(at, simple, input).map(|inner| Filter::Not(Box::new(inner)))
}

fn simple(input: &mut Input<'_>) -> Parsed<Filter> {
    let at = input.current_token_start();
    if opt(token("(")).parse_next(input)?.is_none() {
        return condition(input);
    }
    let inner = nested(at, expression, input)?;
    expected("expected another condition or )", token(")"), input)?;
    Ok(inner)
}

type Part = fn(&mut Input<'_>) -> Parsed<Filter>;

/// What `part` reads, one level deeper. The check comes first, so that no text makes the stack grow.
fn nested(at: usize, part: Part, input: &mut Input<'_>) -> Parsed<Filter> {
    if input.state.depth == MAX_DEPTH {
        let what = format!("must nest at most {MAX_DEPTH} parentheses and negations");
        return refused(at, what);
    }
    input.state.depth += 1;
    let filter = part(input)?;
    input.state.depth -= 1;
    Ok(filter)
}

/// One term: a comparison, or a text alone.
fn condition(input: &mut Input<'_>) -> Parsed<Filter> {
    let at = input.current_token_start();
    let left = expected(CONDITION, preceded(not('-'), text(":")), input)?;
    input.state.terms += 1;
    if input.state.terms > MAX_TERMS {
        return refused(at, format!("must have at most {MAX_TERMS} terms"));
    }
    let negated = opt(peek("!=")).parse_next(input)?.is_some();
    let Some(operator) = opt(operator).parse_next(input)? else {
        return Ok(Filter::Is(Condition::Word(fold(left.not_empty()?))));
    };
    if left.quoted {
        return refused(at, "expected a field, which stands without quotes");
    }
    let key = left.chars.strip_prefix(ANNOTATION);
    if let Some(key) = key
        && let Err(rule) = Annotations::check_key(key)
    {
        return refused(at, format!("the key of an annotation {}", rule.text));
    }
    let name = key.map_or(left.chars.as_str(), |_| ANNOTATIONS);
    let Some((field, operators)) = FIELDS.iter().find(|(field, _)| *field == name) else {
        return refused(at, FIELD);
    };
    // A colon ends no value, so that a time can stand without quotes.
    let value = expected(VALUE, text(""), input)?;
    let Some(condition) = comparison(field, key, operator, &value)? else {
        return refused(at, format!("{field} takes {operators}"));
    };
    let filter = Filter::Is(condition);
    Ok(if negated { Filter::Not(filter.into()) } else { filter })
}

fn operator(input: &mut Input<'_>) -> Parsed<Operator> {
    alt((
        token("!=").value(Operator::Is(Comparison::Equal)),
        token("<=").value(Operator::Is(Comparison::LessOrEqual)),
        token("<").value(Operator::Is(Comparison::Less)),
        token(">=").value(Operator::Is(Comparison::GreaterOrEqual)),
        token(">").value(Operator::Is(Comparison::Greater)),
        token("=").value(Operator::Is(Comparison::Equal)),
        token(":").value(Operator::Has),
    ))
    .parse_next(input)
}

/// A string, or a word that runs up to white space, a quote, a parenthesis, an operator or one of `also`.
fn text<'text>(also: &'static str) -> impl Parser<Input<'text>, Text, Refusal> {
    let no_keyword = |chars: &str| !matches!(chars, "AND" | "OR" | "NOT");
    let word = word(also).verify(no_keyword).map(str::to_owned);
    let quoted = string.map(|chars| (chars, true));
    let text = alt((quoted, word.map(|chars| (chars, false)))).with_span();
    text.map(|((chars, quoted), span)| Text { at: span.start, chars, quoted })
}

fn string(input: &mut Input<'_>) -> Parsed<String> {
    let escaped = preceded('\\', one_of(['"', '\\']).take());
    let pieces = repeat(0.., alt((take_till(1.., ['"', '\\']), escaped)));
    let chars = preceded('"', pieces).parse_next(input)?;
    expected(QUOTE, token("\""), input)?;
    Ok(chars)
}

fn word<'text>(also: &'static str) -> impl Parser<Input<'text>, &'text str, Refusal> {
    let ends = move |char: char| char.is_whitespace() || "\"()=<>!".contains(char) || also.contains(char);
    let plain = take_while(1.., move |char| !ends(char)).void();
    // An exclamation mark ends a word only where != begins.
    let piece = alt((plain, ('!', not('=')).void()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Priority;

    /// `!` for not, `&` for all, `|` for any, a bare text as it is, every other condition as `Debug` has it.
    fn shape(filter: &Filter) -> String {
        let join = |parts: &[Filter], with| parts.iter().map(shape).collect::<Vec<_>>().join(with);
        match filter {
            Filter::All(parts) => format!("({})", join(parts, " & ")),
            Filter::Any(parts) => format!("({})", join(parts, " | ")),
            Filter::Not(inner) => format!("!{}", shape(inner)),
            Filter::Is(Condition::Word(text)) => text.clone(),
            Filter::Is(other) => format!("{other:?}"),
        }
    }

    fn refusal(text: &str) -> String {
        let rule = parse(text).expect_err(text);
        assert_eq!(rule.reason, InvalidReason::Filter, "{text}");
        rule.text.into_owned()
    }

    const ACCEPTED: &str = r#"
        a b OR c ⇒ (a & (b | c)) ¦ a AND b OR c AND d ⇒ (a & (b | c) & d) ¦ a OR b c ⇒ ((a | b) & c)
        a b AND c ⇒ (a & b & c) ¦ (a AND b) (c AND d) ⇒ (a & b & c & d) ¦ ((a OR b)) OR c ⇒ (a | b | c)
        (a AND b) OR c ⇒ ((a & b) | c) ¦ ( ( a ) ) ⇒ a ¦ (a)(b) ⇒ (a & b) ¦ "a"b"c" ⇒ (a & b & c)
        NOT a b ⇒ (!a & b) ¦ -a OR b ⇒ (!a | b) ¦ NOT (a b) ⇒ !(a & b) ¦ -(a OR b) ⇒ !(a | b)
        NOT(NOT(a)) ⇒ !!a ¦ e-mail ⇒ e-mail ¦ -"-A" ⇒ !-a ¦ and or not ⇒ (and & or & not) ¦ "OR" ⇒ or
        x' OR '1';DROP ⇒ (x' | '1';drop) ¦ "x' OR '1'='1'; --" ⇒ x' or '1'='1'; -- ¦ %_*\ ⇒ %_*\ ¦ ANDY ⇒ andy
        hm!wow! ⇒ hm!wow! ¦ "1) OR (1=1" ⇒ 1) or (1=1 ¦ "\\" ⇒ \ ¦ title:"É\"" ⇒ TitleContains("é\"")
        "a \"b\" \\ c" ⇒ a "b" \ c ¦ Straße ⇒ strasse ¦ 日本 🎉 ⇒ (日本 & 🎉) ¦ due_time ⇒ due_time
        completed!=false ⇒ !Completed(false) ¦ completed = "true" ⇒ Completed(true)
        -completed=true ⇒ !Completed(true) ¦ priority=LOW ⇒ Priority(Equal, Low)
        priority < MEDIUM ⇒ Priority(Less, Medium) ¦ priority<= HIGH ⇒ Priority(LessOrEqual, High)
        priority >PRIORITY_LOW ⇒ Priority(Greater, Low) ¦ priority>=LOW ⇒ Priority(GreaterOrEqual, Low)
        priority != PRIORITY_HIGH ⇒ !Priority(Equal, High) ¦ title = "A b" ⇒ TitleIs("A b")
        title != A ⇒ !TitleIs("A") ¦ title=-5 ⇒ TitleIs("-5") ¦ title:"STRASSE 1" ⇒ TitleContains("strasse 1")
        title : a:b+c ⇒ TitleContains("a:b+c") ¦ title = "" ⇒ TitleIs("") ¦ title:* ⇒ TitleContains("*")
        -title:* ⇒ !TitleContains("*") ¦ description:* ⇒ Present(Description) ¦ labels : * ⇒ Present(Labels)
        labels:"*" ⇒ HasLabel("*") ¦ labels:"Ab" OR labels:c ⇒ (HasLabel("Ab") | HasLabel("c"))
        milk -labels:"x" ⇒ (milk & !HasLabel("x")) ¦ NOT due_time:* ⇒ !Present(DueTime)
        complete_time:* ⇒ Present(CompleteTime)
        due_time = "1970-01-01T00:00:00Z" ⇒ Time(Due, Equal, Timestamp(0))
        create_time>=1969-12-31T23:59:59.9999999+00:00 ⇒ Time(Create, GreaterOrEqual, Timestamp(-1))
        update_time<1970-01-01T05:30:00.00000199999999999+05:30 ⇒ Time(Update, Less, Timestamp(1))
        complete_time != "1969-12-31T00:01:00-23:59" ⇒ !Time(Complete, Equal, Timestamp(0))
        due_time > 2000-02-29T23:59:59Z ⇒ Time(Due, Greater, Timestamp(951868799000000))
        due_time <= 0000-12-31T23:00:00-01:00 ⇒ Time(Due, LessOrEqual, Timestamp(-62135596800000000))
        due_time > 9999-12-31T23:59:59.9999999-00:00 ⇒ Time(Due, Greater, Timestamp(253402300799999999))"#;

    #[test]
    fn accepted() {
        let done = Filter::Is(Condition::Completed(true));
        let high = Filter::Is(Condition::Priority(Comparison::Equal, Priority::High));
        assert_eq!(parse(" completed=true ").unwrap(), done);
        let both = parse("completed = true AND priority = HIGH").unwrap();
        assert_eq!(both, Filter::All(vec![done, high]));
        assert_eq!(parse("").unwrap(), Filter::everything());
        assert_eq!(parse(" \u{3000}\u{a0} ").unwrap(), Filter::everything());
        for case in ACCEPTED.trim().split(['\n', '¦']) {
            let (text, expected) = case.trim().split_once(" ⇒ ").unwrap();
            let actual = parse(text).map(|filter| shape(&filter));
            assert_eq!(actual.as_deref(), Ok(expected), "{text}");
        }
    }

    /// `@` stands for `10 due_time=`, `␀` for NUL, `␉` for a tab, `␡` for U+009F.
    const REFUSED: &str = r#"
        expected a condition: field, ⇒ 6 a AND ¦ 1 OR a ¦ 7 a AND OR b ¦ 5 a OR ¦ 4 NOT ¦ 2 () ¦ 1 = 1 ¦ 2 -
        expected a condition: field, ⇒ 1 ) ¦ 7 milk - soy ¦ 2 --a ¦ 5 NOT NOT a ¦ 5 NOT -b ¦ 11 title = b = c
        expected a value ⇒ 8 title = ¦ 9 title = AND ¦ 9 title : (a) ¦ 9 title !== a ¦ 12 completed =)
        expected another condition or ) ⇒ 3 (a ¦ 9 é ((a) b ¦ 5 ((a)
        unexpected ) ⇒ 2 a) ¦ 4 (a)) ¦ 5 (é) )
        expected a closing double quote ⇒ 3 "a ¦ 5 b "a ¦ 2 " ¦ 2 "\ ¦ 3 "é\n" ¦ 10 title : "\u0041"
        unknown field ⇒ 1 foo = 1 ¦ 3 a Title = 1 ¦ 1 http://x ¦ 1 a.b = 1 ¦ 2 (id:*) ¦ 1 !x < 1
        unknown field ⇒ 3 é select = 1
        expected a field, which ⇒ 1 "title" = a ¦ 3 é "labels":b
        the text must not be empty ⇒ 1 "" ¦ 3 a "" ¦ 7 title:"" ¦ 8 labels:""
        completed takes = and != ⇒ 1 completed:true ¦ 1 completed > false ¦ 1 completed:*
        priority takes = != < <= > >= ⇒ 1 priority:HIGH ¦ 1 priority:*
        title takes = != and : ⇒ 1 title < a ¦ 3 b title >= a
        description takes :* alone ⇒ 1 description:a ¦ 1 description = * ¦ 1 description:"*"
        description takes :* alone ⇒ 1 description != a
        labels takes : alone ⇒ 1 labels = a ¦ 1 labels != a ¦ 1 labels > *
        due_time takes = != < <= > >= and :* ⇒ 1 due_time:"*" ¦ 1 due_time:2026-03-01T09:00:00Z
        complete_time takes = != < <= > >= and :* ⇒ 1 complete_time:"*" ¦ 1 complete_time:2026-03-01T09:00:00Z
        create_time takes = != < <= > >= ⇒ 1 create_time:*
        must not contain control characters ⇒ 1 ␀ ¦ 2 a␉b ¦ 3 "é␉" ¦ 2 a␡b ¦ 7 title:␀
        expected true or false ⇒ 13 completed = TRUE ¦ 13 completed!= 1 ¦ 11 completed=* ¦ 11 completed=""
        expected LOW, MEDIUM or HIGH ⇒ 10 priority=high ¦ 10 priority=3 ¦ 10 priority=PRIORITY_UNSPECIFIED
        expected an RFC 3339 ⇒ @2026-03-01 ¦ @20260301T090000Z ¦ @now ¦ @2026-03-01T09:00:00,5Z ¦ @* ¦ @""
        expected an RFC 3339 ⇒ @2026-03-01T09:00Z ¦ @2026-03-01t09:00:00z ¦ @"2026-03-01 09:00:00Z"
        expected an RFC 3339 ⇒ @2026-03-01T09:00:00 ¦ @2026-03-01T09:00:00+01 ¦ @2026-03-01T09:00:00.Z
        expected an RFC 3339 ⇒ @10000-01-01T00:00:00Z ¦ @+2026-03-01T09:00:00Z ¦ @٢026-03-01T09:00:00Z
        expected no leap second ⇒ @2016-12-31T23:59:60Z ¦ @2016-12-31T23:59:60.5+00:00
        expected a date ⇒ @2026-02-29T00:00:00Z ¦ @1900-02-29T00:00:00Z ¦ @2026-04-31T00:00:00Z
        expected a date ⇒ @2026-00-01T00:00:00Z ¦ @2026-13-01T00:00:00Z ¦ @2026-03-00T00:00:00Z
        expected a date ⇒ @2026-03-01T24:00:00Z ¦ @2026-03-01T09:60:00Z ¦ @2026-03-01T09:00:61Z
        expected a date ⇒ @2026-03-01T09:00:00+24:00 ¦ @2026-03-01T09:00:00-00:60
        expected a time between ⇒ @0000-12-31T23:59:59Z ¦ @0001-01-01T00:00:00+00:01
        expected a time between ⇒ @"9999-12-31T23:59:59-00:01""#;

    #[test]
    fn refused_with_what_was_expected_and_where() {
        let table = REFUSED.replace('@', "10 due_time=").replace('␀', "\0");
        let table = table.replace('␉', "\t").replace('␡', "\u{9f}");
        for (what, cases) in table.trim().lines().map(|line| line.split_once(" ⇒ ").unwrap()) {
            for (position, text) in cases.split('¦').map(|case| case.trim().split_once(' ').unwrap()) {
                let expected = format!("at character {position}: {}", what.trim());
                assert!(refusal(text).starts_with(&expected), "{text}: {}", refusal(text));
            }
        }
    }

    #[test]
    fn limits_hold_to_the_last_unit() {
        let nested = |open: &str, depth: usize| open.repeat(depth) + "a" + &")".repeat(depth);
        let bytes = "must have at most 1000 bytes";
        let terms = "at character 41: must have at most 20 terms";
        let depth = "at character 11: must nest at most 10 parentheses and negations";
        for (within, above, what) in [
            ("é".repeat(500), "é".repeat(500) + "a", bytes),
            ("a ".repeat(20), "a ".repeat(21), terms),
            (nested("(", 10), nested("(", 11), depth),
            (nested("-(", 5), nested("-(", 6), depth),
            ("(a) ".repeat(20), "(".repeat(1000), depth),
            ("-(a) ".repeat(20), nested("-(", 6), depth),
            (String::new(), nested("(", 100_000), bytes),
        ] {
            assert!(parse(&within).is_ok(), "{within}");
            assert!(refusal(&above).starts_with(what), "{}", refusal(&above));
        }
    }

    #[test]
    fn no_beginning_of_a_filter_panics_or_comes_back_in_the_refusal() {
        let whole = r#"-(secret:"x\"\\" OR title != "é🎉") due_time <= 2026-03-01T09:00:00.5+01:00 NOT (a)"#;
        for (end, _) in whole.char_indices() {
            assert!(parse(&whole[..end]).map_or_else(|rule| !rule.text.contains("secret"), |_| true));
        }
    }
}
