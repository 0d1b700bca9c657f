//! What the files of `src` import, whether they say `crate::`, `super::` or `self::`, and the circles among them. Two files
//! that import each other can only be read, tested and moved together: they are one file in two pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::source::code;

/// The paths that the file at `path` (from `src`) names, each from the root of the crate: `proto::resp::Frame`.
pub(crate) fn absolute(path: &str, code: &str) -> Vec<String> {
    let from = module(path);
    let from_root = |named: Path| {
        let mut parts = named.text.split("::").map(str::trim).peekable();
        let mut at = root(&from, parts.peek()?)?;
        climb(&mut at, &mut parts);
        at.extend(parts.map(str::to_owned));
        Some(at.join("::"))
    };
    imports(code).into_iter().filter_map(from_root).collect()
}

/// One line for each import that is part of a circle: the file, what it imports, and by which path.
/// `files` are paths from `src`, with their texts. A `mod.rs` that only hands out the names of its rooms imports none of
/// them; one that uses what they define does.
pub(crate) fn circles(files: &[(String, String)]) -> String {
    let modules: BTreeMap<Module, &str> =
        files.iter().map(|(path, _)| (module(path), path.as_str())).collect();
    let paths: BTreeMap<Module, Vec<Path>> =
        files.iter().map(|(path, text)| (module(path), imports(&code(text)))).collect();
    let house = House { modules: &modules, names: names(&modules, &paths) };

    let mut edges: BTreeMap<&Module, BTreeMap<Module, &str>> = BTreeMap::new();
    for (from, path) in paths.iter().flat_map(|(from, paths)| paths.iter().map(move |path| (from, path))) {
        let Some(to) = house.home(from, &path.text) else { continue };
        // A map of rooms that hands out their names is not a user of them.
        let is_map = path.is_public && to.len() > from.len() && to.starts_with(from);
        if to != *from && !is_map {
            edges.entry(from).or_default().entry(to).or_insert(&path.text);
        }
    }

    let mut found = String::new();
    for (from, to, path) in
        edges.iter().flat_map(|(from, to)| to.iter().map(move |(to, path)| (*from, to, path)))
    {
        if reaches(&edges, to, from) {
            writeln!(found, "  {} imports {} ({path})", modules[from], modules[to]).unwrap();
        }
    }
    found
}

/// `proto::pool` as its parts. The crate's root has none.
type Module = Vec<String>;

/// A path that a file names: in a `use`, which other files can import through it, or in its code.
struct Path {
    text: String,
    is_use: bool,
    is_public: bool,
}

struct House<'a> {
    modules: &'a BTreeMap<Module, &'a str>,
    /// What each module has imported under a name, and from where.
    names: BTreeMap<(Module, String), Module>,
}

impl House<'_> {
    /// The file that defines what `path` names in the file `from`; none outside the crate.
    fn home(&self, from: &Module, path: &str) -> Option<Module> {
        let (mut home, mut item) = place(self.modules, from, path)?;
        let mut seen = BTreeSet::new();
        while let Some(name) = item.take() {
            let key = (home, name);
            match self.names.get(&key) {
                Some(next) if seen.insert(key.clone()) => {
                    home = next.clone();
                    item = Some(key.1);
                }
                _ => home = key.0,
            }
        }
        Some(home)
    }
}

fn names(
    modules: &BTreeMap<Module, &str>,
    paths: &BTreeMap<Module, Vec<Path>>,
) -> BTreeMap<(Module, String), Module> {
    let mut names = BTreeMap::new();
    for (from, path) in paths.iter().flat_map(|(from, paths)| paths.iter().map(move |path| (from, path))) {
        let name = path.text.rsplit("::").next().unwrap_or_default().to_owned();
        if let Some((home, _)) =
            place(modules, from, &path.text).filter(|(home, _)| path.is_use && home != from)
        {
            names.insert((from.clone(), name), home);
        }
    }
    names
}

/// The deepest module on the way of `path`, and the name that it has to look up.
fn place(modules: &BTreeMap<Module, &str>, from: &Module, path: &str) -> Option<(Module, Option<String>)> {
    let mut parts = path.split("::").map(str::trim).peekable();
    let first = parts.peek()?;
    let is_child =
        || modules.contains_key(&from.iter().cloned().chain([(*first).to_owned()]).collect::<Module>());
    let mut at = root(from, first).or_else(|| is_child().then(|| from.clone()))?;
    climb(&mut at, &mut parts);
    for part in parts {
        at.push(part.to_owned());
        if !modules.contains_key(&at) {
            return at.pop().map(|name| (at, Some(name)));
        }
    }
    Some((at, None))
}

/// Where a path starts that begins with `first`; none if it does not say so.
fn root(from: &Module, first: &str) -> Option<Module> {
    match first {
        "crate" => Some(Module::new()),
        "self" | "super" => Some(from.clone()),
        _ => None,
    }
}

/// Takes the keywords off the start of a path: `super` leads one module up.
fn climb<'a>(at: &mut Module, parts: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) {
    while let Some(part) = parts.next_if(|part| ["crate", "self", "super"].contains(part)) {
        if part == "super" {
            at.pop();
        }
    }
}

fn module(path: &str) -> Module {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// All paths of `code` that may lead to other files: those of `use`, and those that begin with `crate`, `self` or `super`.
fn imports(code: &str) -> Vec<Path> {
    let mut paths = Vec::new();
    let mut rest = String::new();
    for (index, statement) in code.split_inclusive(';').enumerate() {
        let Some((before, tree)) = use_of(statement) else {
            rest.push_str(statement);
            continue;
        };
        rest.push_str(before);
        let is_public = before.trim_end().ends_with("pub") || before.trim_end().ends_with(')') && index > 0;
        for text in leaves(tree.trim_end_matches(';')) {
            paths.push(Path { text, is_use: true, is_public });
        }
    }
    let starts = ["crate::", "self::", "super::"];
    for (at, _) in starts.iter().flat_map(|start| rest.match_indices(start)) {
        let before = rest[..at].chars().next_back();
        // `pub(in crate::…)` says who may look, not what is used; the middle of a path was found by its start.
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            || rest[..at].ends_with("pub(in ")
        {
            continue;
        }
        let end = rest[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let text = rest[at..end.map_or(rest.len(), |end| at + end)].trim_end_matches(':').to_owned();
        paths.push(Path { text, is_use: false, is_public: false });
    }
    paths
}

/// What stands before the `use` of a statement, and its tree.
fn use_of(statement: &str) -> Option<(&str, &str)> {
    let at = statement.match_indices("use ").map(|(at, _)| at).find(|&at| {
        let line = statement[..at].rsplit('\n').next().unwrap_or_default().trim();
        line.is_empty() || line.starts_with("pub")
    })?;
    Some((&statement[..at], &statement[at + 4..]))
}

/// The single paths of a `use` tree, without what they are renamed to.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or(tree).trim().to_owned()];
    };
    let group = group.trim_end().trim_end_matches('}');
    let mut depth = 0_i32;
    let parts = group.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(leaves).map(|leaf| format!("{}{leaf}", prefix.trim())).collect()
}

fn reaches(edges: &BTreeMap<&Module, BTreeMap<Module, &str>>, from: &Module, to: &Module) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut pending = vec![from];
    while let Some(next) = pending.pop() {
        if next == to {
            return true;
        }
        pending.extend(
            edges.get(next).into_iter().flat_map(BTreeMap::keys).filter(|&module| seen.insert(module)),
        );
    }
    false
}

fn circles_of(files: &[(&str, &str)]) -> String {
    circles(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
}

#[test]
fn circle_is_found_whatever_the_path_looks_like() {
    let house = |text| {
        [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "pub mod b; mod c;"),
            ("a/b.rs", "use super::c::C;"),
            ("a/c.rs", text),
        ]
    };
    for text in [
        "use crate::a::b::B;",
        "use super::b::B;",
        "use crate::{a::{b::{self, B}, d}};",
        "fn f() { let url = \"redis://\"; super::b::g(); }",
        "pub(super) use super::b::B;",
    ] {
        let found = circles_of(&house(text));
        assert!(
            found.contains("a/b.rs imports a/c.rs") && found.contains("a/c.rs imports a/b.rs"),
            "{text}: {found}"
        );
    }
    for text in [
        "// use super::b::B;",
        "const A: &str = \"super::b::B\";",
        "use super::d::D;",
        "pub(in crate::a::b) fn f() {}",
    ] {
        assert_eq!(circles_of(&house(text)), "", "{text}");
    }
}

#[test]
fn map_of_rooms_is_no_user_of_them() {
    let room = ("a/b.rs", "use super::A;");
    assert_eq!(circles_of(&[("a/mod.rs", "mod b;\npub use self::b::B;\npub struct A;"), room]), "");
    assert_ne!(circles_of(&[("a/mod.rs", "mod b;\nuse self::b::B;\npub struct A(B);"), room]), "");
    // What a parent has imported is looked for where it is defined.
    let through = [
        ("a/mod.rs", "mod b; mod c;\npub use self::c::C;"),
        ("a/b.rs", "use super::C;"),
        ("a/c.rs", "use super::b::B;"),
    ];
    assert!(circles_of(&through).contains("a/b.rs imports a/c.rs (super::C)"));
}
