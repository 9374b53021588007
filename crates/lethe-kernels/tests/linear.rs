//! Linear layers against f64, and row by row the same bits.

mod common;

use common::{Random, assert_close, bits, cpu, weights};
use half::{bf16, f16};
use lethe_kernels::{Level, MappedFile, Matrix, MatrixError, Output, WeightDtype};
use std::io::Write;
use std::sync::Arc;

const DTYPES: [WeightDtype; 3] = [WeightDtype::F32, WeightDtype::F16, WeightDtype::Bf16];

fn encode(values: &[f32], dtype: WeightDtype) -> Vec<u8> {
    match dtype {
        WeightDtype::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        WeightDtype::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        WeightDtype::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
        _ => unreachable!("blocks are made as bytes"),
    }
}

fn matrix(random: &mut Random, dtype: WeightDtype, rows: usize, cols: usize) -> Matrix {
    Matrix::owned(weights(random, dtype, rows * cols), dtype, rows, cols).unwrap()
}

/// Some number of columns that the type can have.
fn columns(random: &mut Random, dtype: WeightDtype) -> usize {
    match dtype.block() {
        1 => [1, 7, 16, 31, 64, 513, 1100][random.within(0, 6)],
        32 => [32, 64, 96, 512, 544, 576, 1120][random.within(0, 6)],
        block => block * random.within(1, 5),
    }
}

#[test]
fn random_shapes_agree_with_f64_and_with_single_rows() {
    let mut random = Random(21);
    for round in 0..110 {
        let dtype = WeightDtype::ALL[round % 8];
        let (rows, cols) = (random.within(1, 90), columns(&mut random, dtype));
        let m = [1, 2, 3, 4, 5, 6, 7, 8, 20, 49, 70][round % 11];
        let weights = matrix(&mut random, dtype, rows, cols);
        let x = random.vector(m * cols, 1.0);
        let bias = (round % 2 == 0).then(|| random.vector(rows, 1.0));
        let mut expected = vec![0.0; m * rows];
        let mut row = vec![0.0; cols];
        for out in 0..rows {
            weights.read_row(out, &mut row);
            for r in 0..m {
                let products = row.iter().zip(&x[r * cols..]).map(|(w, x)| f64::from(*w) * f64::from(*x));
                expected[r * rows + out] = products.sum::<f64>() + bias.as_ref().map_or(0.0, |b| f64::from(b[out]));
            }
        }
        for level in Level::available() {
            let what = format!("{level} {dtype} {rows} x {cols}, m = {m}");
            let mut y = vec![f32::NAN; m * rows];
            weights.forward(&cpu(level, 1), &x, m, bias.as_deref(), &mut y);
            assert_close(&y, &expected, 1e-5, 2e-5, &what);
            for threads in [1, 2, 3] {
                let cpu = cpu(level, threads);
                let mut again = vec![f32::NAN; m * rows];
                weights.forward(&cpu, &x, m, bias.as_deref(), &mut again);
                assert_eq!(bits(&again), bits(&y), "{what}, {threads} threads");
                let r = random.within(0, m - 1);
                let mut alone = vec![f32::NAN; rows];
                weights.forward(&cpu, &x[r * cols..(r + 1) * cols], 1, bias.as_deref(), &mut alone);
                assert_eq!(bits(&alone), bits(&y[r * rows..(r + 1) * rows]), "{what}, row {r} alone");
            }
        }
    }
}

#[test]
fn vector_levels_agree_to_the_bit() {
    let mut random = Random(22);
    for dtype in WeightDtype::ALL {
        let cols = if dtype.block() == 1 { 777 } else { 768 };
        let weights = matrix(&mut random, dtype, 33, cols);
        let x = random.vector(9 * cols, 1.0);
        let results: Vec<_> = Level::available()
            .skip(1)
            .map(|level| {
                let mut y = vec![0.0; 9 * 33];
                weights.forward(&cpu(level, 1), &x, 9, None, &mut y);
                bits(&y)
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{dtype}");
    }
}

#[test]
fn a_mapped_matrix_at_an_odd_offset_equals_an_owned_one() {
    let mut random = Random(23);
    let path = std::env::temp_dir().join(format!("lethe-kernels-mapped-{}", std::process::id()));
    for dtype in DTYPES {
        let bytes = encode(&random.vector(21 * 37, 1.0), dtype);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&[0xff; 3]).unwrap();
        file.write_all(&bytes).unwrap();
        drop(file);
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let mapped = Matrix::mapped(&file, 3..3 + bytes.len(), dtype, 21, 37).unwrap();
        let owned = Matrix::owned(bytes.clone(), dtype, 21, 37).unwrap();
        let x = random.vector(11 * 37, 1.0);
        for level in Level::available() {
            for m in [1, 3, 11] {
                let (mut a, mut b) = (vec![0.0; m * 21], vec![0.0; m * 21]);
                mapped.forward(&cpu(level, 1), &x[..m * 37], m, None, &mut a);
                owned.forward(&cpu(level, 1), &x[..m * 37], m, None, &mut b);
                assert_eq!(bits(&a), bits(&b), "{level} {dtype}");
            }
        }
        let error = Matrix::mapped(&file, 4..4 + bytes.len(), dtype, 21, 37).unwrap_err();
        assert!(matches!(error, MatrixError::OutOfFile { .. }), "{error}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn wrong_sizes_are_typed_errors() {
    let size = Matrix::owned(vec![0u8; 11], WeightDtype::F16, 2, 3).unwrap_err();
    assert!(matches!(size, MatrixError::Size { bytes: 11, .. }), "{size}");
    let part = Matrix::owned(vec![0u8; 34], WeightDtype::Q8_0, 1, 33).unwrap_err();
    assert!(matches!(part, MatrixError::PartBlock { cols: 33, .. }), "{part}");
    let empty = Matrix::from_f32(&[], 0, 3).unwrap_err();
    assert!(matches!(empty, MatrixError::Empty { .. }), "{empty}");
    let huge = Matrix::owned(vec![0u8; 4], WeightDtype::F32, usize::MAX, 2).unwrap_err();
    assert!(matches!(huge, MatrixError::Size { .. }), "{huge}");
}

#[test]
fn the_first_number_that_is_none_is_found() {
    let mut random = Random(24);
    for dtype in DTYPES {
        let (rows, cols) = (300, 1030);
        let mut values = random.vector(rows * cols, 1.0);
        let cpu = cpu(Level::best(), 3);
        let clean = Matrix::owned(encode(&values, dtype), dtype, rows, cols).unwrap();
        assert_eq!(clean.first_non_finite(&cpu), None);
        for (row, col, poison) in [(299, 1029, f32::NAN), (150, 0, f32::INFINITY), (7, 1025, f32::NEG_INFINITY)] {
            values[row * cols + col] = poison;
            let poisoned = Matrix::owned(encode(&values, dtype), dtype, rows, cols).unwrap();
            assert_eq!(poisoned.first_non_finite(&cpu), Some((row, col)), "{dtype}");
        }
    }
}

#[test]
fn blocks_are_decoded_as_another_library_decodes_them() {
    use candle_core::quantized::GgmlDType;
    let types = [
        (WeightDtype::Q8_0, GgmlDType::Q8_0),
        (WeightDtype::Q4_0, GgmlDType::Q4_0),
        (WeightDtype::Q4_1, GgmlDType::Q4_1),
        (WeightDtype::Q4K, GgmlDType::Q4K),
        (WeightDtype::Q6K, GgmlDType::Q6K),
    ];
    let mut random = Random(25);
    for (dtype, theirs) in types {
        let (rows, cols) = (5, 1536);
        let bytes = weights(&mut random, dtype, rows * cols);
        let device = candle_core::Device::Cpu;
        let expected = candle_core::quantized::ggml_file::qtensor_from_ggml(theirs, &bytes, vec![rows, cols], &device);
        let expected = expected.unwrap().dequantize(&device).unwrap().to_vec2::<f32>().unwrap();
        let matrix = Matrix::owned(bytes, dtype, rows, cols).unwrap();
        // What the vectors unpack: a product with a unit vector is one weight.
        for level in Level::available() {
            let x: Vec<f32> = (0..cols * cols).map(|i| f32::from(u8::from(i / cols == i % cols))).collect();
            let mut y = vec![0.0; cols * rows];
            matrix.forward(&cpu(level, 2), &x, cols, None, &mut y);
            let unpacked: Vec<f32> = (0..rows * cols).map(|i| y[i % cols * rows + i / cols]).collect();
            assert!(unpacked == expected.concat(), "{level} {dtype}");
        }
        let mut row = vec![0.0; cols];
        for (i, expected) in expected.iter().enumerate() {
            matrix.read_row(i, &mut row);
            assert!(row == *expected, "{dtype} row {i}");
        }
    }
}

#[test]
fn a_block_with_a_bad_scale_is_found() {
    let mut random = Random(26);
    for dtype in WeightDtype::ALL.into_iter().filter(|dtype| dtype.block() > 1) {
        let (rows, cols) = (40, 1536);
        let bytes = weights(&mut random, dtype, rows * cols);
        let cpu = cpu(Level::best(), 3);
        assert_eq!(Matrix::owned(bytes.clone(), dtype, rows, cols).unwrap().first_non_finite(&cpu), None, "{dtype}");
        let scale = if dtype == WeightDtype::Q6K { 208 } else { 0 };
        for (row, block) in [(39, 0), (7, 1536 / dtype.block() - 1)] {
            let mut bytes = bytes.clone();
            let at = (row * cols / dtype.block() + block) * dtype.block_bytes() + scale;
            bytes[at..at + 2].copy_from_slice(&f16::NAN.to_le_bytes());
            let poisoned = Matrix::owned(bytes, dtype, rows, cols).unwrap();
            assert_eq!(poisoned.first_non_finite(&cpu), Some((row, block * dtype.block())), "{dtype}");
        }
    }
}

/// The packed types, and columns that they can have.
fn packed_shapes(random: &mut Random) -> impl Iterator<Item = (WeightDtype, usize, usize)> {
    let types = [WeightDtype::Q8_0, WeightDtype::Q4_0, WeightDtype::Q4K, WeightDtype::Q6K];
    (0..40).map(move |i| (types[i % 4], random.within(1, 90), columns(random, types[i % 4])))
}

#[test]
fn packed_weights_are_the_same_numbers() {
    for (dtype, rows, cols) in packed_shapes(&mut Random(27)) {
        let plain = matrix(&mut Random((rows * cols) as u64), dtype, rows, cols);
        let packed = plain.clone().packed(&cpu(Level::best(), 2));
        assert!(packed.is_packed() && !plain.is_packed());
        for row in 0..rows {
            let (mut a, mut b) = (vec![0.0; cols], vec![f32::NAN; cols]);
            plain.read_row(row, &mut a);
            packed.read_row(row, &mut b);
            assert_eq!(bits(&a), bits(&b), "{dtype} {rows} x {cols}, row {row}");
        }
    }
}

/// `x` as it enters a product with packed weights: 32 columns share the scale that makes their largest magnitude 127.
fn in_eight_bits(x: &[f32]) -> Vec<f64> {
    let unit = |x: &[f32]| {
        let max = x.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let scale = max / 127.0;
        let q = |x: &f32| if max > 0.0 { f64::from((x * (127.0 / max)).round_ties_even()) } else { 0.0 };
        x.iter().map(|x| q(x) * f64::from(scale)).collect::<Vec<_>>()
    };
    x.chunks(32).flat_map(unit).collect()
}

#[test]
fn packed_products_agree_with_f64_and_every_level_and_row_count_to_the_bit() {
    let mut random = Random(28);
    for (i, (dtype, rows, cols)) in packed_shapes(&mut Random(29)).enumerate() {
        let m = [1, 2, 3, 4, 5, 7, 8, 20, 66][i % 9];
        let weights = matrix(&mut random, dtype, rows, cols).packed(&cpu(Level::best(), 2));
        let mut x = random.vector(m * cols, 1.0);
        x[..32].fill(0.0);
        x[cols - 1] *= 1000.0; // an outlier, as models have them
        let bias = (i % 2 == 0).then(|| random.vector(rows, 1.0));
        let eight = in_eight_bits(&x);
        let mut expected = vec![0.0; m * rows];
        let mut row = vec![0.0; cols];
        for out in 0..rows {
            weights.read_row(out, &mut row);
            for r in 0..m {
                let products = row.iter().zip(&eight[r * cols..]).map(|(w, x)| f64::from(*w) * x);
                expected[r * rows + out] = products.sum::<f64>() + bias.as_ref().map_or(0.0, |b| f64::from(b[out]));
            }
        }
        let mut first: Option<Vec<u32>> = None;
        for level in Level::available() {
            for threads in [1, 3] {
                let what = format!("{level} {dtype} {rows} x {cols}, m = {m}, {threads} threads");
                let cpu = cpu(level, threads);
                let mut y = vec![f32::NAN; m * rows];
                weights.forward(&cpu, &x, m, bias.as_deref(), &mut y);
                assert_close(&y, &expected, 2e-5, 2e-3, &what);
                let expected = first.get_or_insert_with(|| bits(&y));
                assert!(*expected == bits(&y), "{what}: other bits");
                let r = random.within(0, m - 1);
                let mut alone = vec![f32::NAN; rows];
                weights.forward(&cpu, &x[r * cols..(r + 1) * cols], 1, bias.as_deref(), &mut alone);
                assert_eq!(bits(&alone), bits(&y[r * rows..(r + 1) * rows]), "{what}, row {r} alone");
            }
        }
    }
}

#[test]
fn packed_products_hold_the_largest_numbers() {
    // Every quantised number at its largest magnitude, activations too: nothing overflows on the way.
    for dtype in [WeightDtype::Q8_0, WeightDtype::Q4_0, WeightDtype::Q4K, WeightDtype::Q6K] {
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let (rows, cols) = (17, 512);
            let mut bytes = vec![byte; rows * cols / dtype.block() * dtype.block_bytes()];
            for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
                let scales: &[usize] = match dtype {
                    WeightDtype::Q4K => &[0, 2],
                    WeightDtype::Q6K => &[208],
                    _ => &[0],
                };
                scales.iter().for_each(|at| block[*at..at + 2].copy_from_slice(&f16::ONE.to_le_bytes()));
            }
            let weights = Matrix::owned(bytes, dtype, rows, cols).unwrap().packed(&cpu(Level::best(), 1));
            let mut row = vec![0.0; cols];
            weights.read_row(16, &mut row);
            for x in [vec![1.0f32; cols], vec![-1.0; cols], (0..cols).map(|i| [1.0, -1.0][i % 2]).collect()] {
                let expected: f64 = row.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                for level in Level::available() {
                    let mut y = vec![f32::NAN; rows];
                    weights.forward(&cpu(level, 1), &x, 1, None, &mut y);
                    assert_close(&y, &vec![expected; rows], 1e-5, 1e-1, &format!("{level} {dtype} {byte:#x}"));
                }
            }
        }
    }
}

#[test]
fn several_outputs_at_once_are_the_same_bits() {
    let mut random = Random(30);
    let cpu = cpu(Level::best(), 3);
    let types = [WeightDtype::Q4K, WeightDtype::Q6K, WeightDtype::F16, WeightDtype::Q8_0];
    let weights: Vec<Matrix> =
        types.iter().zip([70, 16, 33, 129]).map(|(t, n)| matrix(&mut random, *t, n, 512)).collect();
    let weights: Vec<Matrix> = weights.into_iter().map(|w| w.packed(&cpu)).collect();
    for m in [0, 1, 5, 70] {
        let x = random.vector(m * 512, 1.0);
        let bias = random.vector(16, 1.0);
        let bias = |i: usize| (i == 1).then_some(&bias[..]);
        let mut together: Vec<Vec<f32>> = weights.iter().map(|w| vec![f32::NAN; m * w.rows()]).collect();
        let outputs = weights.iter().zip(&mut together).enumerate();
        let mut outputs: Vec<_> = outputs.map(|(i, (matrix, y))| Output { matrix, bias: bias(i), y }).collect();
        cpu.linear(&x, m, &mut outputs);
        for (i, (w, together)) in weights.iter().zip(&together).enumerate() {
            let mut alone = vec![f32::NAN; m * w.rows()];
            w.forward(&cpu, &x, m, bias(i), &mut alone);
            assert_eq!(bits(&alone), bits(together), "{:?}, m = {m}", types[i]);
        }
    }
}

#[test]
fn what_is_no_number_reaches_every_output_of_its_row() {
    let mut random = Random(31);
    for level in Level::available() {
        let cpu = cpu(level, 1);
        let weights = matrix(&mut random, WeightDtype::Q4K, 20, 512).packed(&cpu);
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = random.vector(2 * 512, 1.0);
            x[512 + 77] = poison;
            let mut y = vec![0.0; 40];
            weights.forward(&cpu, &x, 2, None, &mut y);
            assert!(y[..20].iter().all(|y| y.is_finite()) && y[20..].iter().all(|y| !y.is_finite()), "{level}");
        }
    }
}

#[test]
fn a_mapped_matrix_is_packed_from_its_file() {
    let mut random = Random(32);
    let path = std::env::temp_dir().join(format!("lethe-kernels-packed-{}", std::process::id()));
    let (rows, cols) = (700, 1536);
    let bytes = weights(&mut random, WeightDtype::Q8_0, rows * cols);
    std::fs::write(&path, [&[0xff; 5], &bytes[..]].concat()).unwrap();
    let file = Arc::new(MappedFile::open(&path).unwrap());
    let cpu = cpu(Level::best(), 2);
    let mapped = Matrix::mapped(&file, 5..5 + bytes.len(), WeightDtype::Q8_0, rows, cols).unwrap();
    let owned = Matrix::owned(bytes.clone(), WeightDtype::Q8_0, rows, cols).unwrap().packed(&cpu);
    let packed = mapped.packed(&cpu);
    let x = random.vector(cols, 1.0);
    let (mut a, mut b) = (vec![0.0; rows], vec![0.0; rows]);
    packed.forward(&cpu, &x, 1, None, &mut a);
    owned.forward(&cpu, &x, 1, None, &mut b);
    assert_eq!(bits(&a), bits(&b));
    // What was given back to the system is still there to read.
    assert!(file[5..] == bytes);
    std::fs::remove_file(path).unwrap();
}
