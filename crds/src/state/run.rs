//! States, results and codes of runs of Jobs and their tasks.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// Where a run of a Job is.
    RunState {
        /// It may not start yet.
        Queued = "QUEUED",
        /// Accepted, no task has started.
        Pending = "PENDING",
        /// Tasks run.
        Running = "RUNNING",
        /// It is being stopped.
        Terminating = "TERMINATING",
        /// It has ended; `resultState` says how.
        Terminated = "TERMINATED",
        /// It never started.
        Skipped = "SKIPPED",
    }
}

words! {
    /// How a run ended.
    RunResultState {
        /// Every task that had to do something did it.
        Success = "SUCCESS",
        /// A task failed, but every branch came to a good end.
        SuccessWithFailures = "SUCCESS_WITH_FAILURES",
        /// A branch came to a bad end.
        Failed = "FAILED",
        /// It took longer than the Job allows.
        TimedOut = "TIMEDOUT",
        /// Someone stopped it.
        Canceled = "CANCELED",
    }
}

words! {
    /// Where a task of a run is.
    TaskState {
        /// Waits for what it depends on.
        Blocked = "BLOCKED",
        /// Held back by a limit, or by another update of its pipeline.
        Queued = "QUEUED",
        /// An attempt was made and does not run yet.
        Pending = "PENDING",
        /// An attempt runs.
        Running = "RUNNING",
        /// The next attempt comes later.
        WaitingForRetry = "WAITING_FOR_RETRY",
        /// It is being stopped.
        Terminating = "TERMINATING",
        /// It has ended; `resultState` says how.
        Terminated = "TERMINATED",
    }
}

words! {
    /// How a task ended.
    TaskResultState {
        /// It did what it should.
        Success = "SUCCESS",
        /// It did not.
        Failed = "FAILED",
        /// It took longer than it may.
        TimedOut = "TIMEDOUT",
        /// It was stopped.
        Canceled = "CANCELED",
        /// The branch that it belongs to was not taken.
        Excluded = "EXCLUDED",
        /// It did not run because of a failure before it.
        UpstreamFailed = "UPSTREAM_FAILED",
        /// It did not run because something before it was stopped.
        UpstreamCanceled = "UPSTREAM_CANCELED",
        /// It is switched off, or not selected, or nothing before it ran.
        Disabled = "DISABLED",
    }
}

words! {
    /// Why a run or a task ended as it did.
    TerminationCode {
        /// All went well.
        Success = "SUCCESS",
        /// A task failed, but every branch came to a good end.
        SuccessWithFailures = "SUCCESS_WITH_FAILURES",
        /// The task is switched off, or nothing before it ran.
        Disabled = "DISABLED",
        /// The task is not among those that the run is for.
        NotSelected = "NOT_SELECTED",
        /// The branch was not taken.
        Excluded = "EXCLUDED",
        /// Something before it failed.
        UpstreamFailed = "UPSTREAM_FAILED",
        /// Something before it was stopped.
        UpstreamCanceled = "UPSTREAM_CANCELED",
        /// Someone stopped it.
        UserCanceled = "USER_CANCELED",
        /// The run took longer than it may.
        RunTimeout = "RUN_TIMEOUT",
        /// The task took longer than it may.
        TaskTimeout = "TASK_TIMEOUT",
        /// So many runs were active already, and the Job has no queue.
        MaxConcurrentRunsExceeded = "MAX_CONCURRENT_RUNS_EXCEEDED",
        /// The queue was full.
        MaxJobQueueSizeExceeded = "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        /// It waited longer than it may.
        QueueTimeout = "QUEUE_TIMEOUT",
        /// A program, a query or an expectation failed.
        RunExecutionError = "RUN_EXECUTION_ERROR",
        /// Storage refused.
        StorageAccessError = "STORAGE_ACCESS_ERROR",
        /// Credentials refused.
        UnauthorizedError = "UNAUTHORIZED_ERROR",
        /// A pod could not start, was lost, or used too much memory.
        ClusterError = "CLUSTER_ERROR",
        /// A failure that may pass, more often than allowed.
        TransientError = "TRANSIENT_ERROR",
        /// The pipeline or job of the task does not exist.
        ResourceNotFound = "RESOURCE_NOT_FOUND",
        /// The run or task cannot be carried out as it is described.
        InvalidRunConfiguration = "INVALID_RUN_CONFIGURATION",
        /// The run gives a parameter that the job does not have.
        InvalidParameter = "INVALID_PARAMETER",
        /// A reference has no value.
        InvalidReference = "INVALID_REFERENCE",
        /// A comparison of numbers got something else.
        InvalidConditionOperand = "INVALID_CONDITION_OPERAND",
        /// The inputs of a loop are no list.
        InvalidForEachInputs = "INVALID_FOR_EACH_INPUTS",
        /// The list of a loop is too long.
        TooManyIterations = "TOO_MANY_ITERATIONS",
        /// A value or a text is too long.
        ValueTooLarge = "VALUE_TOO_LARGE",
        /// Jobs call each other in a circle, or too deep.
        RunJobRecursion = "RUN_JOB_RECURSION",
        /// Neither docker nor podman was found.
        ContainerRuntimeMissing = "CONTAINER_RUNTIME_MISSING",
        /// An error of Floe; please report it.
        InternalError = "INTERNAL_ERROR",
    }
}

impl RunState {
    /// True if nothing comes after this state but a repair.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Terminated | Self::Skipped)
    }

    /// True if the run takes one of the places that the job has.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Terminating)
    }
}

impl RunResultState {
    /// True for the good ends.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success | Self::SuccessWithFailures)
    }
}
