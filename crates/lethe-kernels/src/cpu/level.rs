//! Which instructions to use.

use crate::error::CpuError;
use std::fmt;

/// Instruction sets with kernels of their own, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain scalar code, on any machine.
    Reference,
    /// NEON, of every 64-bit ARM processor.
    Neon,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, VL and DQ (with AVX2, FMA and F16C).
    Avx512,
}

impl Level {
    /// Every level of any machine, slowest first.
    pub const ALL: [Level; 4] = [Level::Reference, Level::Neon, Level::Avx2, Level::Avx512];

    /// The best level of this machine.
    pub fn best() -> Level {
        Level::available().last().unwrap_or(Level::Reference)
    }

    /// The levels this machine can run, slowest first.
    pub fn available() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|level| level.is_here())
    }

    /// Whether this machine has the instructions.
    fn is_here(self) -> bool {
        match self {
            Level::Reference => true,
            #[cfg(target_arch = "aarch64")]
            Level::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
            }
            _ => false, // another architecture's
        }
    }

    /// This level, if the machine has it.
    pub(super) fn supported(self) -> Result<Level, CpuError> {
        if self.is_here() { Ok(self) } else { Err(CpuError::Unsupported { asked: self, best: Level::best() }) }
    }

    /// What `LETHE_SIMD` asks for, or the best.
    pub(super) fn from_env() -> Result<Level, CpuError> {
        match std::env::var_os("LETHE_SIMD") {
            None => Ok(Level::best()),
            Some(word) => word.to_string_lossy().parse::<Level>()?.supported(),
        }
    }
}

impl std::str::FromStr for Level {
    type Err = CpuError;

    fn from_str(word: &str) -> Result<Level, CpuError> {
        Level::ALL
            .into_iter()
            .find(|level| level.to_string() == word)
            .ok_or_else(|| CpuError::UnknownLevel(word.to_string()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Reference => "reference",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_others_are_refused() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse::<Level>().unwrap(), level);
        }
        let error = "sse9".parse::<Level>().unwrap_err();
        assert!(matches!(&error, CpuError::UnknownLevel(word) if word == "sse9"), "{error}");
    }

    #[test]
    fn available_ends_with_the_best() {
        let levels: Vec<_> = Level::available().collect();
        assert_eq!(levels.first(), Some(&Level::Reference));
        assert_eq!(levels.last(), Some(&Level::best()));
        for level in Level::ALL {
            assert_eq!(level.supported().is_ok(), levels.contains(&level));
        }
    }

    #[test]
    fn levels_of_other_architectures_are_refused_by_name() {
        let other = if cfg!(target_arch = "aarch64") { Level::Avx2 } else { Level::Neon };
        let error = other.supported().unwrap_err();
        assert!(matches!(error, CpuError::Unsupported { asked, best } if asked == other && best == Level::best()));
        assert_eq!(
            error.to_string(),
            format!("SIMD level {other} needs instructions this machine lacks: the best it has is {}", Level::best())
        );
    }
}
