//! What an answer says: a number, a formula, a time, several of these in brackets or without, or plain text.

use super::clock::{Clock, clock};
use super::dashed::dashed;
use super::expression;
use super::lexer::{Piece, Token, tokens};
use super::named::named;
use super::quantity::{Quantity, quantity};
use super::ratio::Ratio;

/// Brackets inside brackets that are looked into.
const MOST_DEPTH: usize = 6;
const MOST_ITEMS: usize = 100;

/// An answer, read.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Quantity(Quantity),
    Clock(Clock),
    Formula(Ratio),
    /// Letters alone, as text, that are also a product of unknowns. Among themselves they are text: `no` is not `on`.
    Letters(String, Ratio),
    /// `left = right`, and whether that gives a value to what stands on the left, or works out what does.
    Equation(Box<Value>, Box<Value>, bool),
    /// Several things in any order: a set, or a list without brackets.
    Set(Vec<Value>),
    /// Several things in their order, and the brackets around them.
    Tuple(char, Vec<Value>, char),
    /// Letters that say nothing to us, lower case and without needless space.
    Text(String),
}

impl Value {
    /// Reads an answer; `lenient` as in [`quantity`].
    pub(super) fn read(text: &str, lenient: bool) -> Value {
        match tokens(text) {
            Some(pieces) => read(trimmed(&unquoted(pieces)), lenient, MOST_DEPTH),
            None => Value::Text(text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()),
        }
    }

    /// Whether `found` says the same.
    pub(super) fn equals(&self, found: &Value) -> bool {
        match (self, found) {
            (Value::Equation(a, b, _), Value::Equation(c, d, _)) => {
                a.equals(c) && b.equals(d) || a.equals(d) && b.equals(c) || same_equation([a, b], [c, d])
            }
            (Value::Equation(_, right, true), other) => right.equals(other),
            (other, Value::Equation(_, right, true)) => other.equals(right),
            (Value::Quantity(a), Value::Quantity(b)) => a.equals(b),
            (Value::Clock(a), Value::Clock(b)) => a == b,
            (Value::Formula(a), Value::Formula(b) | Value::Letters(_, b)) => a.equals(b),
            (Value::Letters(_, a), Value::Formula(b)) => a.equals(b),
            (Value::Set(a), Value::Set(b)) => same_items(a, b),
            (Value::Tuple(open, a, close), Value::Tuple(other_open, b, other_close)) => {
                let items = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b));
                items && (open, close) == (other_open, other_close)
            }
            (Value::Text(a) | Value::Letters(a, _), Value::Text(b) | Value::Letters(b, _)) => a == b,
            _ => false,
        }
    }

    /// Whether all of it is numbers, times and formulas, and no words.
    pub(super) fn wordless(&self) -> bool {
        match self {
            Value::Text(text) => !text.contains(char::is_alphabetic),
            Value::Equation(left, right, _) => left.wordless() && right.wordless(),
            Value::Set(items) | Value::Tuple(_, items, _) => items.iter().all(Value::wordless),
            Value::Quantity(_) | Value::Clock(_) | Value::Formula(_) | Value::Letters(..) => true,
        }
    }

    fn formula(&self) -> Option<Ratio> {
        match self {
            Value::Formula(ratio) | Value::Letters(_, ratio) => Some(ratio.clone()),
            Value::Quantity(q) if !q.percent => Some(Ratio::number(q.value)),
            _ => None,
        }
    }
}

/// Dates, scores and ranges as text, with the other answer beside them; `None` if `answer` is nothing of the kind.
pub(super) fn as_dashed(answer: &str, found: &str) -> Option<(String, String)> {
    let (answer, found) = (unquoted(tokens(answer)?), unquoted(tokens(found)?));
    let answer = trimmed(&answer);
    dashed(answer).then(|| (plain(answer), plain(trimmed(&found))))
}

/// Two equations between formulas that are multiples of each other.
fn same_equation(a: [&Value; 2], b: [&Value; 2]) -> bool {
    let difference = |[left, right]: [&Value; 2]| left.formula()?.plus(&right.formula()?.negative()?);
    match (difference(a), difference(b)) {
        (Some(a), Some(b)) => a.proportional(&b),
        _ => false,
    }
}

/// The same items in any order.
fn same_items(a: &[Value], b: &[Value]) -> bool {
    let mut left: Vec<&Value> = b.iter().collect();
    let mut takes = |item: &Value| left.iter().position(|other| item.equals(other)).map(|at| left.remove(at));
    a.len() == b.len() && a.iter().all(|item| takes(item).is_some())
}

fn read(pieces: &[Piece], lenient: bool, depth: usize) -> Value {
    let pieces = trimmed(pieces);
    let plain = || Value::Text(plain(pieces));
    if depth == 0 {
        return plain();
    }
    if let [left, right] = split(pieces, |token| *token == Token::Sign('=')).as_slice()
        && !left.is_empty()
        && !right.is_empty()
    {
        // What is worked out may be a difference without spaces.
        let worked_out = number(left).filter(|_| dashed(left));
        let names = named(left);
        let (left, right) =
            (worked_out.unwrap_or_else(|| read(left, lenient, depth - 1)), read(right, lenient, depth - 1));
        let holds = matches!((&left, &right), (Value::Quantity(a), Value::Quantity(b)) if a.equals(b));
        return Value::Equation(Box::new(left), Box::new(right), names || holds);
    }
    let mut items = split(pieces, separates);
    if items.len() > 1 {
        items.retain(|item| !item.is_empty());
    }
    let read_all = |items: &[&[Piece]]| items.iter().map(|item| read(item, lenient, depth - 1)).collect::<Vec<_>>();
    if (2..=MOST_ITEMS).contains(&items.len()) {
        return Value::Set(read_all(&items));
    }
    if let Some((open, inner, close)) = bracketed(pieces) {
        let items = split(inner, separates);
        match (open, items.len()) {
            ('<', 0 | 1) => return read(inner, lenient, depth - 1),
            ('<', 2..=MOST_ITEMS) => return Value::Set(read_all(&items)),
            (_, 2..=MOST_ITEMS) => return Value::Tuple(open, read_all(&items), close),
            ('(', 1) if inner.len() == 1 => return read(inner, lenient, depth - 1), // a choice: (A)
            _ => {}
        }
    }
    if let Some(quantity) = quantity(pieces, lenient) {
        return Value::Quantity(quantity);
    }
    if let Some(clock) = clock(pieces) {
        return Value::Clock(clock);
    }
    if dashed(pieces) {
        return plain();
    }
    match expression::value(pieces) {
        Some(ratio) if letters_alone(pieces) => Value::Letters(self::plain(pieces), ratio),
        Some(ratio) => number(pieces).unwrap_or(Value::Formula(ratio)),
        None => plain(),
    }
}

/// The number that a formula comes to.
fn number(pieces: &[Piece]) -> Option<Value> {
    let value = expression::value(pieces)?.as_number()?;
    Some(Value::Quantity(Quantity { value, percent: false }))
}

/// Whether nothing but letters is there, and none of them spell a name or a function.
fn letters_alone(pieces: &[Piece]) -> bool {
    pieces.iter().all(|piece| matches!(&piece.token, Token::Letters(word) if expression::unknown(word)))
}

/// What stands between the items of a list.
fn separates(token: &Token) -> bool {
    match token {
        Token::Sign(',' | ';') => true,
        Token::Letters(word) | Token::Text(word) => matches!(word.to_lowercase().as_str(), "and" | "or"),
        Token::Command(name) => name == "cup",
        Token::Number(_) | Token::Sign(_) => false,
    }
}

/// The parts between tokens that stand in no brackets.
fn split(pieces: &[Piece], at: impl Fn(&Token) -> bool) -> Vec<&[Piece]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (place, piece) in pieces.iter().enumerate() {
        match piece.token {
            Token::Sign('(' | '[' | '{' | '<') => depth += 1,
            Token::Sign(')' | ']' | '}' | '>') => depth = depth.saturating_sub(1),
            _ if depth == 0 && at(&piece.token) => {
                parts.push(&pieces[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&pieces[start..]);
    parts
}

/// What stands inside, if one pair of brackets is around everything. An interval may open and close differently.
fn bracketed(pieces: &[Piece]) -> Option<(char, &[Piece], char)> {
    let [
        Piece { token: Token::Sign(open @ ('(' | '[' | '<')), .. },
        inner @ ..,
        Piece { token: Token::Sign(close), .. },
    ] = pieces
    else {
        return None;
    };
    let mut depth = 1usize;
    for piece in inner {
        match piece.token {
            Token::Sign('(' | '[' | '{' | '<') => depth += 1,
            Token::Sign(')' | ']' | '}' | '>') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return None;
        }
    }
    (depth == 1 && matches!(close, ')' | ']' | '>')).then_some((*open, inner, *close))
}

/// Without a full stop at the end, and without braces around everything.
fn trimmed(mut pieces: &[Piece]) -> &[Piece] {
    while let [rest @ .., Piece { token: Token::Sign(mark @ ('.' | '!' | ';' | ',')), .. }] = pieces {
        if *mark == '!' && rest.last().is_some_and(|before| has_factorial(&before.token)) {
            break;
        }
        pieces = rest;
    }
    while let [Piece { token: Token::Sign('{'), .. }, rest @ .., Piece { token: Token::Sign('}'), .. }] = pieces {
        if split(rest, |_| false).len() != 1 || !balanced(rest) {
            break;
        }
        pieces = rest;
    }
    pieces
}

/// Whether a `!` after it is more than emphasis.
fn has_factorial(token: &Token) -> bool {
    match token {
        Token::Number(_) | Token::Sign(')' | '}' | ']' | '!') => true,
        Token::Letters(word) => word.chars().count() <= 2,
        _ => false,
    }
}

/// Whether no brace closes that was not opened here.
fn balanced(pieces: &[Piece]) -> bool {
    let mut depth = 0i32;
    pieces.iter().all(|piece| {
        depth += match piece.token {
            Token::Sign('{') => 1,
            Token::Sign('}') => -1,
            _ => 0,
        };
        depth >= 0
    })
}

/// Without quotation marks; a prime after a name stays.
fn unquoted(pieces: Vec<Piece>) -> Vec<Piece> {
    let (mut kept, mut open) = (Vec::<Piece>::with_capacity(pieces.len()), false);
    for piece in pieces {
        match piece.token {
            Token::Sign('"' | '“' | '”' | '`' | '‘') => {}
            Token::Sign('\'' | '’') => {
                let after = kept.last().map(|p| &p.token);
                let prime = matches!(after, Some(Token::Letters(_) | Token::Sign(')' | '\'')));
                if prime && !open {
                    kept.push(piece);
                } else {
                    open = !open;
                }
            }
            _ => kept.push(piece),
        }
    }
    kept
}

/// The tokens as one text: no white space but between words, all in lower case.
fn plain(pieces: &[Piece]) -> String {
    let mut text = String::new();
    let mut word = false;
    for piece in pieces {
        let (said, is_word) = match &piece.token {
            Token::Number(number) => (number.clone(), true),
            Token::Letters(letters) => (letters.to_lowercase(), true),
            Token::Text(said) => (said.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase(), true),
            Token::Command(name) => (format!("\\{name}"), false),
            Token::Sign(c) => (c.to_string(), false),
        };
        if word && is_word && piece.spaced {
            text.push(' ');
        }
        text.push_str(&said);
        word = is_word;
    }
    text
}
