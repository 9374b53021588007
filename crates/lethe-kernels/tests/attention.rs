//! Attention against a plain one in f64, and against itself: chunks, threads, batches, stale pages.

mod common;

use common::{Random, assert_close, bits, cpu};
use half::f16;
use lethe_kernels::{Attention, AttentionScratch, AttentionSeq, AttentionShape, Cpu, Lanes, Level};
use lethe_kv::{KvDtype, LaneView, PAGE_SLOTS, PageId, Pages, PagesMut, k_at, page_elems, v_at};

/// Elements of all pages.
#[derive(Clone)]
enum Elems {
    F16(Vec<u16>),
    F32(Vec<f32>),
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
        }
    }

    /// All elements of a page.
    fn page(&self, page: PageId) -> Vec<f64> {
        let n = page_elems(self.shape.head_dim);
        let range = page as usize * n..(page as usize + 1) * n;
        match &self.elems {
            Elems::F16(elems) => elems[range].iter().map(|bits| f16::from_bits(*bits).to_f64()).collect(),
            Elems::F32(elems) => elems[range].iter().map(|x| f64::from(*x)).collect(),
        }
    }

    /// K and V of a lane, slot by slot.
    fn rows(&self, sequence: usize, lane: usize) -> Vec<(Vec<f64>, Vec<f64>)> {
        let head_dim = self.shape.head_dim;
        let mut rows = Vec::new();
        for page in &self.tables[sequence][lane] {
            let page = self.page(*page);
            rows.extend((0..PAGE_SLOTS).map(|slot| {
                let k = (0..head_dim).map(|d| page[k_at(slot, d)]).collect();
                (k, (0..head_dim).map(|d| page[v_at(head_dim, slot, d)]).collect())
            }));
        }
        rows
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
    for round in 0..28 {
        let head_dim = [16, 24, 40, 64, 80, 96, 128][round % 7];
        let (group, n_kv_heads) = (1 + round % 8, random.within(1, 3));
        let dtype = if round % 3 == 0 { KvDtype::F32 } else { KvDtype::F16 };
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
                assert_close(&outs[sequence], &out, 0.0, 4e-6, &what);
                for (got, expected) in masses[sequence].iter().zip(&mass) {
                    assert_close(got, expected, 2e-5, 1e-8, &what);
                }
            }
        }
    }
}

#[test]
fn chunks_threads_and_batches_change_no_bit() {
    let mut random = Random(12);
    for (head_dim, group, dtype) in [(64, 2, KvDtype::F16), (128, 6, KvDtype::F16), (40, 3, KvDtype::F32)] {
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
                for size in [1, 7, 16, 33, 70] {
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
    let mut world = World::new(&mut random, shape(1, 3, 24), KvDtype::F16, vec![vec![40]], vec![8]);
    for level in Level::available() {
        let cpu = cpu(level, 1);
        let early = vec![vec![(0, 0..5)]];
        let (before, mass) = world.run(&cpu, &early, 0);
        let original = world.elems.clone();
        for poison in [f16::NAN, f16::INFINITY, f16::from_f32(7.0)] {
            let Elems::F16(elems) = &mut world.elems else { unreachable!() };
            for slot in 37..48 {
                let page = world.tables[0][0][slot / PAGE_SLOTS] as usize * page_elems(24);
                for d in 0..24 {
                    elems[page + k_at(slot % PAGE_SLOTS, d)] = poison.to_bits();
                    elems[page + v_at(24, slot % PAGE_SLOTS, d)] = poison.to_bits();
                }
            }
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

#[test]
fn a_nan_key_shows_in_the_output() {
    let mut random = Random(15);
    let mut world = World::new(&mut random, shape(1, 2, 32), KvDtype::F32, vec![vec![600]], vec![1]);
    let Elems::F32(elems) = &mut world.elems else { unreachable!() };
    elems[world.tables[0][0][2] as usize * page_elems(32) + k_at(3, 4)] = f32::NAN;
    for level in Level::available() {
        let (outs, _) = world.run(&cpu(level, 1), &whole(&world), 0);
        assert!(outs[0].iter().all(|x| x.is_nan()), "{level}");
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
