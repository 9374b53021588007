//! Norms, gates, lookups, rotation and storage: every level against f64, every row alone against the batch.

mod common;

use common::{Random, assert_close, bits, cpu};
use half::f16;
use lethe_kernels::{AttentionSeq, AttentionShape, EmbedError, Lanes, Level, Matrix, Rope, RopeScaling};
use lethe_kv::{LaneView, PAGE_SLOTS, PageId, PagesMut, int8, k_at, page_elems, v_at};

#[test]
fn rms_norm() {
    let mut random = Random(31);
    for d in [1, 16, 24, 100, 1536] {
        let (m, eps) = (37, 1e-6);
        let (x, weight) = (random.vector(m * d, 3.0), random.vector(d, 1.0));
        let mut expected = Vec::new();
        for row in x.chunks_exact(d) {
            let mean = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / d as f64;
            let scale = 1.0 / (mean + f64::from(eps)).sqrt();
            expected.extend(row.iter().zip(&weight).map(|(x, w)| f64::from(*x) * scale * f64::from(*w)));
        }
        for level in Level::available() {
            let cpu = cpu(level, 2);
            let mut y = vec![f32::NAN; m * d];
            cpu.rms_norm(&x, &weight, eps, &mut y);
            assert_close(&y, &expected, 2e-6, 1e-12, &format!("{level}, d = {d}"));
            let mut in_place = x.clone();
            cpu.rms_norm_in_place(&mut in_place, &weight, eps);
            assert_eq!(bits(&in_place), bits(&y), "{level}, d = {d}, in place");
            let mut alone = vec![0.0; d];
            cpu.rms_norm(&x[5 * d..6 * d], &weight, eps, &mut alone);
            assert_eq!(bits(&alone), bits(&y[5 * d..6 * d]), "{level}, d = {d}, alone");
        }
    }
}

#[test]
fn swiglu_and_add() {
    let mut random = Random(32);
    for n in [1, 15, 16, 17, 1000, 70_001] {
        let mut gate = random.vector(n, 12.0);
        gate[0] = if n == 1 { -200.0 } else { 90.0 }; // both ends of the exponential
        let up = random.vector(n, 2.0);
        let silu = |x: f32| f64::from(x) / (1.0 + (-f64::from(x)).exp());
        let gated: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| silu(*g) * f64::from(*u)).collect();
        let sums: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| f64::from(g + u)).collect();
        for level in Level::available() {
            let cpu = cpu(level, 3);
            let mut x = gate.clone();
            cpu.swiglu(&mut x, &up);
            assert_close(&x, &gated, 1e-6, 1e-30, &format!("{level} swiglu of {n}"));
            let mut x = gate.clone();
            cpu.add(&mut x, &up);
            assert_close(&x, &sums, 0.0, 0.0, &format!("{level} add of {n}"));
        }
    }
}

#[test]
fn rows_of_the_table_are_looked_up() {
    let mut random = Random(33);
    let values = random.vector(50 * 20, 1.0);
    let table = Matrix::from_f32(&values, 50, 20).unwrap();
    let cpu = cpu(Level::best(), 2);
    let mut y = vec![0.0; 3 * 20];
    cpu.embed(&table, &[49, 0, 7], &mut y).unwrap();
    assert_eq!(y, [&values[980..], &values[..20], &values[140..160]].concat());
    let error = cpu.embed(&table, &[1, 50, 2], &mut y).unwrap_err();
    assert_eq!(error, EmbedError { row: 1, token: 50, vocab: 50 });
}

#[test]
fn the_first_row_that_is_not_finite() {
    let mut random = Random(34);
    for level in Level::available() {
        let cpu = cpu(level, 2);
        for d in [1, 17, 2048] {
            let mut x = random.vector(100 * d, 1.0);
            x[0] = f32::MAX;
            assert_eq!(cpu.first_non_finite_row(&x, d), None);
            for (row, poison) in [(99, f32::NAN), (42, f32::INFINITY), (41, f32::NEG_INFINITY)] {
                x[row * d + d - 1] = poison;
                assert_eq!(cpu.first_non_finite_row(&x, d), Some(row), "{level}, d = {d}");
            }
        }
    }
}

#[test]
fn rotation_agrees_with_f64_and_keeps_lengths() {
    let mut random = Random(35);
    for head_dim in [2, 16, 24, 80, 128] {
        let (heads, half) = (3, head_dim / 2);
        let positions = [0, 1, 77, 30_000];
        let rope = Rope::new(head_dim, 10_000.0, &RopeScaling::Default).unwrap();
        let (mut cos, mut sin) = (vec![0.0; 4 * half], vec![0.0; 4 * half]);
        rope.fill(&positions, &mut cos, &mut sin);
        let x = random.vector(4 * heads * head_dim, 1.0);
        let mut expected = vec![0.0; x.len()];
        for (token, position) in positions.iter().enumerate() {
            for (j, inv_freq) in rope.inv_freq().iter().enumerate() {
                let angle = f64::from(*position as f32 * inv_freq);
                for head in 0..heads {
                    let at = (token * heads + head) * head_dim + j;
                    let (a, b) = (f64::from(x[at]), f64::from(x[at + half]));
                    expected[at] = a * angle.cos() - b * angle.sin();
                    expected[at + half] = b * angle.cos() + a * angle.sin();
                }
            }
        }
        for level in Level::available() {
            let mut y = x.clone();
            rope.apply(&cpu(level, 2), &mut y, &cos, &sin);
            assert_close(&y, &expected, 0.0, 3e-7, &format!("{level}, head_dim {head_dim}"));
            assert_eq!(y[..heads * head_dim], x[..heads * head_dim], "position 0 turns nothing");
        }
    }
}

/// One lane per table.
struct Tables(Vec<Vec<PageId>>, usize);

impl Lanes for Tables {
    fn lane(&self, _: usize, kv_head: usize) -> LaneView<'_> {
        LaneView { pages: &self.0[kv_head], len: self.1 }
    }
}

#[test]
fn stores_saturate_and_count() {
    for level in Level::available() {
        for hd in [16, 24] {
            let shape = AttentionShape { n_heads: 2, n_kv_heads: 2, head_dim: hd, scale: 1.0 };
            let lanes = Tables(vec![vec![3, 0], vec![1, 2]], 18); // two new slots: 16 and 17
            let mut random = Random(36);
            let (mut k, mut v) = (random.vector(2 * 2 * hd, 100.0), random.vector(2 * 2 * hd, 100.0));
            (k[0], k[1], k[2], k[hd + 1]) = (1e6, f32::NEG_INFINITY, f32::NAN, 65504.0);
            v[3 * hd + hd - 1] = -70_000.0;
            let mut elems = vec![0xabcd; 4 * page_elems(hd)];
            let seqs = [AttentionSeq { q_start: 0, n_tokens: 2, mass_from: 2, mass_at: 0 }];
            let saturated = cpu(level, 1).store_kv(&shape, PagesMut::F16(&mut elems), &seqs, &lanes, (&k, &v));
            assert_eq!(saturated, 3, "{level}");
            let stored = |x: f32| f16::from_f32(if x.is_nan() { x } else { x.clamp(-65504.0, 65504.0) });
            let mut written = 0;
            for (i, (k, v)) in k.iter().zip(&v).enumerate() {
                let (token, lane, d) = (i / hd / 2, i / hd % 2, i % hd);
                let page = lanes.0[lane][1] as usize * page_elems(hd);
                for (at, x) in [(k_at(token, d), k), (v_at(hd, token, d), v)] {
                    let got = f16::from_bits(elems[page + at]);
                    assert!(got == stored(*x) || x.is_nan() && got.is_nan(), "{level}: {x} was stored as {got}");
                    written += 1;
                }
            }
            assert_eq!(elems.iter().filter(|bits| **bits != 0xabcd).count(), written, "{level}: other slots changed");
            let mut elems = vec![0.0; 4 * page_elems(hd)];
            let saturated = cpu(level, 1).store_kv(&shape, PagesMut::F32(&mut elems), &seqs, &lanes, (&k, &v));
            assert_eq!((saturated, elems[k_at(0, 0)], elems[v_at(hd, 1, 1)]), (0, 1e6, v[2 * hd + 1]));
            assert_eq!(PAGE_SLOTS, 16);
        }
    }
}

#[test]
fn eight_bits_are_what_their_scales_make_of_them() {
    for hd in [16, 24, 96] {
        let shape = AttentionShape { n_heads: 2, n_kv_heads: 2, head_dim: hd, scale: 1.0 };
        let lanes = Tables(vec![vec![3, 0], vec![1, 2]], 18); // two new slots: 16 and 17
        let mut random = Random(37);
        let n = 2 * 2 * hd;
        let (mut k, mut v) = (random.vector(n, 100.0), random.vector(n, 1e-3));
        (k[0], k[hd], v[n - 1]) = (1e7, f32::NEG_INFINITY, f32::NAN);
        v[hd..2 * hd].fill(0.0);
        let seqs = [AttentionSeq { q_start: 0, n_tokens: 2, mass_from: 2, mass_at: 0 }];
        let mut of_reference = None;
        for level in Level::available() {
            let mut bytes = vec![0xab; 4 * int8::page_bytes(hd)];
            let saturated = cpu(level, 1).store_kv(&shape, PagesMut::I8(&mut bytes), &seqs, &lanes, (&k, &v));
            assert_eq!(saturated, 1, "{level}: 1e7");
            for (row, (k, v)) in k.chunks(hd).zip(v.chunks(hd)).enumerate() {
                let (token, lane) = (row / 2, row % 2);
                let page = &bytes[lanes.0[lane][1] as usize * int8::page_bytes(hd)..][..int8::page_bytes(hd)];
                for (group, k) in k.chunks(int8::K_GROUP).enumerate() {
                    let at = |d: usize| int8::k_at(token, group * int8::K_GROUP + d);
                    check_part(page, int8::k_scale_at(hd, token, group), at, k);
                }
                check_part(page, int8::v_scale_at(hd, token), |d| int8::v_at(hd, token, d), v);
            }
            // Two slots of sixteen in two pages of four are written, to the same bits on every level.
            let per_slot = int8::page_bytes(hd) / PAGE_SLOTS;
            let touched = bytes.chunks(int8::page_bytes(hd)).map(|page| page.iter().filter(|b| **b != 0xab).count());
            assert!(touched.zip([2, 0, 2, 0]).all(|(n, slots)| n <= slots * per_slot), "{level}: other slots changed");
            assert!(
                bytes == *of_reference.get_or_insert_with(|| bytes.clone()),
                "{level}: other bits than the reference"
            );
        }
    }
}

/// Numbers that share a scale, against what was to be stored.
fn check_part(page: &[u8], scale_at: usize, at: impl Fn(usize) -> usize, x: &[f32]) {
    let scale = f16::from_le_bytes([page[scale_at], page[scale_at + 1]]).to_f32();
    if x.iter().any(|x| !x.is_finite()) {
        return assert!(scale.is_nan());
    }
    let size = x.iter().fold(0.0f32, |size, x| size.max(x.abs())).min(127.0 * 65504.0);
    let over = scale - size / 127.0;
    assert!((0.0..=scale * 1e-3 + 6e-8).contains(&over), "the scale of {x:?} is {scale}");
    for (d, x) in x.iter().enumerate() {
        let got = f32::from(page[at(d)] as i8) * scale;
        let error = (got - x.clamp(-127.0 * 65504.0, 127.0 * 65504.0)).abs();
        assert!(error <= scale * 0.5001, "{x} was stored as {got}, steps of {scale}");
    }
}
