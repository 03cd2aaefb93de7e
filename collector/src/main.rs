//! The collector: receives, keeps and shows records.
fn main() {}
