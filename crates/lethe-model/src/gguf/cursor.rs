//! Reading a header front to back without believing it.

use super::GgufError;

/// A position in bytes.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], GgufError> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(GgufError::Truncated { needed: self.at.saturating_add(n), found: self.bytes.len() });
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count that the rest of the bytes can hold, each entry being at least `least` bytes long.
    pub(super) fn count(&self, what: &'static str, count: u64, least: usize) -> Result<usize, GgufError> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(count) {
            Ok(n) if n.checked_mul(least).is_some_and(|bytes| bytes <= left) => Ok(n),
            _ => Err(GgufError::Count { what, count, left }),
        }
    }

    /// A string: its length, then its bytes.
    pub(super) fn string(&mut self) -> Result<&'a str, GgufError> {
        let at = self.at;
        let length = self.u64()?;
        let length = self.count("bytes of a string", length, 1)?;
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| GgufError::NotUtf8 { key: format!("the string at byte {at}") })
    }

    /// Steps over a string that may be no text.
    pub(super) fn skip_string(&mut self) -> Result<(), GgufError> {
        let length = self.u64()?;
        let length = self.count("bytes of a string", length, 1)?;
        self.take(length).map(drop)
    }
}
