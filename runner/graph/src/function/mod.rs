//! The functions that SQL may call, as data: names, kinds, argument and result types. The implementations are in the runner,
//! and one test there proves that both lists are equal.
