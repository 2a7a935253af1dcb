//! Tests of the pure middle.
