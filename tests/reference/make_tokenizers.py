"""Make the fixtures of GGUF tokenisers: what transformers and SentencePiece make of small vocabularies.

    python make_tokenizers.py

Two vocabularies are trained on the texts of `data`: SentencePiece BPE with byte fallback, and byte-level BPE
split as Llama 3 splits. Each is written as GGUF metadata in several variants (architecture, pre-tokeniser, flags), and
transformers reads every file. Where the file forbids the leading space, SentencePiece itself is the reference.
"""
import collections
import json
import os
import re
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import gguf
import sentencepiece
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import _LLAMA3_SPLIT
from transformers.tokenization_utils_base import generate_merges

from make_fixtures import strings

HERE = Path(__file__).resolve().parent
OUT = HERE / "../fixtures/tokenizers"
VERSIONS = {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__}
PIECES = 900
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# name, architecture, settings
SPM = [
    ("llama", "llama", {}),
    ("phi3", "phi3", {}),
    ("gemma2", "gemma2", {"add_space_prefix": False, "spaces_as_such": True}),
    ("merges_eos", "llama", {"with_merges": True, "add_bos_token": False, "add_eos_token": True}),
    ("no_prefix", "llama", {"add_space_prefix": False}),
]
BYTE_LEVEL = [
    ("llama-bpe", "llama", {"pre": "llama-bpe", "add_bos_token": True}),
    ("tekken", "llama", {"pre": "tekken", "add_bos_token": True, "add_eos_token": True}),
    ("gpt-4o", "phi3", {"pre": "gpt-4o"}),
    ("qwen2", "qwen2", {"pre": "qwen2", "add_bos_token": False}),
    ("gpt-2", "llama", {"pre": "gpt-2"}),
]


def corpus():
    lines = []
    for path in sorted((HERE / "../../data").glob("*.jsonl")):
        lines += path.read_text(encoding="utf-8").split("\n")
    return [line for line in lines if line.strip()] + [text for text in strings(300) if text.strip()]


def texts():
    extra = ["<turn>user\nHello<|end|>\n<turn>model\n", "a<turn>b", "<turn>", " <turn> x", "<s>inside</s> the text", "<unk>", "<0x41> is no byte",
             "▁ already ▁▁ there", "  two", "   three", "ends with spaces   ", "a  b   c    d", "tab\tand\nlines\n\n\n", "\r\n", "12345 1,000 3.14", "I'LL we'Re"]
    return extra + [text for text in strings(320) if "\x00" not in text]


def train_spm(folder):
    (folder / "corpus.txt").write_text("\n".join(corpus()), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "spm"), model_type="bpe", vocab_size=PIECES, byte_fallback=True,
        split_digits=True, allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, normalization_rule_name="identity",
        character_coverage=0.9995, control_symbols=["<|end|>"], user_defined_symbols=["<turn>"], num_threads=1, minloglevel=2)
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))


def spm_types(spm):
    for piece in range(spm.get_piece_size()):
        yield (UNKNOWN if spm.is_unknown(piece) else CONTROL if spm.is_control(piece) else BYTE if spm.is_byte(piece)
               else USER_DEFINED if spm.id_to_piece(piece) == "<turn>" else NORMAL)


def train_bytes():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_LLAMA3_SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES, special_tokens=["<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens + ["<turn>"], [" ".join(merge) for merge in model["merges"]]


def write(path, architecture, model, vocabulary, settings):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tokenizer_model(model)
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["types"])
    writer.add_bos_token_id(vocabulary["bos"])
    writer.add_eos_token_id(vocabulary["eos"])
    if "scores" in vocabulary:
        writer.add_token_scores(vocabulary["scores"])
        writer.add_unk_token_id(0)
    if "merges" in vocabulary:
        writer.add_token_merges(vocabulary["merges"])
    if "pre" in settings:
        writer.add_tokenizer_pre(settings["pre"])
    for key, add in (("add_bos_token", writer.add_add_bos_token), ("add_eos_token", writer.add_add_eos_token),
                     ("add_space_prefix", writer.add_add_space_prefix)):
        if key in settings:
            add(settings[key])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def reference(folder, architecture, model, vocabulary, settings):
    path = folder / "m.gguf"
    write(path, architecture, model, vocabulary, settings)
    return AutoTokenizer.from_pretrained(folder, gguf_file=path.name)


def encoded(tokenizer, texts):
    return [tokenizer(text).input_ids for text in texts]


def save(name, value):
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=False, indent=0)
    text = re.sub(r"(?<=\d),\n(?=-?\d)", ",", text)
    (OUT / name).write_text(text + "\n", encoding="utf-8")
    print(name, (OUT / name).stat().st_size // 1024, "KiB")


def main():
    samples = texts()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        spm = train_spm(folder)
        tokens = [spm.id_to_piece(piece) for piece in range(spm.get_piece_size())]
        scores = [spm.get_score(piece) for piece in range(len(tokens))]
        vocabulary = {"tokens": tokens, "scores": scores, "types": list(spm_types(spm)), "bos": spm.bos_id(), "eos": spm.eos_id()}
        merges = [" ".join(merge) for merge in generate_merges({t: i for i, t in enumerate(tokens)}, dict(zip(tokens, scores)))]
        cases = []
        for name, architecture, settings in SPM:
            own = dict(vocabulary)
            if settings.get("with_merges"):
                # Half of them, so that a tokeniser that derives them itself differs.
                own["merges"] = merges[: len(merges) // 2]
            if settings.get("spaces_as_such"):
                own["tokens"] = [" " * len(t) if len(t) > 1 and not t.strip("▁") else t for t in tokens]
            tokenizer = reference(folder, architecture, "llama", own, settings)
            if name == "no_prefix":
                # transformers does not read the flag from GGUF; its own class without the space is asked instead.
                own_class = LlamaTokenizer(add_prefix_space=False)
                tokenizer.backend_tokenizer.pre_tokenizer = own_class.backend_tokenizer.pre_tokenizer
                tokenizer.backend_tokenizer.decoder = own_class.backend_tokenizer.decoder
            ids = encoded(tokenizer, samples)
            if name in ("llama", "no_prefix"):
                plain = spm if name == "llama" else spm_without_prefix(folder)
                differing = [text for text, row in zip(samples, ids) if [spm.bos_id()] + plain.encode(text) != row]
                print(f"{name}: SentencePiece and transformers differ on {len(differing)} of {len(samples)}:", differing)
            decoded = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
            cases.append({"name": name, "architecture": architecture, "settings": settings, "merges": own.get("merges"), "ids": ids,
                          "decoded": {str(row): text for row, text in enumerate(decoded) if text != samples[row]}})
        save("spm.json", {"versions": VERSIONS, "vocabulary": vocabulary, "texts": samples, "cases": cases})

        tokens, merges = train_bytes()
        types = [CONTROL if token in ("<|begin|>", "<|end|>") else USER_DEFINED if token == "<turn>" else NORMAL for token in tokens]
        vocabulary = {"tokens": tokens, "merges": merges, "types": types, "bos": 0, "eos": 1}
        # <|endoftext|> is one token for transformers' class even where the file does not have it.
        samples = [text.replace("<s>", "<|begin|>").replace("<|endoftext|>", "<|end|>") for text in samples]
        cases = []
        for name, architecture, settings in BYTE_LEVEL:
            tokenizer = reference(folder, architecture, "gpt2", vocabulary, settings)
            cases.append({"name": name, "architecture": architecture, "settings": settings, "ids": encoded(tokenizer, samples)})
        counts = collections.Counter(str(case["ids"]) for case in cases)
        assert len(counts) == len(cases), "two pre-tokenisers agree on every text"
        save("bytes.json", {"versions": VERSIONS, "vocabulary": vocabulary, "texts": samples, "cases": cases})


def spm_without_prefix(folder):
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((folder / "spm.model").read_bytes())
    proto.normalizer_spec.add_dummy_prefix = False
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


if __name__ == "__main__":
    main()
