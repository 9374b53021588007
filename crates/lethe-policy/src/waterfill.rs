//! Sharing a fixed number of slots between layers that ask for more.

/// What one layer asks for, in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Never less than this.
    pub floor: usize,
    /// Never more than this; at least `floor`.
    pub demand: usize,
}

/// Writes one share per claim to `shares`.
///
/// If the demands fit into `total`, each is met. Otherwise floors come first and the rest goes round in proportion to
/// `demand - floor`, rounded down, left-over slots to the largest remainders (on equal remainders: the lower layer).
/// Shares then sum to `total`, or to the floors where these alone are more.
///
/// `ranks` is working memory.
pub fn waterfill(claims: &[Claim], total: usize, ranks: &mut Vec<usize>, shares: &mut Vec<usize>) {
    shares.clear();
    if claims.iter().map(|claim| claim.demand).sum::<usize>() <= total {
        shares.extend(claims.iter().map(|claim| claim.demand));
        return;
    }
    let rest = total.saturating_sub(claims.iter().map(|claim| claim.floor).sum());
    let beyond = |claim: &Claim| claim.demand.saturating_sub(claim.floor);
    // 0 only where the floors alone exceed the total; the rest is then 0 too
    let wanted = claims.iter().map(beyond).sum::<usize>().max(1) as f64;
    let exact = |claim: &Claim| rest as f64 * beyond(claim) as f64 / wanted;
    let remainder = |layer: usize| exact(&claims[layer]).fract();

    shares.extend(claims.iter().map(|claim| claim.floor + exact(claim) as usize));
    let given: usize = claims.iter().zip(&*shares).map(|(claim, share)| share - claim.floor).sum();
    ranks.clear();
    ranks.extend(0..claims.len());
    ranks.sort_unstable_by(|&a, &b| remainder(b).total_cmp(&remainder(a)).then(a.cmp(&b)));
    for &layer in ranks.iter().take(rest.saturating_sub(given)) {
        shares[layer] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(claims: &[(usize, usize)], total: usize) -> Vec<usize> {
        let claims: Vec<Claim> = claims.iter().map(|&(floor, demand)| Claim { floor, demand }).collect();
        let mut shares = Vec::new();
        waterfill(&claims, total, &mut Vec::new(), &mut shares);
        shares
    }

    #[test]
    fn demands_that_fit_are_met() {
        assert_eq!(shares(&[(4, 10), (4, 20)], 30), [10, 20]);
    }

    #[test]
    fn floors_first_then_in_proportion() {
        assert_eq!(shares(&[(4, 14), (4, 34)], 28), [9, 19]);
    }

    #[test]
    fn left_over_slots_go_to_the_largest_remainder_then_the_lower_layer() {
        // exact parts 2/6*7 = 2.33, 1.17, 3.5: rounded down 2 + 1 + 3, one left for the third
        assert_eq!(shares(&[(0, 20), (0, 10), (0, 30)], 7), [2, 1, 4]);
        assert_eq!(shares(&[(0, 9), (0, 9), (0, 9)], 8), [3, 3, 2]);
    }

    #[test]
    fn floors_above_the_total_are_kept() {
        assert_eq!(shares(&[(10, 12), (10, 40)], 15), [10, 10]);
        assert_eq!(shares(&[(10, 10), (10, 10)], 15), [10, 10]);
        assert_eq!(shares(&[], 15), [] as [usize; 0]);
    }
}
