//! What GGUF calls the settings and tensors of Hugging Face checkpoints.

/// `{architecture}.KEY` in GGUF metadata, and the key that the Hugging Face configuration uses.
pub(super) const CONFIG_KEYS: [(&str, &str); 14] = [
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("context_length", "max_position_embeddings"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("rope.freq_base", "rope_theta"),
    ("rope.dimension_count", "rotary_dim"),
    ("rope.scaling.original_context_length", "original_max_position_embeddings"),
];

/// Module names of Hugging Face checkpoints, and GGUF's. Layers are `model.layers.N.` and `blk.N.`.
const COMMON: [(&str, &str); 13] = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.down_proj", "ffn_down"),
];

const PLAIN: [(&str, &str); 2] = [("post_attention_layernorm", "ffn_norm"), ("mlp.up_proj", "ffn_up")];

const GEMMA: [(&str, &str); 4] = [
    ("post_attention_layernorm", "post_attention_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("mlp.up_proj", "ffn_up"),
];

const PHI3: [(&str, &str); 2] = [("post_attention_layernorm", "ffn_norm"), ("mlp.gate_up_proj", "ffn_up")];

/// The names of one architecture, both ways.
pub(super) struct Names(Vec<(&'static str, &'static str)>);

impl Names {
    /// The names of this architecture.
    pub fn of(architecture: &str) -> Self {
        let own: &[_] = match architecture {
            "gemma2" | "gemma3" => &GEMMA,
            "phi3" => &PHI3,
            _ => &PLAIN,
        };
        Names(COMMON.iter().chain(own).copied().collect())
    }

    /// GGUF's name of a checkpoint's tensor.
    pub fn own(&self, name: &str) -> String {
        let pairs = self.0.iter().copied();
        rename(name, ("model.layers.", "blk."), pairs)
    }

    /// The checkpoint's name of a GGUF tensor.
    pub fn checkpoint(&self, name: &str) -> String {
        let pairs = self.0.iter().map(|&(checkpoint, gguf)| (gguf, checkpoint));
        rename(name, ("blk.", "model.layers."), pairs)
    }
}

/// Renames `PREFIX N . MODULE . weight` and `MODULE . weight`; unknown names stay as they are.
fn rename(
    name: &str,
    (from, to): (&str, &str),
    mut pairs: impl Iterator<Item = (&'static str, &'static str)>,
) -> String {
    let (layer, rest) = match name.strip_prefix(from).and_then(|rest| rest.split_once('.')) {
        Some((layer, rest)) => (format!("{to}{layer}."), rest),
        None => (String::new(), name),
    };
    let renamed = pairs.find_map(|(old, new)| {
        let end = rest.strip_prefix(old)?;
        (end.starts_with('.')).then(|| format!("{layer}{new}{end}"))
    });
    renamed.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_translate_both_ways() {
        for (checkpoint, gguf) in [
            ("model.layers.12.self_attn.q_proj.weight", "blk.12.attn_q.weight"),
            ("model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
            ("model.embed_tokens.weight", "token_embd.weight"),
            ("model.norm.weight", "output_norm.weight"),
            ("lm_head.weight", "output.weight"),
        ] {
            assert_eq!(Names::of("llama").own(checkpoint), gguf);
            assert_eq!(Names::of("llama").checkpoint(gguf), checkpoint);
        }
        let gemma = Names::of("gemma3");
        assert_eq!(gemma.checkpoint("blk.1.ffn_norm.weight"), "model.layers.1.pre_feedforward_layernorm.weight");
        assert_eq!(gemma.own("model.layers.1.self_attn.k_norm.weight"), "blk.1.attn_k_norm.weight");
        assert_eq!(Names::of("phi3").checkpoint("blk.1.ffn_up.weight"), "model.layers.1.mlp.gate_up_proj.weight");
    }
}
