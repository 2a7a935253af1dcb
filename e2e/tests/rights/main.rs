//! What the charts grant is what the programs use. The operator of this program looks after the whole cluster, so it has an API server of its own.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod o50_rbac_is_minimal;
