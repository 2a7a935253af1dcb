//! One vocabulary of states, causes and classes for status, event log, metrics and logs.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An enum whose variants are words: `as_str`, `Display`, `FromStr`-like `parse` and serde use the same text.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that status, event log, metrics and logs use.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The value of a word, letter case ignored.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(word))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// What happens to a row that violates an expectation, weakest first.
    ExpectationAction {
        /// The row is kept and counted.
        Warn = "WARN",
        /// The row is left out.
        Drop = "DROP",
        /// The row goes to the quarantine table.
        Quarantine = "QUARANTINE",
        /// The update fails.
        Fail = "FAIL",
    }
}

words! {
    /// States of an update.
    UpdateState {
        /// Another update of the pipeline is active.
        Queued = "QUEUED",
        /// Accepted, nothing has started.
        Created = "CREATED",
        /// A runner is asked for.
        WaitingForResources = "WAITING_FOR_RESOURCES",
        /// Register, analyse, validate, plan.
        Initializing = "INITIALIZING",
        /// Tables are emptied, checkpoints forgotten.
        Resetting = "RESETTING",
        /// All selected tables are created or evolved.
        SettingUpTables = "SETTING_UP_TABLES",
        /// Flows run.
        Running = "RUNNING",
        /// No new micro-batch starts.
        Stopping = "STOPPING",
        /// Every selected flow did its work.
        Completed = "COMPLETED",
        /// A flow or a phase failed.
        Failed = "FAILED",
        /// Stopped by a person or a tool.
        Canceled = "CANCELED",
    }
}

words! {
    /// States of a flow within an update.
    FlowState {
        /// Waits for its inputs or for a place.
        Queued = "QUEUED",
        /// A batch flow finds out what there is to do.
        Planning = "PLANNING",
        /// Sources are fixed, tables opened.
        Starting = "STARTING",
        /// Rows flow.
        Running = "RUNNING",
        /// Nothing to do now.
        Idle = "IDLE",
        /// All rows are committed.
        Completed = "COMPLETED",
        /// An error ended it.
        Failed = "FAILED",
        /// A flow that writes one of its inputs failed.
        Skipped = "SKIPPED",
        /// The update was stopped.
        Stopped = "STOPPED",
        /// Not selected in this update.
        Excluded = "EXCLUDED",
    }
}

words! {
    /// Whose fault a failure is; decides the exit code and whether a retry helps.
    FailureClass {
        /// Definition or data.
        User = "user",
        /// An expectation that fails the update.
        Expectation = "expectation",
        /// Storage or credentials.
        Storage = "storage",
        /// Another attempt may not meet it.
        Transient = "transient",
        /// Our own fault.
        Internal = "internal",
        /// Stopped from outside.
        Terminated = "terminated",
    }
}

words! {
    /// Why an update was created.
    Cause {
        /// A person started it.
        UserAction = "USER_ACTION",
        /// A tool started it.
        ApiCall = "API_CALL",
        /// A task of a Job started it.
        JobTask = "JOB_TASK",
        /// The definition changed.
        SchemaChange = "SCHEMA_CHANGE",
        /// The runner's image changed.
        ServiceUpgrade = "SERVICE_UPGRADE",
        /// An earlier attempt failed for a passing reason.
        RetryOnFailure = "RETRY_ON_FAILURE",
        /// An earlier attempt lost its place.
        InfrastructureMaintenance = "INFRASTRUCTURE_MAINTENANCE",
    }
}

words! {
    /// Severity of an event, lowest first.
    EventLevel {
        /// High volume, hidden by default.
        Metrics = "METRICS",
        /// Nothing special.
        Info = "INFO",
        /// Unexpected, not critical.
        Warn = "WARN",
        /// Needs attention.
        Error = "ERROR",
    }
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
