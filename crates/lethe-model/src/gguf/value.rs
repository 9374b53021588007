//! Values of the metadata. Strings and lists are places in the file.

use std::ops::Range;

use super::GgufError;
use super::cursor::Cursor;

/// Type of a value, or of the entries of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 8 bits, unsigned.
    U8,
    /// 8 bits, signed.
    I8,
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, signed.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, signed.
    I32,
    /// Single precision.
    F32,
    /// One byte, 0 or 1.
    Bool,
    /// A length and UTF-8.
    Text,
    /// A type, a count, and that many values.
    List,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits, signed.
    I64,
    /// Double precision.
    F64,
}

impl Kind {
    const ALL: [Kind; 13] = [
        Kind::U8,
        Kind::I8,
        Kind::U16,
        Kind::I16,
        Kind::U32,
        Kind::I32,
        Kind::F32,
        Kind::Bool,
        Kind::Text,
        Kind::List,
        Kind::U64,
        Kind::I64,
        Kind::F64,
    ];

    fn from_id(id: u32) -> Result<Kind, GgufError> {
        Kind::ALL.get(id as usize).copied().ok_or(GgufError::UnknownKind(id))
    }

    /// Bytes of a value, where all have the same.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => Some(1),
            Kind::U16 | Kind::I16 => Some(2),
            Kind::U32 | Kind::I32 | Kind::F32 => Some(4),
            Kind::U64 | Kind::I64 | Kind::F64 => Some(8),
            Kind::Text | Kind::List => None,
        }
    }

    /// The number in `bytes`, as wide as this kind; flags are 0 and 1.
    pub(super) fn number(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        match self {
            Kind::I8 => f64::from(bytes[0] as i8),
            Kind::I16 => f64::from(i16::from_le_bytes([wide[0], wide[1]])),
            Kind::I32 => f64::from(i32::from_le_bytes([wide[0], wide[1], wide[2], wide[3]])),
            Kind::I64 => i64::from_le_bytes(wide) as f64,
            Kind::F32 => f64::from(f32::from_le_bytes([wide[0], wide[1], wide[2], wide[3]])),
            Kind::F64 => f64::from_le_bytes(wide),
            _ => u64::from_le_bytes(wide) as f64,
        }
    }
}

/// A list in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List {
    pub(super) kind: Kind,
    pub(super) count: usize,
    pub(super) range: Range<usize>,
}

/// One value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
    /// Where its bytes are, known to be UTF-8.
    Text(Range<usize>),
    List(List),
}

/// Lists within lists, as deep as anything sensible needs.
const MAX_DEPTH: usize = 3;

impl Value {
    pub(super) fn read(cursor: &mut Cursor) -> Result<Value, GgufError> {
        Ok(match Kind::from_id(cursor.u32()?)? {
            Kind::U8 => Value::Unsigned(cursor.array::<1>()?[0].into()),
            Kind::I8 => Value::Signed((cursor.array::<1>()?[0] as i8).into()),
            Kind::U16 => Value::Unsigned(u16::from_le_bytes(cursor.array()?).into()),
            Kind::I16 => Value::Signed(i16::from_le_bytes(cursor.array()?).into()),
            Kind::U32 => Value::Unsigned(cursor.u32()?.into()),
            Kind::I32 => Value::Signed(i32::from_le_bytes(cursor.array()?).into()),
            Kind::F32 => Value::Float(f32::from_le_bytes(cursor.array()?).into()),
            Kind::Bool => Value::Flag(cursor.array::<1>()?[0] != 0),
            Kind::Text => {
                let length = cursor.string()?.len();
                Value::Text(cursor.position() - length..cursor.position())
            }
            Kind::List => Value::List(read_list(cursor, 1)?),
            Kind::U64 => Value::Unsigned(cursor.u64()?),
            Kind::I64 => Value::Signed(i64::from_le_bytes(cursor.array()?)),
            Kind::F64 => Value::Float(f64::from_le_bytes(cursor.array()?)),
        })
    }

    pub(super) fn unsigned(&self) -> Option<u64> {
        match self {
            Value::Unsigned(n) => Some(*n),
            Value::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Unsigned(n) => Some(*n as f64),
            Value::Signed(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        if let Value::Flag(flag) = self { Some(*flag) } else { None }
    }

    pub(super) fn text<'a>(&self, file: &'a [u8]) -> Option<&'a str> {
        if let Value::Text(range) = self { std::str::from_utf8(&file[range.clone()]).ok() } else { None }
    }

    /// Converts a list with entries of this kind.
    pub(super) fn list_of(kind: Kind) -> impl FnOnce(&Value) -> Option<List> {
        move |value| if let Value::List(list) = value { (list.kind == kind).then(|| list.clone()) } else { None }
    }

    pub(super) fn list_of_numbers(&self) -> Option<List> {
        if let Value::List(list) = self { list.kind.width().map(|_| list.clone()) } else { None }
    }

    /// The value for people.
    pub(super) fn display(&self, file: &[u8]) -> String {
        match self {
            Value::Unsigned(n) => n.to_string(),
            Value::Signed(n) => n.to_string(),
            Value::Float(x) => (*x as f32).to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::Text(_) => quoted(self.text(file).unwrap_or_default()),
            Value::List(list) => {
                let some: Vec<String> = match (list.kind, list.kind.width()) {
                    (kind, Some(width)) => {
                        let bytes = file[list.range.clone()].chunks_exact(width);
                        bytes.take(5).map(|bytes| kind.number(bytes).to_string()).collect()
                    }
                    (Kind::Text, None) => {
                        let mut cursor = Cursor::new(&file[list.range.clone()]);
                        let texts = (0..list.count.min(5)).map_while(|_| cursor.string().ok());
                        texts.map(quoted).collect()
                    }
                    _ => Vec::new(),
                };
                let more = if some.len() < list.count { ", ..." } else { "" };
                format!("{} x {:?}: [{}{more}]", list.count, list.kind, some.join(", "))
            }
        }
    }
}

/// A text for people: one line, escaped, the beginning of a long one.
fn quoted(text: &str) -> String {
    const MOST: usize = 60; // characters
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}

fn read_list(cursor: &mut Cursor, depth: usize) -> Result<List, GgufError> {
    let kind = Kind::from_id(cursor.u32()?)?;
    let count = cursor.u64()?;
    let least = kind.width().unwrap_or(8);
    let count = cursor.count("entries of a list", count, least)?;
    let start = cursor.position();
    match kind {
        Kind::Text => {
            for _ in 0..count {
                cursor.skip_string()?;
            }
        }
        Kind::List if depth == MAX_DEPTH => return Err(GgufError::TooDeep),
        Kind::List => {
            for _ in 0..count {
                read_list(cursor, depth + 1)?;
            }
        }
        _ => drop(cursor.take(count * least)?),
    }
    Ok(List { kind, count, range: start..cursor.position() })
}
