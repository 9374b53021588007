//! The paged cache against a naive one: a `Vec` of slots per lane. Random appends, retains, truncations, forks, pins, drops,
//! loans from the prefix cache, evictions there, and trips out of the pool and back; after every operation the books balance
//! and every slot reads back what was written: nothing shared was ever overwritten.

use std::collections::BTreeSet;

use lethe_kv::{
    Arena, Granularity, KvDtype, KvError, KvShape, Ledger, PAGE_SLOTS, Pages, PagesMut, PrefixCache, SeqCache,
    check_integrity, int8, k_at, page_elems, v_at,
};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Slot {
    position: u32,
    pinned: bool,
    score: f32,
    value: f32,
}

struct Pair {
    cache: SeqCache,
    naive: Vec<Vec<Vec<Slot>>>, // [layers][kv_heads][slots]
    next: u32,
    kind: u32, // which text it reads: all begin alike
}

impl Pair {
    fn tokens(&self, n: usize) -> Vec<u32> {
        (0..n as u32).map(|p| token(self.kind, p)).collect()
    }
}

/// The token at a position of a text.
fn token(kind: u32, position: u32) -> u32 {
    if position < 20 { 0 } else { kind }
}

/// What a slot holds: like keys and values a function of the text up to it, and of the lane.
fn value(kind: u32, layer: usize, lane: usize, position: u32) -> f32 {
    let text = if position < 20 { 0 } else { kind };
    let mixed = (position + 1).wrapping_mul(0x9E37_79B9) ^ (text * 977 + layer as u32 * 131 + lane as u32 * 17);
    (1 + mixed.wrapping_mul(0x85EB_CA6B) % 30_000) as f32
}

/// Where everything of a slot lies in a page.
fn places(arena: &Arena, s: usize) -> Vec<usize> {
    let hd = arena.head_dim();
    if let Pages::I8(_) = arena.pages() {
        let numbers = (0..hd).flat_map(|d| [int8::k_at(s, d), int8::v_at(hd, s, d)]);
        let scales = (0..int8::k_groups(hd)).map(|group| int8::k_scale_at(hd, s, group));
        let scales = scales.chain([int8::v_scale_at(hd, s)]).flat_map(|at| [at, at + 1]);
        return numbers.chain(scales).collect();
    }
    (0..hd).flat_map(|d| [k_at(s, d), v_at(hd, s, d)]).collect()
}

/// What is written at place `i` of a slot: small whole numbers, alike in a byte, in the bits of an f16 and in f32.
fn stamp(value: f32, i: usize) -> u8 {
    ((value as u32).wrapping_mul(0x9E37_79B1) >> (i % 25)) as u8
}

fn write(arena: &mut Arena, lane: lethe_kv::LaneView<'_>, slot: usize, value: f32) {
    let page = lane.pages[slot / PAGE_SLOTS] as usize;
    let hd = arena.head_dim();
    for (i, at) in places(arena, slot % PAGE_SLOTS).into_iter().enumerate() {
        match arena.pages_mut() {
            PagesMut::F16(e) => e[page * page_elems(hd) + at] = u16::from(stamp(value, i)),
            PagesMut::F32(e) => e[page * page_elems(hd) + at] = f32::from(stamp(value, i)),
            PagesMut::I8(e) => e[page * int8::page_bytes(hd) + at] = stamp(value, i),
        }
    }
}

fn read(arena: &Arena, lane: lethe_kv::LaneView<'_>, slot: usize) -> Vec<f32> {
    let page = lane.pages[slot / PAGE_SLOTS] as usize;
    let hd = arena.head_dim();
    let value = |at: usize| match arena.pages() {
        Pages::F16(e) => f32::from(e[page * page_elems(hd) + at]),
        Pages::F32(e) => e[page * page_elems(hd) + at],
        Pages::I8(e) => f32::from(e[page * int8::page_bytes(hd) + at]),
    };
    places(arena, slot % PAGE_SLOTS).into_iter().map(value).collect()
}

fn compare(arena: &Arena, pair: &Pair) {
    for (l, lanes) in pair.naive.iter().enumerate() {
        for (h, slots) in lanes.iter().enumerate() {
            assert_eq!(pair.cache.len(l, h), slots.len());
            for (i, s) in slots.iter().enumerate() {
                let got = Slot {
                    position: pair.cache.positions(l, h)[i],
                    pinned: pair.cache.pinned(l, h)[i],
                    score: pair.cache.scores(l, h)[i],
                    value: s.value,
                };
                assert_eq!(&got, s);
                let read = read(arena, pair.cache.lane(l, h), i);
                let want: Vec<f32> = (0..read.len()).map(|i| f32::from(stamp(s.value, i))).collect();
                assert_eq!(read, want, "layer {l} lane {h} slot {i}");
            }
            assert_eq!(pair.cache.pins(l, h), slots.iter().filter(|s| s.pinned).count());
        }
    }
}

fn run(seed: u64, granularity: Granularity, dtype: KvDtype) {
    let shape = KvShape { layers: 2, kv_heads: 3, head_dim: 4, dtype };
    let ledger = Ledger::new(400);
    let mut arena = Arena::new(400, shape.head_dim, dtype);
    let mut rng = Rng(seed);
    let mut prefixes = PrefixCache::new(&ledger);
    let mut pairs: Vec<Pair> = Vec::new();
    let mut lent = 0;
    for _ in 0..400 {
        match rng.below(16) {
            0 | 1 => {
                if let Ok(grant) = ledger.reserve(rng.below(120)) {
                    let cache = SeqCache::new(shape, granularity, grant, 64);
                    let naive = vec![vec![Vec::new(); shape.kv_heads]; shape.layers];
                    pairs.push(Pair { cache, naive, next: 0, kind: 1 + rng.below(2) as u32 });
                }
            }
            2..=5 if !pairs.is_empty() => {
                let i = rng.below(pairs.len());
                let pair = &mut pairs[i];
                let (n, pinned) = (1 + rng.below(20) as u32, rng.below(3) == 0);
                for l in 0..shape.layers {
                    let before: Vec<usize> = (0..shape.kv_heads).map(|h| pair.cache.len(l, h)).collect();
                    let free = ledger.free();
                    match pair.cache.append(&mut arena, l, pair.next..pair.next + n, pinned) {
                        Ok(()) => {
                            for (h, &start) in before.iter().enumerate() {
                                for t in 0..n as usize {
                                    let position = pair.next + t as u32;
                                    let value = value(pair.kind, l, h, position);
                                    write(&mut arena, pair.cache.lane(l, h), start + t, value);
                                    pair.naive[l][h].push(Slot { position, pinned, score: 0.0, value });
                                }
                            }
                        }
                        Err(e) => {
                            assert!(matches!(e, KvError::GrantSpent { .. }), "{e}");
                            assert_eq!(ledger.free(), free, "a refused append changes nothing");
                        }
                    }
                    // scores are written by the policy side
                    for h in 0..shape.kv_heads {
                        let value = rng.below(1000) as f32;
                        for s in pair.cache.scores_mut(l, h) {
                            *s += value;
                        }
                        for other in 0..shape.kv_heads {
                            if granularity == Granularity::Layer || other == h {
                                pair.naive[l][other].iter_mut().for_each(|s| s.score += value);
                            }
                        }
                    }
                }
                pair.next += n;
            }
            6 | 7 if !pairs.is_empty() => {
                let i = rng.below(pairs.len());
                let pair = &mut pairs[i];
                let (l, h) = (rng.below(shape.layers), rng.below(shape.kv_heads));
                let odds = 1 + rng.below(4);
                let keep: Vec<usize> = (0..pair.cache.len(l, h)).filter(|_| rng.below(odds) == 0).collect();
                let (done, cut) = match granularity {
                    Granularity::Layer => {
                        assert_eq!(pair.cache.retain_lane(&mut arena, l, h, &[]), Err(KvError::WrongGranularity));
                        (pair.cache.retain(&mut arena, l, &keep), 0..shape.kv_heads)
                    }
                    Granularity::Head => (pair.cache.retain_lane(&mut arena, l, h, &keep), h..h + 1),
                };
                let short = pair.cache.grant().room() < pair.cache.borrowed();
                assert!(done.is_ok() || short, "{done:?}");
                for h in cut.filter(|_| done.is_ok()) {
                    let old = std::mem::take(&mut pair.naive[l][h]);
                    pair.naive[l][h] = keep.iter().map(|&k| old[k].clone()).collect();
                }
            }
            8 if !pairs.is_empty() => {
                let i = rng.below(pairs.len());
                let held = pairs[i].cache.grant().held();
                if let Ok(grant) = ledger.reserve(held + rng.below(30)) {
                    let fork = pairs[i].cache.fork(grant).unwrap();
                    let Pair { naive, next, kind, .. } = &pairs[i];
                    pairs.push(Pair { cache: fork, naive: naive.clone(), next: *next, kind: *kind });
                }
                if let Ok(grant) = ledger.reserve(held.saturating_sub(1)) {
                    assert_eq!(pairs[i].cache.fork(grant).is_err(), held > 0);
                }
                let upto = rng.below(40) as u32;
                let pair = &mut pairs[i];
                pair.cache.pin(|p| p < upto);
                pair.naive.iter_mut().flatten().flatten().for_each(|s| s.pinned = s.position < upto);
            }
            9 if !pairs.is_empty() => {
                let i = rng.below(pairs.len());
                let pair = &mut pairs[i];
                let front = |slots: &Vec<Slot>| (0..slots.len()).take_while(|&s| slots[s].position == s as u32).count();
                let pristine = pair.naive.iter().flatten().map(front).min().unwrap_or(0);
                assert_eq!(pair.cache.pristine(), pristine);
                let slots = rng.below(2 * pair.cache.max_len() + 2);
                pair.cache.truncate(slots);
                pair.naive.iter_mut().flatten().for_each(|lane| lane.truncate(slots));
            }
            10 | 11 if !pairs.is_empty() => {
                let i = rng.below(pairs.len());
                let tokens = pairs[i].tokens(pairs[i].cache.pristine());
                prefixes.keep(&tokens, &mut pairs[i].cache);
            }
            12 => {
                let (kind, pinned) = (1 + rng.below(2) as u32, rng.below(2) == 0);
                let text: Vec<u32> = (0..rng.below(120) as u32).map(|p| token(kind, p)).collect();
                let blocks = prefixes.find(&text);
                assert!(blocks.tokens() <= text.len());
                if let Ok(grant) = ledger.reserve(rng.below(60)) {
                    let mut cache = SeqCache::new(shape, granularity, grant, 64);
                    prefixes.lend(&blocks, &mut cache, pinned);
                    lent += blocks.len();
                    let slot =
                        |l, h, position| Slot { position, pinned, score: 0.0, value: value(kind, l, h, position) };
                    let lane = |l, h| (0..blocks.tokens() as u32).map(|p| slot(l, h, p)).collect();
                    let layer = |l| (0..shape.kv_heads).map(|h| lane(l, h)).collect();
                    let naive = (0..shape.layers).map(layer).collect();
                    pairs.push(Pair { cache, naive, next: blocks.tokens() as u32, kind });
                }
            }
            13 => {
                let (free, asked) = (ledger.free(), rng.below(40));
                let freed = prefixes.evict(asked);
                assert_eq!(ledger.free(), free + freed);
            }
            14 if !pairs.is_empty() => {
                let i = rng.below(pairs.len());
                let Pair { cache, naive, next, kind } = pairs.swap_remove(i);
                let (mut out, rows) = (Vec::new(), rng.below(30));
                let needed = cache.needed(rows);
                let parked = cache.park(&arena, &mut out).unwrap();
                assert_eq!(out.len(), parked.pages() * shape.page_bytes());
                assert!(parked.needed(rows) <= needed, "all its pages are its own now");
                check_integrity(&ledger, pairs.iter().map(|p| &p.cache), Some(&prefixes)).unwrap();
                if let Ok(grant) = ledger.reserve(parked.pages() + rng.below(20)) {
                    let cache = parked.restore(&mut arena, grant, &mut out.as_slice()).unwrap();
                    assert_eq!(cache.borrowed(), 0);
                    pairs.push(Pair { cache, naive, next, kind });
                }
            }
            _ if !pairs.is_empty() => {
                let i = rng.below(pairs.len());
                pairs.swap_remove(i);
            }
            _ => {}
        }
        check_integrity(&ledger, pairs.iter().map(|p| &p.cache), Some(&prefixes)).unwrap();
        for pair in &pairs {
            compare(&arena, pair);
        }
        let fair: u64 = pairs.iter().map(|p| p.cache.bytes()).sum();
        let used: BTreeSet<_> = pairs.iter().flat_map(|p| p.cache.pages()).collect();
        let used = (used.len() * shape.page_bytes()) as u64;
        assert!(fair + 400 * pairs.len() as u64 >= used, "{fair} bytes reported, {used} in use");
    }
    assert!(lent > 0, "the prefix cache was of use");
    drop(pairs);
    assert_eq!((ledger.free() + prefixes.len(), ledger.shared()), (400, 0));
    prefixes.evict(usize::MAX);
    assert!(prefixes.is_empty());
    assert_eq!((ledger.free(), ledger.available()), (400, 400));
}

#[test]
fn random_operations_equal_the_naive_cache() {
    for seed in 0..6 {
        for granularity in [Granularity::Layer, Granularity::Head] {
            run(seed, granularity, KvDtype::F16);
            run(seed + 100, granularity, KvDtype::F32);
            run(seed + 200, granularity, KvDtype::I8);
        }
    }
}

fn ten_slots() -> (Ledger, Arena, SeqCache) {
    let shape = KvShape { layers: 1, kv_heads: 1, head_dim: 2, dtype: KvDtype::F32 };
    let ledger = Ledger::new(8);
    let mut arena = Arena::new(8, 2, KvDtype::F32);
    let mut seq = SeqCache::new(shape, Granularity::Layer, ledger.reserve(2).unwrap(), 32);
    seq.append(&mut arena, 0, 0..10, false).unwrap();
    (ledger, arena, seq)
}

#[test]
fn a_bad_keep_set_changes_nothing() {
    let (ledger, mut arena, mut seq) = ten_slots();
    assert_eq!(seq.retain(&mut arena, 0, &[1, 1]), Err(KvError::KeepNotAscending { at: 1 }));
    assert_eq!(seq.retain(&mut arena, 0, &[0, 5, 4]), Err(KvError::KeepNotAscending { at: 2 }));
    assert_eq!(seq.retain(&mut arena, 0, &[3, 10]), Err(KvError::KeepOutOfRange { slot: 10, len: 10 }));
    assert_eq!(seq.positions(0, 0), (0..10).collect::<Vec<u32>>());
    check_integrity(&ledger, [&seq], None).unwrap();
}

#[test]
fn positions_only_grow() {
    let (_ledger, mut arena, mut seq) = ten_slots();
    assert_eq!(seq.append(&mut arena, 0, 9..12, false), Err(KvError::PositionsNotIncreasing { last: 9, next: 9 }));
    seq.append(&mut arena, 0, 700..701, false).unwrap();
    assert_eq!(seq.positions(0, 0)[10], 700);
}

#[test]
fn freed_pages_serve_others_at_once() {
    let (ledger, mut arena, mut seq) = ten_slots();
    seq.append(&mut arena, 0, 10..32, false).unwrap();
    assert_eq!(ledger.free(), 6);
    let keep: Vec<usize> = (0..16).map(|i| i * 2).collect();
    seq.retain(&mut arena, 0, &keep).unwrap();
    assert_eq!(ledger.free(), 7);
    seq.regrant(0, 16).unwrap();
    assert_eq!((seq.grant().pages(), ledger.available()), (1, 7));
    seq.retain(&mut arena, 0, &[]).unwrap();
    assert!(seq.is_empty());
    assert_eq!(ledger.free(), 8);
}

#[test]
fn a_truncated_cache_frees_pages_and_leaves_shared_ones_alone() {
    let (ledger, mut arena, mut seq) = ten_slots();
    seq.append(&mut arena, 0, 10..32, false).unwrap();
    write(&mut arena, seq.lane(0, 0), 4, 7.0);
    write(&mut arena, seq.lane(0, 0), 5, 8.0);
    let mut other = seq.fork(ledger.reserve(2).unwrap()).unwrap();
    other.truncate(5);
    assert_eq!((other.len(0, 0), ledger.free(), ledger.shared()), (5, 6, 1));
    // the next append copies before it writes
    other.append(&mut arena, 0, 5..6, false).unwrap();
    write(&mut arena, other.lane(0, 0), 5, 9.0);
    let first = |seq: &SeqCache, slot| read(&arena, seq.lane(0, 0), slot)[0];
    let stamps = [8.0, 7.0, 9.0].map(|value| f32::from(stamp(value, 0)));
    assert_eq!([first(&seq, 5), first(&other, 4), first(&other, 5)], stamps);
    check_integrity(&ledger, [&seq, &other], None).unwrap();
    seq.truncate(0);
    assert!(seq.is_empty());
    assert_eq!(ledger.free(), 7);
    // positions begin anew
    seq.append(&mut arena, 0, 0..3, true).unwrap();
    assert_eq!((seq.pristine(), seq.pins(0, 0)), (3, 3));
}

#[test]
fn only_what_was_never_cut_is_pristine() {
    let (_ledger, mut arena, mut seq) = ten_slots();
    assert_eq!(seq.pristine(), 10);
    seq.retain(&mut arena, 0, &[0, 1, 2, 4, 9]).unwrap();
    assert_eq!(seq.pristine(), 3);
    seq.retain(&mut arena, 0, &[1, 2]).unwrap();
    assert_eq!(seq.pristine(), 0);
}

#[test]
fn a_panicking_owner_returns_its_pages() {
    let (ledger, mut arena, seq) = ten_slots();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let mut seq = seq;
        seq.append(&mut arena, 0, 10..20, true).unwrap();
        panic!("mid-step");
    }));
    assert!(panicked.is_err());
    assert_eq!((ledger.free(), ledger.available()), (8, 8));
}

/// Blocks of `tokens`, each lane of one page, in a pool of `pages`.
fn kept(ledger: &Ledger, arena: &mut Arena, prefixes: &mut PrefixCache, tokens: &[u32]) -> SeqCache {
    let shape = KvShape { layers: 1, kv_heads: 1, head_dim: 2, dtype: KvDtype::F32 };
    let mut seq = SeqCache::new(shape, Granularity::Layer, ledger.reserve(tokens.len().div_ceil(16)).unwrap(), 64);
    seq.append(arena, 0, 0..tokens.len() as u32, true).unwrap();
    prefixes.keep(tokens, &mut seq);
    seq
}

#[test]
fn the_prefix_cache_finds_whole_blocks_and_drops_the_longest_unused() {
    let (ledger, mut arena) = (Ledger::new(8), Arena::new(8, 2, KvDtype::F32));
    let mut prefixes = PrefixCache::new(&ledger);
    let text = |kind: u32| (0..40).map(|i| if i < 16 { 7 } else { kind }).collect::<Vec<u32>>();
    drop(kept(&ledger, &mut arena, &mut prefixes, &text(1)));
    drop(kept(&ledger, &mut arena, &mut prefixes, &text(2)));
    assert_eq!(
        (prefixes.len(), ledger.free()),
        (3, 5),
        "the first block is there once, the part-filled page not at all"
    );
    assert_eq!(prefixes.find(&text(1)).len(), 2);
    assert_eq!(prefixes.find(&text(1)[..31]).len(), 1);
    assert_eq!(prefixes.find(&text(1)[1..]).len(), 0);
    // text 1 was used last, so 2 goes first; nothing that is lent goes at all
    let holder = kept(&ledger, &mut arena, &mut prefixes, &text(1));
    assert_eq!((holder.borrowed(), holder.grant().held()), (2, 1), "what is known is borrowed, the rest its own");
    assert_eq!(prefixes.evict(usize::MAX), 1);
    assert_eq!((prefixes.find(&text(2)).len(), prefixes.find(&text(1)).len()), (1, 2));
    drop(holder);
    assert_eq!((prefixes.evict(1), prefixes.find(&text(1)).len()), (1, 1), "leaves before what they hang on");
    check_integrity(&ledger, [], Some(&prefixes)).unwrap();
}

#[test]
fn lent_pages_are_copied_before_they_are_cut() {
    let (ledger, mut arena) = (Ledger::new(8), Arena::new(8, 2, KvDtype::F32));
    let mut prefixes = PrefixCache::new(&ledger);
    let mut seq = kept(&ledger, &mut arena, &mut prefixes, &[7; 32]);
    let keep: Vec<usize> = (1..32).collect();
    seq.regrant(0, 32).unwrap();
    assert_eq!(seq.retain(&mut arena, 0, &keep), Err(KvError::GrantSpent { pages: 0 }), "no page to copy to");
    assert_eq!(seq.len(0, 0), 32);
    seq.regrant(2, 32).unwrap();
    seq.retain(&mut arena, 0, &keep).unwrap();
    assert_eq!((seq.borrowed(), prefixes.find(&[7; 32]).len(), ledger.free()), (0, 2, 4));
    check_integrity(&ledger, [&seq], Some(&prefixes)).unwrap();
}

#[test]
fn a_sequence_that_cannot_be_written_out_stays() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (ledger, arena, seq) = ten_slots();
    let (seq, error) = *seq.park(&arena, &mut Full).unwrap_err();
    assert_eq!((error.kind(), seq.len(0, 0), ledger.free()), (std::io::ErrorKind::StorageFull, 10, 7));
    let mut out = Vec::new();
    let parked = seq.park(&arena, &mut out).unwrap();
    assert_eq!((ledger.free(), ledger.available()), (8, 8));
    // half of it is gone: the error says so, and nothing leaks
    let (half, mut arena) = (&out[..out.len() / 2], arena);
    assert!(parked.restore(&mut arena, ledger.reserve(1).unwrap(), &mut &*half).is_err());
    assert_eq!((ledger.free(), ledger.available()), (8, 8));
}
