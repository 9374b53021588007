//! Lines of a text file, each of a length that memory holds.

use std::io::{self, BufRead, Read};

/// Bytes of the longest line that is read: far more than any question or prompt has, and a file without line ends, such as
/// a device, is given up in time.
pub const LONGEST: usize = 64 << 20;

/// Why a line is no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The file cannot be read on.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not end.
    #[error("the line is longer than {most} bytes: give a text file with one JSON object a line")]
    TooLong {
        /// Most bytes.
        most: usize,
    },
    /// Another encoding.
    #[error("byte {byte} of the line is not UTF-8: convert it to UTF-8")]
    NotUtf8 {
        /// Which, from 1.
        byte: usize,
    },
}

/// The lines of a file with their numbers from 1, none longer than `most` bytes. After an error there are none.
pub(crate) fn lines(mut input: impl BufRead, most: usize) -> impl Iterator<Item = (usize, Result<String, LineError>)> {
    let (mut number, mut over) = (0, false);
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        number += 1;
        let line = next(&mut input, most).transpose()?;
        over = line.is_err();
        Some((number, line))
    })
}

fn next(input: &mut impl BufRead, most: usize) -> Result<Option<String>, LineError> {
    let mut bytes = Vec::new();
    if input.by_ref().take(most as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() > most {
        return Err(LineError::TooLong { most });
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|e| LineError::NotUtf8 { byte: e.utf8_error().valid_up_to() + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(input: impl BufRead, most: usize) -> Vec<String> {
        lines(input, most).map(|(at, line)| format!("{at} {}", line.unwrap_or_else(|e| e.to_string()))).collect()
    }

    #[test]
    fn lines_end_as_they_do_everywhere() {
        assert_eq!(told(&b"ab\r\n\ncd"[..], 9), ["1 ab", "2 ", "3 cd"]);
        assert_eq!(told(&b"abc\nabc"[..], 3), ["1 abc", "2 abc"]);
        assert!(told(&b""[..], 3).is_empty());
    }

    #[test]
    fn what_is_no_text_ends_the_reading() {
        let endless = io::BufReader::new(io::repeat(0));
        assert_eq!(
            told(endless, 1000),
            ["1 the line is longer than 1000 bytes: give a text file with one JSON object a line"]
        );
        let latin = told(&b"a\nna\xefve\nb\n"[..], 99);
        assert_eq!(latin.len(), 2);
        assert!(latin[1].contains("byte 3") && latin[1].contains("convert it to UTF-8"), "{latin:?}");
    }
}
