//! Writing GGUF files.

use std::io::{self, Write};

use super::Kind;
use crate::ggml::GgmlType;

const ALIGNMENT: u64 = 32;

/// A GGUF file to be written: metadata in order, then tensors whose bytes are asked for one after the other.
#[derive(Debug, Default)]
pub struct GgufWriter {
    keys: u64,
    metadata: Vec<u8>,
    tensors: Vec<(String, GgmlType, Vec<usize>)>,
}

impl GgufWriter {
    /// Bytes of a tensor of this type and shape.
    pub fn tensor_bytes(dtype: GgmlType, shape: &[usize]) -> usize {
        shape.iter().product::<usize>() / dtype.block() * dtype.block_bytes()
    }

    fn key(&mut self, key: &str, kind: Kind) {
        self.keys += 1;
        text(&mut self.metadata, key);
        self.metadata.extend((kind as u32).to_le_bytes());
    }

    fn list(&mut self, key: &str, kind: Kind, count: usize) {
        self.key(key, Kind::List);
        self.metadata.extend((kind as u32).to_le_bytes());
        self.metadata.extend((count as u64).to_le_bytes());
    }

    /// Adds a string.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key, Kind::Text);
        text(&mut self.metadata, value);
    }

    /// Adds a whole number.
    pub fn size(&mut self, key: &str, value: usize) {
        match u32::try_from(value) {
            Ok(value) => {
                self.key(key, Kind::U32);
                self.metadata.extend(value.to_le_bytes());
            }
            Err(_) => {
                self.key(key, Kind::U64);
                self.metadata.extend((value as u64).to_le_bytes());
            }
        }
    }

    /// Adds a number.
    pub fn number(&mut self, key: &str, value: f32) {
        self.key(key, Kind::F32);
        self.metadata.extend(value.to_le_bytes());
    }

    /// Adds a flag.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key, Kind::Bool);
        self.metadata.push(value.into());
    }

    /// Adds a list of strings.
    pub fn texts<S: AsRef<str>>(&mut self, key: &str, values: &[S]) {
        self.list(key, Kind::Text, values.len());
        for value in values {
            text(&mut self.metadata, value.as_ref());
        }
    }

    /// Adds a list of whole numbers.
    pub fn sizes(&mut self, key: &str, values: &[i32]) {
        self.list(key, Kind::I32, values.len());
        self.metadata.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// Adds a list of numbers.
    pub fn numbers(&mut self, key: &str, values: &[f32]) {
        self.list(key, Kind::F32, values.len());
        self.metadata.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// Announces a tensor. Extents are slowest first.
    pub fn tensor(&mut self, name: &str, dtype: GgmlType, shape: &[usize]) {
        self.tensors.push((name.to_owned(), dtype, shape.to_vec()));
    }

    /// Writes the file. `data` writes the elements of the tensor with this index, in the order announced, exactly as many
    /// bytes as [`GgufWriter::tensor_bytes`] says.
    ///
    /// # Errors
    /// What `out` or `data` say; a tensor of another size is an error of the kind `InvalidData`.
    pub fn write(
        &self,
        mut out: impl Write,
        mut data: impl FnMut(usize, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut header = b"GGUF".to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend(self.keys.to_le_bytes());
        header.extend(&self.metadata);
        let mut offset = 0u64;
        for (name, dtype, shape) in &self.tensors {
            text(&mut header, name);
            header.extend((shape.len() as u32).to_le_bytes());
            header.extend(shape.iter().rev().flat_map(|extent| (*extent as u64).to_le_bytes()));
            header.extend(dtype.id().to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset += (Self::tensor_bytes(*dtype, shape) as u64).next_multiple_of(ALIGNMENT);
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
        out.write_all(&header)?;
        for (index, (name, dtype, shape)) in self.tensors.iter().enumerate() {
            let mut counted = Counted { out: &mut out, bytes: 0 };
            data(index, &mut counted)?;
            let (expected, found) = (Self::tensor_bytes(*dtype, shape), counted.bytes);
            if found != expected {
                let text = format!("tensor {name} has {found} bytes instead of {expected}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            let padding = found.next_multiple_of(ALIGNMENT as usize) - found;
            out.write_all(&[0; ALIGNMENT as usize][..padding])?;
        }
        out.flush()
    }
}

fn text(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as u64).to_le_bytes());
    to.extend(text.as_bytes());
}

struct Counted<'a, W> {
    out: &'a mut W,
    bytes: usize,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.bytes += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
