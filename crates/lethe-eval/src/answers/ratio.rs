//! A polynomial over a polynomial: what sums, products, quotients and whole powers of unknowns come to.

use super::fraction::Fraction;
use super::polynomial::Polynomial;

/// Largest power of a sum that is multiplied out.
const MOST_POWER: u32 = 20;
/// Largest power of one term.
const MOST_POWER_OF_TERM: u32 = 60;

/// A quotient of two polynomials; the lower one is not zero.
#[derive(Clone, Debug)]
pub(super) struct Ratio {
    upper: Polynomial,
    lower: Polynomial,
}

impl Ratio {
    pub(super) fn new(upper: Polynomial, lower: Polynomial) -> Option<Ratio> {
        if lower.is_zero() {
            return None;
        }
        match lower.as_constant() {
            // Numbers have one form.
            Some(value) => Some(Ratio { upper: upper.scaled(value.inverse()?)?, lower: one() }),
            None => Some(Ratio { upper, lower }),
        }
    }

    pub(super) fn polynomial(upper: Polynomial) -> Ratio {
        Ratio { upper, lower: one() }
    }

    pub(super) fn number(value: Fraction) -> Ratio {
        Ratio::polynomial(Polynomial::constant(value))
    }

    pub(super) fn name(name: impl Into<String>) -> Ratio {
        Ratio::polynomial(Polynomial::name(name.into()))
    }

    /// The number it is, if it is one.
    pub(super) fn as_number(&self) -> Option<Fraction> {
        self.lower.as_constant()?; // 1, see `new`
        self.upper.as_constant()
    }

    pub(super) fn plus(&self, other: &Ratio) -> Option<Ratio> {
        let upper = self.upper.times(&other.lower)?.plus(&other.upper.times(&self.lower)?)?;
        Ratio::new(upper, self.lower.times(&other.lower)?)
    }

    pub(super) fn negative(&self) -> Option<Ratio> {
        Some(Ratio { upper: self.upper.scaled(Fraction::whole(-1))?, lower: self.lower.clone() })
    }

    pub(super) fn times(&self, other: &Ratio) -> Option<Ratio> {
        Ratio::new(self.upper.times(&other.upper)?, self.lower.times(&other.lower)?)
    }

    pub(super) fn over(&self, other: &Ratio) -> Option<Ratio> {
        Ratio::new(self.upper.times(&other.lower)?, self.lower.times(&other.upper)?)
    }

    /// To the power of `exponent`: multiplied out where it is whole, a root where it is a half, an unknown of its own
    /// otherwise.
    pub(super) fn power(&self, exponent: &Ratio) -> Option<Ratio> {
        match exponent.as_number() {
            Some(n) if n.as_whole().is_some() => {
                let n = n.num();
                let term = self.upper.terms() <= 1 && self.lower.terms() == 1;
                let most = if term { MOST_POWER_OF_TERM } else { MOST_POWER };
                let times = u32::try_from(n.unsigned_abs()).ok().filter(|&n| n <= most)?;
                let mut product = Ratio::number(Fraction::ONE);
                for _ in 0..times {
                    product = product.times(self)?;
                }
                if n < 0 { Ratio::number(Fraction::ONE).over(&product) } else { Some(product) }
            }
            Some(n) if n.den() == 2 => self.root()?.power(&Ratio::number(Fraction::whole(n.num()))),
            _ => Some(Ratio::name(format!("({})^({})", self.form()?, exponent.form()?))),
        }
    }

    /// The square root.
    pub(super) fn root(&self) -> Option<Ratio> {
        match self.as_number() {
            Some(value) => Polynomial::root(value).map(Ratio::polynomial),
            None => Some(Ratio::name(format!("sqrt({})", self.form()?))),
        }
    }

    /// The same quantity: equal crosswise.
    pub(super) fn equals(&self, other: &Ratio) -> bool {
        match (self.upper.times(&other.lower), other.upper.times(&self.lower)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
    }

    /// Whether one is a multiple of the other by a number that is not 0: what makes two equations the same.
    pub(super) fn proportional(&self, other: &Ratio) -> bool {
        let scaled = |of: &Ratio| of.upper.scaled(of.upper.leading().inverse()?);
        match (scaled(self), scaled(other)) {
            (Some(a), Some(b)) => Ratio { upper: a, ..self.clone() }.equals(&Ratio { upper: b, ..other.clone() }),
            _ => self.upper.is_zero() && other.upper.is_zero(),
        }
    }

    /// One text for it, so that it can be an unknown. `None` if that would be long.
    pub(super) fn form(&self) -> Option<String> {
        let scale = self.lower.leading().inverse()?;
        let (upper, lower) = (self.upper.scaled(scale)?, self.lower.scaled(scale)?);
        Some(format!("({upper})/({lower})")).filter(|text| text.len() <= 400)
    }
}

fn one() -> Polynomial {
    Polynomial::constant(Fraction::ONE)
}
