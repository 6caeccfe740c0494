"""Write family fixtures as GGUF too, with the names and values that llama.cpp's converter gives them.

    python make_gguf.py        after make_families.py

Names come from the gguf package; gemma's norm weights are stored plus 1, as llama.cpp wants them. The tokeniser is
left out: only decoders are compared.
"""
import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

ARCHITECTURES = {"qwen2": "QWEN2", "qwen3": "QWEN3", "gemma2": "GEMMA2", "gemma3_text": "GEMMA3", "phi3": "PHI3"}
VARIANTS = ["qwen2/plain", "qwen3/plain", "qwen3/bias", "gemma2/plain", "gemma3_text/six", "phi3/plain", "phi3/longrope"]


def convert(folder, family):
    config = json.loads((folder / "config.json").read_text())
    arch = getattr(gguf.MODEL_ARCH, ARCHITECTURES[family])
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    writer = gguf.GGUFWriter(folder / "model.gguf", gguf.MODEL_ARCH_NAMES[arch])
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(size)
    writer.add_value_length(size)
    rope = config["rope_parameters"]
    rope = rope.get("full_attention", rope)
    writer.add_rope_freq_base(rope["rope_theta"])
    if family == "phi3":
        writer.add_rope_dimension_count(size)
        writer.add_sliding_window(config["sliding_window"] or 0)
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    if family.startswith("gemma"):
        writer.add_sliding_window(config["sliding_window"])
    if family == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "longrope":
        original = config["original_max_position_embeddings"]
        stretch = config["max_position_embeddings"] / original
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(stretch) / np.log(original))))
        for length in ("long", "short"):
            writer.add_tensor(f"rope_factors_{length}.weight", np.array(rope[f"{length}_factor"], dtype=np.float32))
    for name, values in load_file(folder / "model.safetensors").items():
        stem, end = name.rsplit(".", 1)
        if family.startswith("gemma") and stem.endswith("norm"):
            values = values + np.float32(1)
        writer.add_tensor(f"{names.get_name(stem)}.{end}", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(folder, (folder / "model.gguf").stat().st_size // 1024, "KiB")


if __name__ == "__main__":
    here = Path(__file__).resolve().parent / "../fixtures/families"
    for variant in VARIANTS:
        convert(here / variant, variant.split("/")[0])
