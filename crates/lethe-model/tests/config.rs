//! `config.json`: both layouts, the defaults of transformers, and every refusal by name.

use lethe_model::{Architecture, Config, ConfigError, RopeScaling};
use serde_json::{Value, json};

/// A minimal config of this family with other keys laid over it.
fn with(model_type: &str, keys: Value) -> Result<Config, ConfigError> {
    let mut config = json!({"model_type": model_type, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 3, "num_attention_heads": 32, "vocab_size": 128});
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Config::from_json(config.to_string())
}

fn llama(keys: Value) -> Result<Config, ConfigError> {
    with("llama", keys)
}

fn scaling(keys: Value) -> Result<RopeScaling, ConfigError> {
    llama(json!({"max_position_embeddings": 4096, "rope_scaling": keys})).map(|config| config.rope.scaling)
}

/// The message must hold every word.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ConfigError>, words: &[&str]) {
    let error = result.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn absent_keys_take_the_defaults_of_each_class() {
    let config = llama(json!({})).unwrap();
    assert_eq!((config.n_kv_heads, config.head_dim, config.max_positions), (32, 2, 2048));
    assert_eq!((config.rms_norm_eps, config.rope.theta), (1e-6, 10_000.0));
    assert_eq!(config.rope.scaling, RopeScaling::Default);
    assert!(!config.tie_word_embeddings && !config.qkv_bias && !config.o_bias && !config.qk_norm);
    assert_eq!((config.bos, config.eos), (Some(1), vec![2]));

    let config = with("mistral", json!({"sliding_window": null})).unwrap();
    assert_eq!((config.n_kv_heads, config.head_dim, config.max_positions), (8, 2, 131_072));
    assert_eq!((config.bos, config.eos), (Some(1), vec![2]));

    let config = with("qwen2", json!({})).unwrap();
    assert_eq!((config.n_kv_heads, config.head_dim, config.max_positions), (32, 2, 32_768));
    assert!(config.qkv_bias && !config.o_bias && !config.qk_norm);
    assert_eq!((config.bos, config.eos), (None, vec![]));

    let config = with("qwen3", json!({})).unwrap();
    assert_eq!((config.n_kv_heads, config.head_dim, config.max_positions), (32, 128, 32_768));
    assert!(!config.qkv_bias && config.qk_norm);
}

#[test]
fn null_is_absent_except_where_transformers_tells_them_apart() {
    let config = llama(json!({"head_dim": null, "rope_scaling": null, "eos_token_id": null, "bos_token_id": null}));
    let config = config.unwrap();
    assert_eq!((config.head_dim, config.bos, config.eos), (2, None, vec![]));
    assert_eq!(with("mistral", json!({"num_key_value_heads": null, "sliding_window": null})).unwrap().n_kv_heads, 32);
}

#[test]
fn the_family_comes_from_the_type_or_the_class() {
    let arch = |keys: Value| llama(keys).map(|config| config.arch);
    assert_eq!(arch(json!({"architectures": ["LlamaForCausalLM"]})).unwrap(), Architecture::Llama);
    assert_eq!(arch(json!({"architectures": null})).unwrap(), Architecture::Llama);
    assert_eq!(arch(json!({"model_type": null, "architectures": ["Qwen3ForCausalLM"]})).unwrap(), Architecture::Qwen3);
    refused(arch(json!({"model_type": "gpt2"})), &["unknown architecture gpt2", "qwen3"]);
    refused(arch(json!({"architectures": ["LlamaForSequenceClassification"]})), &["LlamaForSequenceClassification"]);
    refused(arch(json!({"architectures": ["Qwen2ForCausalLM"]})), &["llama", "Qwen2ForCausalLM"]);
    refused(arch(json!({"model_type": null})), &["`model_type` is missing"]);
}

#[test]
fn biases_follow_the_family() {
    let biases = |family, value: bool| {
        let keys = json!({"attention_bias": value, "sliding_window": null});
        with(family, keys).map(|config| (config.qkv_bias, config.o_bias)).unwrap()
    };
    assert_eq!(biases("llama", true), (true, true));
    assert_eq!(biases("qwen3", true), (true, true));
    assert_eq!(biases("mistral", true), (false, false));
    assert_eq!(biases("qwen2", false), (true, false));
    refused(llama(json!({"mlp_bias": true})), &["mlp_bias"]);
}

#[test]
fn both_rope_layouts_say_the_same() {
    let parameters = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let expected =
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position: 8192 };
    let old = llama(json!({"rope_theta": 500000.0, "rope_scaling": parameters})).unwrap().rope;
    let mut newer = parameters.clone();
    newer["rope_theta"] = json!(500000.0);
    let new = llama(json!({"rope_parameters": newer})).unwrap().rope;
    let nested = llama(json!({"rope_parameters": {"full_attention": newer}})).unwrap().rope;
    let twice = llama(json!({"rope_parameters": {"full_attention": newer, "sliding_attention": newer}})).unwrap().rope;
    for rope in [old, new, nested, twice] {
        assert_eq!((rope.theta, &rope.scaling), (500_000.0, &expected));
    }
    let differing = json!({"full_attention": newer, "sliding_attention": {"rope_type": "default"}});
    refused(llama(json!({"rope_parameters": differing})), &["rope_parameters", "layer"]);
    // An integer base, and the older name of the type.
    let rope = llama(json!({"rope_theta": 1000000, "rope_scaling": {"type": "linear", "factor": 2}})).unwrap().rope;
    assert_eq!((rope.theta, rope.scaling), (1e6, RopeScaling::Linear { factor: 2.0 }));
    assert_eq!(scaling(json!({"type": "default"})).unwrap(), RopeScaling::Default);
    assert_eq!(scaling(json!({})).unwrap(), RopeScaling::Default);
}

#[test]
fn yarn_parameters_are_resolved() {
    let yarn = |keys: Value| {
        let mut table = json!({"rope_type": "yarn", "factor": 4.0});
        table.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        scaling(table).unwrap()
    };
    let plain = RopeScaling::Yarn {
        factor: 4.0,
        original_max_position: 4096,
        beta_fast: 32.0,
        beta_slow: 1.0,
        attention_factor: None,
        mscale: None,
        mscale_all_dim: None,
        truncate: true,
    };
    assert_eq!(yarn(json!({})), plain);
    assert_eq!(yarn(json!({"beta_fast": 0, "beta_slow": 0, "mscale": 0, "mscale_all_dim": 0.0})), plain);
    let stated = RopeScaling::Yarn {
        factor: 3.0,
        original_max_position: 1024,
        beta_fast: 16.0,
        beta_slow: 2.0,
        attention_factor: Some(1.5),
        mscale: Some(0.7),
        mscale_all_dim: Some(0.5),
        truncate: false,
    };
    let keys = json!({"factor": 3, "original_max_position_embeddings": 1024, "attention_factor": 1.5, "beta_fast": 16,
        "beta_slow": 2, "truncate": false, "mscale": 0.7, "mscale_all_dim": 0.5});
    assert_eq!(yarn(keys), stated);
    // An absent factor is the ratio of the lengths.
    let inferred = yarn(json!({"factor": null, "original_max_position_embeddings": 512}));
    assert!(matches!(inferred, RopeScaling::Yarn { factor: 8.0, original_max_position: 512, .. }));
    // Beside the table the pretraining length wins over the one inside.
    let config = llama(json!({"original_max_position_embeddings": 512, "rope_parameters":
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}));
    assert!(matches!(config.unwrap().rope.scaling, RopeScaling::Yarn { original_max_position: 512, .. }));
}

#[test]
fn frequencies_come_from_theta_and_scaling() {
    let keys = json!({"rope_theta": 100.0, "rope_scaling": {"type": "linear", "factor": 2.0}, "head_dim": 4});
    let config = llama(keys).unwrap();
    let rope = config.rope.frequencies(config.head_dim).unwrap();
    assert_eq!(rope.inv_freq(), [0.5, 0.05]);
    assert_eq!(rope.attention_factor(), 1.0);
}

#[test]
fn bad_rope_is_named() {
    for unknown in ["dynamic", "longrope", "su", "mrope", "proportional"] {
        refused(scaling(json!({"rope_type": unknown, "factor": 2.0})), &[unknown, "yarn"]);
    }
    refused(scaling(json!({"type": "linear"})), &["`rope_scaling.factor` is missing"]);
    refused(scaling(json!({"type": "linear", "factor": 0})), &["rope_scaling.factor", "above 0"]);
    refused(scaling(json!({"type": "linear", "factor": "2"})), &["rope_scaling.factor", "a number", "\"2\""]);
    refused(scaling(json!({"type": "llama3", "factor": 8})), &["rope_scaling.low_freq_factor"]);
    let crossed = json!({"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1});
    refused(scaling(crossed), &["high_freq_factor", "above low_freq_factor"]);
    refused(scaling(json!({"type": "yarn", "factor": -1})), &["factor"]);
    refused(scaling(json!({"type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 2})), &["beta_fast"]);
    refused(scaling(json!({"type": "yarn", "original_max_position_embeddings": 0})), &["original_max_position"]);
    refused(scaling(json!("linear")), &["`rope_scaling`", "an object"]);
    refused(scaling(json!({"type": 3})), &["rope_scaling.type", "a string"]);
    refused(llama(json!({"rope_theta": 0})), &["rope_theta"]);
    refused(llama(json!({"partial_rotary_factor": 0.5})), &["partial_rotary_factor", "0.5"]);
    let nested = json!({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}});
    refused(llama(nested), &["partial_rotary_factor", "0.25"]);
}

#[test]
fn a_window_in_use_is_refused_and_an_idle_one_is_not() {
    refused(with("mistral", json!({"sliding_window": 4096})), &["4096", "3 layers", "131072"]);
    refused(with("mistral", json!({})), &["sliding window of 4096"]);
    assert!(with("mistral", json!({"max_position_embeddings": 4096})).is_ok());
    assert!(with("mistral", json!({"sliding_window": null})).is_ok());
    assert!(llama(json!({"sliding_window": 16})).is_ok()); // a key that class does not read

    let qwen = |keys: Value| with("qwen2", keys);
    assert!(qwen(json!({"use_sliding_window": false, "sliding_window": 16, "max_window_layers": 0})).is_ok());
    assert!(qwen(json!({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 3})).is_ok());
    assert!(qwen(json!({"use_sliding_window": true, "sliding_window": 32768, "max_window_layers": 0})).is_ok());
    let used = json!({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 1});
    refused(qwen(used), &["16", "2 layers"]);
    let types = json!(["full_attention", "sliding_attention", "full_attention"]);
    let listed = json!({"use_sliding_window": true, "sliding_window": 16, "layer_types": types});
    refused(qwen(listed), &["1 layers"]);
    assert!(qwen(json!({"layer_types": types})).is_ok());
    refused(qwen(json!({"layer_types": ["linear_attention"]})), &["layer_types", "linear_attention"]);
}

#[test]
fn other_arithmetic_is_refused_by_name() {
    refused(with("mixtral", json!({"num_local_experts": 8})), &["experts", "num_local_experts", "8"]);
    refused(with("qwen3_moe", json!({"num_experts": 128})), &["experts", "num_experts", "128"]);
    refused(llama(json!({"quantization_config": {"quant_method": "gptq"}})), &["gptq", "quantization_config"]);
    refused(llama(json!({"quantization_config": {}})), &["quantization_config"]);
    refused(llama(json!({"hidden_act": "gelu"})), &["gelu", "silu"]);
    assert!(llama(json!({"hidden_act": "swish", "num_experts": 0, "quantization_config": null})).is_ok());
}

#[test]
fn sizes_must_make_sense() {
    for key in ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"] {
        refused(llama(json!({key: null})), &[key, "missing"]);
        refused(llama(json!({key: 0})), &[key, "is 0"]);
        refused(llama(json!({key: 1u64 << 40})), &[key, "1099511627776"]);
        refused(llama(json!({key: -1})), &[key, "-1"]);
        refused(llama(json!({key: 1.5})), &[key, "1.5"]);
        refused(llama(json!({key: "many"})), &[key, "the string \"many\""]);
    }
    for key in ["num_key_value_heads", "head_dim", "max_position_embeddings"] {
        refused(llama(json!({key: 0})), &[key, "is 0"]);
        refused(llama(json!({key: u64::MAX})), &[key]);
    }
    refused(llama(json!({"num_key_value_heads": 5})), &["32 query heads", "5 KV heads"]);
    refused(llama(json!({"hidden_size": 65})), &["head_dim", "65", "32 heads"]);
    refused(llama(json!({"head_dim": 7})), &["head_dim", "even"]);
    refused(llama(json!({"hidden_size": 16})), &["head_dim", "32 heads"]);
    for eps in [json!(0), json!(-1e-6), json!(2)] {
        refused(llama(json!({"rms_norm_eps": eps})), &["rms_norm_eps"]);
    }
}

#[test]
fn wrong_types_name_the_key_and_what_was_found() {
    refused(llama(json!({"tie_word_embeddings": "yes"})), &["tie_word_embeddings", "true or false", "\"yes\""]);
    refused(llama(json!({"eos_token_id": [1, -2]})), &["eos_token_id", "[1,-2]"]);
    refused(llama(json!({"bos_token_id": 1.5})), &["bos_token_id", "token id"]);
    refused(llama(json!({"architectures": "LlamaForCausalLM"})), &["architectures", "a list of strings"]);
    refused(llama(json!({"hidden_act": vec!["silu"; 100]})), &["hidden_act", "..."]);
    refused(Config::from_json("[1]"), &["a JSON object", "[1]"]);
    refused(Config::from_json("{"), &["not valid JSON"]);
    refused(Config::from_json([0xFFu8, 0xFE]), &["not valid JSON"]);
}

#[test]
fn files_are_named_in_errors() {
    let dir = tempfile::tempdir().unwrap();
    refused(Config::from_dir(dir.path()), &["config.json", "cannot be read"]);
    std::fs::write(dir.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    refused(Config::from_dir(dir.path()), &["config.json", "bert"]);
}

#[test]
fn published_configs_give_every_tensor_its_shape() {
    // The published sizes, parameter for parameter: shapes, biases, norms and ties are all right.
    let all: Value = serde_json::from_str(include_str!("fixtures/configs.json")).unwrap();
    let all = all.as_object().unwrap();
    assert_eq!(all.len(), 12, "the paper's models and the dense Qwen3");
    for (name, entry) in all {
        let config = Config::from_json(entry["config"].to_string()).unwrap();
        let parameters: usize = config.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(parameters as u64, entry["parameters"].as_u64().unwrap(), "{name}");
    }
}
