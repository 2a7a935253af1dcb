//! One vocabulary of states, causes and classes for status, event log, metrics and logs.

use serde::{Deserialize, Serialize};

/// What happens to a row that violates an expectation, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExpectationAction {
    Warn,
    Drop,
    Quarantine,
    Fail,
}

/// States of an update (event-log words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpdateState {
    Queued,
    Created,
    WaitingForResources,
    Initializing,
    Resetting,
    SettingUpTables,
    Running,
    Stopping,
    Completed,
    Failed,
    Canceled,
}

/// States of a flow within an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FlowState {
    Queued,
    Planning,
    Starting,
    Running,
    Idle,
    Completed,
    Failed,
    Skipped,
    Stopped,
    Excluded,
}

/// Whose fault a failure is; decides the exit code and whether a retry helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    User,
    Expectation,
    Storage,
    Transient,
    Internal,
    Terminated,
}

impl FailureClass {
    /// The exit code of a process that ends with this failure.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::User | Self::Internal => 10,
            Self::Expectation => 11,
            Self::Storage => 12,
            Self::Transient => 20,
            Self::Terminated => 143,
        }
    }
}

/// Why an update was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Cause {
    UserAction,
    ApiCall,
    JobTask,
    SchemaChange,
    ServiceUpgrade,
    RetryOnFailure,
    InfrastructureMaintenance,
}
