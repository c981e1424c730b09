//! The operator and the fix that runs inside a Job.

fn main() {}
