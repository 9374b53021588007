//! Linear layers: activations times weights, row by row the same bits.
//!
//! [`packed`] weights are multiplied in whole numbers with activations in eight bits ([`integer`], [`activations`]), any number
//! of rows by the same code. All others are multiplied as they are stored, with activations in f32: every element `y[r][o]` is one dot product in one order: sixteen running sums, lane l takes the products of
//! columns l, l + 16, l + 32 and so on, and the lanes fall onto each other in halves at the end. How many rows
//! share a weight in a register, and which thread takes which part, changes nothing in it:
//!
//! - few rows (decode): weights are streamed once from memory and used as they come;
//! - many rows (prefill): a panel of weights is unpacked to f32 once for a block of rows, in pieces that stay in cache.

mod activations;
mod blocks;
mod few;
mod float;
mod integer;
mod many;
pub(crate) mod packed;
mod weight;

use crate::shared::SharedMut;
use crate::simd::dispatch;
use crate::{Cpu, Matrix};
use activations::Activations;
use integer::Whole;

/// From this many rows on, unpacking weights pays.
const MANY: usize = 8;
/// Outputs computed together when rows are few.
const STRIP: usize = 8;
/// Most products of the same activations.
const MOST_OUTPUTS: usize = 4;
/// Multiplications worth a task of their own.
const GRAIN: usize = 1 << 16;

/// What every part of one product needs.
#[derive(Clone, Copy)]
struct Product<'a> {
    x: &'a [f32], // [m][cols]
    m: usize,
    weights: &'a Matrix,       // [rows][cols]
    bias: Option<&'a [f32]>,   // [rows]
    y: &'a SharedMut<'a, f32>, // [m][rows]
}

impl Product<'_> {
    fn bias(&self, out: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[out])
    }
}

/// `$body` with the type alias `$W` standing for the [`weight::Weight`] of a dtype.
macro_rules! by_dtype {
    ($dtype:expr, $W:ident => $body:expr) => {{
        use $crate::WeightDtype as Dtype;
        use $crate::linear::{blocks, float};
        match $dtype {
            Dtype::F32 => {
                type $W = float::Floats<float::F32>;
                $body
            }
            Dtype::F16 => {
                type $W = float::Floats<float::F16>;
                $body
            }
            Dtype::Bf16 => {
                type $W = float::Floats<float::Bf16>;
                $body
            }
            Dtype::Q8_0 => {
                type $W = blocks::Blocks<blocks::Q8_0>;
                $body
            }
            Dtype::Q4_0 => {
                type $W = blocks::Blocks<blocks::Q4_0>;
                $body
            }
            Dtype::Q4_1 => {
                type $W = blocks::Blocks<blocks::Q4_1>;
                $body
            }
            Dtype::Q4K => {
                type $W = blocks::Blocks<blocks::Q4K>;
                $body
            }
            Dtype::Q6K => {
                type $W = blocks::Blocks<blocks::Q6K>;
                $body
            }
        }
    }};
}
use by_dtype;

impl Matrix {
    /// The layer `y = x W^T + bias`: y (`[m][rows]`) from x (`[m][cols]`) and an optional bias (`[rows]`). Row r of y
    /// depends on row r of x alone, to the bit: not on m, its place or the threads.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn forward(&self, cpu: &Cpu, x: &[f32], m: usize, bias: Option<&[f32]>, y: &mut [f32]) {
        cpu.linear(x, m, &mut [Output { matrix: self, bias, y }]);
    }
}

/// One of the products of the same activations.
pub struct Output<'a> {
    /// `[rows][cols]`.
    pub matrix: &'a Matrix,
    /// `[rows]`.
    pub bias: Option<&'a [f32]>,
    /// `[m][rows]`.
    pub y: &'a mut [f32],
}

impl Cpu {
    /// Every output's `y = x W^T + bias` from x (`[m][cols]`): activations are quantised once, and threads meet once.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn linear(&self, x: &[f32], m: usize, outputs: &mut [Output<'_>]) {
        assert!(outputs.len() <= MOST_OUTPUTS, "linear: {} outputs at once", outputs.len());
        for Output { matrix, bias, y } in outputs.iter() {
            let (rows, cols) = (matrix.rows(), matrix.cols());
            assert_eq!(x.len(), m * cols, "linear: x is not [{m}][{cols}]");
            assert_eq!(y.len(), m * rows, "linear: y is not [{m}][{rows}]");
            assert!(bias.is_none_or(|bias| bias.len() == rows), "linear: bias is not [{rows}]");
        }
        for output in outputs.iter_mut().filter(|output| !output.matrix.is_packed()) {
            self.as_stored(x, m, output);
        }
        if let Some(packed) = outputs.iter().find(|output| output.matrix.is_packed()) {
            let cols = packed.matrix.cols();
            Activations::with(self, x, cols, |x| self.packed(x, m, outputs));
        }
    }

    /// The outputs whose weights are packed.
    fn packed(&self, x: &Activations, m: usize, outputs: &mut [Output<'_>]) {
        const BLOCK_ROWS: usize = 64; // as many activations as stay in the L2 cache
        let row_blocks = m.div_ceil(BLOCK_ROWS);
        let mut outputs = outputs.iter_mut().filter(|output| output.matrix.is_packed());
        let wholes: [Option<Whole<'_>>; MOST_OUTPUTS] = std::array::from_fn(|_| {
            let Output { matrix, bias, y } = outputs.next()?;
            let groups = matrix.rows().div_ceil(packed::GROUP);
            // Groups of a task: enough work, and enough tasks for all threads.
            let least = GRAIN / (matrix.cols() * packed::GROUP * m.clamp(1, BLOCK_ROWS)) + 1;
            let step = groups.div_ceil((groups / least).clamp(1, self.threads() * 32));
            let tasks = groups.div_ceil(step) * row_blocks;
            Some(Whole { matrix, bias: *bias, y: SharedMut::new(y), groups, step, tasks })
        });
        let wholes = || wholes.iter().flatten();
        self.run(wholes().map(|whole| whole.tasks).sum(), &|mut task, _| {
            let mut wholes = wholes();
            let whole = loop {
                match wholes.next() {
                    Some(whole) if task < whole.tasks => break whole,
                    Some(whole) => task -= whole.tasks,
                    None => return,
                }
            };
            let groups = task / row_blocks * whole.step;
            let groups = groups..(groups + whole.step).min(whole.groups);
            let rows = task % row_blocks * BLOCK_ROWS;
            let rows = rows..(rows + BLOCK_ROWS).min(m);
            dispatch(self.level(), integer::Part { whole, x, groups, rows });
        });
    }

    /// The output of weights that are multiplied as they are stored.
    fn as_stored(&self, x: &[f32], m: usize, output: &mut Output<'_>) {
        let (weights, bias) = (output.matrix, output.bias);
        let (rows, cols) = (weights.rows(), weights.cols());
        let y = SharedMut::new(output.y);
        let product = Product { x, m, weights, bias, y: &y };
        if m < MANY {
            self.split(rows.div_ceil(STRIP), GRAIN / (cols * m.max(1) * STRIP) + 1, |strips| {
                let outs = strips.start * STRIP..(strips.end * STRIP).min(rows);
                dispatch(self.level(), few::Few { product, outs });
            });
        } else {
            let (panels, blocks) = (rows.div_ceil(many::BLOCK_OUTS), m.div_ceil(many::BLOCK_ROWS));
            self.run(panels * blocks, &|task, _| {
                let (out, row) = (task / blocks * many::BLOCK_OUTS, task % blocks * many::BLOCK_ROWS);
                let outs = out..(out + many::BLOCK_OUTS).min(rows);
                let rows = row..(row + many::BLOCK_ROWS).min(m);
                let part = many::Part { product, outs, rows };
                // Outside of `dispatch`: a closure within it might be compiled without the instruction set.
                many::Scratch::with(|scratch| dispatch(self.level(), many::Many { part, scratch }));
            });
        }
    }
}
