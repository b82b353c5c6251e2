//! The policy table: which method may be called by whom. A method that is not in it is refused.

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone; a valid token is looked at, but not asked for.
    Anyone,
    /// Whoever has a valid access token.
    User,
}

/// Every method of every service of this process, by path. A test holds it against the descriptors.
pub const POLICY: &[(&str, Access)] = &[
    ("/taskwire.v1.TaskService/CreateTask", Access::User),
    ("/taskwire.v1.TaskService/GetTask", Access::User),
    ("/taskwire.v1.TaskService/ListTasks", Access::User),
    ("/taskwire.v1.TaskService/UpdateTask", Access::User),
    ("/taskwire.v1.TaskService/DeleteTask", Access::User),
    ("/taskwire.v1.TaskService/UndeleteTask", Access::User),
    ("/taskwire.v1.TaskService/BatchGetTasks", Access::User),
    ("/taskwire.v1.TaskService/BatchCreateTasks", Access::User),
    ("/taskwire.v1.TaskService/BatchUpdateTasks", Access::User),
    ("/taskwire.v1.TaskService/BatchDeleteTasks", Access::User),
    ("/taskwire.v1.TaskService/CountTasks", Access::User),
    ("/taskwire.v1.TaskService/ListTaskChanges", Access::User),
    ("/taskwire.v1.TaskService/WatchTasks", Access::User),
    ("/taskwire.v1.TaskService/UndoChanges", Access::User),
    ("/taskwire.v1.UserService/CreateUser", Access::Anyone),
    ("/taskwire.v1.UserService/GetUser", Access::User),
    ("/taskwire.v1.UserService/UpdateUser", Access::User),
    ("/taskwire.v1.UserService/Login", Access::Anyone),
    ("/taskwire.v1.UserService/RefreshSession", Access::Anyone),
    ("/taskwire.v1.UserService/Logout", Access::User),
    ("/grpc.health.v1.Health/Check", Access::Anyone),
    ("/grpc.health.v1.Health/List", Access::Anyone),
    ("/grpc.health.v1.Health/Watch", Access::Anyone),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Access::Anyone),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Access::Anyone),
];

/// Who may call the method at this path; `None` when there is no such method.
pub fn access(path: &str) -> Option<Access> {
    POLICY.iter().find(|(known, _)| *known == path).map(|(_, access)| *access)
}
