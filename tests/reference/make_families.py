"""Make tiny random models of every family, with transformers' tensors at every site, in float64.

    pip install -r requirements.txt
    python make_families.py [--only gemma2,phi3]

Weights are stored as float32. The reference is transformers run wholly in float64 (also the norms, rotary
tables and softmax that it would do in float32), on these weights, with eager attention.
"""
import argparse
import os
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

LENGTHS = [1, 4, 13]
BASE = dict(vocab_size=70, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=44, max_position_embeddings=32, bos_token_id=0, eos_token_id=1, pad_token_id=2)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.3, 1.6], "long_factor": [1.0, 1.9, 4.2, 7.5]}
VARIANTS = {
    "gpt2": {
        "plain": dict(vocab_size=70, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=0, eos_token_id=1),
        "inner": dict(vocab_size=70, n_embd=24, n_layer=3, n_head=3, n_positions=32, n_inner=36, layer_norm_epsilon=1e-3,
                      activation_function="gelu", tie_word_embeddings=False, bos_token_id=0, eos_token_id=1),
    },
    "gpt_neox": {
        "parallel": dict(BASE, rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
                         num_key_value_heads=None),
        "sequential": dict(BASE, rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5},
                           use_parallel_residual=False, attention_bias=False, layer_norm_eps=1e-3, num_key_value_heads=None),
    },
    "llama": {
        "llama3_rope": dict(BASE, rope_parameters=LLAMA3, tie_word_embeddings=True),
        "linear_rope": dict(BASE, num_key_value_heads=1, rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}),
    },
    "mistral": {
        "window": dict(BASE, sliding_window=5, head_dim=12),
        "no_window": dict(BASE, sliding_window=None, num_key_value_heads=4),
    },
    "qwen2": {
        "plain": dict(BASE, tie_word_embeddings=True),
        "window": dict(BASE, num_hidden_layers=3, use_sliding_window=True, sliding_window=4, max_window_layers=1),
    },
    "qwen3": {
        "plain": dict(BASE, head_dim=16, tie_word_embeddings=True),
        "bias": dict(BASE, head_dim=8, num_key_value_heads=4, attention_bias=True),
    },
    "gemma2": {
        "plain": dict(BASE, num_hidden_layers=3, head_dim=12, sliding_window=4, query_pre_attn_scalar=12,
                      attn_logit_softcapping=3.0, final_logit_softcapping=2.0),
        "no_caps": dict(BASE, head_dim=8, num_key_value_heads=4, sliding_window=64, query_pre_attn_scalar=20,
                        attn_logit_softcapping=None, final_logit_softcapping=None),
    },
    "gemma3_text": {
        "plain": dict(BASE, num_hidden_layers=3, head_dim=12, sliding_window=4, query_pre_attn_scalar=20,
                      layer_types=["sliding_attention", "sliding_attention", "full_attention"]),
        "scaled": dict(BASE, head_dim=8, num_key_value_heads=1, sliding_window=6, query_pre_attn_scalar=8,
                       layer_types=["sliding_attention", "full_attention"],
                       rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                                        "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0}}),
        # The windows and the local base that a GGUF file leaves unsaid.
        "six": dict(BASE, num_hidden_layers=6, hidden_size=24, intermediate_size=28, head_dim=8, num_key_value_heads=1, sliding_window=4,
                    query_pre_attn_scalar=8,
                    rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                                     "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0}}),
    },
    "phi3": {
        "plain": dict(BASE, sliding_window=5),
        "longrope": dict(BASE, num_key_value_heads=4, original_max_position_embeddings=8, rope_parameters=LONG, tie_word_embeddings=True),
    },
    "olmo2": {
        "grouped": dict(BASE),
        "plain": dict(BASE, num_key_value_heads=4, tie_word_embeddings=True, rms_norm_eps=1e-4),
    },
}


def first(output):
    return output[0] if isinstance(output, tuple) else output


def hook(model, family):
    """Tensors of one forward pass by address, `[t, ...]` flattened to two dimensions; `clear()` before each."""
    seen, config = {}, model.config
    heads, body = config.num_attention_heads, model.base_model
    kv = getattr(config, "num_key_value_heads", None) or heads

    def put(name, value):
        seen[name] = value.detach()[0].flatten(1)

    def out(module, name, pick=first):
        module.register_forward_hook(lambda m, i, o: put(name, pick(o)))

    def into(module, name):
        module.register_forward_pre_hook(lambda m, args, kwargs: put(name, args[0] if args else kwargs["hidden_states"]), with_kwargs=True)

    def split(module, index, sizes=(), per_head=False):
        def pieces(m, i, o):
            if per_head:  # [t, h, 3, e]
                parts = o.view(*o.shape[:-1], heads, 3, -1).unbind(-2)
            else:
                parts = o.split(sizes, dim=-1)
            for site, part in zip("qkv", parts):
                put(f"L{index}.{site}", part)
        module.register_forward_hook(pieces)

    if family == "gpt2":
        layers, final = body.h, body.ln_f
    elif family == "gpt_neox":
        layers, final = body.layers, body.final_layer_norm
    else:
        layers, final = body.layers, body.norm
    into(layers[0], "embed")
    out(final, "final_norm")
    for index, layer in enumerate(layers):
        at = lambda site: f"L{index}.{site}"
        into(layer, at("resid_pre"))
        out(layer, at("resid_post"))
        if family == "gpt2":
            out(layer.ln_1, at("attn_norm"))
            split(layer.attn.c_attn, index, [config.n_embd] * 3)
            into(layer.attn.c_proj, at("z"))
            out(layer.attn, at("attn_out"))
            into(layer.ln_2, at("resid_mid"))
            out(layer.ln_2, at("mlp_norm"))
            into(layer.mlp.c_proj, at("mlp_act"))
            out(layer.mlp, at("mlp_out"))
            continue
        if family == "gpt_neox":
            out(layer.input_layernorm, at("attn_norm"))
            split(layer.attention.query_key_value, index, per_head=True)
            into(layer.attention.dense, at("z"))
            out(layer.attention, at("attn_out"))
            if not config.use_parallel_residual:
                into(layer.post_attention_layernorm, at("resid_mid"))
            out(layer.post_attention_layernorm, at("mlp_norm"))
            into(layer.mlp.dense_4h_to_h, at("mlp_act"))
            out(layer.mlp, at("mlp_out"))
            continue
        attention, size = layer.self_attn, getattr(config, "head_dim", None) or config.hidden_size // heads
        if family == "phi3":
            split(attention.qkv_proj, index, [heads * size, kv * size, kv * size])
        else:
            turned = lambda o: o.transpose(1, 2) if family == "gemma3_text" else o
            for site in "qk":
                norm = getattr(attention, f"{site}_norm", None)
                out(norm or getattr(attention, f"{site}_proj"), at(site), turned if norm is not None else first)
            out(attention.v_proj, at("v"))
        into(attention.o_proj, at("z"))
        into(layer.mlp.down_proj, at("mlp_act"))
        if family != "olmo2":
            out(layer.input_layernorm, at("attn_norm"))
        if family in ("gemma2", "gemma3_text"):
            out(layer.post_attention_layernorm, at("attn_out"))
            into(layer.pre_feedforward_layernorm, at("resid_mid"))
            out(layer.pre_feedforward_layernorm, at("mlp_norm"))
            out(layer.post_feedforward_layernorm, at("mlp_out"))
        elif family == "olmo2":
            out(layer.post_attention_layernorm, at("attn_out"))
            into(layer.mlp, at("resid_mid"))
            out(layer.post_feedforward_layernorm, at("mlp_out"))
        else:
            out(attention, at("attn_out"))
            into(layer.post_attention_layernorm, at("resid_mid"))
            out(layer.post_attention_layernorm, at("mlp_norm"))
            out(layer.mlp, at("mlp_out"))
    return seen


def config_of(family, settings):
    return AutoConfig.for_model(family, attn_implementation="eager", **{k: v for k, v in settings.items() if v is not None or k in
                                ("sliding_window", "attn_logit_softcapping", "final_logit_softcapping")})


@torch.no_grad()
def weights(family, settings, seed):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config_of(family, settings), attn_implementation="eager").eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or ".ln_" in name:
            around = 0 if family.startswith("gemma") or name.endswith("bias") else 1
            parameter.copy_(around + 0.2 * torch.randn_like(parameter))
        elif parameter.dim() == 2:
            parameter.copy_(torch.randn_like(parameter) / parameter.shape[1] ** 0.5 * (4 if "q_proj" in name else 1))
        else:
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model


class Float64:
    """Everything that asks for float32 gets float64."""
    def __enter__(self):
        self.kept = torch.float32, torch.float, torch.Tensor.float, torch.get_default_dtype()
        torch.float32 = torch.float = torch.float64
        torch.Tensor.float = torch.Tensor.double
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *_):
        torch.float32, torch.float, torch.Tensor.float, default = self.kept
        torch.set_default_dtype(default)


@torch.no_grad()
def reference(family, settings, state, seed):
    with Float64():
        model = AutoModelForCausalLM.from_config(config_of(family, settings), dtype=torch.float64, attn_implementation="eager").eval()
        model.load_state_dict({name: value.double() for name, value in state.items()}, strict=False)
        model.tie_weights()
        assert all(parameter.dtype == torch.float64 for parameter in model.parameters())
        seen, tensors = hook(model, family), {}
        generator = torch.Generator().manual_seed(seed)
        for number, length in enumerate(LENGTHS):
            ids = torch.randint(3, settings["vocab_size"], (length,), generator=generator)
            seen.clear()
            outputs = model(ids[None], use_cache=False, output_attentions=True)
            tensors[f"s{number}.logits"] = outputs.logits[0].contiguous()
            tensors.update({f"s{number}.L{layer}.pattern": pattern[0].contiguous() for layer, pattern in enumerate(outputs.attentions)})
            tensors[f"s{number}.ids"] = ids
            tensors.update({f"s{number}.{site}": value.contiguous().clone() for site, value in seen.items()})
    return tensors


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=here / "../fixtures/families")
    parser.add_argument("--only", default=",".join(VARIANTS))
    args = parser.parse_args()
    for family in args.only.split(","):
        for seed, (variant, settings) in enumerate(VARIANTS[family].items()):
            folder = args.out / family / variant
            shutil.rmtree(folder, ignore_errors=True)
            model = weights(family, settings, seed)
            model.save_pretrained(folder)
            for extra in folder.glob("generation_config.json"):
                extra.unlink()
            tensors = reference(family, settings, model.state_dict(), seed + 100)
            save_file(tensors, folder / "reference.safetensors", metadata={"transformers": transformers.__version__, "torch": torch.__version__})
            print(f"{family}/{variant}: {len(tensors)} tensors, {sum(f.stat().st_size for f in folder.iterdir()) // 1024} KiB")


if __name__ == "__main__":
    main()
