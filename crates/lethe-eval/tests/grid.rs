//! A small grid: the same bytes however it was run, and no results beside others.

use std::path::Path;

use lethe_engine::EngineOptions;
use lethe_eval::grid::{Difficulty, EVERY, Grid, GridError, Progress, Protection, Row, Subject, Suite, rows};
use lethe_eval::problems::Family;
use lethe_policy::{Baseline, LayerState, PolicyInfo, Quota, Scratch, View, register, schema};

fn suite(subject: &Subject, family: Family, problems: usize) -> Suite {
    Suite::generated(subject, family, Difficulty::level(0.0), problems, 7).unwrap()
}

fn grid(subject: &Subject, concurrency: usize) -> Grid {
    let suites = vec![suite(subject, Family::TwoTurn, 2), suite(subject, Family::Sort, 3)];
    let grid = Grid::new(suites).policies("recency; full; lethe:half_life=16; recency").unwrap();
    let grid = grid.budgets("24,50%").unwrap().protect("off,on").unwrap();
    Grid { engine: EngineOptions { kv_memory: 64 << 20, max_num_seqs: concurrency, ..grid.engine.clone() }, ..grid }
}

fn results(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("results.jsonl")).unwrap()
}

#[test]
fn the_same_bytes_at_any_concurrency_and_after_a_kill() {
    let subject = Subject::embedded().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    let mut told: Vec<Progress> = Vec::new();
    let found = grid(&subject, 8).run(&subject, &whole, |at| told.push(at)).unwrap();
    check(&found);
    assert_eq!(rows(&whole).unwrap(), found);
    let last = *told.last().unwrap();
    assert_eq!((told[0].done, last.done, last.total, last.kept), (0, 45, 45, 0));

    // what a killed process leaves: the manifest, some rows in the order in which they came, half a line
    std::fs::create_dir(&stopped).unwrap();
    std::fs::copy(whole.join("manifest.json"), stopped.join("manifest.json")).unwrap();
    let journal = std::fs::read_to_string(whole.join("journal.jsonl")).unwrap();
    let cut = journal.match_indices('\n').nth(17).unwrap().0 + 100;
    std::fs::write(stopped.join("journal.jsonl"), &journal[..cut]).unwrap();
    told.clear();
    grid(&subject, 1).run(&subject, &stopped, |at| told.push(at)).unwrap();
    assert_eq!((told[0].done, told[0].kept, told.last().unwrap().done), (18, 18, 45));
    assert_eq!(results(&whole), results(&stopped));
    assert!((1..last.tokens).contains(&told.last().unwrap().tokens));

    // a whole run again asks nothing
    told.clear();
    grid(&subject, 3).run(&subject, &stopped, |at| told.push(at)).unwrap();
    assert_eq!((told.len(), told[0].done), (1, 45));
    assert_eq!(results(&whole), results(&stopped));
    let timings = std::fs::read_to_string(stopped.join("timings.csv")).unwrap();
    assert_eq!(timings.lines().count(), 46);

    other_runs_are_kept_apart(&subject, &stopped);
    more_problems_are_added(&subject, &stopped);
}

fn check(found: &[Row]) {
    assert_eq!(found.len(), 5 * 9);
    for question in found.chunks(9) {
        let full = &question[0];
        assert_eq!((full.policy.as_str(), &full.budget, full.evicted, full.differs_at), ("full", &None, 0, None));
        let turns = if full.task == "two_turn" { 2 } else { 1 };
        assert!(full.tokens.len() <= turns && full.right.len() == turns);
        for row in &question[1..] {
            assert_eq!((&row.task, &row.id), (&full.task, &full.id));
            // a budget includes the interval, and an unprotected prompt gives its slots to everything
            let slots = match row.budget.as_deref().unwrap() {
                "24" => 24,
                _ => (full.beyond_prompt() as usize / 2).max(1),
            };
            let asked = row.tokens.len() == full.tokens.len();
            // without protection a later prompt stands beside what was kept, until its round
            let later = row.protect == Some(Protection::Off) && turns > 1;
            if !row.raised && asked && !later {
                // the step that ends a turn has no round: the next turn finds a slot more
                assert!(row.peak_beyond_prompt() <= (slots + turns - 1) as f64, "{row:?}");
            }
            if row.evicted == 0 && asked {
                assert_eq!((row.differs_at, &row.tokens), (None, &full.tokens), "{row:?}");
            }
            assert_eq!(row.all_right, row.right.iter().all(|right| *right));
        }
        for row in question {
            let (tokens, readings) = (row.answer_tokens(), row.held_bytes.len());
            assert!((tokens.saturating_sub(9) / EVERY..=tokens / EVERY + 1).contains(&readings), "{row:?}");
            assert!(row.held_bytes.iter().all(|&held| held > 0 && held <= row.peak_bytes), "{row:?}");
        }
    }
    let exercised = found.iter().filter(|row| row.exercised()).count();
    assert!(exercised >= 20, "{exercised} rows forgot something");
    assert!(found.iter().any(|row| row.task == "two_turn" && row.tokens.len() == 2 && row.evicted > 0));
    assert!(found.iter().filter(|row| row.policy == "full" && row.all_right).count() >= 3);
}

fn other_runs_are_kept_apart(subject: &Subject, folder: &Path) {
    let before = results(folder);
    let differs = |change: &dyn Fn(&mut Grid), wanted: &str| {
        let mut grid = grid(subject, 4);
        change(&mut grid);
        match grid.run(subject, folder, |_| {}) {
            Err(e @ GridError::Differs { .. }) => {
                let GridError::Differs { field, .. } = &e else { unreachable!() };
                assert_eq!(field, wanted);
                assert!(e.to_string().contains("another folder"), "{e}");
            }
            other => panic!("{wanted}: {other:?}"),
        }
    };
    differs(&|grid| grid.budgets.truncate(1), "budgets");
    differs(&|grid| grid.policies.truncate(1), "policies");
    differs(&|grid| grid.seed = 8, "seed");
    differs(&|grid| grid.suites[1] = suite(subject, Family::Sort, 2), "tasks");
    differs(&|grid| grid.suites[1] = suite(subject, Family::Rooms, 3), "tasks");
    differs(&|grid| grid.engine.kv_dtype = lethe_kv::KvDtype::F32, "kv_dtype");
    let other = Subject { model: subject.model.clone(), name: "other".into(), sha256: "00".into(), exact: false };
    let refused = grid(&other, 4).run(&other, folder, |_| {}).unwrap_err();
    assert!(refused.to_string().contains("was \"reasoner-s\" and is \"other\""), "{refused}");
    assert_eq!(results(folder), before);
}

fn more_problems_are_added(subject: &Subject, folder: &Path) {
    let before = results(folder);
    let mut more = grid(subject, 4);
    more.suites[1] = suite(subject, Family::Sort, 4);
    let mut kept = None;
    more.run(subject, folder, |at| kept = kept.or(Some(at.kept))).unwrap();
    assert_eq!(kept, Some(45));
    assert!(results(folder).starts_with(&before));
    assert_eq!(results(folder).lines().count(), 54);
}

#[test]
fn a_journal_that_is_open_is_left_alone() {
    let subject = Subject::embedded().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let journal = std::fs::File::create(folder.path().join("journal.jsonl")).unwrap();
    journal.lock().unwrap();
    let refused = grid(&subject, 1).run(&subject, folder.path(), |_| {}).unwrap_err();
    assert!(matches!(refused, GridError::Busy { .. }), "{refused}");
}

#[test]
fn what_cannot_be_run_is_said_before_anything_runs() {
    let subject = Subject::embedded().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let refused = |grid: Grid| grid.run(&subject, folder.path(), |_| panic!("nothing runs")).unwrap_err().to_string();
    let new = || Grid::new(vec![suite(&subject, Family::Sort, 1)]);
    assert!(refused(Grid::new(Vec::new())).contains("no questions"));
    assert!(refused(new().policies("recency").unwrap()).contains("no budgets"));
    let auto = refused(new().policies("auto").unwrap().budgets("48").unwrap());
    assert!(auto.contains("auto") && auto.contains("budget"), "{auto}");
    let capped = refused(new().policies("recency:cap=64").unwrap().budgets("48").unwrap());
    assert!(capped.contains("recency:cap=64"), "{capped}");
    let twice = vec![suite(&subject, Family::Sort, 1), suite(&subject, Family::Sort, 1)];
    assert!(refused(Grid::new(twice)).contains("7000000"));
    assert!(matches!(new().policies("recensy"), Err(GridError::Policy(_))));
    assert!(!folder.path().join("journal.jsonl").exists());
}

/// A policy of another crate: the oldest slots are the best.
#[derive(Debug)]
struct Oldest(Quota);

const OLDEST: PolicyInfo = PolicyInfo {
    name: "oldest",
    summary: "keeps the oldest",
    cost: "round: O(n)",
    options: &[schema::CAP, schema::BUDGET, schema::SINKS, schema::INTERVAL, schema::PROTECT_PROMPT],
    build: |options, _| Ok(Box::new(Oldest(Quota::from_options(options)?))),
};

impl Baseline for Oldest {
    const NAME: &'static str = OLDEST.name;

    fn quota(&self) -> &Quota {
        &self.0
    }

    fn window(&self, beyond: usize) -> usize {
        beyond / 2
    }

    fn rank(&self, view: &View<'_>, _: usize, _: LayerState, scratch: &mut Scratch) {
        scratch.rank.clear();
        scratch.rank.extend(view.positions.iter().map(|&position| -f64::from(position)));
    }
}

#[test]
fn a_policy_of_another_crate_is_named_like_any_other() {
    register(&OLDEST).unwrap();
    let subject = Subject::embedded().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let grid = Grid::new(vec![suite(&subject, Family::Sort, 1)]).policies("oldest").unwrap().budgets("16").unwrap();
    let found = grid.run(&subject, folder.path(), |_| {}).unwrap();
    assert_eq!((found.len(), found[1].policy.as_str()), (2, "oldest"));
    assert!(found[1].exercised() && found[1].peak_beyond_prompt() <= 16.0);
}
