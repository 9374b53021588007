//! Times of the day and spans, such as `10:30`, `05:23:10` and `2:30 PM`.

use super::fraction::Fraction;
use super::lexer::{Piece, Token};

/// Hours, minutes, seconds.
pub(super) type Clock = [Fraction; 3];

/// The time that the tokens say, if they say one.
pub(super) fn clock(pieces: &[Piece]) -> Option<Clock> {
    let mut clock = [Fraction::ZERO; 3];
    let mut rest = pieces;
    let mut parts = 0;
    while let [Piece { token: Token::Number(number), .. }, after @ ..] = rest {
        *clock.get_mut(parts)? = Fraction::parse(number)?;
        parts += 1;
        match after {
            [Piece { token: Token::Sign(':'), .. }, more @ ..] => rest = more,
            _ => {
                rest = after;
                break;
            }
        }
        if rest.is_empty() {
            return None; // ends in a colon
        }
    }
    if parts < 2 {
        return None;
    }
    let half = half(rest)?;
    let twelve = Fraction::whole(12);
    match half {
        Some(true) if clock[0] < twelve => clock[0] = clock[0].plus(twelve)?,
        Some(false) if clock[0] == twelve => clock[0] = Fraction::ZERO,
        _ => {}
    }
    Some(clock)
}

/// Whether it is after noon, where `am` or `pm` says so; the outer `None` if the tokens say anything else.
fn half(pieces: &[Piece]) -> Option<Option<bool>> {
    let mut word = String::new();
    for piece in pieces {
        match &piece.token {
            Token::Letters(text) | Token::Text(text) => word.push_str(&text.to_lowercase()),
            Token::Sign('.') => {}
            _ => return None,
        }
    }
    match word.replace('.', "").as_str() {
        "" => Some(None),
        "am" => Some(Some(false)),
        "pm" => Some(Some(true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn times() {
        let of = |text: &str| clock(&tokens(text).unwrap());
        let at = |h, m, s| Some([h, m, s].map(Fraction::whole));
        assert_eq!(of("10:30"), at(10, 30, 0));
        assert_eq!(of("05:03:09"), at(5, 3, 9));
        assert_eq!(of("2:30 PM"), at(14, 30, 0));
        assert_eq!(of(r"12:05 \text{a.m.}"), at(0, 5, 0));
        assert_eq!(of("12:05 p.m."), at(12, 5, 0));
        for text in ["10", "10:", ":30", "10:30 km", "1:2:3:4", "10:x", ""] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
