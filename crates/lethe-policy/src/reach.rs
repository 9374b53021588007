//! How far a layer looks back.

/// The share of the mass, sinks aside, that lies on slots older than the newest `recents`; 0 where there is no mass. `[n_slots]`
///
/// With scores that forget fast this tells a layer that reads its neighbours, whose old slots are dead, from one that looks up
/// what was said long ago. With a long half-life it does not: old slots then still have the mass of their youth.
pub fn reach(scores: &[f32], sinks: usize, recents: usize) -> f64 {
    let mass = |slots: &[f32]| slots.iter().map(|&score| f64::from(score)).sum::<f64>();
    let scores = &scores[sinks.min(scores.len())..];
    let (old, recent) = scores.split_at(scores.len() - recents.min(scores.len()));
    let (old, recent) = (mass(old), mass(recent));
    if old > 0.0 { old / (old + recent) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_mass_over_all_but_the_sinks() {
        assert_eq!(reach(&[9.0, 1.0, 2.0, 0.0, 1.0], 1, 2), 0.75);
        assert_eq!(reach(&[9.0, 0.0, 0.0, 5.0], 1, 1), 0.0);
        assert_eq!(reach(&[9.0, 1.0, 0.0], 1, 1), 1.0);
    }

    #[test]
    fn nothing_reaches_nowhere() {
        assert_eq!(reach(&[], 4, 4), 0.0);
        assert_eq!(reach(&[0.0; 8], 2, 3), 0.0);
        assert_eq!(reach(&[1.0; 3], 4, 0), 0.0);
        assert_eq!(reach(&[1.0; 3], 0, 9), 0.0);
    }
}
