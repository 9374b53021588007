//! The one source of chance: splitmix64, so that a seed means the same problem on every machine, for ever.

/// A splitmix64 generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
/// the state is a counter that grows by the golden ratio, an output is the counter scrambled.
///
/// Published results name seeds, so neither the outputs nor how the draws below use them may change.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// The plain generator of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Rng { state: seed }
    }

    /// One of many unrelated streams of `seed`, so that two families do not draw alike from one seed. Neighbouring
    /// seeds are unrelated too.
    pub(crate) fn stream(seed: u64, stream: u64) -> Self {
        Rng::new(Rng::new(seed).next() ^ stream)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`: the upper 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number in `0..n` (0 when `n` is 0), by multiplication: the bias is under n / 2^64, and one draw is
    /// always one step of the generator.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A whole number from `low` to `high`, both included. `low <= high`.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// One of `items`, which must not be empty.
    pub(crate) fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// `count` different places of `items` in random order, or all of them if there are fewer.
    pub(crate) fn sample<T: Copy>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut drawn = items.to_vec();
        let count = count.min(drawn.len());
        for i in 0..count {
            let j = self.between(i, drawn.len() - 1);
            drawn.swap(i, j);
        }
        drawn.truncate(count);
        drawn
    }

    /// Two different places of `items`, which must hold two at least.
    pub(crate) fn pair<T: Copy>(&mut self, items: &[T]) -> (T, T) {
        let drawn = self.sample(items, 2);
        (drawn[0], drawn[1])
    }

    /// Puts `items` in random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_outputs_of_splitmix64() {
        let mut rng = Rng::new(0);
        assert_eq!(
            [rng.next(), rng.next(), rng.next()],
            [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]
        );
    }

    #[test]
    fn streams_and_neighbouring_seeds_differ() {
        let first = |seed, stream| Rng::stream(seed, stream).next();
        assert_ne!(first(0, 0), first(0, 1));
        assert_ne!(first(0, 1), first(1, 0));
        assert_eq!(first(7, 3), first(7, 3));
    }

    #[test]
    fn draws_stay_in_range_and_reach_all_of_it() {
        let mut rng = Rng::new(1);
        let mut seen = [0usize; 6];
        for _ in 0..6000 {
            seen[rng.between(3, 8) - 3] += 1;
            assert!((0.0..1.0).contains(&rng.unit()));
        }
        // Expected 1000 each with a standard deviation of 29: five of them leave room for any fair generator.
        assert!(seen.iter().all(|&n| (855..=1145).contains(&n)), "{seen:?}");
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut rng = Rng::new(2);
        let mut shuffled = [0usize; 6];
        let mut sampled = [0usize; 6];
        let place = |order: &[usize]| 2 * order[0] + usize::from(order[1] > order[2]);
        for _ in 0..6000 {
            let mut order = [0, 1, 2];
            rng.shuffle(&mut order);
            shuffled[place(&order)] += 1;
            sampled[place(&rng.sample(&[0, 1, 2], 3))] += 1;
        }
        assert!(shuffled.iter().chain(&sampled).all(|&n| (855..=1145).contains(&n)), "{shuffled:?} {sampled:?}");
    }

    #[test]
    fn a_sample_has_no_repeats() {
        let mut rng = Rng::new(3);
        let items: Vec<usize> = (0..20).collect();
        for count in 0..=25 {
            let mut drawn = rng.sample(&items, count);
            assert_eq!(drawn.len(), count.min(20));
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), count.min(20));
        }
    }
}
