//! Finds the answers in what a model wrote.

use super::lexer::closing;
use super::value::Value;

/// Boxes, headings and the like that are looked at in one text.
const MOST: usize = 10_000;
/// Words of a unit, as in `12 miles per hour`.
const MOST_WORDS: usize = 4;

/// What follows the thinking; nothing of a text whose thinking never closes.
pub fn after_thinking(text: &str) -> &str {
    match text.rsplit_once("</think>") {
        Some((_, said)) => said,
        None if text.contains("<think>") => "",
        None => text,
    }
}

/// The answers to `count` problems that were put in one prompt, in their order; `None` where there is none. `[count]`
///
/// One problem: the last `\boxed{...}`, else what follows the last `####`, else the last number of what follows the
/// thinking. Several: only boxes count. Where each box stands under a heading such as `Problem 2`, and every problem has one
/// or no two stand under the same, they belong to those problems, and the last of each counts. Otherwise, as headings are
/// left out or misnumbered, the last `count` boxes are taken in order, or, where there are fewer, those there are from the
/// first problem on: an answer that is cut off lacks its end. One box may hold all answers, with commas.
pub fn extract(text: &str, count: usize) -> Vec<Option<String>> {
    let said = after_thinking(text);
    let boxes = boxes(said);
    if count == 1 {
        let found = boxes.last().map(|(_, inner)| *inner).or_else(|| hashed(said)).map(str::to_owned);
        return vec![found.or_else(|| last_number(said))];
    }
    if let Some(found) = under_headings(said, &boxes, count) {
        return found;
    }
    if let [(_, all)] = boxes.as_slice() {
        let parts: Vec<&str> = all.split(", ").map(str::trim).collect();
        if parts.len() == count {
            return parts.into_iter().map(|part| Some(part.to_owned())).collect();
        }
    }
    let last = &boxes[boxes.len().saturating_sub(count)..];
    (0..count).map(|i| last.get(i).map(|(_, inner)| (*inner).to_owned())).collect()
}

/// Where the `\boxed{...}` and `\fbox{...}` of a text stand and what they hold, in order; open ones hold nothing. Of boxes
/// inside each other only the outer one is told.
pub fn boxes(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while found.len() < MOST {
        let Some(at) = text[from..].find("box").map(|at| from + at) else { break };
        from = at + "box".len();
        let name = ["\\boxed", "\\fbox"].into_iter().find(|name| {
            let start = at - usize::from(name.starts_with("\\f")).min(at);
            start > 0 && text.is_char_boundary(start - 1) && text[start - 1..].starts_with(name)
        });
        let Some(name) = name else { continue };
        let start = at - 1 - usize::from(name == "\\fbox");
        let after = &text[start + name.len()..];
        let blanks = after.len() - after.trim_start().len();
        let Some(inner) = after[blanks..].strip_prefix('{') else { continue };
        let Some(end) = closing(inner) else { break }; // never closed: neither is any that comes later in it
        found.push((start, &inner[..end]));
        from = start + name.len() + blanks + 1 + end;
    }
    found
}

/// The rest of the last line that begins with `####` and goes on with a number and at most its unit, or a formula. Other
/// such lines are headings.
fn hashed(text: &str) -> Option<&str> {
    let answers = |rest: &&str| {
        let bare = rest.trim_start_matches(['-', '+', '−', '$', '\\', '.', '(', '[', ' ']);
        let command = rest.contains('\\') && ["frac", "dfrac", "tfrac", "sqrt"].iter().any(|c| bare.starts_with(c));
        let numeric = command || bare.starts_with(|c: char| c.is_ascii_digit());
        let words = rest.split_whitespace().filter(|word| word.starts_with(char::is_alphabetic)).count();
        numeric && words <= MOST_WORDS && Value::read(rest, true).wordless()
    };
    let rests = text.lines().rev().take(MOST).filter_map(|line| line.trim_start().strip_prefix("####"));
    rests.map(|rest| rest.trim().trim_matches('*').trim()).find(answers)
}

/// The last number of a text with its sign, decimals, separators of thousands, denominator or minutes.
fn last_number(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut start = end - 1;
    loop {
        let joins = start > 1 && matches!(bytes[start - 1], b'.' | b',' | b'/' | b':') && digit(start - 2);
        if start > 0 && digit(start - 1) {
            start -= 1;
        } else if joins && (bytes[start - 1] != b',' || digit(start + 2)) {
            start -= 2;
        } else {
            break;
        }
    }
    let sign = if negative(text.get(..start)?) { "-" } else { "" };
    text.get(start..end).map(|number| format!("{sign}{number}"))
}

/// Whether what stands before a number ends in its minus: any dash, perhaps with the sign of money behind it, that joins the
/// number to nothing. Where white space follows the dash it may be a bullet or a pause, unless the text calls for a value.
fn negative(before: &str) -> bool {
    let money = before.trim_end_matches(['$', '\\', ' ']);
    let spaced = before[money.len()..].contains(' ');
    let Some(joined) = money.strip_suffix(['-', '−', '–', '‑', '—']) else { return false };
    if spaced {
        return joined.trim_end_matches(['$', '\\', ' ']).ends_with(['=', ':', '≈']);
    }
    !joined.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | ']' | '}'))
}

/// The last box under the heading of each problem, where every box stands under one and they leave no doubt: every problem
/// has a box, or none has two.
fn under_headings(text: &str, boxes: &[(usize, &str)], count: usize) -> Option<Vec<Option<String>>> {
    let headings = headings(text, count);
    let mut found = vec![None; count];
    for (at, inner) in boxes {
        let before = headings.partition_point(|(place, _)| place < at);
        let (_, problem) = headings.get(before.checked_sub(1)?)?;
        found[problem - 1] = Some((*inner).to_owned());
    }
    let there = found.iter().flatten().count();
    (there == count || there == boxes.len()).then_some(found)
}

/// Where lines begin with `Problem n`, whatever marks them as headings, and the n's, from 1 to `count`.
fn headings(text: &str, count: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let bare =
            line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '#' | '*' | '_' | '-' | '>' | '['));
        let bare =
            ["Solution to ", "Solution for ", "Answer to "].iter().find_map(|s| bare.strip_prefix(s)).unwrap_or(bare);
        let word = bare.get(.."problem".len()).filter(|word| word.eq_ignore_ascii_case("problem"));
        let number = word.map(|word| bare[word.len()..].trim_start_matches([' ', '#', '*']));
        let digits = number.map(|n| &n[..n.bytes().take_while(u8::is_ascii_digit).count()]);
        if let Some(n) = digits.and_then(|n| n.parse().ok()).filter(|n| (1..=count).contains(n))
            && found.len() < MOST
        {
            found.push((start, n));
        }
        start += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, count: usize) -> Vec<String> {
        extract(text, count).into_iter().map(|found| found.unwrap_or_else(|| "-".into())).collect()
    }

    #[test]
    fn boxes_nest_and_may_stay_open() {
        let inner = |text| boxes(text).into_iter().map(|(_, inner)| inner).collect::<Vec<_>>();
        assert_eq!(inner(r"\boxed{3} and \boxed{\frac{1}{2}} \boxed{open"), ["3", r"\frac{1}{2}"]);
        assert_eq!(inner(r"\boxed {4} \fbox{5} \boxed5 box{6} \unboxed{7} \boxed{}"), ["4", "5", ""]);
        assert_eq!(inner(r"\boxed{\boxed{8}}"), [r"\boxed{8}"]);
        assert_eq!(inner(r"box é\boxed{é} \fbo \fbox"), ["é"]);
    }

    #[test]
    fn one_answer() {
        for (text, answer) in [
            (r"So \boxed{3}. No: \boxed{4}. That is 5.", "4"),
            ("5 + 5 = 10\n#### 1,000 \nDone", "1,000"),
            ("It takes 12 hours, so 3 days.", "3"),
            ("The total is $1,234.50.", "1,234.50"),
            ("It is -7.", "-7"),
            ("from 5-7", "7"),
            ("at 10:30", "10:30"),
            ("3/4", "3/4"),
            ("of 3, 14", "14"),
            ("in 1,23", "23"),
            ("\\boxed{3} wait </think> the answer is 4", "4"),
            ("<think> \\boxed{3}", "-"),
            ("nothing", "-"),
            ("", "-"),
            ("#### ", "-"),
            ("#### 7\n#### Remarks\nIt took 3 steps.", "7"),
            ("#### Step 1: add\nIt is 5.", "5"),
            ("The answer is −7.", "-7"),
            ("-$7", "-7"),
            (r"It is −\$7.", "-7"),
            ("x = - 7", "-7"),
            ("so $-7$", "-7"),
            ("apples:\n- 7 red", "7"),
            ("It is done — 7", "7"),
            ("from 5–7", "7"),
            ("from $5-$7", "7"),
            ("f(2)-7", "7"),
            ("10 - 7", "7"),
            ("#### 1. Add ...\n#### 2. Final answer\nThe total is 42.", "42"),
            ("#### 2) Final answer\nThe total is 42.", "42"),
            ("#### 1 Work out the cost of all\nIt is 42.", "42"),
            ("#### **42**\nThat took 3 steps.", "42"),
            ("#### $42 dollars\nIn 3 steps.", "$42 dollars"),
            ("#### 12 miles per hour\nIn 3 steps.", "12 miles per hour"),
            ("#### \\frac{1}{2}\nIn 3 steps.", "\\frac{1}{2}"),
            ("#### 2x + 1\nIn 3 steps.", "2x + 1"),
            ("#### 2024-10-13\nIn 3 steps.", "2024-10-13"),
            ("#### -3\nIn 3 steps.", "-3"),
        ] {
            assert_eq!(said(text, 1), [answer], "{text}");
        }
    }

    #[test]
    fn several_answers_in_order() {
        assert_eq!(said(r"\boxed{1} \boxed{2} \boxed{3}", 3), ["1", "2", "3"]);
        assert_eq!(said(r"\boxed{0} \boxed{1} \boxed{2} \boxed{3}", 3), ["1", "2", "3"]);
        assert_eq!(said(r"\boxed{1} \boxed{2}, and then", 3), ["1", "2", "-"]);
        assert_eq!(said(r"all of them: \boxed{1, 2, 3}", 3), ["1", "2", "3"]);
        assert_eq!(said(r"\boxed{1,200}", 2), ["1,200", "-"]);
        assert_eq!(said("no box, 5", 2), ["-", "-"]);
    }

    #[test]
    fn headings_align() {
        let text = "### Problem 1\n\\boxed{1}\n\n**Problem 2:** \\boxed{2}\nProblem 4. \\boxed{4}\n";
        assert_eq!(said(text, 4), ["1", "2", "-", "4"]);
        let again = format!("{text}\nIn short:\nProblem 3: \\boxed{{3}}\nProblem 1: \\boxed{{10}}\n");
        assert_eq!(said(&again, 4), ["10", "2", "3", "4"]);
        // a heading that is left out or misnumbered says nothing
        assert_eq!(said("Problem 1\n\\boxed{1}\n\\boxed{2}", 2), ["1", "2"]);
        assert_eq!(said("Problem 1\n\\boxed{1}\nProblem 2\n\\boxed{2}\n\\boxed{3}", 3), ["1", "2", "3"]);
        assert_eq!(said("Problem 1\n\\boxed{1}\nProblem 2\n\\boxed{2}\nProblem 4\n\\boxed{3}", 3), ["1", "2", "3"]);
        assert_eq!(said("\\boxed{1}\nProblem 2\n\\boxed{2}\nProblem 3\n\\boxed{3}", 3), ["1", "2", "3"]);
        assert_eq!(said("Problem 9\n\\boxed{1}\nproblem\n\\boxed{2}", 2), ["1", "2"]);
    }

    #[test]
    fn hostile_texts_end() {
        assert_eq!(said(&r"\boxed{".repeat(100_000), 1), ["-"]);
        assert_eq!(said(&"1,111".repeat(100_000), 1).len(), 1);
        assert_eq!(said(&r"\boxed{1}".repeat(50_000), 4), ["1"; 4]);
    }
}
