//! The kubectl plugin; everything is in `dbmedic::cli`.

fn main() {}
