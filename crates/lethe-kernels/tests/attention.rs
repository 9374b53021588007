//! Attention against a plain one in f64, and against itself: chunks, threads, batches, stale pages.

mod common;

use common::{Random, assert_close, bits, cpu};
use half::f16;
use lethe_kernels::{Attention, AttentionScratch, AttentionSeq, AttentionShape, Cpu, Lanes, Level};
use lethe_kv::{KvDtype, LaneView, PAGE_SLOTS, PageId, Pages, PagesMut, int8, k_at, page_elems, v_at};

/// Elements of all pages.
#[derive(Clone)]
enum Elems {
    F16(Vec<u16>),
    F32(Vec<f32>),
    I8(Vec<u8>),
}

/// Some sequences, each with lanes of its own lengths, pages dealt out in random order; unused slots hold NaN.
struct World {
    shape: AttentionShape,
    elems: Elems,
    tables: Vec<Vec<Vec<PageId>>>, // [sequence][kv head]
    lens: Vec<Vec<usize>>,         // [sequence][kv head], all tokens fed
    q: Vec<Vec<f32>>,              // [sequence][new tokens][n_heads][head_dim]
    new: Vec<usize>,               // [sequence]
}

/// What `tokens` of the new ones of some sequences see.
struct Step<'a> {
    world: &'a World,
    parts: Vec<(usize, std::ops::Range<usize>)>,
}

impl Lanes for Step<'_> {
    fn lane(&self, seq: usize, kv_head: usize) -> LaneView<'_> {
        let (sequence, tokens) = &self.parts[seq];
        let unseen = self.world.new[*sequence] - tokens.end;
        LaneView { pages: &self.world.tables[*sequence][kv_head], len: self.world.lens[*sequence][kv_head] - unseen }
    }
}

impl World {
    fn new(
        random: &mut Random,
        shape: AttentionShape,
        dtype: KvDtype,
        lens: Vec<Vec<usize>>,
        new: Vec<usize>,
    ) -> World {
        let pages: usize = lens.iter().flatten().map(|len| len.div_ceil(PAGE_SLOTS)).sum::<usize>() + 3;
        let mut free: Vec<PageId> = (0..pages as PageId).collect();
        for i in (1..pages).rev() {
            free.swap(i, random.within(0, i));
        }
        let mut take = |len: &usize| free.split_off(free.len() - len.div_ceil(PAGE_SLOTS));
        let tables: Vec<Vec<_>> = lens.iter().map(|lens| lens.iter().map(&mut take).collect()).collect();
        let elems = match dtype {
            KvDtype::F16 => Elems::F16(vec![f16::NAN.to_bits(); pages * page_elems(shape.head_dim)]),
            KvDtype::F32 => Elems::F32(vec![f32::NAN; pages * page_elems(shape.head_dim)]),
            KvDtype::I8 => Elems::I8(vec![0xff; pages * int8::page_bytes(shape.head_dim)]), // scales of NaN
        };
        let row = shape.n_heads * shape.head_dim;
        let q = new.iter().map(|new| random.vector(new * row, 2.0)).collect();
        let mut world = World { shape, elems, tables, lens, q, new };
        world.fill(random);
        world
    }

    /// Stores random K and V in every slot, through the kernel under test.
    fn fill(&mut self, random: &mut Random) {
        let cpu = cpu(Level::best(), 1);
        for sequence in 0..self.lens.len() {
            let most = *self.lens[sequence].iter().max().unwrap();
            // Lanes differ in length: fill each as if it were the only one.
            for kv_head in 0..self.shape.n_kv_heads {
                struct Single<'a>(&'a [PageId], usize);
                impl Lanes for Single<'_> {
                    fn lane(&self, _: usize, _: usize) -> LaneView<'_> {
                        LaneView { pages: self.0, len: self.1 }
                    }
                }
                let len = self.lens[sequence][kv_head];
                let k = random.vector(most * self.shape.head_dim, 1.0);
                let v = random.vector(most * self.shape.head_dim, 1.0);
                let n = len * self.shape.head_dim;
                let seqs = [AttentionSeq { q_start: 0, n_tokens: len, mass_from: len, mass_at: 0 }];
                let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, ..self.shape };
                let pages = match &mut self.elems {
                    Elems::F16(elems) => PagesMut::F16(elems),
                    Elems::F32(elems) => PagesMut::F32(elems),
                    Elems::I8(bytes) => PagesMut::I8(bytes),
                };
                let lane = Single(&self.tables[sequence][kv_head], len);
                assert_eq!(cpu.store_kv(&shape, pages, &seqs, &lane, (&k[..n], &v[..n])), 0);
            }
        }
    }

    fn pages(&self) -> Pages<'_> {
        match &self.elems {
            Elems::F16(elems) => Pages::F16(elems),
            Elems::F32(elems) => Pages::F32(elems),
            Elems::I8(bytes) => Pages::I8(bytes),
        }
    }

    /// K (`part` 0) or V (1) of a slot.
    fn cell(&self, page: PageId, part: usize, slot: usize, d: usize) -> f64 {
        let hd = self.shape.head_dim;
        let at = page as usize * page_elems(hd) + [k_at(slot, d), v_at(hd, slot, d)][part];
        match &self.elems {
            Elems::F16(elems) => f16::from_bits(elems[at]).to_f64(),
            Elems::F32(elems) => f64::from(elems[at]),
            Elems::I8(bytes) => {
                let page = &bytes[page as usize * int8::page_bytes(hd)..];
                let number = [int8::k_at(slot, d), int8::v_at(hd, slot, d)][part];
                let scale = [int8::k_scale_at(hd, slot, d / int8::K_GROUP), int8::v_scale_at(hd, slot)][part];
                f64::from(page[number] as i8) * f16::from_le_bytes([page[scale], page[scale + 1]]).to_f64()
            }
        }
    }

    /// K and V of a lane, slot by slot.
    fn rows(&self, sequence: usize, lane: usize) -> Vec<(Vec<f64>, Vec<f64>)> {
        let slots = self.tables[sequence][lane].iter().flat_map(|page| (0..PAGE_SLOTS).map(move |slot| (*page, slot)));
        let row = |part, (page, slot)| (0..self.shape.head_dim).map(|d| self.cell(page, part, slot, d)).collect();
        slots.map(|at| (row(0, at), row(1, at))).collect()
    }

    /// Writes `x` all over K (part 0) or V (1) of a slot of the first lane: elements, or scales and odd numbers.
    fn poison(&mut self, part: usize, slot: usize, x: f16) {
        let hd = self.shape.head_dim;
        let (page, slot) = (self.tables[0][0][slot / PAGE_SLOTS] as usize, slot % PAGE_SLOTS);
        let start = page * page_elems(hd);
        for d in 0..hd {
            let at = start + [k_at(slot, d), v_at(hd, slot, d)][part];
            match &mut self.elems {
                Elems::F16(elems) => elems[at] = x.to_bits(),
                Elems::F32(elems) => elems[at] = x.to_f32(),
                Elems::I8(bytes) => {
                    let page = &mut bytes[page * int8::page_bytes(hd)..];
                    page[[int8::k_at(slot, d), int8::v_at(hd, slot, d)][part]] = 0x81;
                    let at = [int8::k_scale_at(hd, slot, d / int8::K_GROUP), int8::v_scale_at(hd, slot)][part];
                    page[at..at + 2].copy_from_slice(&x.to_le_bytes());
                }
            }
        }
    }

    /// Output and mass of one sequence, in f64, straight from the definition.
    fn expected(&self, sequence: usize, mass_from: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
        let AttentionShape { n_heads, head_dim, scale, .. } = self.shape;
        let group = self.shape.group();
        let mut out = vec![0.0; self.q[sequence].len()];
        let mut mass: Vec<Vec<f64>> = self.lens[sequence].iter().map(|len| vec![0.0; *len]).collect();
        for (lane, mass) in mass.iter_mut().enumerate() {
            let rows = self.rows(sequence, lane);
            for (token, g) in (0..self.new[sequence]).flat_map(|token| (0..group).map(move |g| (token, g))) {
                let visible = self.lens[sequence][lane] - self.new[sequence] + token + 1;
                let at = (token * n_heads + lane * group + g) * head_dim;
                let q = &self.q[sequence][at..at + head_dim];
                let dot = |k: &[f64]| q.iter().zip(k).map(|(q, k)| f64::from(*q) * k).sum::<f64>();
                let logits: Vec<f64> = rows[..visible].iter().map(|(k, _)| dot(k) * f64::from(scale)).collect();
                let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = logits.iter().map(|x| (x - max).exp()).sum();
                for ((logit, (_, v)), sum) in logits.iter().zip(&rows).zip(mass.iter_mut()) {
                    let p = (logit - max).exp() / total;
                    for (out, v) in out[at..at + head_dim].iter_mut().zip(v) {
                        *out += p * v;
                    }
                    if token >= mass_from {
                        *sum += p;
                    }
                }
            }
        }
        (out, mass)
    }

    /// Runs steps one after the other; every step is a list of (sequence, its tokens). Returns outputs and masses.
    fn run(
        &self,
        cpu: &Cpu,
        steps: &[Vec<(usize, std::ops::Range<usize>)>],
        mass_from: usize,
    ) -> (Vec<Vec<f32>>, Masses) {
        let row = self.shape.n_heads * self.shape.head_dim;
        let mut outs: Vec<Vec<f32>> = self.q.iter().map(|q| vec![f32::NAN; q.len()]).collect();
        let mut masses: Masses =
            self.lens.iter().map(|lens| lens.iter().map(|len| vec![0.0; *len]).collect()).collect();
        let mut scratch = AttentionScratch::default();
        for parts in steps {
            let step = Step { world: self, parts: parts.clone() };
            let (mut q, mut mass, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
            for (i, (sequence, tokens)) in parts.iter().enumerate() {
                seqs.push(AttentionSeq {
                    q_start: q.len() / row,
                    n_tokens: tokens.len(),
                    mass_from: mass_from.clamp(tokens.start, tokens.end) - tokens.start,
                    mass_at: mass.len(),
                });
                q.extend_from_slice(&self.q[*sequence][tokens.start * row..tokens.end * row]);
                for (kv_head, sums) in masses[*sequence].iter().enumerate() {
                    mass.extend_from_slice(&sums[..step.lane(i, kv_head).len]);
                }
            }
            let mut out = vec![f32::NAN; q.len()];
            let input = Attention { shape: self.shape, pages: self.pages(), seqs: &seqs, lanes: &step, q: &q };
            cpu.attention(&input, &mut out, &mut mass, &mut scratch);
            let mut taken = 0;
            for (i, (sequence, tokens)) in parts.iter().enumerate() {
                let from = seqs[i].q_start * row;
                outs[*sequence][tokens.start * row..tokens.end * row]
                    .copy_from_slice(&out[from..from + tokens.len() * row]);
                for (kv_head, sums) in masses[*sequence].iter_mut().enumerate() {
                    let len = step.lane(i, kv_head).len;
                    sums[..len].copy_from_slice(&mass[taken..taken + len]);
                    taken += len;
                }
            }
        }
        (outs, masses)
    }
}

type Masses = Vec<Vec<Vec<f32>>>; // [sequence][kv head][slots]

fn shape(n_kv_heads: usize, group: usize, head_dim: usize) -> AttentionShape {
    AttentionShape { n_heads: n_kv_heads * group, n_kv_heads, head_dim, scale: 1.0 / (head_dim as f32).sqrt() }
}

/// All tokens of every sequence in one step.
fn whole(world: &World) -> Vec<Vec<(usize, std::ops::Range<usize>)>> {
    vec![world.new.iter().enumerate().map(|(sequence, new)| (sequence, 0..*new)).collect()]
}

/// One sequence in chunks.
fn chunks(sequence: usize, tokens: usize, size: usize) -> Vec<Vec<(usize, std::ops::Range<usize>)>> {
    (0..tokens).step_by(size).map(|start| vec![(sequence, start..(start + size).min(tokens))]).collect()
}

#[test]
fn random_shapes_agree_with_f64() {
    let mut random = Random(11);
    for round in 0..42 {
        let head_dim = [16, 20, 40, 64, 80, 128, 256][round % 7];
        let (group, n_kv_heads) = (1 + round % 8, random.within(1, 3));
        let dtype = [KvDtype::F32, KvDtype::F16, KvDtype::I8][round / 7 % 3];
        let new: Vec<usize> = (0..random.within(1, 3)).map(|_| [1, 1, 5, 19][random.within(0, 3)]).collect();
        let lens = new
            .iter()
            .map(|new| (0..n_kv_heads).map(|_| new + random.within(0, [40, 700, 3000][round % 3])).collect())
            .collect();
        let world = World::new(&mut random, shape(n_kv_heads, group, head_dim), dtype, lens, new);
        let mass_from = random.within(0, 6);
        for level in Level::available() {
            let what = format!("{level}, round {round}, head_dim {head_dim}, G {group}");
            let (outs, masses) = world.run(&cpu(level, 2), &whole(&world), mass_from);
            for sequence in 0..world.new.len() {
                let (out, mass) = world.expected(sequence, mass_from);
                // Eight-bit numbers are multiplied with q and weights of sixteen bits.
                let whole = dtype == KvDtype::I8;
                assert_close(&outs[sequence], &out, 0.0, if whole { 2e-4 } else { 4e-6 }, &what);
                for (got, expected) in masses[sequence].iter().zip(&mass) {
                    assert_close(got, expected, if whole { 2e-4 } else { 2e-5 }, 1e-8, &what);
                }
            }
        }
    }
}

#[test]
fn chunks_threads_and_batches_change_no_bit() {
    let mut random = Random(12);
    let shapes = [(64, 2, KvDtype::F16), (128, 6, KvDtype::F16), (40, 3, KvDtype::F32)];
    for (head_dim, group, dtype) in shapes.into_iter().chain([(64, 2, KvDtype::I8), (40, 7, KvDtype::I8)]) {
        // The prompt starts empty in one lane, after 1000 slots in the other.
        let new = vec![70, 1, 9];
        let lens = vec![vec![70, 1070], vec![513, 30], vec![512, 520]];
        let world = World::new(&mut random, shape(2, group, head_dim), dtype, lens, new);
        for level in Level::available() {
            let mass_from = 5;
            let (outs, masses) = world.run(&cpu(level, 1), &whole(&world), mass_from);
            for threads in [1, 2, 3] {
                let cpu = cpu(level, threads);
                let (batch, batch_mass) = world.run(&cpu, &whole(&world), mass_from);
                let sizes: &[usize] = if level == Level::Reference { &[7, 33] } else { &[1, 7, 16, 33, 70] };
                for &size in sizes {
                    let (chunked, chunked_mass) = world.run(&cpu, &chunks(0, 70, size), mass_from);
                    assert_eq!(bits(&chunked[0]), bits(&outs[0]), "{level}, {threads} threads, chunks of {size}");
                    for (got, expected) in chunked_mass[0].iter().zip(&masses[0]) {
                        assert_eq!(bits(got), bits(expected), "{level}, {threads} threads, mass, chunks of {size}");
                    }
                }
                for sequence in 0..3 {
                    assert_eq!(bits(&batch[sequence]), bits(&outs[sequence]), "{level}, {threads} threads, batch");
                    assert_eq!(batch_mass[sequence], masses[sequence], "{level}, {threads} threads, batch mass");
                    let alone = vec![vec![(sequence, 0..world.new[sequence])]];
                    let (alone, alone_mass) = world.run(&cpu, &alone, mass_from);
                    assert_eq!(bits(&alone[sequence]), bits(&outs[sequence]), "{level}, {threads} threads, alone");
                    assert_eq!(alone_mass[sequence], masses[sequence], "{level}, {threads} threads, alone, mass");
                }
                let (silent, none) = world.run(&cpu, &whole(&world), usize::MAX);
                assert_eq!(silent.concat(), outs.concat(), "{level}: output with and without mass");
                assert!(none.iter().flatten().flatten().all(|sum| *sum == 0.0), "{level}: mass nobody asked for");
            }
        }
    }
}

#[test]
fn more_than_one_wave_of_scratch() {
    // 300 queries x 8 heads x 8 blocks with mass are more than the scratch holds at once.
    let mut random = Random(13);
    let world = World::new(&mut random, shape(2, 4, 16), KvDtype::F16, vec![vec![1800, 1790]], vec![300]);
    for level in Level::available().skip(1) {
        let (outs, masses) = world.run(&cpu(level, 2), &whole(&world), 0);
        let (chunked, chunked_mass) = world.run(&cpu(level, 2), &chunks(0, 300, 33), 0);
        assert_eq!(bits(&outs[0]), bits(&chunked[0]));
        assert_eq!(masses, chunked_mass);
        let total: f64 = masses[0].iter().flatten().map(|sum| f64::from(*sum)).sum();
        assert!((total - 2400.0).abs() < 0.01, "every query and head spends a mass of one, all {total}");
    }
}

#[test]
fn what_a_query_does_not_see_is_not_touched() {
    // Slots behind the causal limit hold NaN, infinities, then something else: no bit of the output changes.
    let mut random = Random(14);
    for dtype in [KvDtype::F16, KvDtype::I8] {
        let mut world = World::new(&mut random, shape(1, 3, 24), dtype, vec![vec![40]], vec![8]);
        for level in Level::available() {
            let cpu = cpu(level, 1);
            let early = vec![vec![(0, 0..5)]];
            let (before, mass) = world.run(&cpu, &early, 0);
            let original = world.elems.clone();
            for poison in [f16::NAN, f16::INFINITY, f16::from_f32(7.0)] {
                (37..48).for_each(|slot| (0..2).for_each(|part| world.poison(part, slot, poison)));
                let (after, after_mass) = world.run(&cpu, &early, 0);
                assert_eq!(bits(&after[0]), bits(&before[0]), "{level}, {poison}");
                assert_eq!(after_mass, mass, "{level}, {poison}");
                // Also within a chunk: the later tokens are poisoned, the earlier ones are not.
                let (chunk, _) = world.run(&cpu, &whole(&world), 0);
                let seen = 5 * 3 * 24;
                assert_eq!(bits(&chunk[0][..seen]), bits(&before[0][..seen]), "{level}, {poison}, chunk");
            }
            world.elems = original;
        }
    }
}

#[test]
fn nan_shows_in_the_output_whether_in_k_v_or_q() {
    let mut random = Random(15);
    for dtype in [KvDtype::F32, KvDtype::F16, KvDtype::I8] {
        for place in 0..3 {
            let mut world = World::new(&mut random, shape(1, 1, 32), dtype, vec![vec![600]], vec![1]);
            match place {
                2 => world.q[0][3] = f32::NAN,
                part => world.poison(part, 35, f16::NAN),
            }
            for level in Level::available() {
                let (outs, _) = world.run(&cpu(level, 1), &whole(&world), 0);
                assert!(outs[0].iter().all(|x| x.is_nan()), "{level}, {dtype:?}, place {place}");
            }
        }
    }
}

#[test]
fn the_largest_sums_of_whole_numbers_fit() {
    // Every number is 127 and every weight the same: all 256 slots of a block count in full.
    let mut random = Random(17);
    let mut world = World::new(&mut random, shape(1, 2, 18), KvDtype::I8, vec![vec![512]], vec![1]);
    let Elems::I8(bytes) = &mut world.elems else { unreachable!() };
    for page in bytes.chunks_mut(int8::page_bytes(18)) {
        page.fill(127);
        for slot in 0..PAGE_SLOTS {
            for at in [int8::k_scale_at(18, slot, 0), int8::k_scale_at(18, slot, 1), int8::v_scale_at(18, slot)] {
                page[at..at + 2].copy_from_slice(&f16::ONE.to_le_bytes());
            }
        }
    }
    world.q[0].fill(0.5);
    let (expected, _) = world.expected(0, 0);
    for level in Level::available() {
        let (outs, _) = world.run(&cpu(level, 1), &whole(&world), 0);
        assert_close(&outs[0], &expected, 2e-5, 0.0, &level.to_string());
    }
}

#[test]
#[should_panic(expected = "lacks its new slots")]
fn a_lane_without_its_new_slots_is_refused() {
    let mut random = Random(16);
    let mut world = World::new(&mut random, shape(1, 1, 16), KvDtype::F16, vec![vec![5]], vec![5]);
    world.lens[0][0] = 3;
    world.run(&cpu(Level::Reference, 1), &whole(&world), 0);
}
