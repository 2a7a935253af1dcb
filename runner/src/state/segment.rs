//! One sorted, compressed file of a ledger.
