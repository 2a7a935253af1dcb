//! Promises of the charts that their rendered text can prove, without a cluster.

mod access_rights;
mod operator_pod;
mod values;
