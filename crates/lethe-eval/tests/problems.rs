//! Problems as a whole: the generators against the solver, and the solver against problems of `training/`.

use lethe_eval::problems::{Cards, Days, Family, Problem, ProblemError, Recipes, Rooms, Sort, Turn, generate, solver};
use serde::Deserialize;

/// Problems of `training/`, and what is said of replies to their last turn.
const SAMPLES: &str = include_str!("../../../training/samples.jsonl");

#[derive(Deserialize)]
struct Sample {
    family: Family,
    level: f64,
    turns: Vec<Turn>,
    verdicts: Vec<(String, bool)>,
}

fn samples() -> Vec<Sample> {
    SAMPLES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn training_and_evaluation_mean_the_same() {
    let samples = samples();
    assert_eq!(samples.len(), 1000);
    for Sample { family, level, turns, verdicts } in samples {
        let questions: Vec<&str> = turns.iter().map(|turn| turn.question.as_str()).collect();
        assert_eq!(solver::solve(family, &questions).unwrap(), turns);
        let problem = Problem { family, level, seed: 0, turns };
        for (reply, right) in verdicts {
            assert_eq!(problem.check(problem.turns.len() - 1, &reply), right, "{family}: {reply:?}");
        }
    }
}

/// FNV-1a, 64 bits, of everything that a problem says.
fn text_hash(problem: &Problem) -> u64 {
    let text: String = problem.turns.iter().map(|turn| format!("{}\n{}\n", turn.question, turn.reply())).collect();
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

fn lines(problem: &Problem) -> Vec<usize> {
    problem.turns.iter().map(|turn| turn.thinking.lines().count()).collect()
}

#[test]
fn the_solver_agrees_with_the_generators() {
    for family in Family::ALL {
        for level in [0.0, 0.1, 0.3, 0.5, 0.8, 1.0] {
            for seed in 0..100 {
                let problem = generate(family, level, seed);
                solver::verify(&problem).unwrap_or_else(|error| panic!("{error}\n{problem:#?}"));
            }
        }
    }
}

#[test]
fn a_seed_means_the_same_problem_for_ever() {
    // Published results name family, level and seed. If this fails, they no longer mean what they meant.
    let pinned = [
        (Family::Cards, 0.1, 0, 0xEDD3_69BE_D39C_6761),
        (Family::Cards, 0.8, 1, 0x94A0_3ADB_8D6D_C70A),
        (Family::TwoTurn, 0.4, 2, 0xA52F_26EE_A01C_EBEA),
        (Family::Days, 0.5, 3, 0x06E6_AEC3_2CA4_9927),
        (Family::Sort, 0.5, 4, 0x6162_38CC_6448_FC8B),
        (Family::Rooms, 0.5, 5, 0xFCAD_DB8A_F6AF_AA5C),
        (Family::Rooms, 1.0, u64::MAX, 0xAEFC_DE48_6AC8_FF9D),
        (Family::Recipes, 0.5, 6, 0x03EF_0B48_0C0B_81E9),
        (Family::Recipes, 1.0, 7, 0xA4E1_D06D_FE96_6AEE),
    ];
    let found = pinned.map(|(family, level, seed, _)| (family, level, seed, text_hash(&generate(family, level, seed))));
    assert_eq!(found, pinned);
    assert_eq!(text_hash(&Cards::at(0.5).moves(48).generate(6).unwrap()), 0x8333_45CA_2D0E_1E72);
}

#[test]
fn seeds_and_families_differ() {
    for family in Family::ALL {
        let mut questions: Vec<String> =
            (0..500).map(|seed| generate(family, 0.5, seed).turns.remove(0).question).collect();
        questions.sort_unstable();
        questions.dedup();
        assert!(questions.len() >= 499, "{family}: {} of 500 questions differ", questions.len());
    }
}

#[test]
fn levels_set_the_largest_sizes() {
    // Lines of thinking at each level: least, most. Rooms have no bound of their own.
    for (family, level, least, most) in [
        (Family::Cards, 0.1, 1, 5),
        (Family::Cards, 0.8, 1, 23),
        (Family::TwoTurn, 0.4, 1, 7),
        (Family::Days, 0.1, 2, 4),
        (Family::Days, 0.5, 2, 7),
        (Family::Sort, 0.3, 3, 7),
        (Family::Sort, 1.0, 3, 14),
        (Family::Recipes, 1.0, 1, 21),
    ] {
        let found: Vec<usize> = (0..300).flat_map(|seed| lines(&generate(family, level, seed))).collect();
        assert_eq!(found.iter().min(), Some(&least), "{family} {level}");
        assert_eq!(found.iter().max(), Some(&most), "{family} {level}");
    }
}

#[test]
fn rooms_have_one_to_four_doors() {
    let mut most = 0;
    for seed in 0..100 {
        let problem = Rooms::at(0.0).rooms(40).generate(seed).unwrap();
        for room in problem.turns[0].question.split("Room ").skip(1) {
            let (_, doors) = room.split_once(": doors to ").unwrap();
            let count = doors.split('.').next().unwrap().split(' ').count();
            assert!((1..=4).contains(&count), "{room}");
            most = most.max(count);
        }
    }
    assert_eq!(most, 4);
}

#[test]
fn a_level_is_taken_into_range() {
    let questions = |level| generate(Family::Cards, level, 3).turns.remove(0).question;
    assert_eq!(questions(-1.0), questions(0.0));
    assert_eq!(questions(f64::NAN), questions(0.0));
    assert_eq!(questions(9.0), questions(1.0));
    assert_eq!(generate(Family::Cards, 9.0, 3).level, 1.0);
}

#[test]
fn exact_sizes() {
    for seed in 0..5 {
        let cards = Cards::at(0.5).people(5).cards(7).moves(48).generate(seed).unwrap();
        let question = &cards.turns[0].question;
        assert_eq!(lines(&cards), [48]);
        assert_eq!((question.matches(" gives ").count(), cards.turns[0].answer.matches(" has ").count()), (7, 5));
        let two_turn = Cards::two_turn(0.5).moves(9).generate(seed).unwrap();
        let days = Days::at(0.5).days(20).generate(seed).unwrap();
        let sort = Sort::at(0.5).numbers(100).generate(seed).unwrap();
        let rooms = Rooms::at(0.5).rooms(99).generate(seed).unwrap();
        let recipes = Recipes::at(0.5).recipes(16).generate(seed).unwrap();
        assert_eq!((lines(&two_turn), lines(&days), lines(&sort)), (vec![9, 9], vec![20], vec![100]));
        assert_eq!(rooms.turns[0].question.matches("Room ").count(), 99);
        assert_eq!(recipes.turns[0].question.matches(" plus ").count(), 16);
        for problem in [cards, two_turn, days, sort, rooms, recipes] {
            solver::verify(&problem).unwrap();
        }
    }
}

#[test]
fn a_run_of_exact_length_does_not_go_in_circles() {
    for seed in 0..10 {
        let problem = Cards::at(0.5).moves(64).generate(seed).unwrap();
        // Without its number a move is the same only if card, holdings and outcome are.
        let mut moves: Vec<&str> =
            problem.turns[0].thinking.lines().map(|line| line.split_once(". ").unwrap().1).collect();
        moves.sort_unstable();
        moves.dedup();
        assert!(moves.len() > 48, "seed {seed}: {} of 64 moves differ", moves.len());
    }
}

#[test]
fn the_smallest_and_the_largest_sizes() {
    for problem in [
        Cards::at(0.0).people(2).cards(3).moves(1).generate(0),
        Cards::at(0.0).people(16).cards(99).generate(0),
        Cards::two_turn(0.0).cards(49).generate(0),
        Days::at(0.0).days(1).generate(0),
        Days::at(0.0).days(99).generate(0),
        Sort::at(0.0).numbers(1).generate(0),
        Rooms::at(0.0).rooms(2).generate(0),
        Recipes::at(0.0).recipes(1).generate(0),
    ] {
        solver::verify(&problem.unwrap()).unwrap();
    }
}

#[test]
fn sizes_out_of_range_are_refused() {
    for (problem, message) in [
        (Cards::at(0.5).people(17).generate(0), "cards: 17 people asked for; choose 2 to 16"),
        (Cards::two_turn(0.5).cards(50).generate(0), "two_turn: 50 cards asked for; choose 3 to 49"),
        (Cards::at(0.5).moves(0).generate(0), "cards: 0 moves asked for; choose 1 to 99"),
        (Days::at(0.5).days(100).generate(0), "days: 100 days asked for; choose 1 to 99"),
        (Sort::at(0.5).numbers(0).generate(0), "sort: 0 numbers asked for; choose 1 to 100"),
        (Rooms::at(0.5).rooms(1).generate(0), "rooms: 1 rooms asked for; choose 2 to 99"),
        (Recipes::at(0.5).recipes(17).generate(0), "recipes: 17 recipes asked for; choose 1 to 16"),
    ] {
        assert_eq!(problem.unwrap_err().to_string(), message);
    }
    let long = Cards::two_turn(0.5).people(16).moves(99).generate(0).unwrap_err();
    assert!(matches!(long, ProblemError::Unlucky { family: Family::TwoTurn, moves: 99, .. }), "{long}");
}

#[test]
fn only_the_answer_after_the_last_thought_counts() {
    for family in Family::ALL {
        let problem = generate(family, 0.5, 1);
        for (i, turn) in problem.turns.iter().enumerate() {
            let (reply, answer) = (turn.reply(), &turn.answer);
            assert!(problem.check(i, &reply));
            assert!(problem.check(i, &format!("{reply}<|im_end|>\n")));
            assert!(problem.check(i, &format!("<think>\nI guess.\n</think>\n\n{answer}")));
            assert!(problem.check(i, &format!("{answer}</think>no</think> {answer}")));
            assert!(!problem.check(i, &format!("{reply}</think>")));
            assert!(!problem.check(i, &format!("{reply} I think.")));
            assert!(!problem.check(i, &format!("<think>\n{}\n{answer}", turn.thinking)), "cut off while thinking");
            assert!(!problem.check(i, answer.trim_end_matches('.')));
            assert!(!problem.check(i, ""));
            assert!(!problem.check(problem.turns.len(), &reply));
        }
    }
}

#[test]
fn the_second_turn_starts_where_the_first_ended() {
    let problem = generate(Family::TwoTurn, 0.8, 4);
    assert!(!problem.check(1, &problem.turns[0].reply()));
    let alone = solver::solve(Family::TwoTurn, &[&problem.turns[1].question]);
    assert!(matches!(alone, Err(solver::VerifyError::Question { turn: 0, .. })), "{alone:?}");
}

#[test]
fn a_wrong_line_is_found() {
    let mut problem = generate(Family::Days, 0.5, 2);
    let right = problem.clone();
    problem.turns[0].thinking = right.turns[0].thinking.replace("Day 2:", "Day 3:");
    let error = solver::verify(&problem).unwrap_err();
    assert!(matches!(error, solver::VerifyError::Thinking { turn: 0, line: 2, .. }), "{error}");

    problem.turns[0].thinking = right.turns[0].thinking.lines().next().unwrap().to_owned();
    let error = solver::verify(&problem).unwrap_err();
    assert!(matches!(&error, solver::VerifyError::Thinking { line: 2, found, .. } if found.is_empty()), "{error}");

    problem.turns[0] = Turn { answer: "Day 0.".to_owned(), ..right.turns[0].clone() };
    let error = solver::verify(&problem).unwrap_err();
    assert!(matches!(error, solver::VerifyError::Answer { turn: 0, .. }), "{error}");
}

#[test]
fn unreadable_questions_say_where() {
    for (family, question, message) in [
        (
            Family::Sort,
            "Sort 3 x.",
            "turn 0: cannot read the question at byte 7: expected a number of 1 to 4 digits, found \"x.\"",
        ),
        (Family::Sort, "Sort 3. Now", "turn 0: cannot read the question at byte 7: expected the end, found \" Now\""),
        (
            Family::Sort,
            "Sort 12345.",
            "turn 0: cannot read the question at byte 5: expected a number of 1 to 4 digits, found \"12345.\"",
        ),
        (
            Family::Cards,
            "Ana 20. Start at card 3, play 1 moves. Who has what?",
            "turn 0: the question has no solution: there is no card 3",
        ),
        (
            Family::Cards,
            "Ana 1. Card 3: Ana gives Ben 2; if Ana even 3 else 3. Start at card 3, play 1 moves. Who has what?",
            "turn 0: the question has no solution: Ana comes to -1, outside 0 to 99",
        ),
        (
            Family::Cards,
            "Ana 9. Card 3: Ana gives Ben 2; if Ana even 3 else 3. Start at card 3, play 1 moves. Who has what?",
            "turn 0: the question has no solution: nobody is called Ben",
        ),
        (
            Family::Days,
            "Which day is soup dearest?",
            "turn 0: the question has no solution: there is no recipe for soup",
        ),
        (
            Family::Days,
            "Soup costs soup plus 1. Which day is soup dearest?",
            "turn 0: the question has no solution: there are no days",
        ),
        (
            Family::Days,
            "Soup costs egg plus 1. Day 1: fig 3. Which day is soup dearest?",
            "turn 0: the question has no solution: day 1 has no price for egg",
        ),
        (
            Family::Recipes,
            "Pie is egg plus jam. Egg costs 3. What does pie cost?",
            "turn 0: the question has no solution: nobody knows what jam costs",
        ),
        (
            Family::Recipes,
            "Pie is egg plus jam. Egg is jam plus pie. Jam costs 3. What does pie cost?",
            "turn 0: the question has no solution: pie is made of itself",
        ),
        (
            Family::Recipes,
            "Pie is egg plus egg. Egg costs 9. Egg costs 8. What does pie cost?",
            "turn 0: the question has no solution: what egg costs is said twice",
        ),
        (
            Family::Recipes,
            "Pie is egg plus egg. Egg costs 90. What does pie cost?",
            "turn 0: the question has no solution: pie comes to 180, more than 99",
        ),
        (
            Family::Rooms,
            "Room 1: doors to 2. Room 2: doors to 1. Start in room 1. The lamp is in room 3. Which path?",
            "turn 0: the question has no solution: no path leads from room 1 to room 3",
        ),
        (
            Family::Rooms,
            "Room 1: doors to 2. Start in room 1. The lamp is in room 3. Which path?",
            "turn 0: the question has no solution: there is no room 2",
        ),
    ] {
        assert_eq!(solver::solve(family, &[question]).unwrap_err().to_string(), message);
    }
}

#[test]
fn no_text_upsets_the_solver() {
    // Questions of every family cut off anywhere, and with any one character replaced by one of two bytes.
    for Sample { family, turns, .. } in samples().into_iter().step_by(41) {
        let question = &turns[0].question;
        for (at, c) in question.char_indices() {
            let cut = solver::solve(family, &[&question[..at]]);
            assert!(matches!(cut, Err(solver::VerifyError::Question { .. })), "{:?}", &question[..at]);
            let (before, after) = (&question[..at], &question[at + c.len_utf8()..]);
            let _ = solver::solve(family, &[&format!("{before}9{after}")]);
            assert!(solver::solve(family, &[&format!("{before}é{after}")]).is_err());
        }
    }
}

#[test]
fn problems_survive_json() {
    let problem = generate(Family::TwoTurn, 0.3, 9);
    let text = serde_json::to_string(&problem).unwrap();
    assert!(text.starts_with(r#"{"family":"two_turn","level":0.3,"seed":9,"turns":[{"question":""#), "{text}");
    assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
}
