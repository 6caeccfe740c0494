"""TransformerLens' and nnsight's side of models.py: states of texts' last tokens, one line of JSON a request.

    python lens_side.py transformer_lens|nnsight FOLDER

Padded on the left, as both expect it: a batch's last position is then every row's last token, and from the mask they count
positions from a row's first token on."""

import importlib.metadata
import os
import sys
import time

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import torch
from transformers import AutoTokenizer

from answers import answer_requests
from transformers_side import read_texts, save

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class TransformerLens:
    """The bridge of TransformerLens 4, its cache filtered to what is asked, at the last position, without logits."""

    package = "transformer-lens"

    def __init__(self, folder):
        from transformer_lens.model_bridge import TransformerBridge

        self.model = TransformerBridge.boot_transformers(folder, device="cpu", dtype=torch.float32)
        layers = self.model.cfg.n_layers
        sites = {"resid_post": "hook_resid_post", "attn_out": "hook_attn_out", "mlp_out": "hook_mlp_out"}
        self.names = {
            f"L{layer}.{site}": f"blocks.{layer}.{hook}" for layer in range(layers) for site, hook in sites.items()
        }

    def last_tokens(self, ids, mask):
        _, cache = self.model.run_with_cache(
            ids,
            attention_mask=mask,
            names_filter=list(self.names.values()),
            pos_slice=-1,
            return_cache_object=False,
            return_type=None,
            # Which alone leaves logits of all tokens.
            logits_to_keep=1,
        )
        # Copies: a slice would keep the states of all tokens until the last batch.
        return {address: cache[name].flatten(0, -2).clone() for address, name in self.names.items()}


class Nnsight:
    """One trace that saves last tokens and stops before the unembedding."""

    package = "nnsight"

    def __init__(self, folder):
        from nnsight import TransformersModel

        self.model = TransformersModel(
            folder, task="text-generation", device_map="cpu", dispatch=True, dtype=torch.float32
        )

    def last_tokens(self, ids, mask):
        model = self.model
        with model.trace(ids, attention_mask=mask) as tracer:
            kept = dict().save()
            # In the order in which they are run.
            for number, layer in enumerate(model.model.layers):
                kept[f"L{number}.attn_out"] = layer.self_attn.output[0][:, -1].clone()
                kept[f"L{number}.mlp_out"] = layer.mlp.output[:, -1].clone()
                kept[f"L{number}.resid_post"] = layer.output[:, -1].clone()
            tracer.stop()
        return kept


def main():
    kind = {"transformer_lens": TransformerLens, "nnsight": Nnsight}[sys.argv[1]]
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
    peer = kind(sys.argv[2])

    def capture(texts, batch, dump=None):
        """Batches in the order of the file."""
        texts, batches = read_texts(texts), []
        tokens, run = 0, 0
        started = time.perf_counter()
        with torch.inference_mode():
            for first in range(0, len(texts), batch):
                encoded = tokenizer(
                    texts[first : first + batch], padding=True, padding_side="left", return_tensors="pt"
                )
                mask = encoded["attention_mask"]
                tokens += int(mask.sum())
                run += mask.numel()
                batches.append(peer.last_tokens(encoded["input_ids"], mask))
            states = {address: torch.cat([states[address] for states in batches]) for address in batches[0]}
        seconds = time.perf_counter() - started
        if dump:
            save(states, dump)
        return {"seconds": seconds, "tokens": tokens, "tokens_run": run}

    versions = {kind.package: importlib.metadata.version(kind.package)}
    answer_requests({"capture": capture}, {"versions": versions})


if __name__ == "__main__":
    main()
