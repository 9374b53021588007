//! Linear layers against f64, and row by row the same bits.

mod common;

use common::{Random, assert_close, bits, cpu, weights};
use half::{bf16, f16};
use lethe_kernels::{Level, Linear, MappedFile, Matrix, MatrixError, WeightDtype};
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
