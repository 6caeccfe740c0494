"""Make the reference fixtures of the tests: what transformers and scikit-learn compute.

    pip install -r requirements.txt
    python make_fixtures.py --model ../../.models/SmolLM2-135M-Instruct.Q4_1.gguf [--only tokens,chat,...]

Everything is float32 with eager attention unless said otherwise, on the CPU, from fixed seeds.
"""
import argparse
import json
import os
import random
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VERSIONS = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


# --- tokens -----------------------------------------------------------------------------------------------

PIECES = {
    "words": "the river runs past our old mill and nobody fishes there any more because of Ines's quiet dog".split(),
    "numbers": ["0", "7", "42", "1999", "3.14159", "1,000,000", "-12e-7", "0x1F", "½", "٣٤", "一二三", "²", "12:45", "+44 20"],
    "code": ["fn main() {\n\tlet x = &mut v[0..n];\n}", "if a!=b: return {'k': [1,2,3]}", "SELECT * FROM t WHERE id<=7;",
             "#include <stdio.h>", "a->b->c++", "x = y if z else w  # note", "</div><br/>", "regex: ^\\s*(\\w+)$"],
    "scripts": ["Привет, мир", "γειά σου", "שלום", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "今日は良い天気", "안녕하세요",
                "Straße über Äcker", "façade naïve coöperate", "e\u0301 a\u0308 o\u0302", "ﬁ ﬂ Ⅷ ㎏", "Ωμέγα", "Ğğİı"],
    "emoji": ["🙂", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇨🇭", "☃️", "✊🏿✊"],
    "space": [" ", "  ", "\t", "\n", "\r\n", "   \n  ", "\u00a0", "\u3000", "\u2009", "\u200b", "\n\n\n", "\t\t ", "\x0b", "\x0c"],
    "marks": ["...", "?!", "--", "—", "“quoted”", "'s", "'ll", "don't", "WE'RE", "(((", "###", "$$$", "@name", "a_b-c", "~/x", "^_^"],
    "special": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\n", "<|im_ end|>", "<repo_name>",
                "<file_sep>", "<|unknown|>", "<|IM_END|>"],
    "odd": ["\x00", "\x1b[0m", "\ufeff", "\ufffd", "a" * 70, "Ünïcödé" * 4, "https://example.com/a?b=c&d=%20#e", "x" * 3 + "Y" * 5,
            "antidisestablishmentarianism", "aAbBcC123xyz", "𝔘𝔫𝔦", "🜚"],
}


def strings(count):
    rng = random.Random(20240722)
    texts = ["", " ", "\n", "a", "A", "0", "."] + [piece for pieces in PIECES.values() for piece in pieces]
    kinds = list(PIECES)
    while len(texts) < count:
        parts = []
        for _ in range(rng.randint(1, 8)):
            kind = rng.choice(kinds)
            parts.append(rng.choice(PIECES[kind]))
        texts.append(rng.choice(["", " ", "", "\n", " "]).join(parts))
    return texts[:count]


def tokens(args, out):
    tokenizer = AutoTokenizer.from_pretrained(args.model.parent, gguf_file=args.model.name)
    cases = [{"text": text, "ids": tokenizer(text, add_special_tokens=False).input_ids} for text in strings(1000)]
    with_special = tokenizer("one text").input_ids
    write_json(out / "smollm2/tokens.json", {"versions": VERSIONS, "one_text_with_special": with_special, "cases": cases})
    print("pre-tokeniser:", tokenizer.backend_tokenizer.pre_tokenizer, "normaliser:", tokenizer.backend_tokenizer.normalizer)
    print("ids of 'one text' with special tokens:", with_special)


# --- chat ---------------------------------------------------------------------------------------------------

def conversations():
    user = lambda text: {"role": "user", "content": text}
    assistant = lambda text: {"role": "assistant", "content": text}
    system = lambda text: {"role": "system", "content": text}
    talks = [
        [user("What is a fair way to share three apples?")],
        [system("Answer in one word."), user("Is rain wet?")],
        [user("Who was late?"), assistant("The baker."), user("Please look again.")],
        [system("Be brief."), user("One"), assistant("Two"), user("Three"), assistant("Four"), user("Five")],
        [user("")],
        [system(""), user("Hello")],
        [user("  spaces around  \n")],
        [user("line\n\nline\r\n\ttab"), assistant(" leading")],
        [user("Grüße aus Zürich 🙂 今日は")],
        [user("a <|im_end|> in the text"), assistant("and <|im_start|>assistant")],
        [user("{{ not a template }} {% raw %}")],
        [user("quotes \" and ' and \\ back")],
    ]
    return [(talk, prompt) for talk in talks for prompt in (True, False)]


def chat(args, out):
    tokenizer = AutoTokenizer.from_pretrained(args.model.parent, gguf_file=args.model.name)
    cases = []
    for messages, prompt in conversations():
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        ids = tokenizer(rendered, add_special_tokens=False).input_ids
        cases.append({"messages": messages, "add_generation_prompt": prompt, "rendered": rendered, "ids": ids})
    write_json(out / "smollm2/chat.json", {"versions": VERSIONS, "cases": cases})


# Written for this test, each with what some family's template does.
TEMPLATES = {
    "roles_must_alternate": "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('turns must alternate, beginning with the user') }}{% endif %}"
        "{% if m['role'] == 'user' %}{{ '[ask] ' + m['content'] + ' [/ask]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}",
    "no_system": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn here') }}{% endif %}"
        "{% for message in messages %}<t>{{ message.role if message.role != 'assistant' else 'model' }}\n{{ message['content'] | trim }}</t>\n{% endfor %}"
        "{%- if add_generation_prompt -%}\n<t>model\n{%- endif -%}",
    "system_goes_first": "{%- set ns = namespace(head='') -%}{%- if messages[0].role == 'system' -%}"
        "{%- set ns.head = messages[0].content -%}{%- set talk = messages[1:] -%}{%- else -%}{%- set talk = messages -%}{%- endif -%}"
        "{%- for m in talk -%}{%- if loop.first and ns.head %}{{ ns.head ~ '\n---\n' }}{% endif -%}"
        "|{{ m.role | upper }}|{{ m.content }}{%- if not loop.last %}\n{% endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt %}\n|ASSISTANT|{% endif -%}",
    "tools_and_lists": "{%- if tools is defined and tools -%}tools: {{ tools | tojson }}{%- endif -%}"
        "{% for m in messages if m.content is string %}{{ loop.index }}/{{ loop.length }} {{ m.content.split('.')[0] }}"
        "{{ ' (long)' if m.content | length > 12 else '' }};{% endfor %}{{ 'yes' if messages[-1]['role'] in ['user', 'tool'] else 'no' }}",
}

TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Weather of a town, \"now\"", "parameters": {
        "type": "object", "properties": {"town": {"type": "string", "enum": ["Zürich", "Ås"]}, "days": {"type": "integer"}}, "required": ["town"]}}},
    {"type": "function", "function": {"name": "add", "description": "a + b", "parameters": {"type": "object", "properties": {}}}},
]

# Rendered with and without the tools, over conversations in which tools are called.
TOOL_TEMPLATES = {
    "tool_block": "{%- if tools %}{{ '<sys>' }}{%- if messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{%- endif %}"
        "{{ '# Tools\n<tools>' }}{%- for tool in tools %}{{ '\n' }}{{ tool | tojson }}{%- endfor %}{{ '\n</tools></sys>\n' }}{%- endif %}"
        "{%- set ns = namespace(last=messages|length - 1, seen=[]) %}"
        "{%- for m in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}"
        "{%- if m.role == 'user' and m.content is string %}{%- set ns.last = index %}{%- set ns.seen = ns.seen + [index] %}{%- endif %}{%- endfor %}"
        "{%- for m in messages %}{%- if m.role == 'tool' %}{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<user>' }}{%- endif %}"
        "{{ '\n<answer>' ~ m.content ~ '</answer>' }}{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '</user>\n' }}{%- endif %}"
        "{%- elif m.role == 'assistant' and m.tool_calls %}{{ '<model>' + m.content }}{%- for call in m.tool_calls %}"
        "{%- if call.function %}{%- set call = call.function %}{%- endif %}{{ '\n<call>{\"name\": \"' ~ call.name ~ '\", \"arguments\": ' }}"
        "{{ call.arguments | tojson }}{{ '}</call>' }}{%- endfor %}{{ '</model>\n' }}"
        "{%- else %}{{ '<' + m.role + '>' + m.content + '</' + m.role + '>\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<model>' }}{%- endif %}{{ ns.last }}{{ ns.seen | join(',') }}",
    "schemas": "{%- macro shape(spec, deep=0) -%}{%- if spec.enum %}{{ spec.enum | join('|') }}{%- elif spec.type == 'object' -%}"
        "{ {%- for name, inner in spec.properties.items() %}{{ name }}: {{ shape(inner, deep + 1) }}{{ '' if loop.last else ', ' }}{%- endfor -%} }"
        "{%- else %}{{ spec.type }}{%- endif %}{%- endmacro -%}"
        "{%- if tools is not none and tools is defined %}{%- for t in tools | map(attribute='function') %}"
        "// {{ t.description }}\ntype {{ t.name }} = (_: {{ shape(t.parameters) }})\n{{ t | tojson(indent=2) }}\n{%- endfor %}{%- else %}no tools{%- endif %}"
        "{% for m in messages %}{% generation %}{{ m.content | trim }}{% endgeneration %}{% if m.tool_calls is defined %}[{{ m.tool_calls | length }}]{% endif %};{% endfor %}",
    "methods": "{%- for m in messages %}{%- set parts = m.content.split(' ', 1) %}{{ parts[-1].strip().upper() }}/{{ m.content.replace('a', 'ab') }}/"
        "{{ m.content[1:3] }}{{ m.content.startswith('W') }}{{ m.role in ['tool', 'user'] }}{{ loop.index % 2 == 0 }}"
        "{{ ' '.join([m.role, 'x' * 3]) }}{{ (m.content | length) * 2 + 1 }}{{ ('a' ~ 1) ~ (2 ~ 'b') }}{{ 'y' if not (m.content and tools) else 'n' }}\n"
        "{%- endfor %}{% set a %}<{{ messages | length }}>{% endset %}{{ a ~ a }}{% for k, v in {'x': 1, 'y': [2, 3]}.items() %}{{ k }}={{ v | tojson }}{% endfor %}"
        "{% set x = 1, 2 %}{{ x | sum }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ none is none }}",
}


def tool_conversations():
    call = lambda name, **arguments: {"type": "function", "function": {"name": name, "arguments": arguments}}
    ask = {"role": "user", "content": "What is the weather in Zürich, and what is 1 + 2?"}
    calls = {"role": "assistant", "content": "", "tool_calls": [call("weather", town="Zürich", days=2), call("add", a=1, b=2.5, c=None, d=True)]}
    answers = [{"role": "tool", "content": "{\"sun\": true}"}, {"role": "tool", "content": "3.5"}]
    system = {"role": "system", "content": "Be brief."}
    end = {"role": "assistant", "content": "Sunny; 3.5"}
    return [[ask], [system, ask], [ask, calls], [ask, calls, *answers], [system, ask, calls, *answers, end, ask]]


def templates(args, out):
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import _compile_jinja_template
    cases = []
    for name, source in TEMPLATES.items():
        compiled = _compile_jinja_template(source)
        for messages, prompt in conversations():
            try:
                rendered = compiled.render(messages=messages, add_generation_prompt=prompt, tools=None, bos_token="<s>", eos_token="</s>")
            except TemplateError:
                rendered = None
            cases.append({"template": name, "messages": messages, "add_generation_prompt": prompt, "rendered": rendered})
    for name, source in TOOL_TEMPLATES.items():
        compiled = _compile_jinja_template(source)
        for messages in tool_conversations():
            for tools in (None, TOOLS):
                for prompt in (True, False):
                    rendered = compiled.render(messages=messages, add_generation_prompt=prompt, tools=tools, documents=None, bos_token="<s>", eos_token="</s>")
                    cases.append({"template": name, "messages": messages, "tools": tools, "add_generation_prompt": prompt, "rendered": rendered})
    TEMPLATES.update(TOOL_TEMPLATES)
    write_json(out / "templates.json", {"versions": VERSIONS, "templates": TEMPLATES, "cases": cases})


# --- hidden states --------------------------------------------------------------------------------------------

LONG = (
    "On the first market day of the year the ferry was late, and the people who had come down to the landing stood "
    "about in small groups and talked. An old carpenter explained to a girl how a boat is kept tight: with hemp, tar "
    "and patience, he said, and mostly patience. She asked whether 3 coats of tar were enough, or 4, and he laughed "
    "and held up 12 fingers' worth of an answer. Behind them a baker counted loaves and gave one away each time she "
    "lost count, so that by 9:45 there were more children than loaves. Nobody complained. When the ferry came at "
    "last, its pilot apologised to everyone in turn; the fog had been thick as wool, and he would rather be late "
    "than wet. The mayor, who had prepared a speech about punctuality, folded it and put it back into his coat. "
    "Instead he helped to carry the crates ashore: apples, lamp oil, two clocks (both stopped), a crate marked "
    "'fragile' that rang like a bell, and a letter for the school. The teacher opened it there and then. It said "
    "that the roof would be paid for after all, and that the money had been promised by someone who did not want "
    "to be thanked. So they thanked the pilot, who had only brought the letter, and the carpenter, who would only "
    "mend the roof, and the baker, because she was there. That is how things were done then, and on the whole it "
    "was not a bad way of doing them, though it took time, and although the clocks were never repaired by anyone."
)
LENGTHS = [1, 2, 7, 23, 64, 128, 211, 300]


def hook_sites(model):
    """Outputs of one forward pass by address; `clear()` before each."""
    seen = {}
    def keep(name, pick=lambda output: output):
        return lambda module, inputs, output: seen.__setitem__(name, pick(output).detach()[0])
    def keep_input(name):
        return lambda module, inputs: seen.__setitem__(name, inputs[0].detach()[0])
    first = lambda output: output[0] if isinstance(output, tuple) else output
    body = model.model
    body.embed_tokens.register_forward_hook(keep("embed"))
    body.norm.register_forward_hook(keep("final_norm"))
    for index, layer in enumerate(body.layers):
        at = lambda site: f"L{index}.{site}"
        layer.register_forward_pre_hook(keep_input(at("resid_pre")))
        layer.input_layernorm.register_forward_hook(keep(at("attn_norm")))
        layer.self_attn.q_proj.register_forward_hook(keep(at("q")))
        layer.self_attn.k_proj.register_forward_hook(keep(at("k")))
        layer.self_attn.v_proj.register_forward_hook(keep(at("v")))
        layer.self_attn.o_proj.register_forward_pre_hook(keep_input(at("z")))
        layer.self_attn.register_forward_hook(keep(at("attn_out"), first))
        layer.post_attention_layernorm.register_forward_pre_hook(keep_input(at("resid_mid")))
        layer.post_attention_layernorm.register_forward_hook(keep(at("mlp_norm")))
        layer.mlp.down_proj.register_forward_pre_hook(keep_input(at("mlp_act")))
        layer.mlp.register_forward_hook(keep(at("mlp_out")))
        layer.register_forward_hook(keep(at("resid_post"), first))
    return seen


def load_smollm(args):
    model = AutoModelForCausalLM.from_pretrained(
        args.model.parent, gguf_file=args.model.name, dtype=torch.float32, attn_implementation="eager")
    return model.eval(), AutoTokenizer.from_pretrained(args.model.parent, gguf_file=args.model.name)


@torch.no_grad()
def hidden(args, out):
    model, tokenizer = load_smollm(args)
    long_ids = tokenizer(LONG, add_special_tokens=False).input_ids
    assert len(long_ids) >= max(LENGTHS), len(long_ids)
    seen = hook_sites(model)
    tensors, texts = {}, []
    for number, length in enumerate(LENGTHS):
        start = 3 * number if length < 100 else 0
        ids = long_ids[start:start + length]
        text = tokenizer.decode(ids)
        assert tokenizer(text, add_special_tokens=False).input_ids == ids, text
        positions = sorted({length // 2, length - 1})
        seen.clear()
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
        sites = ["embed", "final_norm"]
        sites += [f"L{l}.{site}" for l in range(model.config.num_hidden_layers) for site in ("resid_post", "attn_out", "mlp_out")]
        for site in sites:
            tensors[f"t{number}.{site}"] = seen[site][positions].contiguous()
        if length in (7, 300):
            tensors[f"t{number}.logits"] = logits[-1:].contiguous()
        max_abs = {site: seen[site].abs().max().item() for site in sites}
        max_abs["logits"] = logits.abs().max().item()
        texts.append({"text": text, "ids": ids, "positions": positions, "max_abs": max_abs})
    (out / "smollm2").mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "smollm2/hidden.safetensors")
    write_json(out / "smollm2/hidden.json", {"versions": VERSIONS, "texts": texts})


PROMPTS = [
    "Write one sentence about a lighthouse.",
    "How do I keep bread fresh for a week?",
    "Explain to a child why the moon changes its shape.",
    "List three things that a good neighbour does.",
    "What should I say to a friend who lost a game?",
    "Describe a quiet morning in a small harbour town.",
    "Why is it colder on a mountain than in the valley?",
    "Give me a short plan for learning to swim.",
]


@torch.no_grad()
def greedy(args, out):
    model, tokenizer = load_smollm(args)
    cases = []
    for prompt in PROMPTS:
        text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        result = model.generate(torch.tensor([ids]), do_sample=False, min_new_tokens=64, max_new_tokens=64, eos_token_id=None,
                                pad_token_id=0, output_logits=True, return_dict_in_generate=True)
        new = result.sequences[0, len(ids):].tolist()
        gaps = [(top[0] - top[1]).item() for top in (step[0].topk(2).values for step in result.logits)]
        # Where two tokens are almost tied, rounding decides; such a prompt would test nothing else.
        if min(gaps) > 2e-3 and len(cases) < 5:
            cases.append({"prompt": prompt, "prompt_ids": ids, "new_ids": new, "smallest_gap": min(gaps)})
    assert len(cases) == 5, "choose other prompts"
    write_json(out / "smollm2/greedy.json", {"versions": VERSIONS, "cases": cases})


# --- tiny models ----------------------------------------------------------------------------------------------

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }}{{ eos_token if m['role'] == 'assistant' else '' }}\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
TINY = {
    "tied": dict(vocab_size=288, hidden_size=48, num_attention_heads=6, num_key_value_heads=2, intermediate_size=80,
                 tie_word_embeddings=True, rms_norm_eps=1e-5),
    "untied_sharded": dict(vocab_size=300, hidden_size=32, num_attention_heads=4, num_key_value_heads=4, intermediate_size=72,
                           tie_word_embeddings=False, rms_norm_eps=1e-6),
    "odd_heads": dict(vocab_size=290, hidden_size=40, num_attention_heads=4, num_key_value_heads=1, head_dim=16, intermediate_size=64,
                      attention_bias=True, mlp_bias=True, tie_word_embeddings=False, rms_norm_eps=1e-4,
                      rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
    "bf16": dict(vocab_size=300, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=72,
                 tie_word_embeddings=False, rms_norm_eps=1e-6),
}


def tiny_tokenizer(vocabulary):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<s>", "</s>", "<pad>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([LONG], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
                                   chat_template=TEMPLATE)


@torch.no_grad()
def tiny(args, out):
    for seed, (name, settings) in enumerate(TINY.items()):
        torch.manual_seed(seed)
        config = LlamaConfig(num_hidden_layers=3, max_position_embeddings=64, bos_token_id=0, eos_token_id=1, pad_token_id=2,
                             attn_implementation="eager", **settings)
        model = LlamaForCausalLM(config).eval()
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name:
                parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
            elif parameter.dim() == 2:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[1] ** 0.5)
            else:
                parameter.copy_(0.3 * torch.randn_like(parameter))
        folder = out / "tiny_llama" / name
        if name == "bf16":
            model = model.to(torch.bfloat16)
        model.save_pretrained(folder, max_shard_size="40KB" if name == "untied_sharded" else "1GB")
        tiny_tokenizer(settings["vocab_size"]).save_pretrained(folder)
        # Loaded again, since casting the model also rounded the rotary frequencies.
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        seen, tensors = hook_sites(model), {}
        for number, length in enumerate((1, 5, 17)):
            ids = torch.randint(3, settings["vocab_size"], (length,))
            seen.clear()
            tensors[f"s{number}.logits"] = model(ids[None], use_cache=False).logits[0].contiguous()
            tensors[f"s{number}.ids"] = ids
            tensors.update({f"s{number}.{site}": value.contiguous().clone() for site, value in seen.items()})
        save_file(tensors, folder / "reference.safetensors")
        for extra in folder.glob(".*"):
            extra.unlink()


# --- probes -----------------------------------------------------------------------------------------------------

def logistic(args, out):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, roc_auc_score
    (out / "logistic").mkdir(parents=True, exist_ok=True)
    for seed, (name, share) in enumerate({"balanced": 0.5, "rare": 0.1, "common": 0.9}.items()):
        rng = np.random.default_rng(seed)
        n, d = 240, 24
        y = (np.arange(n) < share * n).astype(np.int64)
        rng.shuffle(y)
        x = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))
        x[:, :3] += 0.8 * y[:, None]
        x = (x - x.mean(0)) / x.std(0)
        model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-13, max_iter=10000).fit(x, y)
        coef, intercept = model.coef_[0], model.intercept_[0]
        score = x @ coef + intercept
        objective = np.logaddexp(0, np.where(y == 1, -score, score)).sum() + 0.5 * coef @ coef
        residual = 1 / (1 + np.exp(-score)) - y
        gradient = np.append(x.T @ residual + coef, residual.sum())
        assert np.abs(gradient).max() < 1e-8, np.abs(gradient).max()
        arrays = {"x": x, "y": y, "objective": np.array([objective]), "coef": coef, "intercept": np.array([intercept])}
        save_file({key: torch.tensor(np.ascontiguousarray(value)) for key, value in arrays.items()}, out / f"logistic/logistic_{name}.safetensors")
    cases = []
    rng = np.random.default_rng(9)
    for number in range(20):
        n = int(rng.integers(4, 40))
        labels = np.append([0, 1], rng.integers(0, 2, n))
        scores = np.round(rng.normal(size=n + 2) + 0.7 * labels, 1 if number % 2 else 6)
        probabilities = 1 / (1 + np.exp(-scores))
        cases.append({"labels": labels.tolist(), "scores": scores.tolist(), "auroc": float(roc_auc_score(labels, scores)),
                      "probabilities": probabilities.tolist(), "log_loss": float(log_loss(labels, probabilities))})
    write_json(out / "logistic/auroc.json", {"cases": cases})


STEPS = {"tokens": tokens, "chat": chat, "templates": templates, "hidden": hidden, "greedy": greedy, "tiny": tiny, "logistic": logistic}

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=here / "../../.models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--out", type=Path, default=here / "../fixtures")
    parser.add_argument("--only", default=",".join(STEPS), help="comma-separated steps")
    arguments = parser.parse_args()
    for step in arguments.only.split(","):
        print(step, flush=True)
        STEPS[step](arguments, arguments.out)
