//! How much memory the KV pool may take: parsing `512MiB`, `4GiB`, `50%`, and what there is to take from.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// A size, absolute or as a share of what is available.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryAmount {
    /// Bytes.
    Bytes(u64),
    /// Percent of the memory available after the weights are loaded.
    Percent(f64),
}

/// A memory amount that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no amount of memory: give bytes (1048576), a unit (512MiB, 4GiB, 2GB) or a share (50%)")]
pub struct BadMemoryAmount {
    text: String,
}

impl FromStr for MemoryAmount {
    type Err = BadMemoryAmount;

    fn from_str(text: &str) -> Result<MemoryAmount, BadMemoryAmount> {
        let bad = || BadMemoryAmount { text: text.to_owned() };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let number: f64 = number.parse().map_err(|_| bad())?;
        let scale: f64 = match unit.trim().to_ascii_lowercase().as_str() {
            "%" if number > 0.0 && number <= 100.0 => return Ok(MemoryAmount::Percent(number)),
            "" | "b" => 1.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1024.0 * 1024.0,
            "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
            "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => return Err(bad()),
        };
        let bytes = number * scale;
        if bytes >= 1.0 && bytes < u64::MAX as f64 { Ok(MemoryAmount::Bytes(bytes as u64)) } else { Err(bad()) }
    }
}

impl fmt::Display for MemoryAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryAmount::Bytes(b) => f.write_str(&human_bytes(*b)),
            MemoryAmount::Percent(p) => write!(f, "{p}%"),
        }
    }
}

impl MemoryAmount {
    /// The amount in bytes. A share is one of [`available_memory`] less `mapped`, the bytes of mapped weights: the
    /// system calls those available, but every step reads them.
    pub fn resolve(self, mapped: u64) -> u64 {
        match self {
            MemoryAmount::Bytes(b) => b,
            MemoryAmount::Percent(p) => (available_memory().saturating_sub(mapped) as f64 * p / 100.0) as u64,
        }
    }
}

/// Bytes as people read them: `1.5 GiB`.
pub fn human_bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Memory that can still be taken without swapping: what the kernel says is available, within the limit of the
/// control group. Where neither can be read, 4 GiB is assumed.
pub fn available_memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_available(&text));
    let group = group_headroom();
    match (machine, group) {
        (Some(m), Some(g)) => m.min(g),
        (Some(m), None) => m,
        (None, Some(g)) => g,
        (None, None) => 4 << 30,
    }
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The tightest limit less use among this process's control group and the groups above it (version 2), or of the
/// memory controller (version 1).
fn group_headroom() -> Option<u64> {
    let number = |path: String| fs::read_to_string(path).ok().and_then(|t| t.trim().parse::<u64>().ok());
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut tightest: Option<u64> = None;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (root, limit, used) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            c if c.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/').to_owned();
        loop {
            let dir = format!("{root}{path}");
            if let (Some(limit), Some(used)) = (number(format!("{dir}/{limit}")), number(format!("{dir}/{used}"))) {
                let left = limit.saturating_sub(used) + reclaimable(&dir);
                tightest = Some(tightest.map_or(left, |t| t.min(left)));
            }
            match path.rfind('/') {
                Some(i) => path.truncate(i),
                None => break,
            }
        }
    }
    tightest
}

/// File cache that a group holds: counted as used, given back when needed.
fn reclaimable(group: &str) -> u64 {
    let Ok(stat) = fs::read_to_string(format!("{group}/memory.stat")) else { return 0 };
    let of =
        |line: &str| line.strip_prefix("inactive_file ").or(line.strip_prefix("active_file "))?.parse::<u64>().ok();
    stat.lines().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        let ok = |t: &str| t.parse::<MemoryAmount>().unwrap();
        assert_eq!(ok("512MiB"), MemoryAmount::Bytes(512 << 20));
        assert_eq!(ok("4GiB"), MemoryAmount::Bytes(4 << 30));
        assert_eq!(ok("1.5 g"), MemoryAmount::Bytes(3 << 29));
        assert_eq!(ok("2GB"), MemoryAmount::Bytes(2_000_000_000));
        assert_eq!(ok("4096"), MemoryAmount::Bytes(4096));
        assert_eq!(ok("50%"), MemoryAmount::Percent(50.0));
        for bad in ["", "MiB", "0", "-1GiB", "0%", "101%", "12 parsecs", "1e99GiB", "NaN"] {
            assert!(bad.parse::<MemoryAmount>().is_err(), "{bad}");
        }
    }

    #[test]
    fn meminfo_is_read_in_kib() {
        assert_eq!(mem_available("MemTotal:  10 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(mem_available("nothing"), None);
        assert!(available_memory() > 0);
    }

    #[test]
    fn bytes_for_people() {
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(3 << 29), "1.5 GiB");
    }
}
