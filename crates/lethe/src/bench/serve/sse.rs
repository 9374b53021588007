//! Server-sent events: the bytes of a stream, however they are cut, as the data of its events.

/// An event longer than this is none.
const MAX_EVENT: usize = 16 << 20;

/// Why bytes are no events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadEvent {
    /// Too many bytes without an end.
    #[error("an event has no end after {MAX_EVENT} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("an event is not UTF-8")]
    NotText,
}

/// Events on their way in. Lines end in LF, CR or both; comments and fields other than `data` are passed over.
#[derive(Default)]
pub(super) struct Events {
    bytes: Vec<u8>,
    /// How far lines were taken out of `bytes`.
    taken: usize,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Data lines of the event that is not over yet.
    data: Option<Vec<u8>>,
    begun: bool,
}

impl Events {
    /// More of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The data of the next event that is complete; `None` until more is pushed.
    pub(super) fn pull(&mut self) -> Result<Option<String>, BadEvent> {
        while let Some(line) = self.line() {
            let line = &self.bytes[line];
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return String::from_utf8(data).map(Some).map_err(|_| BadEvent::NotText);
                }
                continue;
            }
            let Some(value) = line.strip_prefix(b"data") else { continue };
            let value = match value {
                [] => value,
                [b':', b' ', rest @ ..] | [b':', rest @ ..] => rest,
                _ => continue, // a field whose name only begins like it
            };
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        let waiting = self.bytes.len() - self.taken + self.data.as_ref().map_or(0, Vec::len);
        if waiting > MAX_EVENT { Err(BadEvent::TooLong) } else { Ok(None) }
    }

    /// Where the next whole line is, without its end.
    fn line(&mut self) -> Option<std::ops::Range<usize>> {
        if self.after_cr && self.bytes.get(self.taken)? == &b'\n' {
            self.taken += 1;
        }
        self.after_cr = false;
        let rest = &self.bytes[self.taken..];
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        self.after_cr = rest[length] == b'\r';
        let mut line = self.taken..self.taken + length;
        self.taken += length + 1;
        if !self.begun && rest.starts_with(b"\xEF\xBB\xBF") {
            line.start += 3; // a byte order mark
        }
        self.begun = true;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a stream that comes in pieces of so many bytes.
    fn read(stream: &[u8], piece: usize) -> Result<Vec<String>, BadEvent> {
        let mut events = Events::default();
        let mut all = Vec::new();
        for bytes in stream.chunks(piece) {
            events.push(bytes);
            while let Some(data) = events.pull()? {
                all.push(data);
            }
        }
        Ok(all)
    }

    #[test]
    fn events_do_not_depend_on_how_bytes_are_cut() {
        let stream = "\u{FEFF}: keep-alive\n\ndata: {\"a\": 1}\n\nevent: x\nid: 3\ndata:é\ndata\ndata:  two\n\n\
                      data: crlf\r\n\r\n:\r\n\r\ndata: cr\r\rdatabase: no\n\ndata: [DONE]\n\ndata: cut off\n";
        let wanted = ["{\"a\": 1}", "é\n\n two", "crlf", "cr", "[DONE]"];
        for piece in 1..=stream.len() {
            assert_eq!(read(stream.as_bytes(), piece).unwrap(), wanted, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_stream_of_text_is_refused() {
        assert_eq!(read(b"data: \xFF\n\n", 100), Err(BadEvent::NotText));
        let endless = vec![b'x'; MAX_EVENT + 10];
        assert_eq!(read(&endless, 1 << 20), Err(BadEvent::TooLong));
        let lines = b"data: xxxxxxxx\n".repeat(MAX_EVENT / 8);
        assert_eq!(read(&lines, 1 << 20), Err(BadEvent::TooLong));
    }
}
