//! The example programs as processes. A program of its own, run when `it` is done: the kills of `store_program` are timed,
//! and other tests beside them would move them out of the work that they are to hit.

mod cli;
mod judge_states;
mod store_program;
