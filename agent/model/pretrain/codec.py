"""Train the picture codec (`fsq.py`), ship it, measure it, and turn pictures into codes for the language model.

    python codec.py --run DIR --seconds 2400                     # train; the same command continues a killed run
    python codec.py --run DIR --ship ../checkpoints/seedling/codec
    python codec.py --measure FILE.json --sheet FILE.png --reference FILE.json --encode FILE.npz [--copies 4]   # any of these

Loss: L1, heavier where there is ink, plus L1 of the differences between neighbouring pixels and of the picture made
smaller. The schedule is in trained seconds, as in `train.py`.

`--encode` writes FILE.npz (codes uint16 [N, 64] row by row, source and split uint8 [N], picture uint32 [N]: the row's picture;
copy uint8 [N]: 0 as it is, from 1 moved and scaled) and FILE.jsonl (one line a picture: names, keywords and style words in
zh and en). A row of training text is `<|image_start|>`, 64 codes, `<|image_end|>` and the names, in either order.
"""
import argparse
import base64
import json
import math
import os
import pathlib
import struct
import time
import zlib

import numpy as np
import torch
import torch.nn.functional as F

from fsq import GRID, LEVELS, Codec, open_codec, ship
from optim import orthogonalize
from pictures import SIZE, SOURCES, TEST, TRAIN, load

HERE = pathlib.Path(__file__).resolve().parent
INK = 2.0                     # extra weight of pixels that are not paper: thin strokes are few, and are the picture
EDGE, SMALL = 1.0, 1.0        # weights of the neighbour-difference and the quarter-size losses
PAPER = 0.92                  # darker than this in any channel counts as ink
MUON_LR, ADAM_LR = 0.02, 2e-3 # matrices; biases and norms
MOMENTUM, BETAS = 0.95, (0.9, 0.99)
WARM_UP, WARM_DOWN, FLOOR = 0.02, 0.5, 0.01
BATCH = 32
EVALUATE_EVERY, SAVE_EVERY, LOG_EVERY = 240, 120, 50   # seconds, seconds, steps
HELD_OUT = 96                 # pictures a source, while training; all of them at the end
WATTS_PER_CORE, GRAMS_PER_KWH = 8.0, 450.0             # estimates, as in train.py

# Share of each batch. Emoji are what she paints; drawings are what she is shown.
MIXTURE = {"emoji_noto": 8, "emoji_twemoji": 8, "emoji_fluent3d": 8, "emoji_fluentflat": 7, "emoji_openmoji": 6, "emoji_emojione2": 6,
           "emoji_fxemoji": 3, "flags_twemoji": 2, "icons_color_misc": 3, "icons_iconpark": 4, "icons_line_gray": 7, "hanzi64_gray": 6,
           "quickdraw_vec64": 9, "quickdraw28": 5, "mnist_t10k_28": 2, "photo_grocery": 7, "photo_caltech101": 8}


# ───────────────────────────── training ─────────────────────────────

def loss_of(y, x):
    """Mean absolute error: of pixels (ink counts more), of neighbouring differences, and of the picture at a quarter the size."""
    weight = 1 + INK * (x.amin(1, keepdim=True) < PAPER)
    pixels = ((y - x).abs() * weight).sum() / (3 * weight.sum())
    across = (y.diff(dim=3) - x.diff(dim=3)).abs().mean()
    down = (y.diff(dim=2) - x.diff(dim=2)).abs().mean()
    small = F.l1_loss(F.avg_pool2d(y, 4), F.avg_pool2d(x, 4))
    return pixels + EDGE * (across + down) + SMALL * small


def as_float(images):
    """uint8 [N, 64, 64(, 3)] → float [N, 3, 64, 64] in 0…1."""
    x = torch.from_numpy(np.ascontiguousarray(images)).float() / 255
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x[:, None].expand(-1, 3, -1, -1)


def coin(rng, n, p):
    return torch.from_numpy(rng.random(n) < p).view(-1, 1, 1, 1)


def augment(x, ink, rng, colours=True, mirror=0.3):
    """Shift, scale and mirror all; thicken and thin strokes; recolour some. x [B, 3, 64, 64]; ink bool [B]."""
    n, ink = len(x), ink.view(-1, 1, 1, 1)
    thick = -F.max_pool2d(-x, 3, 1, 1)
    thin = F.pad(F.max_pool2d(x, 2, 1), (0, 1, 0, 1), value=1.0)
    choice, mix = coin(rng, n, 0.5), torch.from_numpy(rng.random((n, 1, 1, 1), np.float32))
    x = torch.where(ink & choice, x.lerp(thick, mix), x)
    x = torch.where(ink & ~choice & coin(rng, n, 0.3), x.lerp(thin, mix), x)
    if colours:
        x = recolour(x, ink, rng)
    scale = rng.uniform(0.9, 1.25, (n, 1))  # above 1: smaller on the sheet
    flip = np.where(rng.random((n, 1)) < mirror, -1, 1)
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, :1], theta[:, 1, 1:2] = scale * flip, scale
    theta[:, :, 2] = rng.uniform(-0.15, 0.15, (n, 2))
    moved = F.grid_sample(1 - x, F.affine_grid(torch.from_numpy(theta), list(x.shape), align_corners=False), align_corners=False)
    return torch.where(coin(rng, n, 0.7), 1 - moved, x)


def recolour(x, ink, rng):
    """Some drawings in a coloured pen on tinted paper; some colour pictures with their channels exchanged."""
    n = len(x)
    pen = torch.from_numpy(rng.random((n, 3, 1, 1), np.float32)) * 0.8
    sheet = 1 - torch.from_numpy(rng.random((n, 3, 1, 1), np.float32)) * 0.25
    x = torch.where(ink & coin(rng, n, 0.35), pen + (sheet - pen) * x, x)
    return torch.where(coin(rng, n, 0.2) & ~ink, x[:, torch.from_numpy(rng.permutation(3))], x)


class Optimizer:
    """Muon for kernels (as matrices [out, in·k·k]), Adam for biases and norms."""

    def __init__(self, network):
        self.parameters, self.state, self.steps = dict(network.named_parameters()), {}, 0

    @torch.no_grad()
    def step(self, scale):
        self.steps += 1
        for name, p in self.parameters.items():
            g, s = p.grad, self.state.setdefault(name, {"m": torch.zeros_like(p), "v": torch.zeros_like(p)})
            if p.dim() == 4:
                s["m"].lerp_(g, 1 - MOMENTUM)
                update = orthogonalize(g.lerp(s["m"], MOMENTUM).flatten(1)).view_as(p)
                rows, columns = p.shape[0], p[0].numel()
                p.sub_(update, alpha=MUON_LR * scale * max(1.0, rows / columns) ** 0.5)
            else:
                s["m"].lerp_(g, 1 - BETAS[0])
                s["v"].lerp_(g.square(), 1 - BETAS[1])
                v = s["v"] / (1 - BETAS[1] ** self.steps)
                p.sub_(s["m"] / (1 - BETAS[0] ** self.steps) / (v.sqrt() + 1e-8), alpha=ADAM_LR * scale)
            p.grad = None

    def state_dict(self):
        return {"state": self.state, "steps": self.steps}

    def load_state_dict(self, saved):
        self.state, self.steps = saved["state"], saved["steps"]


def schedule(progress):
    return max(FLOOR, min(1.0, max(progress, 1e-4) / WARM_UP, FLOOR + (1 - FLOOR) * (1 - progress) / WARM_DOWN))


@torch.no_grad()
def measure(codec, pictures, limit=None):
    """Held-out pictures → per source PSNR (of the mean squared error of all), L1 on 0…1; codes used and their perplexity."""
    result, counts = {}, torch.zeros(math.prod(LEVELS))
    for source, (images, _, splits) in pictures.items():
        chosen = images[splits == TEST]
        if limit and len(chosen) > limit:
            chosen = chosen[np.random.default_rng(0).permutation(len(chosen))[:limit]]
        l1 = l2 = 0.0
        for a in range(0, len(chosen), 64):
            x = as_float(chosen[a:a + 64])
            codes = codec.encode(x)
            y = codec.decode(codes)
            l1, l2 = l1 + (y - x).abs().sum().item(), l2 + (y - x).square().sum().item()
            counts += torch.bincount(codes.flatten(), minlength=len(counts))
        size = len(chosen) * 3 * SIZE * SIZE
        result[source] = {"n": len(chosen), "psnr": round(-10 * math.log10(l2 / size), 2), "l1": round(l1 / size, 4)}
    p = counts / counts.sum()
    return {"sources": result, "codes_used": int((counts > 0).sum()), "perplexity": round(torch.exp(-(p * p.clamp_min(1e-12).log()).sum()).item(), 1)}


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    pictures = {source: load(args.data, source) for source in SOURCES}
    pools = {s: images[splits == TRAIN] for s, (images, _, splits) in pictures.items()}
    names = list(MIXTURE)
    shares = np.array([MIXTURE[n] for n in names]) / sum(MIXTURE.values())
    codec = Codec()
    optimizer, step, spent = Optimizer(codec), 0, 0.0
    checkpoint = args.run / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        codec.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["seconds"]
    log = open(args.run / "log.jsonl", "a", buffering=1)
    record = lambda **kind: log.write(json.dumps({"time": round(time.time()), "step": step, "pictures": step * BATCH, **kind}) + "\n")
    record(event="start", seed=args.seed, seconds=args.seconds, parameters=sum(p.numel() for p in codec.parameters()),
           mixture=MIXTURE, train={n: len(p) for n, p in pools.items()}, torch=torch.__version__, threads=args.threads)
    started, saved, evaluated, mark, mark_step, total = time.time() - spent, time.time(), spent, time.time(), step, 0.0

    def save():
        scratch = checkpoint.with_suffix(".tmp")
        torch.save({"network": codec.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": spent}, scratch)
        os.replace(scratch, checkpoint)

    while (spent := time.time() - started) < args.seconds:
        rng = np.random.default_rng((args.seed, step))
        drawn = [names[i] for i in rng.choice(len(names), BATCH, p=shares)]
        x = torch.cat([as_float(pools[n][rng.integers(len(pools[n]))][None]) for n in drawn])
        x = augment(x, torch.tensor([SOURCES[n][2] == "ink" for n in drawn]), rng)
        with torch.autocast("cpu", torch.bfloat16):
            y, codes = codec(x)
        loss = loss_of(y, x)
        loss.backward()
        optimizer.step(scale := schedule(spent / args.seconds))
        step, total = step + 1, total + loss.item()
        if step % LOG_EVERY == 0:
            now, kwh = time.time(), spent * args.threads * WATTS_PER_CORE / 3.6e6
            record(loss=round(total / (step - mark_step), 4), scale=round(scale, 4), seconds=round(spent),
                   pictures_per_s=round((step - mark_step) * BATCH / (now - mark), 1), kwh_estimate=round(kwh, 5),
                   gco2e_estimate=round(kwh * GRAMS_PER_KWH, 2))
            mark, mark_step, total = now, step, 0.0
        if spent - evaluated > EVALUATE_EVERY:
            evaluated = spent
            record(event="held_out", **measure(codec, pictures, HELD_OUT))
        if time.time() - saved > SAVE_EVERY:
            saved = time.time()
            save()
    save()
    record(event="end", seconds=round(spent), **measure(codec, pictures, HELD_OUT))


# ───────────────────────────── after training ─────────────────────────────

def loaded(run):
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    codec = Codec()
    codec.load_state_dict(state["network"])
    return codec.eval(), state["step"] * BATCH


@torch.no_grad()
def sheet(codec, pictures, path, per_source=8):
    """A PNG of held-out pictures, unselected (the first of a seeded shuffle): originals above their reconstructions."""
    lines = []
    for images, _, splits in pictures.values():
        held = np.flatnonzero(splits == TEST)
        chosen = np.random.default_rng(1).permutation(held)[:per_source]
        x = as_float(images[np.resize(chosen, per_source)])
        for row in (x, codec.decode(codec.encode(x))):
            lines.append((row * 255).round().byte().permute(2, 0, 3, 1).reshape(SIZE, -1, 3).numpy())
    half = (len(lines) + 3) // 4 * 2  # two columns, pairs kept together
    columns = [np.concatenate(lines[a:a + half]) for a in range(0, len(lines), half)]
    columns[-1] = np.pad(columns[-1], ((0, len(columns[0]) - len(columns[-1])), (0, 0), (0, 0)), constant_values=255)
    picture = np.concatenate(columns, 1).repeat(2, 0).repeat(2, 1)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    scanlines = b"".join(b"\0" + line.tobytes() for line in picture)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", picture.shape[1], picture.shape[0], 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(scanlines, 9)) + chunk(b"IEND", b""))


def shapes():
    """Pictures made by formula, for the reference: nobody's drawings."""
    y, x = np.mgrid[:SIZE, :SIZE]
    paper = np.full((SIZE, SIZE, 3), 255, np.uint8)
    disc, ring, slope, noise = paper.copy(), paper.copy(), paper.copy(), paper.copy()
    disc[(x - 30) ** 2 + (y - 36) ** 2 < 400] = (214, 40, 40)
    disc[(abs(x - 34) < 2) & (y > 6) & (y < 18)] = (90, 60, 30)
    r = (x - 32) ** 2 + (y - 32) ** 2
    ring[(r > 500) & (r < 640) | (abs(x - y) < 2) & (r < 500)] = 0
    slope[:] = np.stack([x * 4, y * 4, 255 - x * 2 - y * 2], -1)
    noise[:] = np.random.default_rng(7).integers(0, 256, (16, 16, 3)).repeat(4, 0).repeat(4, 1)
    return np.stack([disc, ring, slope, noise, paper])


STRIDE = 7  # of the painted bytes, one in so many is kept: every column and channel, and a small file


def packed(array):
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()


@torch.no_grad()
def reference(codec, sha256):
    """What PyTorch computes, fp32: bounded latents and codes of made-up pictures; painted bytes of codes, theirs and random ones."""
    x = as_float(shapes())
    z, codes = codec.latents(x), codec.encode(x)
    codes = torch.cat([codes, torch.from_numpy(np.random.default_rng(3).integers(0, math.prod(LEVELS), (3, GRID * GRID)))])
    painted = (codec.decode(codes) * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    return {"weights": sha256, "torch": torch.__version__, "pictures": [packed(p) for p in shapes()],
            "latents": [[round(v, 4) for v in picture.flatten().tolist()] for picture in z],
            "codes": codes.tolist(), "stride": STRIDE, "painted": [packed(p.numpy().ravel()[::STRIDE].copy()) for p in painted]}


@torch.no_grad()
def encode(codec, pictures, path, copies, seed):
    """Every picture's codes, and `copies` more of each training picture moved, scaled and with other strokes; see the header."""
    out, captions, number = {"codes": [], "source": [], "split": [], "picture": [], "copy": []}, [], 0
    for index, (source, (images, rows, splits)) in enumerate(pictures.items()):
        style_zh, style_en, kind = SOURCES[source]
        keep = ("id", "zh", "en", "kw_zh", "kw_en", "group", "emoji", "label", "category")
        captions += [{"source": source, "style_zh": style_zh, "style_en": style_en, "kind": kind,
                      **{k: row[k] for k in keep if row.get(k)}} for row in rows]
        mirror = 0.0 if source.startswith(("hanzi", "mnist", "flags")) else 0.3  # where left and right mean something
        for copy in range(copies + 1):
            which = np.arange(len(images)) if copy == 0 else np.flatnonzero(splits != TEST)
            rng = np.random.default_rng((seed, index, copy))
            for a in range(0, len(which), 64):
                some = which[a:a + 64]
                x = as_float(images[some])
                if copy:
                    x = augment(x, torch.full((len(x),), kind == "ink"), rng, colours=False, mirror=mirror)
                out["codes"].append(codec.encode(x).numpy().astype(np.uint16))
            out["source"].append(np.full(len(which), index, np.uint8))
            out["split"].append(splits[which])
            out["picture"].append((number + which).astype(np.uint32))
            out["copy"].append(np.full(len(which), copy, np.uint8))
        number += len(images)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, sources=np.array(list(pictures)), **{k: np.concatenate(v) for k, v in out.items()})
    path.with_suffix(".jsonl").write_text("".join(json.dumps(c, ensure_ascii=False) + "\n" for c in captions), encoding="utf-8")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=pathlib.Path, default=HERE.parents[2].parent / "shared/data")
    p.add_argument("--run", type=pathlib.Path)
    p.add_argument("--seconds", type=float, default=0, help="training time in all, resumed time included")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--ship", type=pathlib.Path, help="write the run's newest weights to this directory")
    p.add_argument("--version", default="0.1.0")
    p.add_argument("--codec", type=pathlib.Path, default=HERE.parent / "checkpoints/seedling/codec", help="what the options below read")
    p.add_argument("--measure", type=pathlib.Path)
    p.add_argument("--sheet", type=pathlib.Path)
    p.add_argument("--reference", type=pathlib.Path)
    p.add_argument("--encode", type=pathlib.Path)
    p.add_argument("--copies", type=int, default=0)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.seconds:
        args.run.mkdir(parents=True, exist_ok=True)
        train(args)
    if args.ship:
        network, seen = loaded(args.run)
        ship(network, args.ship, args.version, args.run.name, seen)
    if args.measure or args.sheet or args.reference or args.encode:
        shipped, sha256 = open_codec(args.codec)
    if args.reference:
        args.reference.write_text(json.dumps(reference(shipped, sha256)) + "\n")
    if args.measure or args.sheet or args.encode:
        all_pictures = {source: load(args.data, source) for source in SOURCES}
    if args.measure:
        args.measure.write_text(json.dumps({"weights": sha256, **measure(shipped, all_pictures)}, indent=1) + "\n")
    if args.sheet:
        sheet(shipped, all_pictures, args.sheet)
    if args.encode:
        encode(shipped, all_pictures, args.encode, args.copies, args.seed)
