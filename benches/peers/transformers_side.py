"""transformers' side of models.py: loads the weights once and answers requests, one line of JSON each.

    python transformers_side.py MODEL [bf16]    # a folder, or a .gguf file

Times are from texts to results: tokenising is in them, files are not."""

import json
import os
import sys
import time
from functools import partial

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from answers import answer_requests

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
SITES = ["resid_post", "attn_out", "mlp_out"]


def load(path, kind):
    folder, name = os.path.split(path)
    source = (folder, {"gguf_file": name}) if path.endswith(".gguf") else (path, {})
    tokenizer = AutoTokenizer.from_pretrained(source[0], **source[1])
    model = AutoModelForCausalLM.from_pretrained(source[0], dtype=kind, **source[1]).eval()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # Answers are as long as asked for: nothing ends one but the number of tokens, or what the study says.
    model.generation_config.update(
        do_sample=False, temperature=None, top_p=None, top_k=None, pad_token_id=tokenizer.pad_token_id
    )
    return tokenizer, model


class LastTokens:
    """Forward hooks that keep the state of each row's last token at three sites of the first layers, in passes over
    whole texts (not over single tokens that are being generated), while there is a `last`."""

    def __init__(self, model, layers):
        self.last, self.kept, self.handles = None, {}, []
        for number, layer in enumerate(model.model.layers[:layers]):
            for site, module in zip(SITES, [layer, layer.self_attn, layer.mlp]):
                self.handles.append(module.register_forward_hook(self.keep(f"L{number}.{site}")))

    def keep(self, address):
        rows = self.kept.setdefault(address, [])

        def hook(module, inputs, output):
            states = output[0] if isinstance(output, tuple) else output
            if self.last is not None and self.last.max() < states.shape[1]:
                rows.append(states[torch.arange(len(states)), self.last])

        return hook

    def states(self):
        return {address: torch.cat(rows).float() for address, rows in self.kept.items()}

    def remove(self):
        for handle in self.handles:
            handle.remove()


def save(states, path):
    save_file({address: rows.contiguous() for address, rows in states.items()}, path)


def read_texts(path):
    with open(path) as file:
        return [json.loads(line)["text"] for line in file]


def capture(tokenizer, model, texts, batch, layers=None, dump=None):
    """Batches in the order of the file, padded on the right, no mask where nothing is padded."""
    texts = read_texts(texts)
    tokens, run = 0, 0
    started = time.perf_counter()
    hooks = LastTokens(model, layers)
    with torch.inference_mode():
        for first in range(0, len(texts), batch):
            encoded = tokenizer(texts[first : first + batch], padding=True, padding_side="right", return_tensors="pt")
            mask = encoded["attention_mask"]
            hooks.last = mask.sum(1) - 1
            tokens += int(mask.sum())
            run += mask.numel()
            padded = None if mask.all() else mask
            model.model(input_ids=encoded["input_ids"], attention_mask=padded, use_cache=False)
        states = hooks.states()
    seconds = time.perf_counter() - started
    hooks.remove()
    if dump:
        save(states, dump)
    return {"seconds": seconds, "tokens": tokens, "tokens_run": run}


def generate(tokenizer, model, prompts, tokens):
    started = time.perf_counter()
    encoded = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
    with torch.inference_mode():
        ids = model.generate(**encoded, max_new_tokens=tokens, min_new_tokens=tokens, eos_token_id=None)
    new = ids[:, encoded["input_ids"].shape[1] :].tolist()
    return {"seconds": time.perf_counter() - started, "ids": new}


def study(tokenizer, model, items, probes):
    """Multiple-choice questions in rounds as one would write it: batch 1, the whole conversation again for each answer
    and each option, hooks on while an answer's prompt is read. What the user says is given; what the model says is its
    own. Option scores are sums of log-probabilities, in nats; a level is the dot product with a probe's direction."""
    hooks, told = LastTokens(model, None), []
    directions = torch.stack([load_directions(probes)[address] for address in hooks.kept])
    with torch.inference_mode():
        for item in items:
            started = time.perf_counter()
            answers = []
            # Round 0 is a conversation of its own.
            for turns in [item["plain"], item["instructed"]]:
                messages = []
                for turn in turns:
                    messages.append({"role": "user", "content": turn})
                    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
                    prompt = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
                    totals, lengths = [], []
                    hooks.last = None
                    for option in item["options"]:
                        tokens = tokenizer(option, add_special_tokens=False, return_tensors="pt")["input_ids"]
                        logits = model(torch.cat([prompt, tokens], 1), use_cache=False).logits[0]
                        logs = logits[prompt.shape[1] - 1 : -1].log_softmax(-1)
                        totals.append(logs.gather(1, tokens[0, :, None]).sum().item())
                        lengths.append(tokens.shape[1])
                    hooks.last = torch.tensor([prompt.shape[1] - 1])
                    new = model.generate(
                        prompt,
                        attention_mask=torch.ones_like(prompt),
                        max_new_tokens=8,
                        eos_token_id=tokenizer.eos_token_id,
                    )
                    states = torch.cat([rows[-1] for rows in hooks.kept.values()])
                    levels = (states * directions).sum(1).tolist()
                    said = tokenizer.decode(new[0, prompt.shape[1] :], skip_special_tokens=True).strip()
                    messages.append({"role": "assistant", "content": said})
                    answers.append({"text": said, "totals": totals, "tokens": lengths, "levels": levels})
            told.append({"id": item["id"], "seconds": time.perf_counter() - started, "answers": answers})
    hooks.remove()
    return {"seconds": sum(item["seconds"] for item in told), "addresses": list(hooks.kept), "items": told}


def load_directions(path):
    """Unit directions of the probes in our file, by address."""
    weights = {name: tensor for name, tensor in load_file(path).items() if name.endswith(".weights")}
    return {name.removesuffix(".weights"): (w / w.norm()).float() for name, w in weights.items()}


def save_folder(tokenizer, model, folder):
    """The weights as f32 safetensors, so that every other peer has the very same ones and loads them fast."""
    # They are dequantised, and no longer what the configuration says.
    model.hf_quantizer = None
    model.config.__dict__.pop("quantization_config", None)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {}


def main():
    started = time.perf_counter()
    tokenizer, model = load(sys.argv[1], torch.bfloat16 if "bf16" in sys.argv[2:] else torch.float32)
    hello = {
        "load_seconds": time.perf_counter() - started,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    requests = {"capture": capture, "generate": generate, "study": study, "save": save_folder}
    answer_requests({name: partial(function, tokenizer, model) for name, function in requests.items()}, hello)


if __name__ == "__main__":
    main()
