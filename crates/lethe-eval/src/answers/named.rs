//! What an equation may give a value to: `x`, `a_{10}`, `\\theta`, `f(2)`, `AB`, `Total cost`. Not `2x`, nor `x + y`.

use super::expression;
use super::lexer::{Piece, Token};

/// Signs of a term that is more than a name.
const WORKS: [char; 7] = ['+', '-', '*', '/', '^', '!', '|'];

/// Whether the left side of an equation is one unknown, the value of a function, or words.
pub(super) fn named(pieces: &[Piece]) -> bool {
    match pieces {
        [Piece { token: Token::Letters(_), .. }] => true,
        [Piece { token: Token::Letters(name) | Token::Command(name), .. }, rest @ ..]
            if name.chars().count() == 1 || !expression::unknown(name) =>
        {
            (rest.is_empty() && expression::value(pieces).is_some())
                || subscript(rest)
                || called(name, rest)
                || words(pieces)
        }
        _ => words(pieces),
    }
}

/// `_1`, `_{10}`, `_n`
fn subscript(pieces: &[Piece]) -> bool {
    let atom = |token: &Token| matches!(token, Token::Number(_) | Token::Letters(_));
    match pieces {
        [under, name] => under.token == Token::Sign('_') && atom(&name.token),
        [under, open, name, close] => {
            let signs = [under, open, close].map(|piece| &piece.token);
            signs == [&Token::Sign('_'), &Token::Sign('{'), &Token::Sign('}')] && atom(&name.token)
        }
        _ => false,
    }
}

/// Brackets behind the name of a function, to the end.
fn called(name: &str, pieces: &[Piece]) -> bool {
    let function = name.chars().all(|c| c.is_uppercase() || matches!(c, 'f' | 'g' | 'h' | 'p' | 'q'));
    let [open, inner @ .., close] = pieces else { return false };
    let bracket = |piece: &Piece| matches!(piece.token, Token::Sign('(' | ')'));
    function
        && open.token == Token::Sign('(')
        && close.token == Token::Sign(')')
        && !inner.is_empty()
        && !inner.iter().any(bracket)
}

/// Words, or anything else with letters that is no formula and works nothing out.
fn words(pieces: &[Piece]) -> bool {
    let letters = |piece: &Piece| matches!(piece.token, Token::Letters(_) | Token::Text(_) | Token::Command(_));
    let works = |piece: &Piece| matches!(piece.token, Token::Sign(c) if WORKS.contains(&c));
    let alone = pieces.iter().all(|piece| matches!(piece.token, Token::Letters(_) | Token::Text(_)));
    pieces.iter().any(letters) && (alone || !pieces.iter().any(works) && expression::value(pieces).is_none())
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn names() {
        let of = |text: &str| named(&tokens(text).unwrap());
        for text in [
            "x",
            "AB",
            "a_1",
            "a_{10}",
            r"\theta",
            "f(2)",
            "f(-1)",
            "P(X)",
            "f'(2)",
            "Total cost",
            r"\text{Cost}",
            "x_n",
            r"m\angle ABC",
            r"\overline{AB}",
            "P(X=1)",
            r"\alpha_1",
        ] {
            assert!(of(text), "{text}");
        }
        for text in [
            "2x",
            "x^2",
            "x + y",
            "2",
            "3 \\times 4",
            "12-5",
            "x(x+1)",
            "f(2)g(3)",
            "|x|",
            "n!",
            r"\sqrt{x}",
            r"\frac{x}{2}",
            "5 - x",
            "",
            "-x",
            r"\sin x",
            "2AB",
            "2f(2)",
        ] {
            assert!(!of(text), "{text}");
        }
    }
}
