"""Train the retrieval head: one matrix over the frozen network's mean-pooled hidden states, contrastively (InfoNCE).

    python retrieve.py --checkpoint ../checkpoints/seedling [--steps 3000] [--out DIR]

Pairs that should meet: a question and the fact that answers it (made up by gen_ground.py; hand-written dialogues and the
line of memory their reply used), two askings of one everyday question, a sentence and its translation. Negatives: the
rest of the batch, and near misses (same relation, other owner). Written in sentence-transformers' layout (`modules.json`,
`1_Pooling`, `2_Dense`), so `SentenceTransformer(directory)` computes what our engines compute.

Reports recall@1 and @5 among held-out facts before and after, beside character-bigram BM25.

Not for: fine-tuning the network. Talk must not change because memory was tuned.
"""
import argparse
import collections
import itertools
import json
import lzma
import math
import pathlib
import random
import zlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

import gen_ground
from ship import load

WIDTH = 128         # floats an embedding: int8 in memory, 100,000 facts are 12.8 MB to scan
TEMPERATURE = 0.05  # start; learnt
BATCH, RATE = 512, 3e-3
LONGEST = 96        # tokens of a text; a fact is a sentence


def grounded(lang, count, seed, held, data):
    """→ (question, fact, near misses)."""
    maker = gen_ground.Maker(lang, seed, held=held, data=data)
    for _ in range(count):
        f = maker.fact()
        misses = [maker.fact(like=f) for _ in range(2)]
        yield maker.ask(f), maker.fill(f["statement"], f), [maker.fill(m["statement"], m) for m in misses if m["key"] != f["key"]]


def bigrams(text):
    text = text.lower()
    return {text[i:i + 2] for i in range(len(text) - 1)}


def dialogues(data):
    """→ (what was said last, the recalled line its reply draws on most, the other lines)."""
    for name in ["teach_zh", "life_zh", "plain_zh", "make_zh", "en"]:
        for line in open(data / f"persona/{name}.jsonl", encoding="utf-8"):
            row = json.loads(line)
            memory, messages = row.get("memory") or [], row.get("messages", [])
            if not memory or len(messages) < 2:
                continue
            asked, reply = messages[-2]["content"], bigrams(messages[-1]["content"])
            best = max(memory, key=lambda m: len(bigrams(m) & reply))
            if len(bigrams(best) & reply) >= 3:
                yield asked, best, [m for m in memory if m != best][:2]


def everyday(data, rng, count):
    intents = json.load(lzma.open(data / "zh/ms_chitchat_zh_intents.json.xz", "rt", encoding="utf-8"))
    for _ in range(count):
        a, b = rng.sample([q for q in rng.choice(intents)["queries"] if "editorial" not in q], 2)
        yield a, b, []


def translations(data, rng, count):
    rows = [json.loads(line) for line in lzma.open(data / "zh/pairs_zh_en.jsonl.xz", "rt", encoding="utf-8")]
    for row in rng.sample(rows, count):
        pair = row["text"].split("\t")[:2]
        rng.shuffle(pair)
        yield *pair, []


class Features:
    """Mean over the tokens of the final-norm hidden states, [texts, H]; each text is computed once."""

    def __init__(self, directory):
        self.network, self.metadata = load(directory)
        self.tok = Tokenizer.from_file(str(directory / "tokenizer.json"))

    @torch.no_grad()
    def __call__(self, texts):
        rows = [self.tok.encode(t).ids[:LONGEST] for t in texts]
        order, out = sorted(range(len(rows)), key=lambda i: len(rows[i])), torch.zeros(len(rows), self.network.c.hidden_size)
        for a in range(0, len(order), 256):
            some = order[a:a + 256]
            width = max(max(len(rows[i]) for i in some), 1)
            ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in some])
            real = torch.tensor([[1.0] * len(rows[i]) + [0.0] * (width - len(rows[i])) for i in some]).unsqueeze(-1)
            hidden = self.network.hidden(ids, torch.zeros_like(ids))[0]  # causal: padding on the right changes nothing
            out[some] = (hidden * real).sum(1) / real.sum(1).clamp(min=1)
        return out


def bm25(questions, facts):
    """Score matrix [Q, F] over character bigrams, k1 1.2, b 0.75 (Robertson & Zaragoza 2009)."""
    docs = [collections.Counter(t.lower()[i:i + 2] for i in range(len(t) - 1)) for t in facts]
    frequency = collections.Counter(g for d in docs for g in d)
    mean = sum(d.total() for d in docs) / len(docs)
    score = torch.zeros(len(questions), len(facts))
    where = collections.defaultdict(list)
    for j, d in enumerate(docs):
        for g, n in d.items():
            where[g].append((j, n * 2.2 / (n + 1.2 * (0.25 + 0.75 * d.total() / mean))))
    for i, q in enumerate(questions):
        for g in bigrams(q):
            idf = math.log(1 + (len(docs) - frequency[g] + 0.5) / (frequency[g] + 0.5))
            for j, w in where[g]:
                score[i, j] += idf * w
    return score


def recall(score, k):
    right = score.diagonal().unsqueeze(1)
    return round(((score > right).sum(1) < k).float().mean().item(), 3)


def measure(features, head, sets):
    report = {}
    for name, pairs in sets.items():
        questions, facts = [p[0] for p in pairs], [p[1] for p in pairs]
        q, f = features(questions), features(facts)
        ways = {"bm25": bm25(questions, facts), "pooled": F.normalize(q, dim=-1) @ F.normalize(f, dim=-1).t()}
        if head is not None:
            with torch.no_grad():
                ways["head"] = F.normalize(head(q), dim=-1) @ F.normalize(head(f), dim=-1).t()
            # Reciprocal rank fusion, as recall fuses its two lists.
            rank = lambda s: s.argsort(1, descending=True).argsort(1)
            ways["fused"] = 1 / (60.0 + rank(ways["bm25"])) + 1 / (60.0 + rank(ways["head"]))
        report[name] = {"facts": len(pairs), **{w: {f"@{k}": recall(s, k) for k in (1, 5)} for w, s in ways.items()}}
    return report


def write(head, out):
    for path, value in {
        "modules.json": [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                         for i, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")])],
        "sentence_bert_config.json": {"max_seq_length": LONGEST, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": head.in_features, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False, "pooling_mode_max_tokens": False},
        "2_Dense/config.json": {"in_features": head.in_features, "out_features": head.out_features, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"},
    }.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(json.dumps(value, indent=1) + "\n")
    save_file({"linear.weight": head.weight.detach().contiguous()}, str(out / "2_Dense/model.safetensors"))


def train(args):
    rng, features = random.Random(args.seed), Features(args.checkpoint)
    torch.manual_seed(args.seed)
    spoken = list(dialogues(args.data))
    held = [p for p in spoken if zlib.crc32(p[1].encode()) % 10 == 0]
    sets = {f"made_up_{lang}": list(grounded(lang, 1_000, 99, True, args.data)) for lang in ("zh", "en")} | {"hand_written": held}
    pairs = list(itertools.chain(grounded("zh", 24_000, 31, False, args.data), grounded("en", 16_000, 32, False, args.data),
                                 12 * [p for p in spoken if p not in held], everyday(args.data, rng, 8_000), translations(args.data, rng, 8_000)))
    print(f"{len(pairs)} pairs, {len(held)} hand-written ones held out", flush=True)
    texts = {t: i for i, t in enumerate(dict.fromkeys(t for q, f, n in pairs for t in (q, f, *n)))}
    table = features(list(texts))
    print(f"{len(texts)} texts embedded", flush=True)

    head = nn.Linear(table.shape[1], WIDTH, bias=False)
    temperature = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))
    optimizer = torch.optim.AdamW([{"params": head.parameters(), "weight_decay": 1e-2}, {"params": [temperature], "weight_decay": 0.0}], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    for step in range(args.steps):
        batch = rng.sample(pairs, BATCH)
        q = F.normalize(head(table[[texts[p[0]] for p in batch]]), dim=-1)
        f = F.normalize(head(table[[texts[p[1]] for p in batch] + [texts[n] for p in batch for n in p[2]]]), dim=-1)
        scale, target = temperature.exp().clamp(max=100), torch.arange(BATCH)
        loss = F.cross_entropy(scale * q @ f.t(), target) + F.cross_entropy(scale * f[:BATCH] @ q.t(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 0 or step + 1 == args.steps:
            print(json.dumps({"step": step, "loss": round(loss.item() / 2, 4), "temperature": round(1 / scale.item(), 4)}), flush=True)
    write(head, args.out or args.checkpoint)
    report = measure(features, head, sets)
    print(json.dumps(report, indent=1))
    if args.report:
        args.report.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "checkpoints/seedling")
    p.add_argument("--data", type=pathlib.Path, default=gen_ground.DATA)
    p.add_argument("--out", type=pathlib.Path, help="default: the checkpoint itself")
    p.add_argument("--report", type=pathlib.Path, help="where the measurements go, for card.py")
    p.add_argument("--steps", type=int, default=3_000)
    p.add_argument("--seed", type=int, default=1)
    train(p.parse_args())
