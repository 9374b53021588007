//! A picture of slots per layer.

/// A bar of up to `width` characters for `value` out of `full`, in eighths of a character.
pub(crate) fn bar(value: usize, full: usize, width: usize) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = if full == 0 { 0 } else { value.saturating_mul(width * 8).div_ceil(full).min(width * 8) };
    let mut text = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        text.push(PARTS[eighths % 8]);
    }
    text
}

/// The bar filled up with blanks to `width`.
pub(crate) fn padded_bar(value: usize, full: usize, width: usize) -> String {
    let text = bar(value, full, width);
    let blanks = width.saturating_sub(text.chars().count());
    text + &" ".repeat(blanks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths_and_never_overflow() {
        assert_eq!(bar(0, 100, 10), "");
        assert_eq!(bar(50, 100, 10), "█████");
        assert_eq!(bar(1, 80, 10), "▏");
        assert_eq!(bar(200, 100, 4), "████");
        assert_eq!(bar(3, 0, 4), "");
        assert_eq!(padded_bar(50, 100, 4), "██  ");
    }
}
