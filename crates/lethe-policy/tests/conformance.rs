//! The crate against vectors computed elsewhere.

mod vectors;

const VECTORS: &str = include_str!("vectors/vectors.json");

#[test]
fn every_vector_agrees() {
    let report = vectors::run(VECTORS).expect("readable vectors");
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert_eq!(report.passed, 84, "six of each of fourteen kinds");
}

/// A check that never fails checks nothing: every number of every expectation matters.
#[test]
fn a_wrong_expectation_is_found() {
    let mut file: serde_json::Value = serde_json::from_str(VECTORS).expect("JSON");
    let vectors = file.as_array_mut().expect("a list");
    let count = vectors.len();
    for vector in vectors.iter_mut() {
        let expect = match vector["kind"].as_str() {
            Some("trace") => &mut vector["layers"][1]["rounds"][0]["keep"],
            _ => &mut vector["expect"],
        };
        match expect {
            serde_json::Value::Array(list) => {
                let last = list.last_mut().expect("a value");
                *last = (last.as_f64().expect("a number") + 1.0).into();
                if last.as_f64().is_some_and(|value| value.fract() == 0.0) {
                    *last = (last.as_f64().unwrap_or_default() as u64).into();
                }
            }
            number => *number = (number.as_f64().expect("a number") + 0.01).into(),
        }
    }
    let report = vectors::run(&file.to_string()).expect("readable vectors");
    assert_eq!((report.passed, report.failures.len()), (0, count), "{:#?}", report.failures);
}

#[test]
fn unknown_kinds_are_counted_by_name() {
    let report = vectors::run(r#"[{"kind":"later"},{"kind":"later"}]"#).expect("readable vectors");
    assert_eq!(report.skipped.get("later"), Some(&2));
    assert_eq!(report.passed, 0);
}

#[test]
fn garbled_files_are_errors_that_name_the_place() {
    for (text, part) in [
        ("{", "not JSON"),
        ("{}", "JSON array"),
        ("[1]", "vector 0: field `kind` is missing"),
        (r#"[{"kind":"recency","n":9,"B":4,"S":4}]"#, "vector 0 (recency): field `pinned` is missing"),
        (r#"[{"kind":"hoyer","scores":["x"],"expect":1}]"#, "field `scores` is not a list of numbers"),
    ] {
        let error = vectors::run(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}
