//! Marks the answers of models: finds them in the text and compares them with the right ones.
//!
//! Found: the last `\boxed{...}`, `#### n`, or the last number ([`extract`]). Compared ([`same`]): as numbers, with what
//! people write around them; as formulas, where expanding and collecting decides; as sets, tuples, equations and times; and
//! otherwise letter by letter but for case and spacing. Whatever the text, marking ends soon and never fails.

mod clock;
mod dashed;
mod expression;
mod extract;
mod fraction;
mod lexer;
mod named;
mod polynomial;
mod quantity;
mod ratio;
mod units;
mod value;

pub use extract::{after_thinking, boxes, extract};

use crate::question::{Grade, Grader};
use value::{Value, as_dashed};

/// Whether `found` says the same as `answer`, the right one. Empty answers are never the same.
pub fn same(answer: &str, found: &str) -> bool {
    let (answer, found) = (answer.trim(), found.trim());
    if answer.is_empty() || found.is_empty() {
        return false;
    }
    if let Some((answer, found)) = as_dashed(answer, found) {
        return answer == found;
    }
    answer == found || Value::read(answer, false).equals(&Value::read(found, true))
}

/// The right answers to one prompt of one or more problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// In the order of the problems; not empty. `[problems]`
    pub right: Vec<String>,
}

impl Grader for Answers {
    fn grade(&self, _turn: usize, text: &str) -> Grade {
        let found = extract(text, self.right.len());
        let right =
            self.right.iter().zip(&found).map(|(right, found)| found.as_deref().is_some_and(|f| same(right, f)));
        let right = right.collect();
        // Places are kept: what is missing is empty.
        let any = found.iter().any(Option::is_some);
        let found = if any { found.into_iter().map(Option::unwrap_or_default).collect() } else { Vec::new() };
        Grade { right, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same() {
        for (answer, found) in [
            ("288", "288"),
            ("560", r"\$560"),
            ("1200", "1,200 \\text{ kg}"),
            ("-3", "-3.0"),
            ("19", "19."),
            ("1687.5", r"\$1,687.50"),
            ("10", "10 hours"),
            ("5", "x = 5"),
            ("x = 5", "5"),
            ("0.25", r"\frac{1}{4}"),
            (r"\frac{1}{4}", r"\dfrac14"),
            ("2.5", r"2\frac12"),
            ("1000000", "10^6"),
            ("0.3333333", "1/3"),
            ("50", r"50\%"),
            ("10:30", "10:30"),
            ("05:23", "5:23"),
            ("14:30", "2:30 PM"),
            ("67 days, 01:04:00", "67 days, 1:04:00"),
            ("x^2+2x+1", "(x+1)^2"),
            ("-896*x**4 + 2240*x**3", "2240x^3 - 896x^4"),
            (r"3\sqrt{2}", r"\sqrt{18}"),
            (r"(1, \pi)", r"\left(1,\pi\right)"),
            (r"\{1, 2\}", "2, 1"),
            ("1,-2", "-2, 1"),
            ("['52.2', '30.0']", "[52.2, 30]"),
            ("[0, 1)", r"\left[0, 1\right)"),
            ("y = 2x + 1", "2y = 4x + 2"),
            ("Tuesday", r"\text{tuesday}"),
            ("C", r"\text{(C)}"),
            ("Alice and Bob", "Bob, Alice"),
            (r"\text{even}", "Even."),
            (r"90^\circ", "90"),
            (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
            (r"x \in (0, 1)", r"x\in(0,1)"),
            ("5/2", "$\\frac{5}{2}$"),
            ("3", r"\{3\}"),
            ("12", r"{12}"),
            ("f'(x)", "f'(x)"),
            ("2024-10-13", "2024–10–13"),
            ("3-2", r"\text{3 - 2}"),
            ("7", "10 - 3"),
            ("17", "12 + 5 = 17"),
            ("12", r"3 \times 4 = 12"),
            ("7", "12-5 = 7"),
            ("10", "f(3) = 10"),
            ("10", r"\text{Total cost} = \$10"),
            ("55", "a_{10} = 55"),
            (r"\pi", "pi"),
            ("xy", r"y \cdot x"),
            ("A B C", "a  b c."),
            ("no", "No."),
            ("Yes", "Yes!"),
            ("6", "6km"),
            ("6", "6 kg"),
            ("6", "6 apples!"),
        ] {
            assert!(same(answer, found), "{answer} and {found}");
        }
    }

    #[test]
    fn not_the_same() {
        for (answer, found) in [
            ("288", "28"),
            ("3", "none"),
            ("3", "3/4"),
            ("10", "10^6"),
            ("12", "12-5"),
            ("3", "3 or 4"),
            ("3", ""),
            ("", ""),
            ("3", "-3"),
            ("3", "3x"),
            ("(1, 2)", "(2, 1)"),
            ("(1, 2)", "[1, 2]"),
            ("[0, 1)", "(0, 1]"),
            ("1, 2", "1, 1"),
            ("1, 2", "1, 2, 3"),
            ("10:30", "10:31"),
            ("2:30 AM", "2:30 PM"),
            ("Tuesday", "Thursday"),
            ("x + 1", "x - 1"),
            ("y = x", "y = 2x"),
            ("12345678", "12345679"),
            ("2024-05-13", "2006"),
            ("5 million", "5"),
            ("f'(x)", "f(x)"),
            ("x < 3", "x > 3"),
            ("2024-10-13", "2024-11-12"),
            ("2024-12-10", "2024-11-11"),
            ("2001", "2024-10-13"),
            ("3-2", "1"),
            ("1", "3-2"),
            ("3–5", "-2"),
            ("-2", "3–5"),
            ("-2", "3-5 km"),
            ("A-B-C", "A-C-B"),
            ("A B C", "C B A"),
            ("no", "on"),
            ("on", r"\text{no}"),
            ("6xyz", "6"),
            ("6", "6xyz"),
            ("6xyz", "6abc"),
            ("2 ab", "2 cd"),
            ("5!", "5"),
            ("5", "5!"),
            ("n", "n!"),
            ("x+1", "(x+1)!"),
            ("5", "5 squared"),
            ("5", "5 times x"),
            ("5", "5 dozen"),
            ("5", "5 hundred"),
            ("5", r"5 \text{ hundred}"),
            ("5", "twice 5"),
            ("5", "half of 5"),
            ("10", "2x = 10"),
            ("2x = 10", "10"),
            ("10", "x + 3 = 10"),
            ("18", "12 + 5 = 18"),
            ("8", "12-5 = 8"),
        ] {
            assert!(!same(answer, found), "{answer} and {found}");
        }
    }

    #[test]
    fn grades_keep_their_places() {
        let answers = Answers { right: vec!["1".into(), "2".into(), "3".into()] };
        let grade = answers.grade(0, r"\boxed{1} \boxed{5}");
        assert_eq!(
            grade,
            Grade { right: vec![true, false, false], found: vec!["1".into(), "5".into(), String::new()] }
        );
        assert!(!grade.all());
        assert!(answers.grade(0, r"\boxed{1} \boxed{2.0} \boxed{3}").all());
        assert_eq!(answers.grade(0, "").found, Vec::<String>::new());
        assert_eq!(answers.grade(0, "").right, [false; 3]);
        let one = Answers { right: vec!["18".into()] };
        assert!(one.grade(0, "<think>\\boxed{4}</think>\nShe makes 18 dollars.").all());
    }

    #[test]
    fn whatever_the_text_marking_ends() {
        // Noise of the characters that mean something, from a fixed walk.
        let alphabet: Vec<char> = r"\{}()[]^_$,.:;=+-*/%09 xyéπ<>'".chars().chain("\n".chars()).collect();
        let words = ["\\frac", "\\text{", "\\sqrt", "\\boxed{", "sin", "and", "#### ", "1e9", "</think>"];
        let mut state = 1u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for length in 0..600 {
            let mut text = String::new();
            for _ in 0..length {
                match next(5) {
                    0 => text.push_str(words[next(words.len())]),
                    _ => text.push(alphabet[next(alphabet.len())]),
                }
            }
            for count in [1, 3] {
                assert_eq!(extract(&text, count).len(), count);
            }
            if !text.trim().is_empty() {
                assert!(same(&text, &text));
            }
            let _ = same("12", &text);
            let _ = same(&text, "(x+1)^2");
        }
    }
}
