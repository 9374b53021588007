//! Settings from a TOML file.

use std::path::Path;

use crate::Fault;
use crate::serve::settings::Settings;

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Settings, Fault> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text).map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Reads the text of a file.
pub(crate) fn parse(text: &str) -> Result<Settings, String> {
    toml::from_str(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Dtype;
    use lethe_engine::MemoryAmount;

    #[test]
    fn every_kind_of_value() {
        let settings = parse(
            "model = 'm.gguf'\nport = 9000\nkv_memory = '4GiB'\nkv_dtype = 'int8'\npolicy = 'lethe:cap=512'\n\
             no_prefix_cache = true\napi_key = ['a']\nbody_limit = 1048576\nrisk_mass = 0.2\nlog_format = 'json'",
        )
        .unwrap();
        assert_eq!(settings.kv_memory, Some(MemoryAmount::Bytes(4 << 30)));
        assert_eq!(settings.body_limit, Some(MemoryAmount::Bytes(1 << 20)));
        assert_eq!(settings.kv_dtype, Some(Dtype::Int8));
        assert_eq!(settings.policy.unwrap().to_string(), "lethe:cap=512");
        assert_eq!((settings.port, settings.no_prefix_cache), (Some(9000), Some(true)));
    }

    #[test]
    fn errors_name_the_key() {
        for (text, words) in [
            ("ports = 1", &["ports"][..]),
            ("port = 'x'", &["port"]),
            ("kv_memory = 'much'", &["kv_memory", "much"]),
            ("policy = 'leth'", &["policy", "did you mean `lethe`"]),
            ("port = ", &["line 1"]),
        ] {
            let e = parse(text).unwrap_err();
            assert!(words.iter().all(|word| e.contains(word)), "{text}: {e}");
        }
        assert!(read(Path::new("/no/such/file")).unwrap_err().to_string().contains("/no/such/file"));
    }

    #[test]
    fn what_was_said_before_counts_more() {
        let flags = Settings { port: Some(1), no_prefix_cache: Some(false), ..Settings::default() };
        let all = flags.or(parse("port = 2\nhost = 'h'\nno_prefix_cache = true\napi_key = ['k']").unwrap());
        assert_eq!((all.port, all.host.as_deref(), all.no_prefix_cache), (Some(1), Some("h"), Some(false)));
        assert_eq!(all.api_key, ["k"]);
    }
}
