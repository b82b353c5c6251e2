//! Numbers that look random, from a seed that is printed and can be given again.

/// SplitMix64: small, and good enough to choose what a test does.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// From `TASKWIRE_TEST_SEED`, else from the clock. The seed is printed; it is shown when the test fails.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("TASKWIRE_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| uuid::Uuid::now_v7().as_u64_pair().1);
        println!("TASKWIRE_TEST_SEED={seed}");
        Self(seed)
    }

    /// From this seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From the clock: for what no test depends on.
    pub(crate) fn from_clock() -> Self {
        Self(uuid::Uuid::now_v7().as_u64_pair().1)
    }

    /// Another source, which goes its own way.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// True this often in a hundred.
    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these; `None` when there are none.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }

    /// A UUID.
    pub(crate) fn uuid(&mut self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(self.next(), self.next())
    }
}
