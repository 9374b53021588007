//! Dates for templates, in UTC and in English.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The codes of Python's `strftime` that name a part of a date or of a time of day.
pub(crate) fn strftime(format: &str, time: SystemTime) -> Result<String, Error> {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let weekday = ((days + 4) % 7) as usize; // 1970 began on a Thursday
    let month_name = MONTHS[month as usize - 1];
    let hour12 = (hour + 11) % 12 + 1;
    let day_of_year = days - days_before(year) + 1;

    let mut out = String::new();
    let mut codes = format.chars();
    while let Some(character) = codes.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        // "%-d" is glibc's day without the leading zero.
        let code = codes.next();
        let (code, padded) = if code == Some('-') { (codes.next(), false) } else { (code, true) };
        let number = |out: &mut String, value: u64, width: usize| {
            let _ = write!(out, "{value:0width$}", width = if padded { width } else { 0 });
        };
        match code {
            Some('Y') => number(&mut out, year, 4),
            Some('y') => number(&mut out, year % 100, 2),
            Some('m') => number(&mut out, month, 2),
            Some('d') => number(&mut out, day, 2),
            Some('e') if padded => out.push_str(&format!("{day:2}")),
            Some('e') => number(&mut out, day, 0),
            Some('j') => number(&mut out, day_of_year, 3),
            Some('H') => number(&mut out, hour, 2),
            Some('I') => number(&mut out, hour12, 2),
            Some('M') => number(&mut out, minute, 2),
            Some('S') => number(&mut out, second, 2),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('B') => out.push_str(month_name),
            Some('b' | 'h') => out.push_str(&month_name[..3]),
            Some('A') => out.push_str(DAYS[weekday]),
            Some('a') => out.push_str(&DAYS[weekday][..3]),
            Some('F') => out.push_str(&format!("{year:04}-{month:02}-{day:02}")),
            Some('T') => out.push_str(&format!("{hour:02}:{minute:02}:{second:02}")),
            Some('%') => out.push('%'),
            other => {
                let code = other.map(String::from).unwrap_or_default();
                return Err(Error::new(ErrorKind::InvalidOperation, format!("strftime_now does not know %{code}")));
            }
        }
    }
    Ok(out)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / 366; // never too late
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before(year);
    let leap = u64::from(days_before(year + 1) - days_before(year) == 366);
    let lengths = [31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

/// Days from 1970-01-01 to the first of January of a year.
fn days_before(year: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, format: &str) -> String {
        strftime(format, UNIX_EPOCH + Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn dates_match_the_calendar() {
        // Seconds and dates from Python's datetime.
        assert_eq!(at(0, "%Y-%m-%d %H:%M:%S %A %j"), "1970-01-01 00:00:00 Thursday 001");
        assert_eq!(at(951_782_400, "%d %b %Y %a"), "29 Feb 2000 Tue");
        assert_eq!(at(1_735_689_599, "%F %T %j"), "2024-12-31 23:59:59 366");
        assert_eq!(at(1_735_689_600, "%F %T %y"), "2025-01-01 00:00:00 25");
        assert_eq!(at(1_741_262_709, "%-d %B %Y, %I:%M %p %e|%%"), "6 March 2025, 12:05 PM  6|%");
        assert_eq!(at(4_107_542_400, "%F"), "2100-03-01");
    }

    #[test]
    fn unknown_codes_are_named() {
        assert!(strftime("%Q", UNIX_EPOCH).unwrap_err().to_string().contains("%Q"));
        assert!(strftime("100%", UNIX_EPOCH).is_err());
    }
}
