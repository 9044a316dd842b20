//! A program to be.

fn main() {}
