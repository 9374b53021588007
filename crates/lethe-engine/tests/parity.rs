//! The embedded model against `transformers`: 100 problems, greedy, f32.

mod common;

#[test]
fn greedy_ids_equal_those_of_transformers() {
    let model = common::reasoner(2);
    let problems = common::problems();
    let requests = problems.iter().map(|p| common::request(&p.prompt, "full", p.gold.len() * 5 / 4 + 16)).collect();
    let outcomes = common::run(&model, common::options(16), requests);
    let mut same = 0;
    let mut right = 0;
    for (p, o) in problems.iter().zip(&outcomes) {
        same += usize::from(
            o.ids().iter().zip(&p.greedy).all(|(a, b)| a == b) && o.ids().len() >= p.greedy.len().min(p.gold.len()),
        );
        right += usize::from(o.text.rsplit("</think>").next().unwrap().trim() == p.answer);
    }
    let theirs = problems.iter().filter(|p| p.right).count();
    println!("{same} of {} the same, {right} right, {theirs} by transformers", problems.len());
    assert!(same >= 98, "{same} the same");
    assert!(right.abs_diff(theirs) <= 2, "{right} right, {theirs} by transformers");
}
