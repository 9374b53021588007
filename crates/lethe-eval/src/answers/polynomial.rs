//! Polynomials with fractions for coefficients, expanded and collected: the normal form that decides equality.
//!
//! The unknowns are names: variables, pi, and whatever else cannot be taken apart, by its own normal form. Square roots of
//! whole numbers are multiplied out, so that sqrt(12) is 2 sqrt(3) and sqrt(3) sqrt(3) is 3. Anything too large is refused.

use std::collections::BTreeMap;
use std::fmt;

use super::fraction::Fraction;

const MOST_TERMS: usize = 200;
/// Products of terms in one multiplication.
const MOST_PRODUCTS: usize = 4000;
const MOST_DEGREE: u32 = 200;
/// Largest whole number whose square root is taken apart; trial division needs its square root.
const MOST_RADICAND: i128 = 10_000_000_000;

/// A product of powers of names, and perhaps one square root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Monomial {
    powers: BTreeMap<String, u32>, // none is 0
    root: i128,                    // without square factors, 1 is none
}

impl Monomial {
    fn one() -> Monomial {
        Monomial { powers: BTreeMap::new(), root: 1 }
    }

    /// The product, and a whole factor that comes out of the roots.
    fn times(&self, other: &Monomial) -> Option<(Monomial, i128)> {
        let mut powers = self.powers.clone();
        for (name, power) in &other.powers {
            *powers.entry(name.clone()).or_default() += power;
        }
        if powers.values().sum::<u32>() > MOST_DEGREE {
            return None;
        }
        // Both are free of squares, so the square in their product is that of what they share.
        let shared = gcd(self.root, other.root);
        let root = (self.root / shared).checked_mul(other.root / shared)?;
        Some((Monomial { powers, root }, shared))
    }
}

/// `n` as `out * out * rest` with the largest `out`; `None` below 1 or where it would take long.
fn square_free(n: i128) -> Option<(i128, i128)> {
    if !(1..=MOST_RADICAND).contains(&n) {
        return None;
    }
    let (mut out, mut rest, mut factor) = (1, n, 2);
    while factor * factor <= rest {
        while rest % (factor * factor) == 0 {
            rest /= factor * factor;
            out *= factor;
        }
        factor += 1;
    }
    Some((out, rest))
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A sum of monomials with coefficients that are not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Polynomial {
    terms: BTreeMap<Monomial, Fraction>,
}

impl Polynomial {
    /// A constant.
    pub(super) fn constant(value: Fraction) -> Polynomial {
        let terms = if value.is_zero() { BTreeMap::new() } else { BTreeMap::from([(Monomial::one(), value)]) };
        Polynomial { terms }
    }

    /// One unknown.
    pub(super) fn name(name: String) -> Polynomial {
        let monomial = Monomial { powers: BTreeMap::from([(name, 1)]), root: 1 };
        Polynomial { terms: BTreeMap::from([(monomial, Fraction::ONE)]) }
    }

    /// The square root of a fraction that is not negative.
    pub(super) fn root(of: Fraction) -> Option<Polynomial> {
        if of.is_zero() {
            return Some(Polynomial::constant(of));
        }
        let (out, root) = square_free(of.num().checked_mul(of.den())?)?;
        let coefficient = Fraction::new(out, of.den())?;
        let monomial = Monomial { powers: BTreeMap::new(), root };
        Some(Polynomial { terms: BTreeMap::from([(monomial, coefficient)]) })
    }

    /// The number it is, if it holds no unknown and no root.
    pub(super) fn as_constant(&self) -> Option<Fraction> {
        match self.terms.len() {
            0 => Some(Fraction::ZERO),
            1 => self.terms.get(&Monomial::one()).copied(),
            _ => None,
        }
    }

    pub(super) fn terms(&self) -> usize {
        self.terms.len()
    }

    pub(super) fn is_zero(&self) -> bool {
        self.terms.is_empty()
    }

    /// The coefficient of the first term in the order of monomials, 0 of nothing.
    pub(super) fn leading(&self) -> Fraction {
        self.terms.last_key_value().map_or(Fraction::ZERO, |(_, &coefficient)| coefficient)
    }

    pub(super) fn plus(&self, other: &Polynomial) -> Option<Polynomial> {
        let mut terms = self.terms.clone();
        for (monomial, &coefficient) in &other.terms {
            add(&mut terms, monomial.clone(), coefficient)?;
        }
        (terms.len() <= MOST_TERMS).then_some(Polynomial { terms })
    }

    pub(super) fn times(&self, other: &Polynomial) -> Option<Polynomial> {
        if self.terms.len() * other.terms.len() > MOST_PRODUCTS {
            return None;
        }
        let mut terms = BTreeMap::new();
        for (a, &x) in &self.terms {
            for (b, &y) in &other.terms {
                let (monomial, out) = a.times(b)?;
                add(&mut terms, monomial, x.times(y)?.times(Fraction::whole(out))?)?;
            }
        }
        (terms.len() <= MOST_TERMS).then_some(Polynomial { terms })
    }

    pub(super) fn scaled(&self, by: Fraction) -> Option<Polynomial> {
        self.times(&Polynomial::constant(by))
    }
}

/// Adds a term, and takes it out where it comes to nothing.
fn add(terms: &mut BTreeMap<Monomial, Fraction>, monomial: Monomial, coefficient: Fraction) -> Option<()> {
    let sum = terms.get(&monomial).copied().unwrap_or(Fraction::ZERO).plus(coefficient)?;
    if sum.is_zero() {
        terms.remove(&monomial);
    } else {
        terms.insert(monomial, sum);
    }
    Some(())
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return write!(f, "0");
        }
        for (place, (monomial, coefficient)) in self.terms.iter().rev().enumerate() {
            write!(f, "{}{coefficient}", if place > 0 { "+" } else { "" })?;
            if monomial.root != 1 {
                write!(f, "*sqrt({})", monomial.root)?;
            }
            for (name, power) in &monomial.powers {
                write!(f, "*{name}^{power}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: i128) -> Polynomial {
        Polynomial::constant(Fraction::whole(n))
    }

    fn x() -> Polynomial {
        Polynomial::name("x".into())
    }

    #[test]
    fn products_are_expanded_and_terms_collected() {
        let sum = x().plus(&number(1)).unwrap();
        let difference = x().plus(&number(-1)).unwrap();
        let product = sum.times(&difference).unwrap();
        assert_eq!(product, x().times(&x()).unwrap().plus(&number(-1)).unwrap());
        assert_eq!(product.to_string(), "1*x^2+-1");
        assert!(sum.plus(&sum.scaled(Fraction::whole(-1)).unwrap()).unwrap().is_zero());
    }

    #[test]
    fn roots_multiply_out() {
        let root = |n| Polynomial::root(Fraction::whole(n)).unwrap();
        assert_eq!(root(12), root(3).times(&number(2)).unwrap());
        assert_eq!(root(6).times(&root(6)).unwrap(), number(6));
        assert_eq!(root(2).times(&root(6)).unwrap(), root(12));
        assert_eq!(Polynomial::root(Fraction::new(1, 2).unwrap()).unwrap().times(&root(2)).unwrap(), number(1));
        assert_eq!(root(49).as_constant(), Some(Fraction::whole(7)));
        assert_eq!(Polynomial::root(Fraction::whole(-4)), None);
        assert_eq!(Polynomial::root(Fraction::whole(MOST_RADICAND + 1)), None);
    }

    #[test]
    fn growth_is_refused() {
        let mut sum = number(0);
        for i in 0..100 {
            sum = sum.plus(&Polynomial::name(format!("x_{i}"))).unwrap();
        }
        assert_eq!(sum.times(&sum), None);
    }
}
