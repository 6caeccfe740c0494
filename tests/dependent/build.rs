//! Gives this package's tests, benches and examples an rpath to libtorch, so that they start without
//! LD_LIBRARY_PATH. Cargo does not hand link arguments on to dependants: they copy these lines.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
