//! Collects what a request gets wrong, and checks whose data it is about as soon as that is known.

use std::borrow::Cow;

use super::names::UserRef;
use crate::auth::Principal;
use crate::domain::{Owner, Result, Rule, UserId, Violations};

/// The fields of one request.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    caller: &'a Principal,
    violations: Violations,
    /// What stands before the name of a field: the item of a batch that it belongs to.
    prefix: String,
}

impl<'a> Fields<'a> {
    pub(super) fn new(caller: &'a Principal) -> Self {
        Self { caller, violations: Violations::default(), prefix: String::new() }
    }

    /// The right to the tasks below a parent. Somebody else's parent is refused before anything else is said.
    pub(super) fn owner(
        &mut self,
        field: &'static str,
        parent: Result<UserRef, Rule>,
    ) -> Result<Option<Owner>> {
        let parent = self.check(field, parent);
        parent.map(|user| self.caller.owner_of(user.resolve(self.caller.user))).transpose()
    }

    /// The right to one task, or one list of tasks. As `owner`.
    pub(super) fn owned<Id>(
        &mut self,
        field: &'static str,
        name: Result<(UserRef, Id), Rule>,
    ) -> Result<Option<(Owner, Id)>> {
        let name = self.check(field, name);
        name.map(|(user, id)| Ok((self.caller.owner_of(user.resolve(self.caller.user))?, id))).transpose()
    }

    /// The id in the name of something else of the same owner.
    pub(super) fn beside<Id>(
        &mut self,
        field: &'static str,
        owner: Option<Owner>,
        name: Result<(UserRef, Id), Rule>,
    ) -> Option<Id> {
        let id = self.id_below(owner, name, "must lie under the user that the request is about");
        self.check(field, id)
    }

    /// The id in a name that has to lie below this owner; `rule` is what another one breaks.
    pub(super) fn id_below<Id>(
        &self,
        owner: Option<Owner>,
        name: Result<(UserRef, Id), Rule>,
        rule: &'static str,
    ) -> Result<Id, Rule> {
        let (user, id) = name?;
        match owner {
            Some(owner) if user.resolve(self.caller()) != owner.user() => Err(Rule::field(rule)),
            _ => Ok(id),
        }
    }

    /// A user whose account the caller may see and change. As `owner`.
    pub(super) fn account(
        &mut self,
        field: &'static str,
        name: Result<UserRef, Rule>,
    ) -> Result<Option<UserId>> {
        let found = self.below_account(field, name.map(|user| (user, ())))?;
        Ok(found.map(|(user, ())| user))
    }

    /// Something below an account that the caller may see and change. As `owner`.
    pub(super) fn below_account<T>(
        &mut self,
        field: &'static str,
        name: Result<(UserRef, T), Rule>,
    ) -> Result<Option<(UserId, T)>> {
        self.below(field, name, Principal::may_manage)
    }

    /// The caller's own account; an administrator has no say in that of others here. As `owner`.
    pub(super) fn own_account(
        &mut self,
        field: &'static str,
        name: Result<UserRef, Rule>,
    ) -> Result<Option<UserId>> {
        let found = self.below_own_account(field, name.map(|user| (user, ())))?;
        Ok(found.map(|(user, ())| user))
    }

    /// Something below the caller's own account. As `own_account`.
    pub(super) fn below_own_account<T>(
        &mut self,
        field: &'static str,
        name: Result<(UserRef, T), Rule>,
    ) -> Result<Option<(UserId, T)>> {
        self.below(field, name, Principal::is_self)
    }

    /// Something below the account of a user with whom the caller `may` do this.
    fn below<T>(
        &mut self,
        field: &'static str,
        name: Result<(UserRef, T), Rule>,
        may: impl Fn(&Principal, UserId) -> Result<()>,
    ) -> Result<Option<(UserId, T)>> {
        let name = self.check(field, name);
        let name = name.map(|(user, below)| (user.resolve(self.caller.user), below));
        name.map(|(user, below)| may(self.caller, user).map(|()| (user, below))).transpose()
    }

    /// Takes the value of a parsed field, or notes what is wrong with it.
    pub(super) fn check<T>(&mut self, field: &'static str, parsed: Result<T, Rule>) -> Option<T> {
        let path: Cow<'static, str> =
            if self.prefix.is_empty() { field.into() } else { format!("{}{field}", self.prefix).into() };
        parsed.map_err(|rule| self.violations.add(rule.at(path))).ok()
    }

    /// From here on fields belong to this item of a batch.
    pub(super) fn enter_item(&mut self, at: usize) {
        self.prefix = format!("requests[{at}].");
    }

    /// Notes what is wrong with a field whose path is made up on the way.
    pub(super) fn refuse(&mut self, path: String, rule: Rule) {
        self.violations.add(rule.at(path));
    }

    /// Who is calling.
    pub(super) const fn caller(&self) -> UserId {
        self.caller.user
    }

    /// The value, when nothing was violated; else everything that was.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T> {
        self.violations.finish_with(value)
    }
}
