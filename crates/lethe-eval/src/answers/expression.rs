//! Reads a formula into its normal form.

use super::fraction::Fraction;
use super::lexer::{Piece, Token};
use super::polynomial::Polynomial;
use super::ratio::Ratio;

const MOST_DEPTH: usize = 40;
/// Functions of one argument, which stay unknowns by the form of it.
const FUNCTIONS: [&str; 12] =
    ["sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "arcsin", "arccos", "arctan"];
/// Commands that stand for one unknown.
const NAMES: [&str; 20] = [
    "pi", "alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "nu", "rho", "sigma", "tau", "phi",
    "varphi", "psi", "omega", "infty", "ell", "hbar",
];

/// The value of a formula; `None` if it is none, or too large for the normal form.
pub(super) fn value(pieces: &[Piece]) -> Option<Ratio> {
    let mut parser = Parser { pieces, at: 0, depth: 0 };
    let value = parser.sum()?;
    (parser.at == pieces.len()).then_some(value)
}

struct Parser<'a> {
    pieces: &'a [Piece],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.pieces.get(self.at).map(|piece| &piece.token)
    }

    fn sign(&self) -> Option<char> {
        match self.peek() {
            Some(Token::Sign(c)) => Some(*c),
            _ => None,
        }
    }

    /// Takes this sign if it comes next.
    fn take(&mut self, sign: char) -> bool {
        let here = self.sign() == Some(sign);
        self.at += usize::from(here);
        here
    }

    fn sum(&mut self) -> Option<Ratio> {
        let mut sum = self.product()?;
        loop {
            if self.take('+') {
                sum = sum.plus(&self.product()?)?;
            } else if self.take('-') {
                sum = sum.plus(&self.product()?.negative()?)?;
            } else {
                return Some(sum);
            }
        }
    }

    /// Goes one level deeper, unless that is too deep.
    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Option<Ratio>) -> Option<Ratio> {
        if self.depth == MOST_DEPTH {
            return None;
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    fn product(&mut self) -> Option<Ratio> {
        let mut product = self.factor()?;
        loop {
            if self.take('*') {
                product = product.times(&self.factor()?)?;
            } else if self.take('/') {
                product = product.over(&self.factor()?)?;
            } else if self.begins() {
                product = product.times(&self.power()?)?;
            } else {
                return Some(product);
            }
        }
    }

    /// Whether a factor may follow without a sign of multiplication. A number may not: `2 3` is no product.
    fn begins(&self) -> bool {
        match self.peek() {
            Some(Token::Letters(_)) => true,
            Some(Token::Command(name)) => known(name),
            Some(Token::Sign(c)) => matches!(c, '(' | '{' | '['),
            _ => false,
        }
    }

    fn factor(&mut self) -> Option<Ratio> {
        let mut negative = false;
        while let Some(sign @ ('+' | '-')) = self.sign() {
            self.at += 1;
            negative ^= sign == '-';
        }
        let power = self.power()?;
        if negative { power.negative() } else { Some(power) }
    }

    fn power(&mut self) -> Option<Ratio> {
        let base = self.base()?;
        if !self.take('^') {
            return Some(base);
        }
        let exponent = match self.sign() {
            Some('{' | '(') => self.group()?,
            Some('-') => self.signed()?,
            _ => self.base()?,
        };
        base.power(&exponent)
    }

    /// A minus and a base.
    fn signed(&mut self) -> Option<Ratio> {
        self.at += 1;
        self.base()?.negative()
    }

    fn base(&mut self) -> Option<Ratio> {
        match self.peek()?.clone() {
            Token::Number(text) => {
                self.at += 1;
                self.number(&text)
            }
            Token::Letters(letters) => {
                self.at += 1;
                self.letters(&letters)
            }
            Token::Command(name) => {
                self.at += 1;
                self.deeper(|parser| parser.command(&name))
            }
            Token::Sign('(' | '{' | '[') => self.group(),
            Token::Sign(_) | Token::Text(_) => None,
        }
    }

    /// Something in brackets of one kind.
    fn group(&mut self) -> Option<Ratio> {
        let close = match self.sign()? {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            _ => return None,
        };
        self.at += 1;
        let inner = self.deeper(Parser::sum)?;
        self.take(close).then_some(inner)
    }

    /// A number, perhaps a mixed one: `2 1/2` or `2\frac{1}{2}`.
    fn number(&mut self, text: &str) -> Option<Ratio> {
        if text.len() > 1 && text.starts_with('0') && !text.starts_with("0.") {
            return None; // part of a date, a time, a code
        }
        let whole = Fraction::parse(text)?;
        if let Some((part, taken)) = self.part().filter(|_| whole.as_whole().is_some()) {
            self.at += taken;
            return Some(Ratio::number(whole.plus(part)?));
        }
        Some(Ratio::number(whole))
    }

    /// A proper fraction of two whole numbers that comes next, and its number of tokens.
    fn part(&self) -> Option<(Fraction, usize)> {
        let rest = &self.pieces[self.at..];
        let whole = |piece: &Piece| match &piece.token {
            Token::Number(text) => Fraction::parse(text)?.as_whole(),
            _ => None,
        };
        let is = |at: usize, sign: char| rest.get(at).is_some_and(|piece| piece.token == Token::Sign(sign));
        let (top, bottom, taken) = match &rest.first()?.token {
            Token::Number(_) if rest[0].spaced && is(1, '/') => (whole(&rest[0])?, whole(rest.get(2)?)?, 3),
            Token::Command(name) if name == "frac" && is(1, '{') && is(3, '}') && is(4, '{') && is(6, '}') => {
                (whole(&rest[2])?, whole(&rest[5])?, 7)
            }
            _ => return None,
        };
        (top < bottom).then(|| Fraction::new(top, bottom)).flatten().map(|part| (part, taken))
    }

    /// One or two unknowns, or a name spelled out.
    fn letters(&mut self, letters: &str) -> Option<Ratio> {
        let mut chars = letters.chars();
        match (chars.next(), chars.next(), chars.next()) {
            _ if known(letters) => self.deeper(|parser| parser.command(letters)),
            (Some(x), None, None) => self.subscripted(x.to_string()),
            (Some(x), Some(y), None) => Ratio::name(x).times(&self.subscripted(y.to_string())?),
            _ => None, // a word
        }
    }

    /// An unknown, with its subscript if it has one.
    fn subscripted(&mut self, mut name: String) -> Option<Ratio> {
        if self.take('_') {
            let braces = self.take('{');
            match self.peek()?.clone() {
                Token::Number(text) | Token::Letters(text) => name = format!("{name}_{text}"),
                _ => return None,
            }
            self.at += 1;
            if braces && !self.take('}') {
                return None;
            }
        }
        Some(Ratio::name(name))
    }

    fn command(&mut self, name: &str) -> Option<Ratio> {
        match name {
            "frac" => {
                let top = self.group()?;
                top.over(&self.group()?)
            }
            "sqrt" => self.root(),
            _ if FUNCTIONS.contains(&name) => self.function(name),
            _ if NAMES.contains(&name) => self.subscripted(name.into()),
            _ => None,
        }
    }

    /// What stands under a root, or under one of a higher degree.
    fn root(&mut self) -> Option<Ratio> {
        let degree = if self.sign() == Some('[') { Some(self.group()?) } else { None };
        let inner = if matches!(self.sign(), Some('{' | '(')) { self.group()? } else { self.base()? };
        let Some(degree) = degree else { return inner.root() };
        let n = degree.as_number()?.as_whole().filter(|n| (2..=16).contains(n))?;
        if n == 2 {
            return inner.root();
        }
        let whole = inner.as_number().and_then(Fraction::as_whole).and_then(|value| whole_root(value, n as u32));
        match whole {
            Some(root) => Some(Ratio::number(Fraction::whole(root))),
            None => Some(Ratio::polynomial(Polynomial::name(format!("root{n}({})", inner.form()?)))),
        }
    }

    fn function(&mut self, name: &str) -> Option<Ratio> {
        let mut name = name.to_owned();
        if self.take('_') {
            name.push_str(&format!("_{}", self.base()?.form()?));
        }
        let power = if self.take('^') { Some(self.base()?) } else { None };
        let argument = self.power()?;
        let value = Ratio::name(format!("{name}({})", argument.form()?));
        power.map_or(Some(value.clone()), |power| value.power(&power))
    }
}

/// Whether a word is no name of a function or an unknown.
pub(super) fn unknown(word: &str) -> bool {
    !known(word)
}

fn known(name: &str) -> bool {
    matches!(name, "frac" | "sqrt") || FUNCTIONS.contains(&name) || NAMES.contains(&name)
}

/// The whole number whose power of `degree` is `value`.
fn whole_root(value: i128, degree: u32) -> Option<i128> {
    let guess = (value.unsigned_abs() as f64).powf(1.0 / f64::from(degree)).round() as i128;
    let guess = if value < 0 { -guess } else { guess };
    (guess.checked_pow(degree) == Some(value)).then_some(guess)
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn of(text: &str) -> Option<Ratio> {
        value(&tokens(text)?)
    }

    #[test]
    fn equal_formulas() {
        for (a, b) in [
            ("(x+1)^2", "x^2 + 2x + 1"),
            ("2x(x-3)", "-6x+2x^2"),
            (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
            (r"\sqrt{12}", r"2\sqrt3"),
            (r"2\pi r", r"r \cdot \pi * 2"),
            ("2 1/2", "2.5"),
            (r"3\frac{1}{4}", "13/4"),
            ("-2 1/2", "-5/2"),
            ("1.5 \\times 10^{6}", "1500000"),
            ("1.5e6", "1500000"),
            ("x^{-1}", "1/x"),
            (r"\frac{x^2-1}{x-1}", "x+1"),
            ("x**4 - 2*x", "-2x + x^4"),
            ("8^{1/2}", r"2\sqrt{2}"),
            (r"\sqrt[3]{27}", "3"),
            (r"\sin(2x)", r"\sin (x+x)"),
            (r"\log_2 8", r"\log_{2}{8}"),
            (r"\sin^2 x + 1", r"1 + (\sin x)^2"),
            ("2^{n+1}", "2^{1+n}"),
            ("a_1 + a_{2}", "a_2+a_1"),
            ("ab", "b*a"),
        ] {
            let (x, y) = (of(a).expect(a), of(b).expect(b));
            assert!(x.equals(&y), "{a} and {b}");
        }
    }

    #[test]
    fn unequal_formulas() {
        for (a, b) in [
            ("x+1", "x-1"),
            ("2x", "x^2"),
            (r"\sqrt{3}", r"\sqrt{2}"),
            (r"\pi", "3.14"),
            ("1/x", "x"),
            (r"\sin x", r"\cos x"),
            ("x_1", "x_2"),
            ("2^n", "2^m"),
        ] {
            assert!(!of(a).expect(a).equals(&of(b).expect(b)), "{a} and {b}");
        }
    }

    #[test]
    fn no_formula() {
        for text in [
            "",
            "none",
            "2 3",
            "(1",
            "1)",
            "x+",
            "1/0",
            "05",
            "1,2",
            r"\foo",
            "^2",
            "5!",
            "x2",
            r"\frac{1}",
            "(1]",
            "_",
        ] {
            assert!(of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn hostile_formulas_are_refused() {
        for text in [
            "(".repeat(900),
            "-".repeat(900),
            "{".repeat(400) + "1" + &"}".repeat(400),
            "sin ".repeat(200) + "x",
            r"\sqrt".repeat(150) + "x",
            "9^9^9^9^9".into(),
            "(a+b+c+d+e+f)^{60}".into(),
            "x^{99999999999999999999999999}".into(),
            "1e99999".into(),
            "9".repeat(1000),
            r"\sqrt{".repeat(200) + "x",
            r"\sqrt{99999999999999999999}".into(),
            "((x^60)^60)^60".into(),
            r"\frac{1}{".repeat(100),
        ] {
            assert!(of(&text).is_none(), "{text}");
        }
        // long, but nothing more than that
        assert!(of("1+".repeat(400).trim_end_matches('+')).is_some());
        assert!(of(&format!("{}x", "-".repeat(900))).is_some());
    }
}
