//! What right answers read: that it is there, that it says the same, and that it becomes the right tokens.

use std::collections::BTreeSet;

use lethe_eval::gold::Gold;
use lethe_eval::problems::{Cards, Family, Problem, Turn, generate};
use lethe_eval::reads::{Part, Place, Read, reads};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};

fn one(family: Family, question: &str, thinking: &str, answer: &str) -> Problem {
    let turn = Turn { question: question.into(), thinking: thinking.into(), answer: answer.into() };
    Problem { family, level: 0.0, seed: 0, turns: vec![turn] }
}

fn text(problem: &Problem, place: &Place) -> String {
    let turn = &problem.turns[place.turn];
    let text = if place.part == Part::Question { turn.question.clone() } else { turn.reply() };
    text[place.range.clone()].to_owned()
}

/// Each read as `what <- where`: the words before a place and the place itself.
fn told(problem: &Problem) -> Vec<String> {
    let reads = reads(problem).unwrap();
    let mut told = Vec::new();
    for (turn, reads) in reads.iter().enumerate() {
        for Read { at, from } in reads {
            let what = &problem.turns[turn].reply()[at.clone()];
            let newest = from.last().unwrap();
            let side = if newest.part == Part::Question { "q" } else { "r" };
            told.push(format!("{what} <- {side}{} {}", newest.range.start, text(problem, newest)));
        }
    }
    told
}

#[test]
fn a_value_is_read_where_it_was_last_written() {
    let problem = one(
        Family::Cards,
        "Ana 20, Ben 31. Card 5: Ana gives Ben 2; if Ana even 7 else 5. Card 7: Ben gives Ana 1; if Ana even 5 else 7. Start at card 5, play 2 moves. Who has what?",
        "Move 1 of 2. Card 5: Ana gives Ben 2; if Ana even 7 else 5. Ana 20 - 2 = 18, Ben 31 + 2 = 33. Ana 18 is even, so card 7.\n\
         Move 2 of 2. Card 7: Ben gives Ana 1; if Ana even 5 else 7. Ben 33 - 1 = 32, Ana 18 + 1 = 19. Ana 19 is odd, so card 7.",
        "Ana has 19, Ben has 32.",
    );
    let reply = problem.turns[0].reply();
    let all = reads(&problem).unwrap().remove(0);
    let of = |piece: usize| all.iter().find(|read| read.at.start == piece).unwrap();
    // Ana's 18 stands twice in the first line, and either would do
    let ana = of(reply.find("18 + 1").unwrap());
    let from: Vec<usize> = ana.from.iter().map(|place| place.range.start).collect();
    assert_eq!(from, [reply.find("18, Ben").unwrap(), reply.find("18 is even").unwrap()]);
    // Ben's 33 once
    assert_eq!(of(reply.find("33 - 1").unwrap()).from.len(), 1);
    // the first values come from the question
    let first = of(reply.find("20 - 2").unwrap());
    assert_eq!((first.from[0].part, text(&problem, &first.from[0])), (Part::Question, "20".to_owned()));
    // what the line itself says is not read
    assert!(all.iter().all(|read| read.at.start != reply.find("19 is odd").unwrap()));
    // the answer reads the last values
    let told = told(&problem);
    assert_eq!(told[told.len() - 1], format!("32 <- r{} 32", reply.find("32, Ana").unwrap()));
}

#[test]
fn rooms_remember_how_they_were_entered() {
    let problem = one(
        Family::Rooms,
        "Room 3: doors to 8 5. Room 8: doors to 3. Room 5: doors to 3. Start in room 3. The lamp is in room 5. Which path?",
        "Room 3: doors to 8 5. 8 new, 5 new. I go to 8 from 3.\n\
         Room 8: doors to 3. 3 seen. Dead end, 8 from 3. Back to 3.\n\
         Room 3: doors to 8 5. 8 seen, 5 new. I go to 5 from 3.\n\
         Room 5 has the lamp. Trace back: 5 from 3.",
        "3 5.",
    );
    let reply = problem.turns[0].reply();
    let all = reads(&problem).unwrap().remove(0);
    let of = |piece: usize| all.iter().find(|read| read.at.start == piece).unwrap();
    let end = of(reply.find("3. Back").unwrap());
    assert_eq!(end.from.last().unwrap().range.start, reply.find("8 from 3").unwrap() + 7);
    let seen = of(reply.find("seen, 5 new").unwrap());
    assert_eq!(seen.from[0].range.start, reply.find("8 from 3").unwrap());
    let trace = of(reply.rfind("from 3").unwrap() + 5);
    assert_eq!(trace.from[0].range.start, reply.find("5 from 3").unwrap() + 7);
}

#[test]
fn sort_reads_the_line_before_and_no_other() {
    let problem = generate(Family::Sort, 0.8, 3);
    let reply = problem.turns[0].reply();
    let line = |at: usize| reply[..at].matches('\n').count();
    for Read { at, from } in &reads(&problem).unwrap()[0] {
        assert_eq!(from.len(), 1);
        match from[0].part {
            Part::Question => assert_eq!(line(at.start), 1),
            Part::Reply if at.start > reply.find("</think>").unwrap() => {}
            Part::Reply => assert_eq!(line(at.start), line(from[0].range.start) + 1),
        }
    }
}

#[test]
fn days_carry_the_best_from_line_to_line() {
    let problem = generate(Family::Days, 0.8, 3);
    let reply = problem.turns[0].reply();
    let days = reply.matches(" so far: day ").count();
    let all = reads(&problem).unwrap().remove(0);
    let after = |at: usize| reply[..at].ends_with(" against ");
    let records =
        all.iter().filter(|read| after(read.at.start) && reply[..read.from[0].range.start].ends_with(" with "));
    assert_eq!(records.count(), days - 1, "each day but the first is weighed against the record");
}

#[test]
fn goals_lie_cold_until_they_are_gone_back_to() {
    let problem = generate(Family::Recipes, 1.0, 3);
    let reply = problem.turns[0].reply();
    let backs = reply.matches(" Back to ").count();
    let all = reads(&problem).unwrap().remove(0);
    let back = all.iter().filter(|read| reply[..read.at.start].ends_with(" Back to "));
    let opened = back.filter(|read| reply[..read.from[0].range.start].ends_with(" for "));
    assert!(backs >= 3 && opened.count() == backs, "{reply}");
}

#[test]
fn the_second_turn_reads_the_first() {
    let problem = generate(Family::TwoTurn, 0.8, 5);
    let all = reads(&problem).unwrap();
    let back = all[1].iter().filter(|read| read.from.iter().all(|place| place.turn == 0)).count();
    assert!(back > 0, "values live on");
    let names = problem.turns[0].answer.matches(" has ").count();
    assert!(back >= names, "whatever moves, each name of the answer was given in the first turn");
}

#[test]
fn places_say_what_is_written() {
    for family in Family::ALL {
        for seed in 0..30 {
            let problem = generate(family, 0.6, seed);
            for (turn, reads) in reads(&problem).unwrap().iter().enumerate() {
                let reply = problem.turns[turn].reply();
                let mut last = 0;
                for Read { at, from } in reads {
                    assert!(last <= at.start, "in the order of the text");
                    last = at.start;
                    let what = &reply[at.clone()];
                    assert!(!from.is_empty());
                    for place in from {
                        let said = text(&problem, place);
                        let before = (place.turn, place.part, place.range.end) < (turn, Part::Reply, at.start);
                        assert!(before, "{family} {seed}: {what} reads {said} before it is said");
                        let derived = what == "seen" || what.parse::<u32>().is_ok();
                        assert!(said.eq_ignore_ascii_case(what) || derived, "{family} {seed}: {what} reads {said}");
                    }
                }
            }
        }
    }
}

fn embedded() -> Model<CpuBackend> {
    let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
    Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu)).unwrap()
}

fn gold(model: &Model<CpuBackend>, problem: &Problem) -> Gold {
    let (tokenizer, template) = (model.tokenizer.as_ref().unwrap(), model.chat_template.as_ref().unwrap());
    Gold::new(problem, tokenizer, template, &model.end_ids).unwrap()
}

#[derive(serde::Deserialize)]
struct Reference {
    family: String,
    question: String,
    thinking: String,
    answer: String,
    prompt_ids: Vec<u32>,
    gold_ids: Vec<u32>,
}

#[test]
fn gold_tokens_are_those_of_the_reference() {
    let model = embedded();
    for line in lethe_reasoner::PROBLEMS.lines() {
        let r: Reference = serde_json::from_str(line).unwrap();
        let problem = one(r.family.parse().unwrap(), &r.question, &r.thinking, &r.answer);
        let gold = gold(&model, &problem);
        let turn = &gold.turns[0];
        assert_eq!(
            (&gold.ids[turn.prompt.clone()], &gold.ids[turn.answer.clone()]),
            (&r.prompt_ids[..], &r.gold_ids[..])
        );
    }
}

#[test]
fn tokens_read_tokens_of_the_same_text() {
    let model = embedded();
    let tokenizer = model.tokenizer.as_ref().unwrap();
    for family in Family::ALL {
        let problem = generate(family, 0.6, 11);
        let (gold, texts) = (gold(&model, &problem), reads(&problem).unwrap());
        assert_eq!(gold.reads.len(), texts.iter().map(Vec::len).sum::<usize>());
        let spell = |range: &std::ops::Range<u32>| {
            let ids = &gold.ids[range.start as usize..range.end as usize];
            tokenizer.decode(ids, false).unwrap().trim().to_owned()
        };
        let said = texts.iter().enumerate().flat_map(|(turn, reads)| reads.iter().map(move |read| (turn, read)));
        for (tokens, (turn, read)) in gold.reads.iter().zip(said) {
            assert_eq!(spell(&tokens.at), problem.turns[turn].reply()[read.at.clone()]);
            for (run, place) in tokens.from.iter().zip(&read.from) {
                assert_eq!(spell(run), text(&problem, place), "{family}");
                assert!(run.end <= tokens.at.start);
            }
            let needed: BTreeSet<u32> = gold.sources(tokens.at.start).collect();
            assert!(tokens.from.last().unwrap().clone().all(|position| needed.contains(&position)));
        }
    }
}

#[test]
fn two_turns_are_one_conversation() {
    let model = embedded();
    let problem = Cards::two_turn(0.4).moves(3).generate(1).unwrap();
    let gold = gold(&model, &problem);
    let [first, second] = &gold.turns[..] else { panic!("two turns") };
    assert_eq!((first.prompt.start, first.prompt.end, first.answer.end), (0, first.answer.start, second.prompt.start));
    assert_eq!((second.prompt.end, second.answer.end), (second.answer.start, gold.ids.len()));
    let text = model.tokenizer.as_ref().unwrap().decode(&gold.ids, false).unwrap();
    let template = model.chat_template.as_ref().unwrap();
    let messages: Vec<_> = problem
        .turns
        .iter()
        .flat_map(|t| {
            [lethe_model::Message::new("user", &t.question), lethe_model::Message::new("assistant", t.reply())]
        })
        .collect();
    assert_eq!(text, template.render(&messages, false, &serde_json::Map::new()).unwrap());
}
