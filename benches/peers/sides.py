"""The processes that models.py asks: ours and the peers'."""

import json
import os
import subprocess
import time

import tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Side:
    """A process that answers requests, one line of JSON each; `seconds` is from its start to its first answer."""

    def __init__(self, *command):
        self.started = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.loaded = self.answer()

    def ask(self, do, **request):
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args)} ended early")
        return json.loads(line)

    def age(self):
        return time.perf_counter() - self.started

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Sides:
    """Starts a side when it is first asked for: `f32` and `bf16` are ours."""

    def __init__(self, arguments):
        self.arguments, self.running, self.versions = arguments, {}, {}

    def __getitem__(self, name):
        if name not in self.running:
            self.running[name] = self.start(name)
            self.versions.update(self.running[name].loaded.get("versions", {}))
        return self.running[name]

    def start(self, name):
        """A fresh process. `gguf` is transformers with the file that we read; the other peers have its weights as
        safetensors, which load fast."""
        arguments = self.arguments
        transformers = [arguments.python, os.path.join(HERE, "transformers_side.py")]
        lens = [arguments.lens_python, os.path.join(HERE, "lens_side.py")]
        if name in ("f32", "bf16"):
            return Side(arguments.ours, arguments.model, name)
        if name == "gguf":
            return Side(*transformers, arguments.model)
        weights = self.weights()
        if name in ("transformers", "transformers_bf16"):
            return Side(*transformers, weights, *(["bf16"] if name.endswith("bf16") else []))
        return Side(*lens, name, weights)

    def weights(self):
        """The folder with the dequantised weights, made where it is not there."""
        folder = self.arguments.weights
        if not os.path.exists(os.path.join(folder, "tokenizer.json")):
            side = self.start("gguf")
            side.ask("save", folder=folder)
            side.close()
        return folder

    def tokenizer(self):
        return tokenizers.Tokenizer.from_file(os.path.join(self.weights(), "tokenizer.json"))

    def stop(self, *names):
        for name in names:
            if name in self.running:
                self.running.pop(name).close()

    def close(self):
        self.stop(*list(self.running))


def machine(arguments):
    """What the machine can do; see machine.py."""
    output = subprocess.run([arguments.python, os.path.join(HERE, "machine.py")], stdout=subprocess.PIPE, check=True)
    return json.loads(output.stdout)


def environment(threads):
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"]:
        os.environ[name] = str(threads)
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    os.environ.update(WANDB_MODE="disabled", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1")
