//! The policy table: which method may be called by whom. A method that is not in it is refused.

use crate::domain::Scope;

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone; the token of a session is looked at when there is a valid one, but not asked for.
    Anyone,
    /// Whoever has a valid access token. No API key: a key can manage neither keys nor the account.
    User,
    /// Whoever has a valid access token, or an API key with this scope.
    UserOrKey(Scope),
    /// An administrator with a valid access token.
    Admin,
}

const READ: Access = Access::UserOrKey(Scope::TasksRead);
const WRITE: Access = Access::UserOrKey(Scope::TasksWrite);

/// Every method of every service of this process, by path. A test holds it against the descriptors.
pub const POLICY: &[(&str, Access)] = &[
    ("/taskwire.v1.TaskService/CreateTask", WRITE),
    ("/taskwire.v1.TaskService/GetTask", READ),
    ("/taskwire.v1.TaskService/ListTasks", READ),
    ("/taskwire.v1.TaskService/UpdateTask", WRITE),
    ("/taskwire.v1.TaskService/DeleteTask", WRITE),
    ("/taskwire.v1.TaskService/UndeleteTask", WRITE),
    ("/taskwire.v1.TaskService/BatchGetTasks", READ),
    ("/taskwire.v1.TaskService/BatchCreateTasks", WRITE),
    ("/taskwire.v1.TaskService/BatchUpdateTasks", WRITE),
    ("/taskwire.v1.TaskService/BatchDeleteTasks", WRITE),
    ("/taskwire.v1.TaskService/CountTasks", READ),
    ("/taskwire.v1.TaskService/ListTaskChanges", READ),
    ("/taskwire.v1.TaskService/WatchTasks", READ),
    ("/taskwire.v1.TaskService/UndoChanges", WRITE),
    ("/taskwire.v1.UserService/CreateUser", Access::Anyone),
    ("/taskwire.v1.UserService/GetUser", Access::User),
    ("/taskwire.v1.UserService/UpdateUser", Access::User),
    ("/taskwire.v1.UserService/DeleteUser", Access::User),
    ("/taskwire.v1.UserService/ListUsers", Access::Admin),
    ("/taskwire.v1.UserService/DisableUser", Access::Admin),
    ("/taskwire.v1.UserService/EnableUser", Access::Admin),
    ("/taskwire.v1.UserService/Login", Access::Anyone),
    ("/taskwire.v1.UserService/RefreshSession", Access::Anyone),
    ("/taskwire.v1.UserService/Logout", Access::User),
    ("/taskwire.v1.UserService/ChangePassword", Access::User),
    ("/taskwire.v1.UserService/ListSessions", Access::User),
    ("/taskwire.v1.UserService/RevokeSession", Access::User),
    ("/taskwire.v1.UserService/RevokeAllSessions", Access::User),
    ("/taskwire.v1.UserService/CreateApiKey", Access::User),
    ("/taskwire.v1.UserService/ListApiKeys", Access::User),
    ("/taskwire.v1.UserService/RevokeApiKey", Access::User),
    ("/taskwire.v1.UserService/ListAuditEvents", Access::User),
    ("/grpc.health.v1.Health/Check", Access::Anyone),
    ("/grpc.health.v1.Health/Watch", Access::Anyone),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Anyone),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Anyone),
];

/// Who may call the method at this path; `None` when there is no such method.
pub fn access(path: &str) -> Option<Access> {
    POLICY.iter().find(|(known, _)| *known == path).map(|(_, access)| *access)
}
