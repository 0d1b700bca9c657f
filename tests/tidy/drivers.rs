//! Every rule for maintenance that has a test on sockets holds over both drivers.

use std::collections::BTreeSet;

use super::{sources, top};

/// The prefixes of conformance ids: see `manual::glossary`.
const PREFIXES: &[&str] = &["hs_", "px_", "rt_", "mv_", "cl_", "ob_", "sc_"];

/// Ids whose test on sockets runs over one driver only, and why.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// The conformance ids that are the names of functions in this text.
fn ids(text: &str) -> BTreeSet<String> {
    let names = text.split("fn ").skip(1).map(|rest| rest.split('(').next().unwrap_or_default());
    names.filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix))).map(str::to_owned).collect()
}

#[test]
fn every_socket_test_of_an_id_runs_over_both_drivers() {
    let (mut all, mut in_tokio) = (BTreeSet::new(), BTreeSet::new());
    for source in sources(&["tests"]) {
        if !source.path.ends_with("_in_tokio.rs") {
            all.extend(ids(&source.text));
            continue;
        }
        for path in source.text.split("#[path = \"").skip(1) {
            let path = path.split('"').next().unwrap_or_default();
            in_tokio.extend(ids(&std::fs::read_to_string(top().join("tests").join(path)).unwrap()));
        }
    }
    assert!(all.len() > 40, "the ids are not found: {all:?}");
    let missing: Vec<_> = all.difference(&in_tokio).map(String::as_str).collect();
    let excepted: Vec<_> = EXCEPTIONS.iter().map(|(id, _)| *id).collect();
    assert_eq!(missing, excepted, "the tests that run over one driver only, and the exceptions from that");
}
