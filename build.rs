//! The macro that embeds the migrations does not see a new one by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
