//! Registers a policy of its own and compares it with others on the embedded model: `my_policy [PROBLEMS] [FOLDER]`.

mod thinning;

use std::path::PathBuf;

use lethe_eval::grid::{BASELINES, Difficulty, Grid, Subject, Suite, Summary};
use lethe_eval::problems::Family;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let problems = args.next().map_or(Ok(20), |text| text.parse())?;
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "results".to_owned()));
    lethe_policy::register(&thinning::INFO)?;

    let subject = Subject::embedded()?;
    let cards = Suite::generated(&subject, Family::Cards, Difficulty::of(Family::Cards), problems, 7)?;
    let grid = Grid::new(vec![cards]).policies("thinning; recency; random; lethe+")?.budgets("25%,50%")?;
    eprintln!("{} answers", grid.len());
    grid.run(&subject, &folder, |_| {})?;

    let against: Vec<String> = BASELINES.iter().map(|&name| name.to_owned()).collect();
    let [summary, page] = Summary::of_folder(&folder, &against)?.save(&folder)?;
    println!("{}", std::fs::read_to_string(&summary)?);
    eprintln!("plots: {}", page.display());
    Ok(())
}
