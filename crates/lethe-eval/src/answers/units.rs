//! Units as they are written, to tell `5km` from a product of unknowns.

/// Units and endings, in lower case and the singular.
const UNITS: [&str; 83] = [
    "mm",
    "cm",
    "km",
    "nm",
    "mg",
    "kg",
    "ml",
    "cl",
    "dl",
    "hr",
    "ft",
    "in",
    "lb",
    "oz",
    "mi",
    "yd",
    "ms",
    "ns",
    "kw",
    "hz",
    "pt",
    "qt",
    "kj",
    "kb",
    "mb",
    "gb",
    "tb",
    "th",
    "st",
    "nd",
    "rd",
    "mph",
    "kph",
    "kmh",
    "rpm",
    "mpg",
    "kwh",
    "mol",
    "cal",
    "kcal",
    "rad",
    "deg",
    "degree",
    "radian",
    "min",
    "sec",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "mile",
    "meter",
    "metre",
    "kilometer",
    "kilometre",
    "centimeter",
    "centimetre",
    "millimeter",
    "millimetre",
    "gram",
    "kilogram",
    "liter",
    "litre",
    "milliliter",
    "millilitre",
    "gallon",
    "inch",
    "inches",
    "foot",
    "feet",
    "yard",
    "pound",
    "ounce",
    "ton",
    "tonne",
    "dollar",
    "cent",
    "euro",
    "usd",
    "unit",
];

/// Whether a word is one of the known units, in the singular or the plural.
pub(super) fn known_unit(word: &str) -> bool {
    let word = word.to_lowercase();
    let singular = word.strip_suffix('s').filter(|one| one.len() > 1);
    UNITS.contains(&word.as_str()) || singular.is_some_and(|one| UNITS.contains(&one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_known_in_both_numbers() {
        for word in ["km", "kW", "lbs", "ms", "hours", "Inches", "mph", "st"] {
            assert!(known_unit(word), "{word}");
        }
        for word in ["xyz", "ab", "s", "", "squared", "é"] {
            assert!(!known_unit(word), "{word}");
        }
    }
}
