//! Answers that are drawn: the same whatever the concurrency, and with the same random numbers under every policy.

use std::path::Path;

use lethe_eval::grid::{Difficulty, Draws, Grid, Row, Subject, Suite, Summary};
use lethe_eval::problems::Family;

fn grid(subject: &Subject, samples: usize, concurrency: usize) -> Grid {
    let sort = Suite::generated(subject, Family::Sort, Difficulty::level(0.2), 2, 3).unwrap();
    let grid = Grid::new(vec![sort]).policies("recency").unwrap().budgets("24").unwrap();
    let mut grid = Grid { draws: Some(Draws { temperature: 1.5, ..Draws::new(samples) }), seed: 3, ..grid };
    grid.engine.max_num_seqs = concurrency;
    grid.engine.kv_memory = 64 << 20;
    grid
}

fn run(grid: &Grid, subject: &Subject, out: &Path) -> (Vec<Row>, String) {
    let rows = grid.run(subject, out, |_| {}).unwrap();
    (rows, std::fs::read_to_string(out.join("results.jsonl")).unwrap())
}

#[test]
fn draws_depend_on_question_and_sample_alone() {
    let subject = Subject::embedded().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (rows, text) = run(&grid(&subject, 3, 8), &subject, &folder.path().join("a"));
    assert_eq!(rows.len(), 2 * 3 * 2);
    let (_, alone) = run(&grid(&subject, 3, 1), &subject, &folder.path().join("b"));
    assert_eq!(text, alone);

    // Samples differ, and the first ones are those of a run with fewer.
    let full: Vec<&Row> = rows.iter().filter(|row| row.budget.is_none()).collect();
    let samples: Vec<Option<usize>> = full.iter().map(|row| row.sample).collect();
    assert_eq!(samples, [Some(0), Some(1), Some(2), Some(0), Some(1), Some(2)]);
    assert!(full.iter().any(|row| row.answer_tokens() != full[0].answer_tokens()));
    let (fewer, _) = run(&grid(&subject, 1, 8), &subject, &folder.path().join("c"));
    let first: Vec<&Row> = rows.iter().filter(|row| row.sample == Some(0)).collect();
    assert_eq!(fewer.iter().collect::<Vec<_>>(), first);

    // Until something is forgotten a policy draws what full does.
    for row in rows.iter().filter(|row| row.budget.is_some()) {
        assert!(row.exercised(), "{row:?}");
        assert!(row.differs_at.is_none_or(|at| at >= 8), "{row:?}");
    }

    let summary = Summary::of_folder(&folder.path().join("a"), &["full".to_owned()]).unwrap();
    let cell = &summary.families[0].cells[0];
    assert_eq!((cell.problems, cell.any.map(|(samples, _)| samples)), (6, Some(3)));
    let text = summary.markdown();
    for words in ["3 samples of each question, temperature 1.5, top-p 0.95", "pass@3", "sign-flip"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

#[test]
fn another_number_of_samples_is_another_run() {
    let subject = Subject::embedded().unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&grid(&subject, 1, 8), &subject, folder.path());
    let error = grid(&subject, 2, 8).run(&subject, folder.path(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("draws"), "{error}");
    let none = grid(&subject, 0, 8).run(&subject, folder.path(), |_| {}).unwrap_err().to_string();
    assert!(none.contains("samples"), "{none}");
}
