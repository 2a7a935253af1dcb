//! What must be equal and what must be true, whatever happened on the way: the state of a namespace without what differs from run to run, and the rules
//! by which other tools judge an object.

mod dump;
mod kstatus;

pub use dump::{differences, dump};
pub use kstatus::{Verdict, verdict};
