//! How many lanes there are.

use std::fmt;

/// How many lanes there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// One for each core: while one batch is encoded or waits for the disk, the next is under way.
    Auto,
    /// So many; 0 stands for none.
    Count(u8),
}

/// With more lanes than this, batches are too small to be worth more connections.
const LANES_BY_CORES_MAX: usize = 4;

impl Lanes {
    /// The number on this machine.
    pub fn count(self) -> usize {
        match self {
            Self::Auto => {
                std::thread::available_parallelism().map_or(1, |cores| cores.get().min(LANES_BY_CORES_MAX))
            }
            Self::Count(count) => count.into(),
        }
    }
}

impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(0) => f.write_str("off"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Lanes, String> {
    match text {
        "off" => Ok(Lanes::Count(0)),
        "auto" => Ok(Lanes::Auto),
        text => match text.parse() {
            Ok(count @ 1..=16) => Ok(Lanes::Count(count)),
            _ => Err("must be `auto`, `off` or a number from 1 to 16".to_owned()),
        },
    }
}
