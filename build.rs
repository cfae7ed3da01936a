//! Embeds the built `GraphiQL` page, where there is one, and watches the migrations.
//!
//! `npm run build` in `web/` writes `web/dist`. Without it the table is empty and the server falls back on a
//! page that loads `GraphiQL` from a CDN, so that `cargo build` never needs npm.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[expect(
    clippy::disallowed_methods,
    reason = "what cargo tells a build script is in the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let dist = root.join("web/dist");
    watch("build.rs");
    // `embed_migrations!` reads this directory unseen by cargo.
    watch("migrations");

    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        watch("web/dist");
        collect(&dist, &mut files)?;
        files.sort();
    } else {
        // A missing path would make cargo run this script, and so compile the crate, every time.
        watch("web");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("graphiql_assets.rs");
    fs::write(out, table(&dist, &files)?)?;
    Ok(())
}

fn watch(path: &str) {
    if Path::new(path).exists() {
        println!("cargo:rerun-if-changed={path}");
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The Rust source of a slice with one `Asset` a file.
fn table(dist: &Path, files: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut source = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(dist)?.to_str();
        let path = path.ok_or("a file name in web/dist is not UTF-8")?;
        let path = path.replace('\\', "/");
        writeln!(
            source,
            "    Asset {{ path: {path:?}, content_type: {:?}, etag: {:?}, bytes: {} }},",
            content_type(file),
            format!("\"{:016x}\"", hash(&fs::read(file)?)),
            format_args!(
                "include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))",
                format!("/web/dist/{path}"),
            ),
        )?;
    }
    source.push_str("]\n");
    Ok(source)
}

/// Tells one build of a file from another; nothing rests on it against malice.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(OsStr::to_str) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("ttf") => "font/ttf",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
