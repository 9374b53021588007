//! The decoder: one graph for Llama, Mistral, Qwen2 and Qwen3. What differs between them is data: biases, q/k norms,
//! rope scaling, tied embeddings.

use lethe_kernels::{AttentionSeq, Lanes, Rope};
use lethe_kv::{KvDtype, KvError, KvShape, LaneView, Storage};

use crate::backend::{Backend, Heads, Projection, Span};

/// A projection: weight and perhaps bias.
pub struct Linear<B: Backend> {
    /// `[out][in]`.
    pub weight: B::Weight,
    /// `[out]`.
    pub bias: Option<B::Vector>,
}

impl<B: Backend> Linear<B> {
    /// This projection into `y`.
    fn to<'a>(&'a self, y: &'a mut B::Buf) -> Projection<'a, B> {
        (&self.weight, self.bias.as_ref(), y)
    }
}

/// The weights of one layer.
pub struct Layer<B: Backend> {
    /// `[hidden]`.
    pub attn_norm: B::Vector,
    /// `[heads * dim][hidden]`.
    pub q: Linear<B>,
    /// `[kv heads * dim][hidden]`.
    pub k: Linear<B>,
    /// `[kv heads * dim][hidden]`.
    pub v: Linear<B>,
    /// `[hidden][heads * dim]`.
    pub o: Linear<B>,
    /// q and k norms (Qwen3), each `[dim]`.
    pub qk_norm: Option<(B::Vector, B::Vector)>,
    /// `[hidden]`.
    pub mlp_norm: B::Vector,
    /// `[intermediate][hidden]`.
    pub gate: Linear<B>,
    /// `[intermediate][hidden]`.
    pub up: Linear<B>,
    /// `[hidden][intermediate]`.
    pub down: Linear<B>,
}

/// Sizes of the graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dims {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward part.
    pub intermediate: usize,
    /// Attention heads.
    pub heads: Heads,
    /// Vocabulary.
    pub vocab: usize,
    /// Epsilon of every RMS norm.
    pub eps: f32,
}

/// The weights of a decoder, where its backend wants them.
pub struct Weights<B: Backend> {
    /// Sizes.
    pub dims: Dims,
    /// `[vocab][hidden]`.
    pub embed: B::Weight,
    /// From first to last.
    pub layers: Vec<Layer<B>>,
    /// `[hidden]`.
    pub norm: B::Vector,
    /// `[vocab][hidden]`; `None` when tied to the embedding.
    pub head: Option<B::Weight>,
    /// Rotary embedding.
    pub rope: Rope,
}

/// A decoder on a backend.
pub struct Decoder<B: Backend> {
    /// The device.
    pub backend: B,
    /// Sizes.
    pub dims: Dims,
    weights: Weights<B>,
}

/// The caches of a batch, as the graph needs them. Implemented by whoever owns the sequences.
pub trait Sequences: Sync {
    /// Sequences in the batch.
    fn len(&self) -> usize;
    /// True when there is nothing to do.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The rows of a sequence.
    fn span(&self, seq: usize) -> Span;
    /// Adds slots for this step's rows to every lane of a layer.
    ///
    /// # Errors
    /// [`KvError`], when the sequence has no right to more pages.
    fn append(&mut self, kv: &mut dyn Storage, seq: usize, layer: usize) -> Result<(), KvError>;
    /// A lane.
    fn lane(&self, seq: usize, layer: usize, kv_head: usize) -> LaneView<'_>;
    /// Mass that earlier chunks of the same prompt brought, to go on adding to; `mass [slots]` comes zeroed.
    fn carry(&self, seq: usize, layer: usize, kv_head: usize, mass: &mut [f32]);
    /// The mass of this step (with the carry): `mass [kv heads][slots]`, lane after lane.
    fn mass(&mut self, seq: usize, layer: usize, mass: &[f32]);
    /// How many of the newest queries the sequence remembers; 0 for none.
    fn remembers(&self, seq: usize) -> usize {
        let _ = seq;
        0
    }
    /// The queries after RoPE of its last rows, so many as it remembers at most. `q [rows][query heads][dim]`
    fn queries(&mut self, seq: usize, layer: usize, q: &[f32]) {
        let _ = (seq, layer, q);
    }
    /// Values that were too large for the cache's element type and were clipped.
    fn saturated(&mut self, seq: usize, values: usize);
}

/// One layer of [`Sequences`].
struct AtLayer<'a, S> {
    seqs: &'a S,
    layer: usize,
    first: usize, // the sequence that counts as 0
}

impl<S: Sequences> Lanes for AtLayer<'_, S> {
    fn lane(&self, seq: usize, kv_head: usize) -> LaneView<'_> {
        self.seqs.lane(self.first + seq, self.layer, kv_head)
    }
}

/// Every buffer of a step, sized once for the largest batch.
pub struct Workspace<B: Backend> {
    rows: usize,
    x: B::Buf,               // [rows][hidden]
    h: B::Buf,               // [rows][hidden]
    q: B::Buf,               // [rows][heads][dim]
    k: B::Buf,               // [rows][kv heads][dim]
    v: B::Buf,               // [rows][kv heads][dim]
    attn: B::Buf,            // [rows][heads][dim]
    gate: B::Buf,            // [rows][intermediate]
    up: B::Buf,              // [rows][intermediate]
    cos: B::Buf,             // [rows][dim / 2]
    sin: B::Buf,             // [rows][dim / 2]
    logits: B::Buf,          // [logit rows][vocab]
    host: Vec<f32>,          // [vocab] or [rows][heads][dim], where the device's memory is not the host's
    scratch: B::Scratch,     // attention
    mass: Vec<f32>,          // [sequences][kv heads][slots], ragged
    seqs: Vec<AttentionSeq>, // [sequences]
    broken: Vec<u32>,        // [rows], first layer whose output is not finite; u32::MAX for none
}

impl<B: Backend> Decoder<B> {
    /// Puts weights and the backend that holds them together.
    pub fn new(backend: B, weights: Weights<B>) -> Decoder<B> {
        Decoder { dims: weights.dims, backend, weights }
    }

    /// Shape of this model's cache.
    pub fn kv_shape(&self, dtype: KvDtype) -> KvShape {
        KvShape {
            layers: self.weights.layers.len(),
            kv_heads: self.dims.heads.kv,
            head_dim: self.dims.heads.dim,
            dtype,
        }
    }

    /// Buffers for batches of up to `rows` rows, of which `logit_rows` ask for logits.
    pub fn workspace(&self, rows: usize, logit_rows: usize) -> Workspace<B> {
        let (b, d) = (&self.backend, &self.dims);
        let (q, kv) = (d.heads.queries * d.heads.dim, d.heads.kv * d.heads.dim);
        Workspace {
            rows,
            x: b.buf(rows * d.hidden),
            h: b.buf(rows * d.hidden),
            q: b.buf(rows * q),
            k: b.buf(rows * kv),
            v: b.buf(rows * kv),
            attn: b.buf(rows * q),
            gate: b.buf(rows * d.intermediate),
            up: b.buf(rows * d.intermediate),
            cos: b.buf(rows * d.heads.dim / 2),
            sin: b.buf(rows * d.heads.dim / 2),
            logits: b.buf(logit_rows * d.vocab),
            host: Vec::new(),
            scratch: b.scratch(),
            mass: Vec::new(),
            seqs: Vec::new(),
            broken: Vec::with_capacity(rows),
        }
    }

    /// Makes steps over up to `sequences` sequences with `slots` slots per layer in all, the longest of `longest`,
    /// run without allocating. Called when a sequence is admitted.
    pub fn reserve(&self, ws: &mut Workspace<B>, sequences: usize, slots: usize, longest: usize) {
        let kv = self.dims.heads.kv;
        ws.mass.reserve((slots * kv).saturating_sub(ws.mass.len()));
        ws.seqs.reserve(sequences.saturating_sub(ws.seqs.len()));
        self.backend.reserve(&mut ws.scratch, self.dims.heads, sequences, longest);
    }

    /// One ragged step. Row `r` is token `tokens[r]` at `positions[r]`; the caches grow by the rows of their spans,
    /// and logits of `logit_rows` are left in the workspace ([`Workspace::logits`]).
    ///
    /// # Errors
    /// [`KvError`] when a sequence was not granted the pages for its rows.
    ///
    /// # Panics
    /// When the batch is larger than the workspace.
    pub fn forward<S: Sequences>(
        &self,
        ws: &mut Workspace<B>,
        kv: &mut B::Kv,
        seqs: &mut S,
        tokens: &[u32],
        positions: &[u32],
        logit_rows: &[u32],
    ) -> Result<(), KvError> {
        let (b, d, w, rows) = (&self.backend, &self.dims, &self.weights, tokens.len());
        assert!(rows <= ws.rows && positions.len() == rows, "batch of {rows} rows in a workspace of {}", ws.rows);
        ws.broken.clear();
        ws.broken.resize(rows, u32::MAX);
        b.embed(&w.embed, tokens, &mut ws.x);
        b.rope_table(&w.rope, positions, &mut ws.cos, &mut ws.sin);
        for (l, layer) in w.layers.iter().enumerate() {
            b.rms_norm(&ws.x, &layer.attn_norm, d.eps, rows, &mut ws.h);
            let qkv = [layer.q.to(&mut ws.q), layer.k.to(&mut ws.k), layer.v.to(&mut ws.v)];
            b.linear(&ws.h, rows, qkv);
            if let Some((q_norm, k_norm)) = &layer.qk_norm {
                b.head_norm(&mut ws.q, q_norm, d.eps, rows * d.heads.queries);
                b.head_norm(&mut ws.k, k_norm, d.eps, rows * d.heads.kv);
            }
            b.rope(&w.rope, &mut ws.q, rows, d.heads.queries, &ws.cos, &ws.sin);
            b.rope(&w.rope, &mut ws.k, rows, d.heads.kv, &ws.cos, &ws.sin);
            self.attend(ws, kv, seqs, l)?;
            b.linear(&ws.attn, rows, [layer.o.to(&mut ws.h)]);
            b.add(&mut ws.x, &ws.h, rows * d.hidden);
            b.rms_norm(&ws.x, &layer.mlp_norm, d.eps, rows, &mut ws.h);
            b.linear(&ws.h, rows, [layer.gate.to(&mut ws.gate), layer.up.to(&mut ws.up)]);
            b.swiglu(&mut ws.gate, &ws.up, rows * d.intermediate);
            b.linear(&ws.gate, rows, [layer.down.to(&mut ws.h)]);
            b.add(&mut ws.x, &ws.h, rows * d.hidden);
            b.mark_broken(&ws.x, d.hidden, l as u32, &mut ws.broken);
        }
        let wanted = logit_rows.len();
        if wanted > 0 {
            b.gather(&ws.x, logit_rows, d.hidden, &mut ws.h);
            let head = w.head.as_ref().unwrap_or(&w.embed);
            b.rms_norm(&ws.h, &w.norm, d.eps, wanted, &mut ws.x);
            b.linear(&ws.x, wanted, [(head, None, &mut ws.logits)]);
        }
        Ok(())
    }

    /// Stores this step's K and V, attends, and hands the mass to the sequences.
    fn attend<S: Sequences>(
        &self,
        ws: &mut Workspace<B>,
        kv: &mut B::Kv,
        seqs: &mut S,
        layer: usize,
    ) -> Result<(), KvError> {
        let (b, heads) = (&self.backend, self.dims.heads);
        ws.seqs.clear();
        let mut end = 0;
        for s in 0..seqs.len() {
            seqs.append(kv, s, layer)?;
            let span = seqs.span(s);
            ws.seqs.push(AttentionSeq {
                q_start: span.start,
                n_tokens: span.rows,
                mass_from: span.mass_from,
                mass_at: end,
            });
            if span.mass_from < span.rows {
                end += (0..heads.kv).map(|h| seqs.lane(s, layer, h).len).sum::<usize>();
            }
        }
        ws.mass.clear();
        ws.mass.resize(end, 0.0);
        for s in 0..seqs.len() {
            let mut at = ws.seqs[s].mass_at;
            if ws.seqs[s].mass_from < ws.seqs[s].n_tokens {
                for h in 0..heads.kv {
                    let slots = seqs.lane(s, layer, h).len;
                    seqs.carry(s, layer, h, &mut ws.mass[at..at + slots]);
                    at += slots;
                }
            }
            let lanes = AtLayer { seqs: &*seqs, layer, first: s };
            let clipped = b.store_kv(kv, &ws.seqs[s..=s], &lanes, heads, (&ws.k, &ws.v));
            if clipped > 0 {
                seqs.saturated(s, clipped);
            }
        }
        for s in 0..seqs.len() {
            let Span { start, rows, .. } = seqs.span(s);
            let newest = rows.min(seqs.remembers(s));
            if newest > 0 {
                let (end, width) = (start + rows, heads.queries * heads.dim);
                seqs.queries(s, layer, b.read(&mut ws.q, (end - newest) * width..end * width, &mut ws.host));
            }
        }
        let lanes = AtLayer { seqs: &*seqs, layer, first: 0 };
        b.attention(kv, &ws.seqs, &lanes, heads, &ws.q, &mut ws.attn, &mut ws.mass, &mut ws.scratch);
        for s in 0..seqs.len() {
            let at = ws.seqs[s].mass_at;
            let until = ws.seqs.get(s + 1).map_or(end, |next| next.mass_at);
            if at < until {
                seqs.mass(s, layer, &ws.mass[at..until]);
            }
        }
        Ok(())
    }
}

impl<B: Backend> Workspace<B> {
    /// Most rows of a batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Logits `[vocab]` of the `i`-th row that asked for them in the last step, to be changed at will.
    pub fn logits(&mut self, decoder: &Decoder<B>, i: usize) -> &mut [f32] {
        let vocab = decoder.dims.vocab;
        decoder.backend.read(&mut self.logits, i * vocab..(i + 1) * vocab, &mut self.host)
    }

    /// The first layer after which a row of the last step held a value that is not finite.
    pub fn broken(&self, row: usize) -> Option<usize> {
        self.broken.get(row).filter(|&&l| l != u32::MAX).map(|&l| l as usize)
    }
}
