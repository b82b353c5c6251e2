//! No file imports one that imports it, over however many others: each can be read with only those below it in mind.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// A module by its path, as in `["storage", "engine", "pool"]`; the root has none.
type Module = Vec<String>;

fn module(path: &str, base: &str) -> Module {
    let path = path.strip_prefix(base).unwrap().trim_start_matches('/').strip_suffix(".rs").unwrap();
    let mut module: Module = path.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// Adds the paths that a tree of names stands for, as in `a::{b, c::d}`; answers how much of the text it takes up.
fn tree(prefix: &Module, text: &str, into: &mut BTreeSet<Module>) -> usize {
    if text.starts_with('{') {
        let mut at = 1;
        while at < text.len() && !text[at..].starts_with('}') {
            at += tree(prefix, &text[at..], into);
            // What follows a name within a group: a comma, or `as` and another name.
            at += text[at..].find([',', '}']).unwrap_or(text.len() - at);
            at += usize::from(text[at..].starts_with(','));
        }
        return (at + 1).min(text.len());
    }
    let name: String = text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
    let path = [prefix.as_slice(), std::slice::from_ref(&name)].concat();
    match text[name.len()..].strip_prefix("::") {
        Some(rest) if !name.is_empty() => name.len() + 2 + tree(&path, rest, into),
        _ => {
            into.insert(path);
            name.len()
        }
    }
}

/// The paths that the code of a module names within its crate.
fn named(code: &str, of: &Module) -> BTreeSet<Module> {
    let mut paths = BTreeSet::new();
    for (head, _) in code.match_indices("crate::") {
        tree(&Module::new(), &code[head + "crate::".len()..], &mut paths);
    }
    for (head, _) in code.match_indices("self::") {
        tree(of, &code[head + "self::".len()..], &mut paths);
    }
    for (head, step) in code.match_indices("super::") {
        if code[..head].ends_with(step) {
            continue;
        }
        let rest = code[head..].trim_start_matches(step);
        let steps = (code.len() - head - rest.len()) / step.len();
        let above = of[..of.len().saturating_sub(steps)].to_vec();
        tree(&above, rest, &mut paths);
    }
    paths
}

fn contains(outer: &Module, inner: &Module) -> bool {
    inner.starts_with(outer)
}

/// Which modules each module imports. A room and what lies in it may name each other.
fn imports(sources: &[Source], base: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let modules: BTreeSet<Module> = sources.iter().map(|source| module(&source.path, base)).collect();
    let mut imports = BTreeMap::new();
    for source in sources {
        let own = module(&source.path, base);
        // Tests within a file may reach for whatever they need.
        let code = source.code.split("#[cfg(test)]").next().unwrap();
        let imported = named(code, &own).into_iter().filter_map(|path| {
            let lengths = (1..=path.len()).rev();
            let found = lengths.map(|length| path[..length].to_vec()).find(|path| modules.contains(path))?;
            (!contains(&own, &found) && !contains(&found, &own)).then_some(found)
        });
        let imported = imported.collect();
        imports.insert(own, imported);
    }
    imports
}

/// What is left when modules that import nothing are taken away, again and again: circles and what leads to them.
fn in_circles(mut imports: BTreeMap<Module, BTreeSet<Module>>) -> BTreeMap<Module, BTreeSet<Module>> {
    loop {
        let free =
            |(module, imported): (&Module, &BTreeSet<Module>)| imported.is_empty().then(|| module.clone());
        let free: BTreeSet<Module> = imports.iter().filter_map(free).collect();
        if free.is_empty() {
            return imports;
        }
        imports.retain(|module, _| !free.contains(module));
        imports.values_mut().for_each(|imported| imported.retain(|module| !free.contains(module)));
    }
}

#[test]
fn no_file_imports_one_that_imports_it() {
    for base in ["src", "crates/client/src", "benches/load"] {
        let imports = imports(&Source::below(base), base);
        assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 15, "{base}: {imports:?}");
        let circles = in_circles(imports);
        assert!(circles.is_empty(), "{base}: {circles:#?}");
    }
}

#[test]
fn a_circle_over_three_files_is_found() {
    let file = |path: &str, code: &str| Source { path: path.to_owned(), code: code.to_owned() };
    let mut sources = vec![
        file("src/lib.rs", "pub mod a;mod b;"),
        file("src/a/mod.rs", "mod x;mod y;use self::x::X;"),
        file("src/a/x.rs", "use super::{y::{self,Y as Z},W};"),
        file("src/a/y.rs", "use super::super::b::B;"),
        file("src/b.rs", "fn f(){g(crate::c::C)}"),
        file("src/c.rs", "#[cfg(test)]mod tests{use crate::a::x::X;}"),
    ];
    let imported = imports(&sources, "src");
    let path = |text: &str| -> Module { text.split("::").map(str::to_owned).collect() };
    assert_eq!(imported[&path("a::x")], BTreeSet::from([path("a::y")]));
    assert_eq!(imported[&path("a::y")], BTreeSet::from([path("b")]));
    assert!(in_circles(imported).is_empty());
    sources.push(file("src/d.rs", "use crate::a::x;"));
    sources[5].code = "use crate::d;".to_owned();
    let circles = in_circles(imports(&sources, "src"));
    assert_eq!(circles.len(), 5, "{circles:#?}");
}
