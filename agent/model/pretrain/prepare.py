"""Read the sources, clean, deduplicate, decontaminate, and pack to fixed rows with loss masks.

    python prepare.py --tokenizer DIR --out DIR [--data ../shared/data] [--row 512] [--only ground]

Per source NAME it writes NAME.train.npz and NAME.held.npz (every 50th document, by hash; small talk: every 40th question), each with
tokens uint16 [R, row+1] and flags uint8 [R, row+1] = document·2 + loss bit. Rows hold whole documents; a chat that does
not fit loses its oldest exchanges, a text is cut at a sentence. Prints what was dropped and why, and writes it to
prepare.json with the hash of every input.

Left out on purpose (the six-year-old rule: growth is earned by being taught): all of math/ and curriculum/, idiom and
riddle explanations, word lists, encyclopaedia text, capitals and dates. Left out for their origin: lccc.
"""
import argparse
import collections
import hashlib
import json
import lzma
import pathlib
import random
import re
import zlib

import numpy as np
from tokenizers import Tokenizer

import gen_ground
import small_talk

HAN = re.compile(r"[\u4e00-\u9fff]")
NGRAM = 14  # tokens; a Chinese sentence that shares 14 characters in a row with a test item is the test item
HELD_OUT_EVERY = 50
DROPPED = collections.Counter()


def read(data, name):
    path = data / name
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as f:
        for line in f:
            if line.strip():
                yield json.loads(line)


def system(age, memory, messages):
    """The agent's system message; its language follows the last thing the person said."""
    zh = bool(HAN.search([m["content"] for m in messages if m["role"] == "user"][-1]))
    head = f"小禾 {age}岁" if zh else f"Xiaohe, age {age}"
    return "\n".join([head] + ([("记得：" if zh else "I remember:")] + [f"- {m}" for m in memory] if memory else []))


def chat(age, memory, messages):
    return {"system": system(age, memory, messages), "messages": messages}


def talk(data, names, rng, extra_memory=0.0):
    """Persona dialogues. Sometimes lines another dialogue recalled are mixed in, so that recall is never taken on trust."""
    rows = [row for name in names for row in read(data, f"persona/{name}") if "messages" in row]
    pool = [m for row in rows for m in row["memory"]]
    for row in rows:
        memory, messages = list(row["memory"]), row["messages"]
        if "correct" in row.get("cat", ""):
            DROPPED[f"{names[0]}: correction dialogues restate the wrong version first"] += 1
            continue
        if row.get("cat") == "gen_word":
            DROPPED["en_gen: word-list drills (six-year-old rule)"] += 1
            continue
        if memory and pool and rng.random() < extra_memory:
            memory += [m for m in rng.sample(pool, rng.randint(1, 2)) if m not in memory]
        rng.shuffle(memory)
        yield chat(row.get("age", 6), memory, messages)


def openings(data):
    """First exchanges of the talk everybody starts with, at three ages: who she is and how she greets must not be rare.

    For the last minutes of a run (`mixture.json`). Its held-out part repeats texts of the other ages: no measure of anything."""
    everyday = {"greet", "identity", "daily", "feeling", "feelings"}
    for name in ["life_zh.jsonl", "en.jsonl"]:
        for row in read(data, f"persona/{name}"):
            if row.get("cat") in everyday and not row["memory"]:
                for age in (6, 7, 8):
                    yield chat(age, [], row["messages"][:2])


def joined(dialogues, rng):
    """Some memoryless dialogues in a row become one longer talk, as a room's window holds them."""
    dialogues, run = list(dialogues), []
    rng.shuffle(dialogues)
    for d in dialogues:
        if "\n" in d["system"] or rng.random() < 0.5:
            yield d
            continue
        run.append(d)
        if len(run) == 3:
            part = rng.randint(2, 3)
            yield {"system": run[part - 1]["system"], "messages": [m for x in run[:part] for m in x["messages"]]}
            yield from run[part:]
            run = []
    yield from run


def stories(data):
    ask = ["给我讲一个{}的故事吧。", "讲个{}的故事。", "我想听关于{}的故事。", "小禾，说一个{}的故事好吗？"]
    for i, row in enumerate(read(data, "persona/story_zh.jsonl")):
        yield row["text"]
        topic = (row.get("words") or [row["theme"]])[0]
        yield chat(6, [], [{"role": "user", "content": ask[i % len(ask)].format(topic)}, {"role": "assistant", "content": row["text"]}])


def prose_zh(data):
    for row in read(data, "zh/prose_children_reading.jsonl.xz"):
        yield row["text"]
    for name in ["zh/prose_storybooks_asp", "en/prose_asp_zh"]:
        for row in read(data, name + ".jsonl.xz"):
            yield row["text"]
    for row in read(data, "zh/prose_pd_modern_core.jsonl.xz"):
        if "aide" in row["src"] or "cuore" in row["src"]:
            yield row["text"]


def sentences(data, lang):
    """Tatoeba, several unrelated sentences to a document: short, plain, spoken."""
    lines = []
    for row in read(data, "zh/prose_sentences_tatoeba.jsonl.xz" if lang == "zh" else "en/chat_tatoeba.jsonl.xz"):
        if lang == "zh":
            lines.append(row["text"])
        else:
            lines += [m["content"] for m in row["messages"] if m["role"] == "assistant" and not HAN.search(m["content"])]
    lines = [x for x in dict.fromkeys(lines) if 4 <= len(x) <= 60]
    random.Random(5).shuffle(lines)
    for i in range(0, len(lines), 6):
        yield "\n".join(lines[i:i + 6])


def verse(data, rng):
    for row in read(data, "poetry/pd/poems_select.jsonl.xz"):
        famous = row.get("fame", 0) >= 2
        if famous or (row["form"] in ("五绝", "七绝", "五律", "七律") and row.get("gl") == 2 and rng.random() < 0.35):
            yield (f"《{row['title']}》\n" if row["title"] else "") + "\n".join(row["lines"])
    for row in read(data, "poetry/pd/classics_primer.jsonl.xz"):
        text = row.get("text") or "\n".join(row.get("lines", []))
        if text:
            yield text


def poems(data, rng):
    """Quatrains on request: a theme is the title, or a word of the poem itself."""
    for row in read(data, "poetry/pd/poems_select.jsonl.xz"):
        if row["form"] not in ("五绝", "七绝") or not row.get("gl") or len(row["lines"]) != 2:
            continue
        title, text = row["title"], "\n".join(row["lines"])
        if not title or len(title) > 8 or rng.random() < 0.4:
            line = re.split("[，。]", row["lines"][rng.randrange(2)])[rng.randrange(2)]
            title = line[:2] if rng.random() < 0.6 else line[-2:]
        ask = f"写一首{'五' if row['form'] == '五绝' else '七'}言绝句：{title}"
        yield chat(6, [], [{"role": "user", "content": ask}, {"role": "assistant", "content": text}])


def couplets(data, rng, size=90_000):
    pairs = [(r["u"], r["l"]) for r in read(data, "poetry/pd/couplets_lvshi.jsonl.xz") if r["q"] >= 4]
    rng.shuffle(pairs)
    pairs = pairs[:size] + 3 * [(r["u"], r["l"]) for r in read(data, "poetry/pd/couplets_primer.jsonl.xz") if len(r["u"]) == len(r["l"])]
    rng.shuffle(pairs)
    while pairs:  # a few to a talk: the frame costs more tokens than the verse
        some, pairs = pairs[:(n := rng.choice([1, 2, 4, 8]))], pairs[n:]
        yield chat(6, [], [m for u, l in some for m in ({"role": "user", "content": f"对下联：{u.strip('，。')}"},
                                                        {"role": "assistant", "content": l.strip("，。")})])


def sources(data, rng):
    hand = ["life_zh.jsonl", "plain_zh.jsonl", "teach_zh.jsonl", "make_zh.jsonl"]
    yield "ground_zh", gen_ground.dialogues("zh", 36_000, seed=11, data=data)
    yield "ground_en", gen_ground.dialogues("en", 24_000, seed=12, data=data)
    yield "small_zh", small_talk.dialogues("zh", seed=31, data=data)
    yield "small_en", small_talk.dialogues("en", seed=32, data=data)
    yield "openings", openings(data)
    yield "recite", gen_ground.recitations("zh", 8_000, seed=21, data=data)
    yield "recite_en", gen_ground.recitations("en", 12_000, seed=22, sentences=[x for d in sentences(data, "en") for x in d.split("\n")], data=data)
    yield "voice_zh", joined(talk(data, hand, rng, 0.5), rng)
    yield "voice_en", joined(talk(data, ["en.jsonl"], rng, 0.5), rng)
    yield "teach_gen", talk(data, ["gen_teach_zh.jsonl.xz"], rng)
    yield "reason_gen", talk(data, ["gen_reason_zh.jsonl.xz"], rng)
    yield "en_gen", talk(data, ["gen_en.jsonl.xz"], rng)
    yield "story_zh", stories(data)
    yield "prose_zh", prose_zh(data)
    yield "prose_en", (row["text"] for row in read(data, "en/prose_simple_en.jsonl.xz"))
    yield "sentences_zh", sentences(data, "zh")
    yield "sentences_en", sentences(data, "en")
    yield "verse", verse(data, rng)
    yield "poem", poems(data, rng)
    yield "couplet", couplets(data, rng)


class Encoder:
    def __init__(self, path):
        self.tok = Tokenizer.from_file(str(path / "tokenizer.json"))
        self.end = self.tok.token_to_id("<|endoftext|>")

    def ids(self, text):
        return self.tok.encode(text).ids

    def document(self, d, row):
        """→ list of (ids, loss bits), each at most row+1 long."""
        if isinstance(d, str):
            return self.text(d, row)
        if "quiet" in d:
            quiet, ids = self.ids(d["quiet"]), self.ids(d["text"]) + [self.end]
            return [((quiet + ids)[:row + 1], ([0] * len(quiet) + [1] * len(ids))[:row + 1])]
        messages = list(d["messages"])
        while True:
            ids = self.ids(f"<|im_start|>system\n{d['system']}<|im_end|>\n")
            loss = [0] * len(ids)
            for m in messages:
                head = self.ids(f"<|im_start|>{m['role']}\n")
                body = self.ids(m["content"] + "<|im_end|>")
                tail = self.ids("\n")
                ids += head + body + tail
                loss += [0] * len(head) + [int(m["role"] == "assistant")] * len(body) + [0]
            if len(ids) <= row + 1 or len(messages) <= 2:
                break
            messages = messages[2:]
        return [(ids, loss)] if len(ids) <= row + 1 else []

    def text(self, text, row):
        parts, now = [], []
        for sentence in re.split(r"(?<=[。！？.!?\n])", text.strip()):
            ids = self.ids(sentence)
            if now and len(now) + len(ids) > row:
                parts.append(now)
                now = []
            now += ids[:row]
        parts.append(now + [self.end])
        return [(p, [1] * len(p)) for p in parts if len(p) > 4]


def test_ngrams(data, encoder):
    grams = set()
    for path in sorted((data / "eval").glob("*.jsonl.xz")):
        for r in read(data, f"eval/{path.name}"):
            for key in ("q", "context", "text", "premise", "query", "prompt", "caption"):
                if isinstance(r.get(key), str):
                    ids = encoder.ids(r[key])
                    grams.update(hash(tuple(ids[i:i + NGRAM])) for i in range(max(0, len(ids) - NGRAM + 1)))
    return grams


def pack(units, row):
    """First fit over a window of open rows; units (lists of documents that want one row) must be shuffled already."""
    done, open_rows = [], []
    fits = lambda unit: sum(len(ids) for ids, _ in unit) <= row + 1
    for unit in (x for u in units for x in ([u] if fits(u) else [[p] for p in u])):
        size = sum(len(ids) for ids, _ in unit)
        for r in open_rows:
            if len(r[0]) + size <= row + 1 and r[2] + len(unit) < 127:
                break
        else:
            r = [[], [], 0]
            open_rows.append(r)
            if len(open_rows) > 48:
                done.append(open_rows.pop(max(range(len(open_rows) - 1), key=lambda i: len(open_rows[i][0]))))
        for ids, loss in unit:
            r[2] += 1
            r[0] += ids
            r[1] += [r[2] * 2 + b for b in loss]
    done += open_rows
    tokens, flags = np.zeros((len(done), row + 1), np.uint16), np.zeros((len(done), row + 1), np.uint8)
    for i, (ids, marks, _) in enumerate(done):  # padding is document 0 without loss
        tokens[i, :len(ids)], flags[i, :len(ids)] = ids, marks
    return tokens, flags


def usable(name, d, encoder, row, grams, seen):
    """The document's parts, or none of a duplicate; a part that shares text with a test item is dropped."""
    key = hashlib.blake2b(json.dumps(d, ensure_ascii=False).encode(), digest_size=8).digest()
    if key in seen:
        DROPPED[f"{name}: duplicate"] += 1
        return
    seen.add(key)
    parts = encoder.document(d, row)
    if not parts:
        DROPPED[f"{name}: one exchange longer than a row"] += 1
    for ids, loss in parts:
        if any(hash(tuple(ids[i:i + NGRAM])) in grams for i in range(len(ids) - NGRAM + 1)):
            DROPPED[f"{name}: shares {NGRAM} tokens with a test item"] += 1
        else:
            yield ids, loss


def prepare(args):
    encoder, rng = Encoder(args.tokenizer), random.Random(7)
    args.out.mkdir(parents=True, exist_ok=True)
    grams, seen, report = test_ngrams(args.data, encoder), set(), {}
    for name, documents in sources(args.data, rng):
        if args.only and args.only not in name:
            continue
        train, held = [], []  # units: documents that belong together share a row where they fit
        for unit in documents:
            parts = [p for d in (unit.get("together", [unit]) if isinstance(unit, dict) else [unit]) for p in usable(name, d, encoder, args.row, grams, seen)]
            if parts:
                key = zlib.crc32(json.dumps(unit, ensure_ascii=False).encode())
                apart = unit["held"] if isinstance(unit, dict) and "held" in unit else key % HELD_OUT_EVERY == 0
                (held if apart else train).extend([parts] if isinstance(unit, dict) and "together" in unit else [[p] for p in parts])
        rng.shuffle(train)
        for kind, some in (("train", train), ("held", held)):
            tokens, flags = pack(some, args.row)
            np.savez(args.out / f"{name}.{kind}.npz", tokens=tokens, flags=flags)
            fill, loss = float((flags > 0).mean()), int((flags & 1).sum())
            if kind == "train":
                report[name] = {"documents": sum(map(len, some)), "rows": len(tokens), "tokens": int((flags > 0).sum()), "loss_tokens": loss, "fill": round(fill, 3)}
        print(name, report[name], flush=True)
    vocabulary = encoder.tok.get_vocab_size()
    spelled = [len(encoder.tok.id_to_token(i)) for i in range(vocabulary)]  # one stand-in character per byte
    np.save(args.out / "bytes.npy", np.array([0 if i >= vocabulary - 1_005 else n for i, n in enumerate(spelled)], np.uint8))
    print("dropped:", *(f"{n:6d}  {why}" for why, n in DROPPED.most_common()), sep="\n  ")
    (args.out / "prepare.json").write_text(json.dumps({"sources": report, "dropped": DROPPED}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[4] / "shared/data")
    p.add_argument("--tokenizer", type=pathlib.Path, required=True)
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--row", type=int, default=512, help="tokens a row")
    p.add_argument("--only", help="sources whose name holds this")
    prepare(p.parse_args())
