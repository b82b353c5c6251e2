//! What a task is made of: texts, labels, priority, each with its rule.

use std::borrow::Cow;

use super::{Rule, text};

/// What a task is called: 1 to 200 code points after trimming, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Most code points after trimming.
    pub const MAX_CODE_POINTS: usize = 200;

    /// Trims Unicode white space at both ends and reads the rest.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse<'a>(raw: impl Into<Cow<'a, str>>) -> Result<Self, Rule> {
        let raw = raw.into();
        let trimmed = raw.trim();
        if trimmed.is_empty() {
            return Err(Rule::field("must not be empty or only white space"));
        }
        text::no_controls(trimmed, &[])?;
        text::at_most(trimmed, Self::MAX_CODE_POINTS)?;
        Ok(Self(if trimmed.len() == raw.len() { raw.into_owned() } else { trimmed.to_owned() }))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// More about a task: at most 1000 code points; line feeds and tabs are the only control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    /// Most code points.
    pub const MAX_CODE_POINTS: usize = 1000;

    /// Reads a description; empty is allowed and different from absent.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse<'a>(raw: impl Into<Cow<'a, str>>) -> Result<Self, Rule> {
        let raw = raw.into();
        text::no_controls(&raw, &['\n', '\t'])?;
        text::at_most(&raw, Self::MAX_CODE_POINTS)?;
        Ok(Self(raw.into_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// A set of labels in the order given: at most 20, each 1 to 50 code points without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Most labels of one task, repeated ones counted once.
    pub const MAX: usize = 20;
    /// Most code points of one label.
    pub const MAX_CODE_POINTS: usize = 50;

    /// Reads labels; a repeated one is kept once, where it stood first.
    ///
    /// # Errors
    /// The first rule broken, with the position of the label that breaks it.
    pub fn parse(raw: Vec<String>) -> Result<Self, Rule> {
        let mut labels: Vec<String> = Vec::with_capacity(raw.len().min(Self::MAX));
        for (at, label) in raw.into_iter().enumerate() {
            Self::check(&label).map_err(|rule| Rule::field(format!("label {at} {}", rule.text)))?;
            if labels.contains(&label) {
                continue;
            }
            if labels.len() == Self::MAX {
                return Err(Rule::field(format!("must hold at most {} labels", Self::MAX)));
            }
            labels.push(label);
        }
        Ok(Self(labels))
    }

    fn check(label: &str) -> Result<(), Rule> {
        if label.is_empty() {
            return Err(Rule::field("must not be empty"));
        }
        text::no_controls(label, &[])?;
        text::at_most(label, Self::MAX_CODE_POINTS)
    }

    /// The labels in their order.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The labels in their order.
    pub fn into_vec(self) -> Vec<String> {
        self.0
    }
}

/// How much a task matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Can wait.
    Low,
    /// As usual.
    #[default]
    Medium,
    /// Cannot wait.
    High,
}

impl Priority {
    /// Every priority, lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// The number under which it is stored and ordered.
    pub const fn code(self) -> i16 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 3,
        }
    }

    /// The priority with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.code() == code)
    }
}
