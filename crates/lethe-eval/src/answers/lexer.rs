//! An answer as tokens: LaTeX, plain formulas, numbers with their separators, words.

/// Longest answer that is read as more than letters, in bytes.
const MOST_BYTES: usize = 1000;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Digits, a point, perhaps an exponent; separators of thousands are gone.
    Number(String),
    /// A run of letters.
    Letters(String),
    /// What stood in `\text{...}`.
    Text(String),
    /// A command of LaTeX, without its backslash.
    Command(String),
    /// Any other character. `{` and `}` group, `<` and `>` stand for `\{` and `\}`.
    Sign(char),
}

/// A token and whether white space stood before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) token: Token,
    pub(super) spaced: bool,
}

/// Commands that only change how something looks.
const LOOKS: [&str; 14] = [
    "left",
    "right",
    "displaystyle",
    "textstyle",
    "limits",
    "big",
    "Big",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "bigg",
    "quad",
    "qquad",
];
/// Commands whose argument is text.
const TEXTS: [&str; 9] = ["text", "textbf", "textit", "textrm", "mbox", "mathrm", "mathbf", "operatorname", "texttt"];

/// The tokens of an answer; `None` if it is too long to be one.
pub(super) fn tokens(text: &str) -> Option<Vec<Piece>> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let mut lexer = Lexer { rest: text, pieces: Vec::new(), spaced: false, arguments: 0 };
    while lexer.next() {}
    Some(lexer.pieces)
}

struct Lexer<'a> {
    rest: &'a str,
    pieces: Vec<Piece>,
    spaced: bool,
    /// So many arguments of a command may yet come without braces: each is one digit.
    arguments: usize,
}

impl Lexer<'_> {
    /// Reads one token; false at the end.
    fn next(&mut self) -> bool {
        let Some(c) = self.rest.chars().next() else { return false };
        match c {
            c if c.is_whitespace() => self.space(c.len_utf8()),
            '~' => self.space(1),
            '\\' => self.command(),
            '0'..='9' if self.arguments > 0 => {
                let digit = self.take(1).to_owned();
                self.arguments -= 1;
                self.push(Token::Sign('{'));
                self.push(Token::Number(digit));
                self.push(Token::Sign('}'));
            }
            '0'..='9' => self.number(),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            '*' if self.rest.starts_with("**") => {
                self.take(2);
                self.push(Token::Sign('^'));
            }
            c if c.is_alphabetic() => {
                let end = self.rest.find(|c: char| !c.is_alphabetic()).unwrap_or(self.rest.len());
                let letters = self.take(end).to_owned();
                self.arguments = 0;
                self.push(Token::Letters(letters));
            }
            c => {
                self.take(c.len_utf8());
                self.arguments = if c == '{' { 0 } else { self.arguments };
                self.sign(c);
            }
        }
        true
    }

    fn take(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn push(&mut self, token: Token) {
        self.pieces.push(Piece { token, spaced: std::mem::take(&mut self.spaced) });
    }

    fn space(&mut self, bytes: usize) {
        self.take(bytes);
        self.spaced = true;
    }

    /// A character, by the sign that stands for its kind.
    fn sign(&mut self, c: char) {
        match c {
            '$' => self.spaced = true, // money, or the bounds of a formula
            '−' | '–' | '‑' | '—' => self.push(Token::Sign('-')),
            '×' | '·' | '⋅' | '∗' => self.push(Token::Sign('*')),
            '÷' => self.push(Token::Sign('/')),
            'π' => self.push(Token::Command("pi".into())),
            '√' => self.push(Token::Command("sqrt".into())),
            '∞' => self.push(Token::Command("infty".into())),
            '²' => self.power("2"),
            '³' => self.power("3"),
            '½' => self.fraction("1", "2"),
            '¼' => self.fraction("1", "4"),
            '¾' => self.fraction("3", "4"),
            '€' | '£' | '¥' | '₹' => self.spaced = true,
            '<' => self.push(Token::Command("lt".into())),
            '>' => self.push(Token::Command("gt".into())),
            c => self.push(Token::Sign(c)),
        }
    }

    fn power(&mut self, digit: &str) {
        self.push(Token::Sign('^'));
        self.push(Token::Number(digit.into()));
    }

    fn fraction(&mut self, top: &str, bottom: &str) {
        self.push(Token::Command("frac".into()));
        for digit in [top, bottom] {
            self.push(Token::Sign('{'));
            self.push(Token::Number(digit.into()));
            self.push(Token::Sign('}'));
        }
    }

    fn command(&mut self) {
        self.take(1);
        let letters = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        if letters == 0 {
            let Some(c) = self.rest.chars().next() else { return };
            self.take(c.len_utf8());
            match c {
                '!' => {}
                ',' | ';' | ':' | ' ' | '$' => self.spaced = true,
                '(' | ')' | '[' | ']' if self.bounds(c) => self.spaced = true,
                '{' => self.push(Token::Sign('<')),
                '}' => self.push(Token::Sign('>')),
                '\\' => self.push(Token::Command("\\".into())),
                c => self.sign(c),
            }
            return;
        }
        let name = self.take(letters).to_owned();
        match name.as_str() {
            name if LOOKS.contains(&name) => {}
            name if TEXTS.contains(&name) && self.rest.trim_start().starts_with('{') => self.text(),
            "dfrac" | "tfrac" | "cfrac" | "frac" => {
                self.arguments = 2;
                self.push(Token::Command("frac".into()));
            }
            "sqrt" => {
                self.arguments = 1;
                self.push(Token::Command(name));
            }
            "cdot" | "times" | "ast" => self.push(Token::Sign('*')),
            "div" => self.push(Token::Sign('/')),
            "lbrace" => self.push(Token::Sign('<')),
            "rbrace" => self.push(Token::Sign('>')),
            "degree" | "circ" => self.push(Token::Sign('°')),
            "le" | "leq" | "leqslant" => self.push(Token::Command("le".into())),
            "ge" | "geq" | "geqslant" => self.push(Token::Command("ge".into())),
            "ne" | "neq" => self.push(Token::Command("ne".into())),
            _ => self.push(Token::Command(name)),
        }
    }

    /// Whether `\(`, `\)`, `\[` or `\]` bounds a formula: it always does, at the ends of an answer.
    fn bounds(&self, c: char) -> bool {
        matches!(c, '(' | '[') && self.pieces.is_empty() || matches!(c, ')' | ']')
    }

    /// The braces after a command whose argument is text.
    fn text(&mut self) {
        let start = self.rest.find('{').map_or(0, |at| at + 1);
        let end = closing(&self.rest[start..]).unwrap_or(self.rest.len() - start);
        let inner = self.rest[start..start + end].trim().to_owned();
        self.take((start + end + 1).min(self.rest.len()));
        // Numbers and formulas in text are numbers and formulas.
        if inner.chars().any(|c| c.is_ascii_digit() || matches!(c, '\\' | '(' | '$')) {
            let nested = Lexer { rest: &inner, pieces: Vec::new(), spaced: true, arguments: 0 };
            self.pieces.extend(nested.plain());
        } else if !inner.is_empty() {
            self.spaced = true;
            self.push(Token::Text(inner));
        }
        self.spaced = true;
    }

    /// The tokens of text inside text, whose commands are not looked into again: nesting cannot pile up.
    fn plain(mut self) -> Vec<Piece> {
        while let Some(c) = self.rest.chars().next() {
            if c == '\\' {
                self.take(1);
                let letters = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
                let name = self.take(letters).to_owned();
                self.push(Token::Command(name));
            } else {
                self.next();
            }
        }
        self.pieces
    }

    /// A number: `12`, `1,234.5`, `1{,}234`, `1\,234`, `1.5e-3`.
    fn number(&mut self) {
        let mut number = self.digits();
        if (1..=3).contains(&number.len()) {
            while let Some(skip) = self.thousands() {
                self.take(skip);
                number.push_str(self.take(3));
            }
        }
        let bytes = self.rest.as_bytes();
        if bytes.first() == Some(&b'.') && bytes.get(1).is_some_and(u8::is_ascii_digit) {
            self.take(1);
            number.push('.');
            let decimals = self.digits();
            number.push_str(&decimals);
        }
        let bytes = self.rest.as_bytes();
        if matches!(bytes.first(), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(1), Some(b'+' | b'-')));
            let digits = bytes[1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
            let after = self.rest[1 + sign + digits..].chars().next();
            if digits > 0 && !after.is_some_and(char::is_alphabetic) {
                let exponent = self.take(1 + sign + digits).replace('+', "");
                number.push_str(&exponent);
            }
        }
        self.push(Token::Number(number));
    }

    fn digits(&mut self) -> String {
        let end = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        self.take(end).to_owned()
    }

    /// The length of a separator before exactly three digits, if that comes next.
    fn thousands(&self) -> Option<usize> {
        let skip = [",", "{,}", "\\,", ",\\!", "\\!,"].iter().find(|s| {
            let digits = self.rest.strip_prefix(**s).map(|r| r.bytes().take_while(u8::is_ascii_digit).count());
            digits == Some(3)
        })?;
        Some(skip.len())
    }
}

/// Where the brace closes that was opened just before `text`.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut depth = 1usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let show = |piece: &Piece| match &piece.token {
            Token::Number(n) => format!("#{n}"),
            Token::Letters(l) => l.clone(),
            Token::Text(t) => format!("[{t}]"),
            Token::Command(c) => format!("\\{c}"),
            Token::Sign(c) => c.to_string(),
        };
        tokens(text).unwrap().iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("1,234,567.80", "#1234567.80"),
            ("1{,}234", "#1234"),
            (r"12\,000", "#12000"),
            ("1,23", "#1 , #23"),
            ("1, 234", "#1 , #234"),
            ("1,2345", "#1 , #2345"),
            (".5", "#.5"),
            ("19.", "#19 ."),
            ("1.5e-3", "#1.5e-3"),
            ("2e", "#2 e"),
            ("2ex", "#2 ex"),
            (r"\$18.50", "#18.50"),
            ("$10$", "#10"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn latex() {
        for (text, expected) in [
            (r"\frac12", r"\frac { #1 } { #2 }"),
            (r"\dfrac{1}{2}", r"\frac { #1 } { #2 }"),
            (r"\sqrt3x", r"\sqrt { #3 } x"),
            (r"\left(1,\,2\right)", "( #1 , #2 )"),
            (r"5\text{ km}", "#5 [km]"),
            (r"\text{5 km}", "#5 km"),
            (r"\{1\}", "< #1 >"),
            (r"x**2", "x ^ #2"),
            (r"30^\circ", "#30 ^ °"),
            (r"\text{open", "[open"),
            ("\\", ""),
        ] {
            assert_eq!(shown(text).trim_end_matches(']'), expected.trim_end_matches(']'), "{text}");
        }
    }

    #[test]
    fn long_and_odd_texts_end() {
        assert_eq!(tokens(&"1".repeat(MOST_BYTES + 1)), None);
        for odd in [r"\text{", r"\text{\text{\text{1", "\\\u{e9}", r"\frac", "é½√", r"\text{é}\"] {
            assert!(tokens(odd).is_some(), "{odd}");
        }
    }
}
