//! Part of the commit room.
