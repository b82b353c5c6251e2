//! Positions: texts that sort bytewise, by which tasks and lists stand in the order that their owner gave them.
//!
//! What is put at the end gets a key of the owner's next revision, which is larger than every one before it, so that
//! nothing has to be read. What is put between two others gets a text between theirs, and the revision behind a dot. So
//! no two keys of a user are ever the same, whatever is moved where.

use std::cmp::Ordering;

/// The digits, in the order of their bytes.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE: u128 = 62;
/// Digits that a key between two others has more than they have in common, unless they leave too little room.
const ROOM: usize = 4;
/// Steps that have to fit into the room, so that it lasts.
const STEPS: u128 = BASE * BASE;
/// Digits of a key between two others; beyond, its neighbours are spread anew. With the revision that makes 61 bytes.
const DIGITS_MAX: usize = 48;

/// The place of a task or a list among its like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(String);

impl Position {
    /// Most bytes that one has.
    pub const MAX_BYTES: usize = 64;

    /// Behind everything that was placed before this revision.
    pub fn at_end(revision: i64) -> Self {
        Self(number(revision))
    }

    /// Between two others, or before the first; `None` where they stand too close, and have to be spread.
    ///
    /// The newer of the two was placed here last, so the next one is expected beside it, and most of the room is left there.
    pub fn between(low: Option<&Self>, high: &Self, revision: i64) -> Option<Self> {
        let (bottom, top) = (low.map_or(b"".as_slice(), Self::digits), high.digits());
        let common = bottom.iter().zip(top).take_while(|(one, other)| one == other).count();
        let follows_low = low.is_some_and(|low| low.newness() > high.newness());
        for length in common + 1..=DIGITS_MAX {
            let gap = value(top, common, length).saturating_sub(value(bottom, common, length));
            let step = match length.cmp(&(common + ROOM)) {
                Ordering::Less if gap < 2 * STEPS => continue,
                Ordering::Greater | Ordering::Equal if gap < 4 => continue,
                _ if gap >= 2 * STEPS && low.is_none_or(|_| !follows_low) => gap - 1,
                _ if gap >= 2 * STEPS => 2,
                _ => gap / 2,
            };
            let digits = digits_of(bottom, common, length, step);
            return Some(Self(format!("{digits}.{}", number(revision))));
        }
        None
    }

    /// Keys for `count` neighbours in their order, evenly between two others, from this revision on; `None` where they do not
    /// fit.
    pub fn spread(low: Option<&Self>, high: Option<&Self>, count: usize, revision: i64) -> Option<Vec<Self>> {
        let revisions = (0..count).map(|at| revision + i64::try_from(at).unwrap_or(i64::MAX));
        let Some(high) = high else {
            return Some(revisions.map(Self::at_end).collect());
        };
        let (bottom, top) = (low.map_or(b"".as_slice(), Self::digits), high.digits());
        let common = bottom.iter().zip(top).take_while(|(one, other)| one == other).count();
        let parts = count as u128 + 1;
        // Half of what a key may have, so that there is room for the next ones.
        (common + 1..=DIGITS_MAX / 2).find_map(|length| {
            let gap = value(top, common, length).saturating_sub(value(bottom, common, length));
            let step = gap / parts;
            (step >= STEPS).then(|| {
                let key = |(at, revision)| {
                    let digits = digits_of(bottom, common, length, step * (at as u128 + 1));
                    Self(format!("{digits}.{}", number(revision)))
                };
                revisions.clone().enumerate().map(key).collect()
            })
        })
    }

    /// One that was stored.
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Whether it can have been given: digits, and behind a dot the revision, if it was given between two others.
    pub fn is_well_formed(&self) -> bool {
        let mut parts = self.0.split('.');
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| DIGITS.contains(&byte));
        self.0.len() <= Self::MAX_BYTES
            && parts.next().is_some_and(is_number)
            && parts.next().is_none_or(is_number)
            && parts.next().is_none()
    }

    /// Whether it was given between two others, and does not just say when its owner's task came to this place.
    pub fn was_given(&self) -> bool {
        self.0.contains('.')
    }

    /// What stands before the revision; all of it where it was put at the end.
    fn digits(&self) -> &[u8] {
        let bytes = self.0.as_bytes();
        bytes.iter().rposition(|byte| *byte == b'.').map_or(bytes, |dot| &bytes[..dot])
    }

    /// Compares by when they were placed.
    fn newness(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }
}

/// Where something comes to stand among its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placement<Id> {
    /// Where it stands already.
    Stays,
    /// Here.
    There(Position),
    /// Here, and its neighbours move apart: all of them in their order, each with a revision of its own.
    Spread(Vec<(Id, Position)>),
    /// That depends on more neighbours than are known.
    Further,
}

/// The place of one between others: those below and those above it, nearest first, at most `known` on either side. `own` is
/// where it stands now.
pub(super) fn place<Id: Copy>(
    (id, own): (Id, Option<&Position>),
    below: &[(Id, &Position)],
    above: &[(Id, &Position)],
    known: usize,
    revision: i64,
) -> Placement<Id> {
    let (low, high) = (below.first().map(|low| low.1), above.first().map(|high| high.1));
    if own.is_some_and(|own| low.is_none_or(|low| low < own) && high.is_none_or(|high| own < high)) {
        return Placement::Stays;
    }
    let Some(high) = high else { return Placement::There(Position::at_end(revision)) };
    if let Some(between) = Position::between(low, high, revision) {
        return Placement::There(between);
    }
    let is_unknown = |side: &[(Id, &Position)], count: usize| side.len() <= count && side.len() >= known;
    let mut count = 4;
    loop {
        if is_unknown(below, count) || is_unknown(above, count) {
            return Placement::Further;
        }
        let lower = below.iter().take(count).rev().map(|(id, _)| *id);
        let ids: Vec<Id> = lower.chain([id]).chain(above.iter().take(count).map(|(id, _)| *id)).collect();
        let (low, high) = (below.get(count).map(|low| low.1), above.get(count).map(|high| high.1));
        if let Some(keys) = Position::spread(low, high, ids.len(), revision) {
            return Placement::Spread(ids.into_iter().zip(keys).collect());
        }
        count *= 4;
    }
}

/// A number as digits that sort as numbers do: their count as a letter, then they.
fn number(number: i64) -> String {
    let mut rest = u128::from(number.unsigned_abs());
    let mut digits = Vec::new();
    while rest > 0 {
        digits.push(digit(rest % BASE));
        rest /= BASE;
    }
    let count = u8::try_from(digits.len()).unwrap_or(u8::MAX);
    let letter = char::from(b'a' + count.saturating_sub(1));
    std::iter::once(letter).chain(digits.into_iter().rev()).collect()
}

fn digit(value: u128) -> char {
    usize::try_from(value).ok().and_then(|at| DIGITS.get(at)).map_or('0', |byte| char::from(*byte))
}

/// What the digits from `from` to `to` say; those that are not there count as zeros.
fn value(digits: &[u8], from: usize, to: usize) -> u128 {
    (from..to).fold(0, |sum: u128, at| {
        let digit =
            digits.get(at).and_then(|byte| DIGITS.iter().position(|digit| digit == byte)).unwrap_or(0);
        sum.saturating_mul(BASE).saturating_add(digit as u128)
    })
}

/// The digits of `low`, with `step` added to those from `from` to `to`.
fn digits_of(low: &[u8], from: usize, to: usize, step: u128) -> String {
    let mut sum = value(low, from, to).saturating_add(step);
    let mut added = Vec::with_capacity(to - from);
    for _ in from..to {
        added.push(digit(sum % BASE));
        sum /= BASE;
    }
    let before = low.iter().take(from).map(|byte| char::from(*byte));
    before.chain(added.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of numbered things in their order, as a database would keep it.
    struct Row {
        order: Vec<(usize, Position)>,
        revision: i64,
        longest: usize,
        spread: usize,
    }

    impl Row {
        fn of(count: usize) -> Self {
            let mut row = Self { order: Vec::new(), revision: 0, longest: 0, spread: 0 };
            for number in 0..count {
                row.revision += 1;
                row.order.push((number, Position::at_end(row.revision)));
            }
            row
        }

        /// Puts one at a place, knowing only so many neighbours at first.
        fn put(&mut self, id: usize, at: usize) {
            let mut known = 1;
            loop {
                let below: Vec<_> =
                    self.order[..at].iter().rev().take(known).map(|(id, key)| (*id, key)).collect();
                let above: Vec<_> = self.order[at..].iter().take(known).map(|(id, key)| (*id, key)).collect();
                match place((id, None), &below, &above, known, self.revision + 1) {
                    Placement::There(key) => {
                        self.revision += 1;
                        self.order.insert(at, (id, key));
                    }
                    Placement::Spread(keys) => {
                        self.spread += keys.len();
                        self.revision += i64::try_from(keys.len()).unwrap();
                        let first = at - keys.iter().position(|(one, _)| *one == id).unwrap();
                        self.order.insert(at, (id, Position::at_end(0)));
                        for (place, (one, key)) in (first..).zip(keys) {
                            assert_eq!(self.order[place].0, one);
                            self.order[place].1 = key;
                        }
                    }
                    Placement::Further => {
                        known *= 16;
                        continue;
                    }
                    Placement::Stays => panic!("it stood nowhere"),
                }
                break;
            }
            let from = at.saturating_sub(300);
            let to = (at + 300).min(self.order.len());
            for pair in self.order[from..to].windows(2) {
                assert!(pair[0].1 < pair[1].1, "{pair:?}");
            }
            self.longest = self.longest.max(self.order[at].1.as_str().len());
        }
    }

    #[test]
    fn the_end_is_behind_everything() {
        let revisions = [1, 2, 61, 62, 63, 3843, 3844, 238_327, 238_328, 1 << 40, i64::MAX];
        for pair in revisions.windows(2) {
            assert!(Position::at_end(pair[0]) < Position::at_end(pair[1]), "{pair:?}");
        }
        // What tasks had got before there were positions.
        assert!(Position::stored("0000000007".into()) < Position::at_end(1));
    }

    #[test]
    fn thousands_at_one_place_stay_short() {
        type Next = fn(usize, usize) -> usize;
        let ways: [(&str, Next); 6] = [
            ("before the same one", |_, count| count - 5),
            ("after the same one", |_, _| 5),
            ("at the front", |_, _| 0),
            ("between the last two", |at, count| 5 + at.div_ceil(2) % (count - 9)),
            ("before and after the last one in turns", |at, _| 5 + at / 2),
            ("anywhere", |at, count| at.wrapping_mul(2_654_435_761) % count),
        ];
        for (way, next) in ways {
            let mut row = Row::of(10);
            for at in 0..20_000 {
                let place = next(at, row.order.len());
                row.put(100 + at, place);
            }
            assert!(row.longest <= Position::MAX_BYTES, "{way}: {}", row.longest);
            // Moving apart costs little, except where each comes between the last two, which nobody does by hand.
            let bound = if way.contains("last") { 400_000 } else { 4000 };
            assert!(row.spread < bound, "{way}: {} spread", row.spread);
        }
    }

    #[test]
    fn a_hundred_thousand_moves_of_a_few_stay_short() {
        let mut row = Row::of(12);
        let before = row.order[6].0;
        for turn in 0..100_000 {
            let from = [3, 0, 11, 9][turn % 4];
            let (id, _) = row.order.remove(from);
            let at = row.order.iter().position(|(id, _)| *id == before).unwrap_or(0);
            row.put(id, at);
        }
        assert!(row.longest <= Position::MAX_BYTES, "{}", row.longest);
    }

    #[test]
    fn what_was_given_is_told_from_what_cannot_have_been() {
        let (low, high) = (Position::at_end(4), Position::at_end(5));
        let between = Position::between(Some(&low), &high, 6).unwrap();
        let of_old = Position::stored("0000000007".into());
        for given in [low, high, between, of_old] {
            assert!(given.is_well_formed(), "{given:?}");
        }
        for none in ["", ".", "1.", ".1", "1.2.3", "a b", "é", &"1".repeat(65)] {
            assert!(!Position::stored(none.into()).is_well_formed(), "{none}");
        }
    }

    #[test]
    fn no_two_are_ever_the_same() {
        let mut seen = std::collections::HashSet::new();
        let (low, high) = (Position::at_end(4), Position::at_end(5));
        for revision in 6..2000 {
            // Always between the same two, as when what stood between is deleted.
            assert!(seen.insert(Position::between(Some(&low), &high, revision).unwrap()));
        }
    }
}
