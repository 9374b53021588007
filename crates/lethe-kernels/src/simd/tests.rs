//! Every method of [`Simd`] means what its comment says, on every level.

use super::{Kernel, LANES, Simd, dispatch};
use crate::Level;
use half::{bf16, f16};

/// Arguments for all methods, and the results in bits, by name.
#[derive(Clone, Copy)]
struct Methods {
    bytes: [[u8; 64]; 2],
    floats: [[f32; LANES]; 3],
    shift: u32, // below 8
}

type Results = Vec<(&'static str, Vec<u32>)>;

/// Any NaN is as good as another.
fn float_bits(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

fn half_bits(x: u16) -> u32 {
    if f16::from_bits(x).is_nan() { f16::NAN.to_bits().into() } else { x.into() }
}

fn floats(s: impl IntoIterator<Item = f32>) -> Vec<u32> {
    s.into_iter().map(float_bits).collect()
}

fn word(b: &[u8; 64], i: usize) -> i16 {
    i16::from_le_bytes([b[2 * i], b[2 * i + 1]])
}

fn long(b: &[u8; 64], i: usize) -> i32 {
    i32::from_le_bytes([b[4 * i], b[4 * i + 1], b[4 * i + 2], b[4 * i + 3]])
}

impl Methods {
    /// The second bytes, changed so that the products of all pairs fit sixteen bits.
    fn fitting(&self) -> [u8; 64] {
        let [a, mut b] = self.bytes;
        for i in (0..64).step_by(2) {
            let sum = i32::from(a[i]) * i32::from(b[i] as i8) + i32::from(a[i + 1]) * i32::from(b[i + 1] as i8);
            if i16::try_from(sum).is_err() {
                b[i] = 0;
            }
        }
        b
    }

    /// The first bytes without -128, the second ones without 0.
    fn negatable(&self) -> [[u8; 64]; 2] {
        [self.bytes[0].map(|a| if a == 0x80 { 0x7f } else { a }), self.bytes[1].map(|b| b.max(1))]
    }

    /// Numbers from -128.5 to 127, many of them and a half.
    fn near_i8(&self) -> [f32; LANES] {
        std::array::from_fn(|i| {
            let [whole, eighths] = [self.bytes[0][i] as i8, self.bytes[1][i] as i8].map(f32::from);
            (whole + (eighths / 32.0).round() / 8.0).clamp(-128.5, 127.0)
        })
    }
}

impl Kernel for Methods {
    type Output = Results;

    fn reference(self) -> Results {
        let [a, b] = &self.bytes;
        let [x, y, z] = &self.floats;
        let n = self.shift;
        let mask = 0xff >> n;
        let bytes = |f: &dyn Fn(usize) -> u8| (0..64).map(|i| f(i).into()).collect::<Vec<u32>>();
        let words =
            |f: &dyn Fn(usize) -> i16| (0..32).flat_map(|i| f(i).to_le_bytes()).map(u32::from).collect::<Vec<_>>();
        let longs =
            |f: &dyn Fn(usize) -> i32| (0..16).flat_map(|i| f(i).to_le_bytes()).map(u32::from).collect::<Vec<_>>();
        let lanes = |f: &dyn Fn(usize) -> f32| floats((0..LANES).map(f));
        let fold = |f: &dyn Fn(f32, f32) -> f32| {
            let mut v = z.to_vec();
            while v.len() > 1 {
                let high = v.split_off(v.len() / 2);
                v.iter_mut().zip(high).for_each(|(low, high)| *low = f(*low, high));
            }
            v
        };
        let (fitting, [na, nb]) = (self.fitting(), self.negatable());
        let fits = |i: usize| i16::from(a[i]) * i16::from(fitting[i] as i8);
        let product = |i| i32::from(word(a, i)) * i32::from(word(b, i));
        vec![
            ("splat", lanes(&|_| x[0])),
            ("load", lanes(&|i| x[i])),
            ("load_f16", lanes(&|i| f16::from_bits(word(a, i) as u16).to_f32())),
            ("load_bf16", lanes(&|i| bf16::from_bits(word(a, i) as u16).to_f32())),
            ("f16_to_f32", floats([f16::from_bits(word(a, 0) as u16).to_f32()])),
            ("unsigned", lanes(&|i| a[i].into())),
            ("signed", lanes(&|i| (a[i] as i8).into())),
            ("bits", lanes(&|i| (a[i] >> n & mask).into())),
            ("or_high", lanes(&|i| (a[i] | (b[i] & 15) << 4).into())),
            ("to_i8", self.near_i8().map(|x| x.round_ties_even() as i8 as u32).into()),
            ("load_i", bytes(&|i| a[i])),
            ("repeat", bytes(&|i| a[i % 4])),
            ("load_twice", words(&|i| (a[i / 2] as i8).into())),
            ("load_i8", words(&|i| (a[i] as i8).into())),
            ("to_i16", self.near_i8().map(|x| (x * 255.0).round_ties_even() as i16 as u32).into()),
            ("splat_i16", words(&|_| word(a, 0))),
            ("bits_i", bytes(&|i| a[i] >> n & mask)),
            ("bits_i_up", bytes(&|i| a[i] << n)),
            ("or_i", bytes(&|i| a[i] | b[i])),
            ("abs_i8", bytes(&|i| (a[i] as i8).unsigned_abs())),
            ("negate_i8", bytes(&|i| if (nb[i] as i8) < 0 { na[i].wrapping_neg() } else { na[i] })),
            ("mul_i8", words(&|i| fits(2 * i) + fits(2 * i + 1))),
            ("mul_i16", longs(&|i| product(2 * i).wrapping_add(product(2 * i + 1)))),
            ("add_i16", words(&|i| word(a, i).wrapping_add(word(b, i)))),
            ("sub_i16", words(&|i| word(a, i).wrapping_sub(word(b, i)))),
            ("shl_i16", words(&|i| word(a, i) << n)),
            ("add_i32", longs(&|i| long(a, i).wrapping_add(long(b, i)))),
            ("float", lanes(&|i| long(a, i) as f32)),
            ("to_f16", x.map(|x| half_bits(f16::from_f32(x).to_bits())).into()),
            ("add", lanes(&|i| x[i] + y[i])),
            ("sub", lanes(&|i| x[i] - y[i])),
            ("mul", lanes(&|i| x[i] * y[i])),
            ("div", lanes(&|i| x[i] / y[i])),
            ("fma", lanes(&|i| x[i].mul_add(y[i], z[i]))),
            ("max", lanes(&|i| if x[i] > y[i] { x[i] } else { y[i] })),
            ("min", lanes(&|i| if x[i] < y[i] { x[i] } else { y[i] })),
            ("abs", lanes(&|i| z[i].abs())),
            ("round", lanes(&|i| x[i].round_ties_even())),
            ("scale2", lanes(&|i| z[i] * (n as f32 - 4.0).exp2())),
            ("select_lt", lanes(&|i| if x[i] < y[i] { y[i] } else { z[i] })),
            ("lt_bits", vec![(0..LANES).map(|i| u32::from(x[i] < y[i]) << i).sum()]),
            ("sum", floats(fold(&|a, b| a + b))),
            ("max_lane", floats(fold(&f32::max))),
        ]
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) -> Results {
        let n = self.shift;
        let mask = 0xff >> n;
        let lanes = |v| {
            let mut out = [0.0; LANES];
            s.store_part(&mut out, v);
            floats(out)
        };
        let bytes = |i: S::I| {
            const { assert!(size_of::<S::I>() == 64) };
            // SAFETY: on every level `I` is registers of 64 bytes in all, and any bytes are bytes.
            let bytes: [u8; 64] = unsafe { std::mem::transmute_copy(&i) };
            bytes.map(u32::from).to_vec()
        };
        let halves: [u16; 32] = std::array::from_fn(|i| word(&self.bytes[0], i) as u16);
        let (fitting, negatable, near) = (self.fitting(), self.negatable(), self.near_i8());
        // SAFETY: 64 bytes are readable.
        let load_i = |p: &[u8; 64]| unsafe { s.load_i(p.as_ptr()) };
        let [a, b, fitting, na, nb] =
            [self.bytes[0], self.bytes[1], fitting, negatable[0], negatable[1]].map(|p| load_i(&p));
        // SAFETY: 16 bytes are readable.
        let [ba, bb] = self.bytes.each_ref().map(|p| unsafe { s.load_bytes(p.as_ptr()) });
        let [x, y, z] = self.floats.each_ref().map(|p| s.load_part(p));
        let p = self.bytes[0].as_ptr();
        vec![
            ("splat", lanes(s.splat(self.floats[0][0]))),
            ("load", lanes(x)),
            // SAFETY: 64 bytes are readable.
            ("load_f16", lanes(unsafe { s.load_f16(halves.as_ptr()) })),
            // SAFETY: as above.
            ("load_bf16", lanes(unsafe { s.load_bf16(halves.as_ptr()) })),
            ("f16_to_f32", floats([s.f16_to_f32(halves[0])])),
            ("unsigned", lanes(s.unsigned(ba))),
            ("signed", lanes(s.signed(ba))),
            ("bits", lanes(s.unsigned(s.bits(ba, n, mask)))),
            ("or_high", lanes(s.unsigned(s.or_high(ba, s.bits(bb, 0, 15))))),
            ("to_i8", s.to_i8(s.load_part(&near)).map(|x| x as u32).into()),
            ("load_i", bytes(a)),
            // SAFETY: as above.
            ("repeat", bytes(unsafe { s.repeat(p) })),
            // SAFETY: as above.
            ("load_twice", bytes(unsafe { s.load_twice(p) })),
            // SAFETY: as above.
            ("load_i8", bytes(unsafe { s.load_i8(p) })),
            ("to_i16", s.to_i16(s.load_part(&near.map(|x| x * 255.0))).map(|x| x as u32).into()),
            ("splat_i16", bytes(s.splat_i16(word(&self.bytes[0], 0)))),
            ("bits_i", bytes(s.bits_i(a, n, mask))),
            ("bits_i_up", bytes(s.bits_i_up(a, n, 0xff << n))),
            ("or_i", bytes(s.or_i(a, b))),
            ("abs_i8", bytes(s.abs_i8(a))),
            ("negate_i8", bytes(s.negate_i8(na, nb))),
            ("mul_i8", bytes(s.mul_i8(a, fitting))),
            ("mul_i16", bytes(s.mul_i16(a, b))),
            ("add_i16", bytes(s.add_i16(a, b))),
            ("sub_i16", bytes(s.sub_i16(a, b))),
            ("shl_i16", bytes(s.shl_i16(a, n))),
            ("add_i32", bytes(s.add_i32(a, b))),
            ("float", lanes(s.float(a))),
            ("to_f16", s.to_f16(x).map(half_bits).into()),
            ("add", lanes(s.add(x, y))),
            ("sub", lanes(s.sub(x, y))),
            ("mul", lanes(s.mul(x, y))),
            ("div", lanes(s.div(x, y))),
            ("fma", lanes(s.fma(x, y, z))),
            ("max", lanes(s.max(x, y))),
            ("min", lanes(s.min(x, y))),
            ("abs", lanes(s.abs(z))),
            ("round", lanes(s.round(x))),
            ("scale2", lanes(s.scale2(z, s.splat(n as f32 - 4.0)))),
            ("select_lt", lanes(s.select_lt(x, y, y, z))),
            ("lt_bits", vec![s.lt_bits(x, y)]),
            ("sum", floats([s.sum(z)])),
            ("max_lane", floats([s.max_lane(z)])),
        ]
    }
}

/// Runs all methods on every level against the reference.
fn check(methods: Methods) {
    let expected = methods.reference();
    for level in Level::available().skip(1) {
        let results = dispatch(level, methods);
        assert_eq!(results.len(), expected.len());
        for (result, expected) in results.iter().zip(&expected) {
            assert_eq!(result, expected, "{level}");
        }
    }
}

/// Some 64-bit number after `state`.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *state ^ *state >> 33
}

#[test]
fn random_arguments() {
    let mut state = 41;
    for round in 0..4000 {
        let mut bytes = [[0; 64]; 2];
        bytes.as_flattened_mut().fill_with(|| next(&mut state) as u8);
        let mut floats = [[0.0; LANES]; 3];
        for (i, x) in floats.as_flattened_mut().iter_mut().enumerate() {
            let bits = next(&mut state) as u32;
            // Any bits at all, or numbers of one another's size; the third vector always the latter.
            let any = round % 2 == 0 && i < 2 * LANES;
            *x = if any { f32::from_bits(bits) } else { bits as i32 as f32 / (1 << 24) as f32 };
        }
        check(Methods { bytes, floats, shift: round % 8 });
    }
}

#[test]
fn numbers_at_the_edges() {
    const EDGES: [f32; 24] = [
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN_POSITIVE,
        1e-45,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        8388607.5,
        65504.0,
        65519.996,
        65520.0,
        -65520.0,
        6.1035156e-5,
        6.1005354e-5,
        5.9604645e-8,
        2.9802322e-8,
        2.9802326e-8,
        1.0 + 1.0 / 2048.0,
    ];
    let finite: [f32; LANES] = std::array::from_fn(|i| i as f32 - 7.5);
    for shift in 0..EDGES.len() {
        let x = std::array::from_fn(|i| EDGES[i % EDGES.len()]);
        let y = std::array::from_fn(|i| EDGES[(i + shift) % EDGES.len()]);
        let bytes = [[0x80; 64], [[0x80, 0x7f, 0xff, 0x01][shift % 4]; 64]];
        for floats in [[x, y, finite], [y, x, finite]] {
            check(Methods { bytes, floats, shift: shift as u32 % 8 });
        }
    }
}

#[test]
fn every_f16_and_back() {
    struct Halves([u16; LANES]);

    impl Kernel for Halves {
        type Output = ([f32; LANES], [u16; LANES]);

        fn reference(self) -> Self::Output {
            let x = self.0.map(|bits| f16::from_bits(bits).to_f32());
            (x, x.map(|x| f16::from_f32(x).to_bits()))
        }

        #[inline(always)]
        fn vector<S: Simd>(self, s: S) -> Self::Output {
            // SAFETY: the array has 32 bytes.
            let v = unsafe { s.load_f16(self.0.as_ptr()) };
            let mut x = [0.0; LANES];
            s.store_part(&mut x, v);
            (x, s.to_f16(v))
        }
    }

    let bits = |(x, back): ([f32; LANES], [u16; LANES])| (x.map(float_bits), back.map(half_bits));
    for first in (0..1 << 16).step_by(LANES) {
        let halves = std::array::from_fn(|i| (first + i) as u16);
        for level in Level::available().skip(1) {
            assert_eq!(bits(dispatch(level, Halves(halves))), bits(Halves(halves).reference()), "{level} from {first}");
        }
    }
}
