//! The residual connection.

use super::GRAIN;
use crate::Cpu;
use crate::shared::SharedMut;
use crate::simd::{Kernel, LANES, Simd, dispatch};

struct Add<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    fn reference(self) {
        for (x, y) in self.x.iter_mut().zip(self.y) {
            *x += y;
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        for (x, y) in self.x.chunks_mut(LANES).zip(self.y.chunks(LANES)) {
            s.store_part(x, s.add(s.load_part(x), s.load_part(y)));
        }
    }
}

impl Cpu {
    /// `x <- x + y`, element by element.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "add: lengths differ");
        let n = x.len();
        let x = SharedMut::new(x);
        self.split(n, GRAIN, |range| {
            // SAFETY: ranges of one split do not overlap.
            let x = unsafe { x.part(range.clone()) };
            dispatch(self.level(), Add { x, y: &y[range] });
        });
    }
}
