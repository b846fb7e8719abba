"""The picture codec's network: 64×64 RGB ↔ 8×8 codes of 1,000, and the directory it is shipped in.

Finite scalar quantisation (arXiv 2309.15505): each of four channels is squashed to a few levels and rounded, gradients
pass straight through; no codebook, so no code can die. The network is two lists of layers, kept in config.json; `image/`
on the TypeScript side reads the same lists. Shipped kernels are int8 blocks as in the language model (Q8_0) where their
rows divide into blocks, fp16 where they do not; biases and norms stay fp32.

Not for: training (`codec.py`), or photographs at quality: 640 bits hold an emoji's shape and colours, not its texture.
"""
import hashlib
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from ship import BLOCK, dequantize, quantize

LEVELS = (8, 5, 5, 5)
GRID = 8                      # codes a side
# The network. conv: in, out, kernel, stride. residual: x + conv(silu(norm(conv(silu(norm(x)))))), kernel 3.
ENCODER = [["unshuffle", 4], ["conv", 48, 64, 3, 1], ["residual", 64], ["conv", 64, 128, 3, 2], ["residual", 128],
           ["norm", 128], ["silu"], ["conv", 128, 4, 1, 1]]
DECODER = [["conv", 4, 160, 3, 1], ["residual", 160], ["residual", 160], ["conv", 160, 320, 1, 1], ["shuffle", 2],
           ["residual", 80], ["norm", 80], ["silu"], ["conv", 80, 160, 1, 1], ["shuffle", 2], ["silu"],
           ["conv", 40, 12, 3, 1], ["shuffle", 2]]
GROUPS, EPSILON = 8, 1e-5     # of every norm
SQUASH = 1.001                # the outermost levels stay reachable: tanh alone never gets to its ends


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, channels, EPSILON), nn.Conv2d(channels, channels, 3, 1, 1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, channels, EPSILON), nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(self.conv2.weight)  # starts as the identity

    def forward(self, x):
        return x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


def layer(kind, *numbers):
    if kind == "conv":
        i, o, kernel, stride = numbers
        return nn.Conv2d(i, o, kernel, stride, kernel // 2)
    return {"residual": Residual, "norm": lambda c: nn.GroupNorm(GROUPS, c, EPSILON), "silu": nn.SiLU,
            "shuffle": nn.PixelShuffle, "unshuffle": nn.PixelUnshuffle}[kind](*numbers)


def bound(z):
    """[…, 4] → the same squashed to each channel's levels, not yet rounded; whole numbers are the levels."""
    levels = torch.tensor(LEVELS, device=z.device)
    half, offset = (levels - 1) * SQUASH / 2, (levels % 2 == 0) * 0.5  # an even count of levels lies around a half
    return torch.tanh(z + torch.atanh(offset / half)) * half - offset


class Codec(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(*(layer(*l) for l in ENCODER))
        self.decoder = nn.Sequential(*(layer(*l) for l in DECODER))
        self.register_buffer("centre", torch.tensor([n // 2 for n in LEVELS]), persistent=False)
        self.register_buffer("basis", torch.tensor([math.prod(LEVELS[:i]) for i in range(len(LEVELS))]), persistent=False)

    def latents(self, x):
        """x [B, 3, 64, 64] in 0…1 → bounded [B, 8, 8, 4]."""
        return bound(self.encoder(x * 2 - 1).permute(0, 2, 3, 1).float())

    def paint(self, levels):
        """Whole levels [B, 8, 8, 4] → RGB [B, 3, 64, 64], around 0…1 but not cut to it."""
        return self.decoder((levels / self.centre).permute(0, 3, 1, 2)).float() * 0.5 + 0.5

    def codes(self, levels):
        return ((levels + self.centre) * self.basis).sum(-1).long()

    def encode(self, x):
        """→ codes [B, 64], row by row."""
        return self.codes(self.latents(x).round()).flatten(1)

    def decode(self, codes):
        """codes [B, 64] → RGB in 0…1."""
        levels = codes.view(-1, GRID, GRID, 1) // self.basis % torch.tensor(LEVELS, device=codes.device) - self.centre
        return self.paint(levels.float()).clamp(0, 1)

    def forward(self, x):
        z = self.latents(x)
        levels = z + (z.round() - z).detach()
        return self.paint(levels), self.codes(levels.detach().round())


# ───────────────────────────── shipping ─────────────────────────────

def ship(codec, directory, version, run, pictures):
    """Writes config.json and model.safetensors."""
    tensors = {}
    for name, w in codec.state_dict().items():
        w = w.detach().float()
        if w.dim() < 2:
            tensors[name] = w
        elif w[0].numel() % BLOCK == 0:
            tensors[name], tensors[name + ".scale"] = quantize(w.flatten(1).contiguous())
        else:
            tensors[name] = w.flatten(1).half()
    config = {"model_type": "fsq_picture_codec", "version": version, "size": GRID * 8, "grid": GRID, "levels": LEVELS,
              "groups": GROUPS, "epsilon": EPSILON, "squash": SQUASH, "encoder": ENCODER, "decoder": DECODER}
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / "model.safetensors", {"format": "pt", "run": run, "trained_pictures": str(pictures)})
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def open_codec(directory):
    """A shipped directory → the codec with exactly the weights that every reader computes with, and their hash."""
    config = json.loads((directory / "config.json").read_text())
    assert (config["encoder"], config["decoder"], config["levels"]) == (ENCODER, DECODER, list(LEVELS)), "another network"
    codec, path = Codec(), directory / "model.safetensors"
    with safe_open(str(path), "pt") as f:
        names = set(f.keys())
        for name, p in codec.state_dict().items():
            w = f.get_tensor(name)
            w = dequantize(w, f.get_tensor(name + ".scale")) if name + ".scale" in names else w.float()
            p.copy_(w.view(p.shape))
    return codec.eval(), hashlib.sha256(path.read_bytes()).hexdigest()
