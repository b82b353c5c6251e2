//! Collects what a request gets wrong, and checks whose data it is about as soon as that is known.

use super::names::UserRef;
use crate::auth::Principal;
use crate::domain::{Owner, Result, Rule, TaskId, UserId, Violations};

/// The fields of one request.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    caller: &'a Principal,
    violations: Violations,
}

impl<'a> Fields<'a> {
    pub(super) fn new(caller: &'a Principal) -> Self {
        Self {
            caller,
            violations: Violations::default(),
        }
    }

    /// The right to the tasks below a parent. Somebody else's parent is refused before anything else is said.
    pub(super) fn owner(
        &mut self,
        field: &'static str,
        parent: Result<UserRef, Rule>,
    ) -> Result<Option<Owner>> {
        let parent = self.check(field, parent);
        parent
            .map(|user| self.caller.owner_of(user.resolve(self.caller.user)))
            .transpose()
    }

    /// The right to one task. As `owner`.
    pub(super) fn task(
        &mut self,
        field: &'static str,
        name: Result<(UserRef, TaskId), Rule>,
    ) -> Result<Option<(Owner, TaskId)>> {
        let name = self.check(field, name);
        name.map(|(user, task)| Ok((self.caller.owner_of(user.resolve(self.caller.user))?, task)))
            .transpose()
    }

    /// A user whose account the caller may see and change. As `owner`.
    pub(super) fn account(
        &mut self,
        field: &'static str,
        name: Result<UserRef, Rule>,
    ) -> Result<Option<UserId>> {
        let name = self.check(field, name);
        let user = name.map(|user| user.resolve(self.caller.user));
        user.map(|user| self.caller.may_manage(user).map(|()| user))
            .transpose()
    }

    /// Takes the value of a parsed field, or notes what is wrong with it.
    pub(super) fn check<T>(&mut self, field: &'static str, parsed: Result<T, Rule>) -> Option<T> {
        self.violations.check(field, parsed)
    }

    /// The value, when nothing was violated; else everything that was.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T> {
        self.violations.finish_with(value)
    }
}
