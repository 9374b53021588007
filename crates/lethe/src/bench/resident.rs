//! The most memory that the process has held.

/// Forgets the peak so far: what bandwidth was measured with is not the engine's. Where the system cannot, nothing happens.
pub(super) fn forget_peak() {
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Most resident bytes since then, pages of mapped files included; `None` where the system does not say.
pub(super) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?; // Linux
    peak_in(&status)
}

fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status() {
        assert_eq!(peak_in("VmPeak:\t 9 kB\nVmHWM:\t  657408 kB\nVmRSS:\t 5 kB\n"), Some(657_408 << 10));
        assert_eq!(peak_in("VmRSS:\t 5 kB\n"), None);
        assert_eq!(peak_in("VmHWM:\t many kB\n"), None);
        assert_eq!(peak().is_some(), cfg!(target_os = "linux"));
    }
}
