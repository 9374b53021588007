//! Which queries are computed together: as many as fit the scratch memory, in order, one *wave* after the other.

use super::scratch::{AttentionScratch, TILE_ROWS};
use super::{Attention, BLOCK_SLOTS};

/// Most blocks of a task, and the tasks a thread should find: long runs read ahead well, many tasks balance well.
const MAX_RUN: usize = 16;
const TASKS_PER_THREAD: usize = 4;

/// Most rows of a task, whole tiles: what is done once for a block is done once for so many.
const MAX_SPAN: usize = 16 * TILE_ROWS;

/// Where the next wave starts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    seq: usize,
    query: usize,
}

/// Consecutive queries of one sequence over one lane. Its rows are (query, head of the group), query by query; row r and
/// block b have the row block `first_row_block + r * blocks + b`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LanePart {
    pub(super) seq: usize,
    pub(super) kv_head: usize,
    /// Row of its first query in the batch.
    pub(super) q_row: usize,
    pub(super) queries: usize,
    pub(super) group: usize,
    /// Slots that the first query sees; every further one sees one more.
    pub(super) first_visible: usize,
    /// Blocks that the last query sees.
    pub(super) blocks: usize,
    /// Rows of a task, and blocks.
    pub(super) span: usize,
    pub(super) run: usize,
    pub(super) first_task: usize,
    pub(super) first_row_block: usize,
    /// With mass: where the lane's sums start in the mass buffer, and its first row of exponentials.
    pub(super) mass: Option<MassAt>,
}

/// Where the mass of a part goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct MassAt {
    pub(super) start: usize,
    pub(super) first_row_block: usize,
}

impl LanePart {
    pub(super) fn rows(&self) -> usize {
        self.queries * self.group
    }

    /// Spans of rows.
    pub(super) fn spans(&self) -> usize {
        self.rows().div_ceil(self.span)
    }

    pub(super) fn tasks(&self) -> usize {
        self.spans() * self.blocks.div_ceil(self.run)
    }

    /// Slots that row `row` sees.
    pub(super) fn visible(&self, row: usize) -> usize {
        self.first_visible + row / self.group
    }

    /// Offset of row `row` in q and out, in heads.
    pub(super) fn head_at(&self, n_heads: usize, row: usize) -> usize {
        (self.q_row + row / self.group) * n_heads + self.kv_head * self.group + row % self.group
    }
}

impl AttentionScratch {
    /// Plans the wave that starts at `from`; says where the next one does.
    pub(super) fn plan(&mut self, input: &Attention<'_>, from: Cursor, threads: usize) -> Option<Cursor> {
        let (shape, group) = (input.shape, input.shape.group());
        let rows = input.q.len() / (shape.n_heads * shape.head_dim);
        let (room, mass_room) = self.room(&shape);
        let (mut row_blocks, mut mass_row_blocks) = (0, 0);
        let (mut q_end, mut mass_end) = (0, 0); // parts of a wave must not share rows or sums
        let Cursor { mut seq, mut query } = from;
        self.parts.clear();
        let next = loop {
            let Some(entry) = input.seqs.get(seq) else { break None };
            if query >= entry.n_tokens {
                (seq, query) = (seq + 1, 0);
                continue;
            }
            assert!(
                entry.q_start + entry.n_tokens <= rows,
                "attention: sequence {seq} ends beyond the {rows} rows of q"
            );
            let lane = |kv_head| input.lanes.lane(seq, kv_head);
            let lens = (0..shape.n_kv_heads).map(|kv_head| lane(kv_head).len);
            let need: usize = lens.map(|len| group * len.div_ceil(BLOCK_SLOTS)).sum(); // row blocks of a query
            let with_mass = query >= entry.mass_from;
            let mut fit = (room - row_blocks.min(room)) / need.max(1);
            let mut left = entry.n_tokens - query;
            if with_mass {
                fit = fit.min((mass_room - mass_row_blocks.min(mass_room)) / need.max(1));
            } else {
                left = left.min(entry.mass_from - query);
            }
            if fit == 0 && !self.parts.is_empty() {
                break Some(Cursor { seq, query });
            }
            let queries = left.min(fit.max(1));
            assert!(entry.q_start + query >= q_end, "attention: rows of sequence {seq} are not behind those before it");
            q_end = entry.q_start + query + queries;
            let mut mass_start = entry.mass_at;
            for kv_head in 0..shape.n_kv_heads {
                let len = lane(kv_head).len;
                assert!(len >= entry.n_tokens, "attention: lane {kv_head} of sequence {seq} lacks its new slots");
                let first_visible = len - entry.n_tokens + query + 1;
                let part = LanePart {
                    seq,
                    kv_head,
                    q_row: entry.q_start + query,
                    queries,
                    group,
                    first_visible,
                    blocks: (first_visible + queries - 1).div_ceil(BLOCK_SLOTS),
                    span: MAX_SPAN,
                    run: 1,
                    first_task: 0,
                    first_row_block: row_blocks,
                    mass: with_mass.then_some(MassAt { start: mass_start, first_row_block: mass_row_blocks }),
                };
                if with_mass {
                    assert!(mass_start >= mass_end, "attention: mass of sequence {seq} is not behind that before it");
                    mass_end = mass_start + len;
                }
                row_blocks += part.rows() * part.blocks;
                if with_mass {
                    mass_row_blocks += part.rows() * part.blocks;
                }
                mass_start += len;
                self.parts.push(part);
            }
            query += queries;
            if queries < left {
                break Some(Cursor { seq, query }); // never two parts with the same mass in a wave
            }
        };
        // First as many rows as leave enough tasks of one block each, then as many blocks.
        let tasks = threads * TASKS_PER_THREAD;
        let span = (row_blocks / tasks / TILE_ROWS * TILE_ROWS).clamp(TILE_ROWS, MAX_SPAN);
        self.parts.iter_mut().for_each(|part| part.span = span);
        let run = (self.parts.iter().map(LanePart::tasks).sum::<usize>() / tasks).clamp(1, MAX_RUN);
        let mut first_task = 0;
        for part in &mut self.parts {
            (part.run, part.first_task) = (run, first_task);
            first_task += part.tasks();
        }
        self.ensure(&shape, row_blocks, mass_row_blocks);
        next
    }
}
