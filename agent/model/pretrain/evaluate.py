"""Measure a shipped directory on what she must be able to do, with the dequantised int8 weights.

    python evaluate.py --checkpoint ../checkpoints/seedling [--packed DIR] [--count 150] [--out report.json]

Bits per byte by source · grounded: the recalled value is in the reply · honest: an unknown is admitted and no value is
made up · taught: the value is restated · echo: recalled from earlier in the same talk · couplet: right length without
any constraint · repetition: replies holding the same four tokens twice · ended: replies that stop by themselves.
Values and some relations are held out of training (`gen_ground.py`). Greedy unless named; samples are seeded, unselected.

Not for: verse rules or exams, which the agent's own checkers measure.
"""
import argparse
import json
import pathlib
import random
import tempfile

import torch
import transformers
from tokenizers import Tokenizer

import gen_ground
from ship import END_OF_TEXT, IM_END, export_hf, load
from train import held_out

# An admission holds one of these; a made-up answer seldom does.
ADMITS = {"zh": ["没学", "不知道", "不会", "没人", "没有人", "没听", "不记得", "没找到", "教教", "教我好", "可以教我吗", "请你告诉", "告诉我吧", "快告诉", "没跟我", "还没人", "不晓得", "空", "难住",
                 "考倒", "猜不着", "不清楚", "记忆里没有", "不认识", "没记过", "答不出", "讲讲", "等你教", "请你教", "没有，", "你告诉我", "你念，我写", "得先学"],
          "en": ["don't know", "haven't", "not sure", "nobody", "no one", "can't say", "won't guess", "teach me", "teach?", "please tell", "tell me what", "tell me how", "tell me where", "don't remember", "didn't find",
                 "new to me", "not yet", "never heard", "empty", "no note", "wish i knew", "don't yet"]}
TALK = [("zh", ["你好"]), ("zh", ["你是谁？"]), ("zh", ["你几岁了？"]), ("zh", ["你会做什么？"]), ("zh", ["今天下雨了"]), ("zh", ["我有点难过"]),
        ("zh", ["你喜欢什么颜色？"]), ("zh", ["给我讲个小故事"]), ("zh", ["晚安"]), ("zh", ["一加二等于几？"]), ("zh", ["早上好", "我今天要考试"]),
        ("zh", ["你是机器人吗？"]), ("zh", ["我们来玩猜谜语吧"]), ("zh", ["谢谢你"]), ("en", ["Hello!"]), ("en", ["Who are you?"]), ("en", ["What can you do?"]),
        ("en", ["I am sad today."]), ("en", ["Do you like cats?"]), ("en", ["Good night!"]), ("en", ["Are you a robot?"])]


class Speaker:
    """Replies from transformers' own Qwen3-MoE with the dequantised weights: it has a KV cache, and it is what others run."""

    def __init__(self, network, directory):
        self.tok = Tokenizer.from_file(str(directory / "tokenizer.json"))
        with tempfile.TemporaryDirectory() as plain:
            export_hf(network, directory, pathlib.Path(plain), torch.float32)
            self.model = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32).eval()

    @torch.no_grad()
    def reply(self, prompts, most=48, temperature=0.0, seed=1):
        """Prompt texts → reply texts, whether each ended by itself, and the reply ids."""
        rows = [self.tok.encode(p).ids for p in prompts]
        width = max(map(len, rows))
        ids = torch.tensor([[END_OF_TEXT] * (width - len(r)) + r for r in rows])  # padded on the left
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
        torch.manual_seed(seed)
        how = {"do_sample": True, "temperature": temperature, "top_k": 40, "top_p": 0.9} if temperature else {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        out = self.model.generate(ids, attention_mask=mask, max_new_tokens=most, repetition_penalty=1.0, eos_token_id=[IM_END, END_OF_TEXT],
                                  pad_token_id=END_OF_TEXT, **how)[:, width:].tolist()
        cut = [next((i for i, t in enumerate(r) if t in (IM_END, END_OF_TEXT)), len(r)) for r in out]
        kept = [r[:c] for r, c in zip(out, cut)]
        return [self.tok.decode(r) for r in kept], [c < most for c in cut], kept

    def many(self, prompts, **how):
        texts, done, ids = [], [], []
        for a in range(0, len(prompts), 32):
            t, d, i = self.reply(prompts[a:a + 32], **how)
            texts, done, ids = texts + t, done + d, ids + i
        return texts, done, ids


def prompt(system, messages):
    parts = [("system", system)] + [(m["role"], m["content"]) for m in messages]
    return "".join(f"<|im_start|>{r}\n{c}<|im_end|>\n" for r, c in parts) + "<|im_start|>assistant\n"


def repeats(ids):
    grams = [tuple(ids[i:i + 4]) for i in range(len(ids) - 3)]
    return len(set(grams)) < len(grams)


def memory_skills(speaker, lang, count, seed=99):
    """Grounded, absent, taught and echo on held-out values (and, a part of them, held-out relations)."""
    maker, result, shown = gen_ground.Maker(lang, seed, held=True), {}, []
    for kind in ("grounded", "absent", "taught", "echo", "unknown", "repeat"):
        cases = [maker.dialogue(kind) for _ in range(count)]
        cut = [d["messages"][:2 * (len(d["messages"]) // 2) - 1] if kind == "echo" else d["messages"][:1] for d, _ in cases]
        texts, done, ids = speaker.many([prompt(d["system"], m) for (d, _), m in zip(cases, cut)])
        good, unseen = [], []
        for (d, about), text in zip(cases, texts):
            if kind in ("absent", "unknown"):
                recalled = d["system"].split("\n")[2:]
                leaked = [w for line in recalled for w in [line.rstrip("。.").split("叫")[-1].split("是")[-1].split(" is ")[-1].split("called ")[-1]] if len(w) > 1 and w in text and w not in d["messages"][0]["content"]]
                ok = any(a in text.lower() for a in ADMITS[lang]) and not leaked
            elif kind == "repeat":
                ok = text.strip() == d["messages"][1]["content"].strip()
            else:
                ok = about["value"].lower() in text.lower()
            good.append(ok)
            if about["relation"] in maker.t.HELD_OUT:
                unseen.append(ok)
        result[kind] = {"rate": round(sum(good) / count, 3), "ended": round(sum(done) / count, 3), "repetition": round(sum(map(repeats, ids)) / count, 3)}
        if unseen:
            result[kind]["held_out_relations"] = f"{sum(unseen)}/{len(unseen)}"
        shown += [{"kind": kind, "memory": d["system"].split("\n")[2:], "said": [m["content"] for m in c], "reply": t, "ok": g}
                  for (d, _), c, t, g in list(zip(cases, cut, texts, good))[:6]]
    return result, shown


def couplet_skill(speaker, packed, count):
    """Upper lines of the held-out couplets, greedy, no constraint."""
    import numpy as np
    with np.load(packed / "couplet.held.npz") as f:
        text = "".join(speaker.tok.decode(row.tolist(), skip_special_tokens=False) for row in f["tokens"][:60])
    uppers = list(dict.fromkeys(p.split("<|im_end|>")[0] for p in text.split("对下联：")[1:]))
    random.Random(3).shuffle(uppers)
    uppers = uppers[:count]
    lowers, done, _ = speaker.many([prompt("小禾 6岁", [{"role": "user", "content": f"对下联：{u}"}]) for u in uppers], most=16)
    right = sum(len(u) == len(l) for u, l in zip(uppers, lowers))
    apart = sum(not set(u) & set(l) for u, l in zip(uppers, lowers))
    return {"right_length": round(right / len(uppers), 3), "no_shared_character": round(apart / len(uppers), 3)}, list(zip(uppers, lowers))[:12]


def talk_samples(speaker):
    out = []
    for lang, lines in TALK:
        messages = []
        for line in lines:
            messages.append({"role": "user", "content": line})
            (text,), _, _ = speaker.reply([prompt("小禾 6岁" if lang == "zh" else "Xiaohe, age 6", messages)], most=90, temperature=0.5, seed=7)
            messages.append({"role": "assistant", "content": text})
        out.append([m["content"] for m in messages])
    for ask in ["写一首五言绝句：春雨", "写一首七言绝句：山中"]:
        (text,), _, _ = speaker.reply([prompt("小禾 6岁", [{"role": "user", "content": ask}])], most=60, temperature=0.7, seed=7)
        out.append([ask, text])
    return out


def evaluate(args):
    network, metadata = load(args.checkpoint)
    speaker, report = Speaker(network, args.checkpoint), {"checkpoint": metadata}
    if args.packed:
        report["bits_per_byte"] = held_out(network, args.packed, torch.autocast("cpu", enabled=False), "cpu", limit=args.limit)
        report["couplet"], report["couplet_samples"] = couplet_skill(speaker, args.packed, args.count)
    for lang in ("zh", "en"):
        report[lang], report[lang + "_samples"] = memory_skills(speaker, lang, args.count)
        report[lang + "_count"] = args.count
    report["talk_samples"] = talk_samples(speaker)
    return report


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "checkpoints/seedling")
    p.add_argument("--packed", type=pathlib.Path)
    p.add_argument("--count", type=int, default=150)
    p.add_argument("--limit", type=int, default=40, help="held-out rows per source")
    p.add_argument("--out", type=pathlib.Path)
    args = p.parse_args()
    answer = evaluate(args)
    if args.out:
        args.out.write_text(json.dumps(answer, ensure_ascii=False, indent=1), encoding="utf-8")
    for key, value in answer.items():
        print(key, *(value if isinstance(value, list) else [value]), sep="\n  ")
