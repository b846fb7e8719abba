"""Train the network on packed rows: two stages of one run, resumable after a kill at any moment.

    python train.py --packed DIR --run DIR --seconds 5000 [--stage1 0.45] [--batch 8192] [--micro 4096]
    torchrun --nproc-per-node 2 -- train.py …    # one process per core (or GPU): data parallel

On a shared CPU two processes of one thread beat one process of two, because they wait for each other once a step instead of
once an operation.

The schedule is in *trained seconds*, not steps: on a shared machine the speed is unknown, the deadline is not.
Warm-up 2 %, flat, then linear warm-down to 2 % over the last 40 %. Stages differ only in the
mixture. `DIR/checkpoint.pt` is replaced atomically every few minutes; starting the same command again continues from it,
with the data drawn afresh from (seed, step). `DIR/log.jsonl` gets one line every few steps. `DIR/mixture.json`, when
present, overrides the mixture and is read anew every 50 steps, so a weak skill can be fed without a restart.

Not for: models past one device's memory (the design names FSDP2 and expert parallelism) or hyper-parameter search.
"""
import argparse
import hashlib
import json
import math
import os
import pathlib
import time

import numpy as np
import torch
import torch.distributed as dist

from network import SIZES, Network
from optim import Optimizer

BALANCE, ROUTER_Z = 1e-2, 1e-3   # weights of the load-balance (1e-3 left 9 of 96 experts dead at this budget) and router z losses
WARM_UP, WARM_DOWN, FLOOR = 0.02, 0.4, 0.02
SAVE_EVERY, EVALUATE_EVERY, LOG_EVERY = 240, 1200, 10  # seconds, seconds, steps
DEAD = 0.1                       # an expert below this share of its even load counts as dead
WATTS_PER_CORE = 8.0             # estimate: a server core under load, with its share of the package and memory
GRAMS_PER_KWH = 450.0            # estimate: world average grid

# Share of tokens by source; names are the packed files'. Stage 1 is broad, stage 2 is talk, memory and couplets.
# `recite` (said twice, loss on the second) is what makes copying appear, and within 200 steps; it is then tapered.
MIXTURE = [
    {"recite": 5, "recite_en": 5, "voice_zh": 24, "voice_en": 9, "small_zh": 5, "small_en": 3, "story_zh": 6, "prose_zh": 8, "prose_en": 3,
     "sentences_zh": 8, "sentences_en": 5, "couplet": 5, "poem": 2, "verse": 1, "teach_gen": 2, "en_gen": 2, "reason_gen": 1,
     "ground_zh": 13, "ground_en": 13},
    {"recite": 1, "recite_en": 4, "small_zh": 20, "small_en": 10, "voice_zh": 18, "voice_en": 6, "story_zh": 1, "sentences_zh": 1,
     "couplet": 5, "poem": 1, "teach_gen": 1, "ground_zh": 19, "ground_en": 16, "openings": 1},
]


# In stage 1 the person's turns of hand-written talk carry loss too: good plain language is scarce, and who is speaking is
# settled in stage 2, where only her own words count.
WHOLE_IN_STAGE_1 = {"voice_zh", "voice_en"}


def schedule(progress):
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return max(FLOOR, min(1.0, FLOOR + (1 - FLOOR) * (1 - progress) / WARM_DOWN))


class Rows:
    """Packed rows of every source. tokens uint16 [R, T+1]; flags uint8 [R, T+1] = document·2 + loss bit."""

    def __init__(self, directory):
        self.sources, self.digest = {}, hashlib.sha256()
        for path in sorted(directory.glob("*.train.npz")):
            with np.load(path) as f:
                if len(f["tokens"]):
                    self.sources[path.name.split(".")[0]] = (f["tokens"], f["flags"])
                self.digest.update(f["tokens"].tobytes())
        self.hash = self.digest.hexdigest()[:16]

    def batch(self, mixture, rows, seed, step, whole=()):
        """Rows drawn by the mixture from (seed, step) alone, so that a resumed run needs no sampler state."""
        rng = np.random.default_rng([seed, step])
        names = [n for n in mixture if n in self.sources]
        share = np.array([mixture[n] for n in names], float)
        picks = rng.choice(len(names), size=rows, p=share / share.sum())
        tokens, flags = [], []
        for name in (names[p] for p in picks):
            t, f = self.sources[name]
            i = rng.integers(len(t))
            tokens.append(t[i])
            flags.append(f[i] | (f[i] > 0) if name in whole else f[i])
        return unpack(np.stack(tokens), np.stack(flags))


def unpack(tokens, flags):
    """→ ids, document, target, each [B, T]; a target counts where its loss bit is set and it continues the document."""
    tokens, flags = torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(flags.astype(np.int64))
    document, loss = flags >> 1, (flags & 1).bool()
    keep = loss[:, 1:] & (document[:, 1:] == document[:, :-1])
    return tokens[:, :-1], document[:, :-1], torch.where(keep, tokens[:, 1:], -100)


def device_and_autocast():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return device, torch.autocast(device, dtype=torch.bfloat16)


@torch.no_grad()
def held_out(network, directory, autocast, device, limit=8):
    """Bits per UTF-8 byte of the loss tokens, by source. `bytes.npy` holds each token's byte length."""
    lengths = torch.from_numpy(np.load(directory / "bytes.npy").astype(np.int64))
    result = {}
    for path in sorted(directory.glob("*.held.npz")):
        with np.load(path) as f:
            ids, document, target = unpack(f["tokens"][:limit], f["flags"][:limit])
        if not len(ids):
            continue
        bits = size = 0
        for a in range(0, len(ids), 8):
            with autocast:
                total = network(ids[a:a + 8].to(device), document[a:a + 8].to(device), target[a:a + 8].to(device))[0]
            want = target[a:a + 8]
            bits += total.item() / math.log(2)
            size += lengths[want[want >= 0]].sum().item()
        result[path.name.split(".")[0]] = round(bits / max(size, 1), 4)
    return result


def join():
    """→ rank, world size; alone unless started by torchrun."""
    if "RANK" not in os.environ:
        return 0, 1
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return dist.get_rank(), dist.get_world_size()


def from_first(value):
    """Rank 0's clock everywhere: all ranks must agree on stage, rate and when to stop."""
    if dist.is_initialized():
        box = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(box, 0)
        return box.item()
    return value


def sum_over_ranks(parameters, *numbers):
    """All-reduce the gradients and a few statistics as one flat tensor: one wait a step."""
    if not dist.is_initialized():
        return numbers
    parts = [p.grad for p in parameters] + list(numbers)
    flat = torch.cat([t.flatten() for t in parts])
    dist.all_reduce(flat)
    summed = [piece.view_as(t) for piece, t in zip(flat.split([t.numel() for t in parts]), parts)]
    for p, g in zip(parameters, summed):
        p.grad = g
    return summed[len(parameters):]


def save(path, network, optimizer, **numbers):
    scratch = path.with_suffix(".tmp")
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "config": vars(network.c), **numbers}, scratch)
    os.replace(scratch, path)


def train(args):
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    (rank, world), (device, autocast) = join(), device_and_autocast()
    stages = [Rows(args.packed), Rows(args.packed2 or args.packed)]
    network = Network(SIZES[args.size]).to(device)
    parameters = list(network.parameters())
    optimizer, step, tokens, spent = Optimizer(network), 0, 0, 0.0
    checkpoint = args.run / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        step, tokens, spent = state["step"], state["tokens"], state["seconds"]
    log = open(args.run / "log.jsonl" if rank == 0 else os.devnull, "a", buffering=1)
    record = lambda **kind: log.write(json.dumps({"time": round(time.time()), "step": step, "tokens": tokens, **kind}) + "\n")
    record(event="start", seed=args.seed, data=[r.hash for r in stages], config=vars(network.c), seconds=args.seconds,
           torch=torch.__version__, processes=world, threads=torch.get_num_threads(),
           rows=[{n: len(t) for n, (t, _) in r.sources.items()} for r in stages])
    started, saved, evaluated, mark, mark_tokens = time.time() - spent, time.time(), spent, time.time(), tokens
    override, stage_seen = None, None
    while (spent := from_first(time.time() - started)) < args.seconds:
        progress = spent / args.seconds
        stage = int(progress >= args.stage1)
        if step % 50 == 0 or override is None:
            path = args.run / "mixture.json"
            override = json.loads(path.read_text()) if path.exists() else {}
        if (mixture := override.get(f"stage{stage + 1}", MIXTURE[stage])) != stage_seen:
            stage_seen, rows = mixture, stages[stage]
            width = next(iter(rows.sources.values()))[0].shape[1] - 1
            record(event="stage", stage=stage + 1, mixture=mixture)
        batch = rows.batch(mixture, args.batch // width, args.seed, step, WHOLE_IN_STAGE_1 if stage == 0 else ())
        count = max(int((batch[2] >= 0).sum()), 1)  # every rank draws the same batch and takes its rows of it
        ids, document, target = (t[rank::world].to(device) for t in batch)
        micro, loss_sum, loads, balances = max(args.micro // width, 1), 0.0, 0, 0
        for a in range(0, len(ids), micro):
            with autocast:
                total, _, _, balance, z, load = network(ids[a:a + micro], document[a:a + micro], target[a:a + micro])
            share = len(ids[a:a + micro]) / (len(ids) * world)
            (total / count + share * (BALANCE * balance + ROUTER_Z * z)).backward()
            loss_sum, loads, balances = loss_sum + total.detach(), loads + share * load, balances + share * balance.detach()
        loss_sum, loads, balances = sum_over_ranks(parameters, loss_sum, loads, balances)
        scale = schedule(progress)
        optimizer.step(scale)
        step, tokens = step + 1, tokens + batch[0].numel()
        if step % LOG_EVERY == 0:
            now = time.time()
            even = loads * network.c.num_experts  # 1 = its fair share
            kwh = spent * world * torch.get_num_threads() * WATTS_PER_CORE / 3.6e6
            record(loss=round(loss_sum.item() / count, 4), stage=stage + 1, scale=round(scale, 4), seconds=round(spent),
                   tokens_per_s=round((tokens - mark_tokens) / (now - mark)), balance=round(balances.item(), 4),
                   load_min=round(even.min().item(), 3), load_max=round(even.max().item(), 3), dead=int((even < DEAD).sum()),
                   kwh_estimate=round(kwh, 5), gco2e_estimate=round(kwh * GRAMS_PER_KWH, 2))
            mark, mark_tokens = now, tokens
        if rank == 0 and spent - evaluated > EVALUATE_EVERY:
            evaluated = spent
            record(event="held_out", bits_per_byte=held_out(network, args.packed, autocast, device))
        if rank == 0 and time.time() - saved > SAVE_EVERY:
            save(checkpoint, network, optimizer, step=step, tokens=tokens, seconds=spent)
            saved = time.time()
    if rank == 0:
        save(checkpoint, network, optimizer, step=step, tokens=tokens, seconds=spent)
        record(event="end", seconds=round(spent), bits_per_byte=held_out(network, args.packed, autocast, device, 60))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--packed", type=pathlib.Path, required=True)
    p.add_argument("--packed2", type=pathlib.Path, help="longer rows for stage 2; short rows are cheaper while grammar is learnt")
    p.add_argument("--run", type=pathlib.Path, required=True)
    p.add_argument("--seconds", type=float, required=True, help="training time in all, resumed time included")
    p.add_argument("--size", choices=SIZES, default="seedling")
    p.add_argument("--stage1", type=float, default=0.45, help="share of the time before the mixture changes")
    p.add_argument("--batch", type=int, default=8_192, help="tokens per step")
    p.add_argument("--micro", type=int, default=4_096, help="tokens per forward pass")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=0)
    args = p.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)
    train(args)
