//! Rules of recurrence against somebody else's word.

mod oracle;
