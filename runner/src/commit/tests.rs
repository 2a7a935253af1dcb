//! Tables, writers and commits against real directories.
