//! Linear layers against what the machine can do: bytes per second with one row (memory), operations per second with
//! many (arithmetic). `cargo bench -p lethe-kernels --bench linear [packed]`

mod common;

use common::{Order, Random, read_bandwidth, seconds, weights};
use lethe_kernels::{Cpu, CpuOptions, Level, Matrix, WeightDtype};

const COLS: usize = 8960;
const ROWS: usize = 1536;
/// Copies of the matrix, together much larger than any cache.
const COPIES: usize = 16;

fn main() {
    let mut random = Random(1);
    println!("{ROWS} x {COLS}, m = 1: GB/s and share of the read bandwidth; m = 4 and m = 512: GFLOP/s");
    let only_packed = std::env::args().any(|arg| arg == "packed");
    for level in Level::available().filter(|level| !only_packed || *level == Level::best()) {
        let cpu = Cpu::new(CpuOptions { level: Some(level), ..Default::default() }).expect("an available level");
        let bandwidth = read_bandwidth(&cpu, Order::Straight);
        println!("{level} on {} threads, memory reads {:.1} GB/s", cpu.threads(), bandwidth / 1e9);
        let packs = |dtype: &WeightDtype| matrix(&mut Random(1), *dtype).packed(&cpu).is_packed();
        let packed: Vec<_> = WeightDtype::ALL.into_iter().filter(packs).map(|dtype| (dtype, true)).collect();
        let plain = WeightDtype::ALL.into_iter().map(|dtype| (dtype, false)).filter(|_| !only_packed);
        for (dtype, packed) in plain.chain(packed) {
            let matrices = (0..COPIES).map(|_| matrix(&mut random, dtype));
            let matrices: Vec<Matrix> =
                if packed { matrices.map(|matrix| matrix.packed(&cpu)).collect() } else { matrices.collect() };
            let x: Vec<f32> = (0..512 * COLS).map(|_| random.unit()).collect();
            let mut y = vec![0.0; 512 * ROWS];
            let mut turn = 0;
            let mut time = |m: usize| {
                seconds(|| {
                    turn += 1;
                    matrices[turn % COPIES].forward(&cpu, &x[..m * COLS], m, None, &mut y[..m * ROWS]);
                })
            };
            let bytes = (ROWS * matrices[0].row_bytes()) as f64;
            let flops = |m: usize| 2.0 * (m * ROWS * COLS) as f64;
            let one = bytes / time(1);
            let four = flops(4) / time(4);
            // the reference would take minutes
            let many = (level != Level::Reference).then(|| flops(512) / time(512));
            let many = many.map_or("-".to_owned(), |many| format!("{:.1}", many / 1e9));
            println!(
                "  {dtype:5} {:6} {:7.1} GB/s {:4.0} %   m=4 {:7.1}   m=512 {many:>7} GFLOP/s",
                if packed { "packed" } else { "" },
                one / 1e9,
                100.0 * one / bandwidth,
                four / 1e9,
            );
        }
    }
}

fn matrix(random: &mut Random, dtype: WeightDtype) -> Matrix {
    Matrix::owned(weights(random, dtype, ROWS * COLS), dtype, ROWS, COLS).expect("the size fits")
}
