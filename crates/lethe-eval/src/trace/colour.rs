//! One scale of colours, dark to light, even to the eye and safe for those who see fewer of them: viridis without its
//! brightest end, which no white paper shows.

/// Stops of the scale at equal distances: red, green, blue.
const STOPS: [[f64; 3]; 7] = [
    [68.0, 1.0, 84.0],
    [70.0, 50.0, 127.0],
    [54.0, 92.0, 141.0],
    [39.0, 127.0, 142.0],
    [31.0, 161.0, 135.0],
    [74.0, 194.0, 109.0],
    [159.0, 218.0, 58.0],
];

/// The colour at `share`, 0 to 1.
pub(super) fn colour(share: f64) -> String {
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    let part = at - below as f64;
    let mix = |channel: usize| {
        let (low, high) = (STOPS[below][channel], STOPS[below + 1][channel]);
        (low + (high - low) * part).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_two_ends() {
        assert_eq!((colour(0.0).as_str(), colour(1.0).as_str()), ("#440154", "#9fda3a"));
        assert_eq!((colour(-3.0), colour(7.0)), (colour(0.0), colour(1.0)));
        assert_eq!(colour(0.5), "#277f8e");
    }
}
