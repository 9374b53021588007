//! How many threads are worth starting: physical cores, within what the process may use.

use std::fs;

/// Physical cores within affinity and quota. A second hyper-thread adds nothing to kernels that saturate the
/// vector units or the memory bus, so siblings count once.
pub(super) fn physical() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, |n| n.get());
    (logical / siblings()).max(1)
}

/// Logical processors per physical core (1 where the system does not say).
fn siblings() -> usize {
    fs::read_to_string("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
        .ok()
        .and_then(|list| count(list.trim()))
        .unwrap_or(1)
        .max(1)
}

/// Processors in a kernel list such as `0,64` or `0-1`; `None` if it is not one.
fn count(list: &str) -> Option<usize> {
    list.split(',')
        .map(|part| match part.split_once('-') {
            None => part.parse::<usize>().ok().map(|_| 1),
            Some((first, last)) => last.parse::<usize>().ok()?.checked_sub(first.parse::<usize>().ok()?).map(|n| n + 1),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted() {
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("0,64"), Some(2));
        assert_eq!(count("0-3"), Some(4));
        assert_eq!(count("0-1,8-9"), Some(4));
        assert_eq!(count("3-1"), None);
        assert_eq!(count("core"), None);
    }

    #[test]
    fn there_is_at_least_one_core() {
        let logical = std::thread::available_parallelism().map_or(1, |n| n.get());
        assert!((1..=logical).contains(&physical()));
    }
}
