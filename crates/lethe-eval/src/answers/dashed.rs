//! Dates, scores, ranges and codes: atoms joined by dashes without a space, such as `2024-10-13`, `3-2` and `A-B-C`.
//! They look like differences and are none.

use super::lexer::{Piece, Token};

/// Whether the tokens are nothing but numbers joined by dashes, or three or more capitals. A difference is told by the
/// space before its minus: `10 - 3`.
pub(super) fn dashed(pieces: &[Piece]) -> bool {
    let alternates = pieces.len() % 2 == 1
        && pieces.iter().skip(1).step_by(2).all(|piece| piece.token == Token::Sign('-') && !piece.spaced);
    let number = |piece: &Piece| matches!(piece.token, Token::Number(_));
    let capital = |piece: &Piece| match &piece.token {
        Token::Letters(word) => word.chars().count() == 1 && word.chars().all(char::is_uppercase),
        _ => false,
    };
    let all = |is: &dyn Fn(&Piece) -> bool| pieces.iter().step_by(2).all(is);
    alternates && (pieces.len() >= 3 && all(&number) || pieces.len() >= 5 && all(&capital))
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn dashes_that_are_no_minus() {
        let of = |text: &str| dashed(&tokens(text).unwrap());
        for text in ["2024-10-13", "3-2", "3–5", "555-12-34-99", "$3-$5", "0.5-0.7", "A-B-C"] {
            assert!(of(text), "{text}");
        }
        for text in ["10 - 3", "-3", "3", "", "3-", "3-x", "x-y-z", "A-B", "3-2+1", "1e-3"] {
            assert!(!of(text), "{text}");
        }
    }
}
