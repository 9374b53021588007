//! Exact numbers: fractions of 128-bit integers that refuse instead of overflowing.

/// A reduced fraction; the denominator is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fraction {
    num: i128,
    den: i128,
}

/// Largest power of ten that is formed.
const MOST_DIGITS: u32 = 36;

impl Fraction {
    pub(super) const ZERO: Fraction = Fraction { num: 0, den: 1 };
    pub(super) const ONE: Fraction = Fraction { num: 1, den: 1 };

    /// `num / den`; `None` if `den` is 0 or a number is too large.
    pub(super) fn new(num: i128, den: i128) -> Option<Fraction> {
        let common = i128::try_from(gcd(num.unsigned_abs(), den.unsigned_abs())).ok().filter(|&g| g > 0)?;
        let (num, den) = (num / common, den / common);
        match den.signum() {
            1 => Some(Fraction { num, den }),
            -1 => Some(Fraction { num: num.checked_neg()?, den: den.checked_neg()? }),
            _ => None,
        }
    }

    /// A whole number.
    pub(super) fn whole(n: i128) -> Fraction {
        Fraction { num: n, den: 1 }
    }

    /// Digits with perhaps a point and an exponent, such as `12`, `.5` or `1.5e-3`; `None` if it is no such text or the
    /// number has too many digits.
    pub(super) fn parse(text: &str) -> Option<Fraction> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{decimals}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let power = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(decimals.len()).ok()?)?;
        let scale = Some(power.unsigned_abs()).filter(|&p| p <= MOST_DIGITS).and_then(|p| 10i128.checked_pow(p))?;
        let digits: i128 = digits.parse().ok()?;
        if power < 0 { Fraction::new(digits, scale) } else { Some(Fraction::whole(digits.checked_mul(scale)?)) }
    }

    pub(super) fn num(self) -> i128 {
        self.num
    }

    pub(super) fn den(self) -> i128 {
        self.den
    }

    pub(super) fn is_zero(self) -> bool {
        self.num == 0
    }

    /// The whole number it is, if it is one.
    pub(super) fn as_whole(self) -> Option<i128> {
        (self.den == 1).then_some(self.num)
    }

    pub(super) fn plus(self, other: Fraction) -> Option<Fraction> {
        let num = self.num.checked_mul(other.den)?.checked_add(other.num.checked_mul(self.den)?)?;
        Fraction::new(num, self.den.checked_mul(other.den)?)
    }

    pub(super) fn times(self, other: Fraction) -> Option<Fraction> {
        // Crosswise first: the product of two reduced fractions then needs no reducing.
        let (a, b) = (Fraction::new(self.num, other.den)?, Fraction::new(other.num, self.den)?);
        Some(Fraction { num: a.num.checked_mul(b.num)?, den: a.den.checked_mul(b.den)? })
    }

    /// One over it; `None` of zero.
    pub(super) fn inverse(self) -> Option<Fraction> {
        Fraction::new(self.den, self.num)
    }

    /// The nearest floating-point number.
    pub(super) fn value(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

impl std::fmt::Display for Fraction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.den {
            1 => write!(f, "{}", self.num),
            den => write!(f, "{}/{den}", self.num),
        }
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(num: i128, den: i128) -> Fraction {
        Fraction::new(num, den).unwrap()
    }

    #[test]
    fn fractions_are_reduced() {
        assert_eq!(of(6, -4), of(-3, 2));
        assert_eq!(of(1, 2).plus(of(1, 3)), Some(of(5, 6)));
        assert_eq!(of(2, 3).times(of(9, 4)), Some(of(3, 2)));
        assert_eq!(of(0, 5), Fraction::ZERO);
        assert_eq!((of(3, 4).to_string(), of(8, 4).to_string()), ("3/4".into(), "2".into()));
        assert_eq!(of(0, 1).inverse(), None);
        assert_eq!(Fraction::new(1, 0), None);
        assert_eq!(Fraction::new(0, 0), None);
    }

    #[test]
    fn decimals_are_exact() {
        for (text, fraction) in
            [("12", of(12, 1)), (".5", of(1, 2)), ("0.125", of(1, 8)), ("1.5e3", of(1500, 1)), ("25E-2", of(1, 4))]
        {
            assert_eq!(Fraction::parse(text), Some(fraction), "{text}");
        }
        for text in ["", ".", "1e999999999", "1e-40", "--1", "x", "1.2.3", "1e", "9e99999999999999999999"] {
            assert_eq!(Fraction::parse(text), None, "{text}");
        }
        assert_eq!(Fraction::parse(&"9".repeat(500)), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let large = Fraction::whole(i128::MAX);
        assert_eq!(large.plus(Fraction::ONE), None);
        assert_eq!(large.times(Fraction::whole(2)), None);
        assert_eq!(Fraction::new(i128::MIN, -1), None);
        assert_eq!(Fraction::new(i128::MIN, i128::MIN), None, "their common divisor does not fit");
    }
}
