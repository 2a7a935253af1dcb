//! Locations, layout and the classes of errors.
