//! The rules of the tree, as `docs/architecture.md` states them.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from left to right: each may import what stands before it, and nothing else. `fuzz` is there for tests only.
const LAYERS: &[&str] = &[
    "fuzz", "sabotage", "schema", "outgoing", "model", "store", "blobs", "realtime", "sinks",
    "app", "graphql", "scaffold", "mcp", "http",
];

/// Imported by `main` only.
const MAINS: &[&str] = &["config", "telemetry", "embedded", "development"];

/// What these may import besides, because they wire: the rest of their kind and every layer.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let module = |path: &Path| {
        let first = path
            .strip_prefix(&root)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let first = first.as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    files
        .into_iter()
        .map(|path| {
            (
                module(&path),
                path.clone(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The top-level modules a source names by `crate::…`, comments left out.
fn imports(source: &str) -> Vec<String> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let names = code.split("crate::").skip(1).flat_map(|rest| {
        let rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap();
            group.split(',').map(head).collect::<Vec<_>>()
        } else {
            vec![head(rest)]
        }
    });
    names.filter(|name| !name.is_empty()).collect()
}

fn head(path: &str) -> String {
    path.trim()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn imports_point_to_the_left() {
    for (module, path, source) in sources() {
        let Some(place) = LAYERS.iter().position(|layer| *layer == module) else {
            continue;
        };
        for name in imports(&source) {
            let own_or_left = LAYERS[..=place].contains(&name.as_str());
            assert!(own_or_left, "{} imports {name}", path.display());
        }
    }
}

#[test]
fn only_main_imports_what_wires() {
    for (module, path, source) in sources() {
        if MAINS.contains(&module.as_str()) || module == "main" {
            continue;
        }
        for name in imports(&source) {
            assert!(
                !MAINS.contains(&name.as_str()),
                "{} imports {name}",
                path.display()
            );
        }
    }
}

#[test]
fn each_layer_keeps_to_its_own() {
    let forbidden: &[(&str, &[&str])] = &[
        (
            "model",
            &["async_graphql", "axum", "diesel_async", "tokio", ".await"],
        ),
        (
            "store",
            &["async_graphql", "axum", ".transaction(", "Clock", "decide("],
        ),
        (
            "blobs",
            &["async_graphql", "axum", "diesel", "crate::store", "decide("],
        ),
        ("outgoing", &["async_graphql", "axum", "diesel"]),
        ("realtime", &["async_graphql", "axum", "decide("]),
        (
            "sinks",
            &[
                "async_graphql",
                "axum",
                "diesel",
                "crate::store",
                "Clock",
                "decide(",
            ],
        ),
        (
            "app",
            &[
                "async_graphql",
                "axum",
                "sql_query",
                "diesel::update",
                "diesel::insert_into",
            ],
        ),
        ("graphql", &["crate::store", "diesel", "axum", "decide("]),
        (
            "scaffold",
            &["crate::store", "crate::app", "tokio", ".await"],
        ),
        (
            "mcp",
            &[
                "crate::store",
                "crate::model",
                "diesel",
                "axum",
                "App",
                "decide(",
            ],
        ),
        (
            "http",
            &[
                "crate::store",
                "diesel",
                "crate::model::permission",
                // A server writes no files for a client.
                "scaffold",
                "on_this_machine",
            ],
        ),
    ];
    for (module, path, source) in sources() {
        let Some((_, names)) = forbidden.iter().find(|(layer, _)| *layer == module) else {
            continue;
        };
        for line in source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for name in *names {
                assert!(!line.contains(name), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn files_and_names_keep_their_size() {
    for (module, path, source) in sources() {
        let lines = source.lines().count();
        assert!(
            module == "schema" || lines <= 500,
            "{} has {lines} lines",
            path.display()
        );
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let vague = ["utils", "util", "helpers", "helper", "common", "misc"];
        assert!(!vague.contains(&stem), "{} says nothing", path.display());
    }
}

/// One noun, one file name in every layer that has it.
#[test]
fn nouns_are_mirrored() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for noun in ["chat", "participant", "message", "user", "event"] {
        for file in [
            format!("model/{noun}.rs"),
            format!("store/{noun}s.rs"),
            format!("app/{noun}s.rs"),
            format!("graphql/{noun}.rs"),
        ] {
            assert!(root.join(&file).is_file(), "{file} is missing");
        }
    }
}

/// Every migration undoes itself, and says what its tables and columns are. An index that is built concurrently has to be
/// alone.
#[test]
fn migrations_are_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for entry in fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let up = fs::read_to_string(folder.join("up.sql")).unwrap();
        let down = fs::read_to_string(folder.join("down.sql")).unwrap();
        assert!(!down.trim().is_empty(), "{}", folder.display());
        let is_lone = folder.join("metadata.toml").is_file() && up.contains("INDEX CONCURRENTLY");
        assert!(is_lone || up.contains("COMMENT ON"), "{}", folder.display());
    }
}

/// A document that promises a test by its name promises one that is there: `module::test` of these, or of `src`
/// where it has such a module of tests; or a path.
#[test]
fn tests_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in [
        "docs/security.md",
        "docs/decisions/0021-requests-are-judged-first.md",
    ] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let (_, tables) = text.split_once("|---|---|---|").expect("a table");
        let mut named = 0;
        let cells = tables.lines().filter_map(|line| line.rsplit('|').nth(1));
        for name in cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            named += 1;
            assert!(
                exists(root, name),
                "{document} names {name}, which is not there"
            );
        }
        assert!(named > 15, "{document} names {named} tests");
    }
    assert!(!exists(root, "hostile::no_such_test"));
    assert!(!exists(root, "no_such_module"));
    assert!(!exists(root, "docs/no-such-file.md"));
}

fn exists(root: &Path, name: &str) -> bool {
    if name.contains('/') || name.contains('.') {
        return root.join(name).exists();
    }
    let parts: Vec<&str> = name.split("::").collect();
    let is_module = |parts: &[&str]| {
        let path = parts.join("/");
        let places = [format!("tests/it/{path}.rs"), format!("src/{path}.rs")];
        places.into_iter().find(|place| root.join(place).is_file())
    };
    if is_module(&parts).is_some() {
        return true;
    }
    let Some((last, module)) = parts.split_last() else {
        return false;
    };
    is_module(module).is_some_and(|place| {
        let source = fs::read_to_string(root.join(place)).unwrap();
        source.contains(&format!("fn {last}(")) || source.contains(&format!("mod {last} {{"))
    })
}
