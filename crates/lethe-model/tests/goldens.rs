//! The fixture models are readable: config, every tensor the graph asks for, and goldens that can tell right from wrong.

mod common;

use common::{MODELS, golden};
use lethe_model::{Architecture, Checkpoint, Config, Dtype, GenerationConfig, RopeScaling, end_ids};

#[test]
fn configs_say_what_the_models_are() {
    let config = |name: &str| Config::from_dir(common::fixture("models").join(name)).unwrap();
    for name in MODELS {
        let config = config(name);
        assert!(name.starts_with(config.arch.model_type()), "{name}");
        assert_eq!((config.hidden_size, config.intermediate_size, config.n_layers), (48, 80, 2), "{name}");
        assert_eq!((config.vocab_size, config.max_positions, config.rms_norm_eps), (101, 256, 1e-5), "{name}");
        assert_eq!((config.bos, &config.eos), (Some(97), &vec![98]), "{name}");
        let dir = common::fixture("models").join(name);
        assert_eq!(end_ids(&config, &GenerationConfig::from_dir(dir).unwrap(), None), [98], "{name}");
    }
    assert_eq!(config("llama_default").rope.scaling, RopeScaling::Default);
    assert_eq!(config("llama_default").rope.theta, 10_000.0);
    assert_eq!(config("llama_default").group_size(), 2);
    let biased = config("llama_linear_biased");
    assert_eq!(biased.rope.scaling, RopeScaling::Linear { factor: 4.0 });
    assert!(biased.qkv_bias && biased.o_bias && !biased.tie_word_embeddings);
    let sharded = config("llama_llama3_sharded");
    assert!(matches!(sharded.rope.scaling, RopeScaling::Llama3 { original_max_position: 32, .. }));
    assert!(sharded.tie_word_embeddings && sharded.rope.theta == 5000.0);
    let mistral = config("mistral_mqa_head_dim");
    assert_eq!((mistral.n_heads, mistral.n_kv_heads, mistral.head_dim), (5, 1, 16));
    assert_eq!(mistral.rope.theta, 1e6);
    let qwen2 = config("qwen2_bias_tied");
    assert!(qwen2.qkv_bias && !qwen2.o_bias && qwen2.tie_word_embeddings);
    let qwen3 = config("qwen3_qk_norm");
    assert_eq!((qwen3.arch, qwen3.head_dim, qwen3.qk_norm), (Architecture::Qwen3, 20, true));

    let yarn = |name: &str| {
        let config = config(name);
        assert!(matches!(config.rope.scaling, RopeScaling::Yarn { factor: 4.0, original_max_position: 32, .. }));
        config.rope.frequencies(config.head_dim).unwrap().attention_factor()
    };
    let term = |mscale: f32| 0.1 * mscale * 4f32.ln() + 1.0;
    assert!((yarn("qwen2_yarn") - term(1.0)).abs() < 1e-6);
    assert!((yarn("llama_yarn_mscale_bf16") - term(0.9) / term(0.4)).abs() < 1e-6);
}

#[test]
fn every_tensor_of_the_graph_is_there() {
    for name in MODELS {
        let golden = golden(name);
        let config = Config::from_dir(&golden.dir).unwrap();
        let weights = Checkpoint::open(&golden.dir).unwrap();
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        let mut wanted = vec![
            ("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, hidden]),
            ("model.norm.weight".to_owned(), vec![hidden]),
        ];
        if !config.tie_word_embeddings {
            wanted.push(("lm_head.weight".to_owned(), vec![config.vocab_size, hidden]));
        }
        for layer in 0..config.n_layers {
            let mut want =
                |part: &str, shape: &[usize]| wanted.push((format!("model.layers.{layer}.{part}"), shape.to_vec()));
            want("input_layernorm.weight", &[hidden]);
            want("post_attention_layernorm.weight", &[hidden]);
            for (part, rows, bias) in
                [("q", q, config.qkv_bias), ("k", kv, config.qkv_bias), ("v", kv, config.qkv_bias)]
            {
                want(&format!("self_attn.{part}_proj.weight"), &[rows, hidden]);
                if bias {
                    want(&format!("self_attn.{part}_proj.bias"), &[rows]);
                }
            }
            want("self_attn.o_proj.weight", &[hidden, q]);
            if config.o_bias {
                want("self_attn.o_proj.bias", &[hidden]);
            }
            if config.qk_norm {
                want("self_attn.q_norm.weight", &[config.head_dim]);
                want("self_attn.k_norm.weight", &[config.head_dim]);
            }
            want("mlp.gate_proj.weight", &[inner, hidden]);
            want("mlp.up_proj.weight", &[inner, hidden]);
            want("mlp.down_proj.weight", &[hidden, inner]);
        }
        let dtype = if name.ends_with("bf16") { Dtype::Bf16 } else { Dtype::F16 };
        for (tensor, shape) in &wanted {
            let view = weights.tensor_of_shape(tensor, shape).unwrap();
            assert_eq!(view.dtype, dtype, "{name} {tensor}");
            assert_eq!(view.bytes().len(), shape.iter().product::<usize>() * dtype.size(), "{name} {tensor}");
        }
        // Nothing the graph would leave out.
        assert_eq!(weights.names().count(), wanted.len(), "{name}");
    }
}

#[test]
fn goldens_are_finite_and_have_spread() {
    for name in MODELS {
        let golden = golden(name);
        assert_eq!((golden.ids.len(), golden.vocab, golden.logits.len()), (64, 101, 64 * 101), "{name}");
        assert!(golden.ids.iter().all(|id| (*id as usize) < golden.vocab), "{name}");
        assert!(golden.logits.iter().all(|logit| logit.is_finite()), "{name}");
        let mean = golden.logits.iter().sum::<f32>() / golden.logits.len() as f32;
        let variance = golden.logits.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / golden.logits.len() as f32;
        assert!(variance > 1.0, "{name}: {variance}");
    }
}
