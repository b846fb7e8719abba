"""Small talk: other people's everyday questions with Xiaohe's own answers, single and chained, with and without memory.

The questions come from public chit-chat intent sets (an intent is recognised by its stock answer, which is dropped) and
from `small_talk_zh.txt` and `small_talk_en.txt`, where every answer was written by us; the format stands at their top. Seeded.

    python small_talk.py zh 20        # print twenty, to read

A question is held out, not a line: whatever holds a held-out question is marked `held`, and holds no other question.
Not for: facts. What she is told or recalls is `gen_ground.py`'s.
"""
import json
import lzma
import pathlib
import random
import re
import sys
import zlib

import gen_ground

HERE = pathlib.Path(__file__).resolve().parent
QUESTIONS_A_WEIGHT = 26  # dialogues an intent of weight 1 gets; its list of phrasings is sampled, not exhausted
AGES = [6] * 6 + [7, 7, 8]
SCRIPTED = 12  # times a whole talk appears, with different names, ages and memories
HELD_OUT_EVERY = 40  # questions
CHAINED = 0.32  # share of dialogues with a second exchange; a third of those have a third
RECALLED = 0.3  # share with memory lines that have nothing to do with what is said
NUMERAL = {"zh": {6: "六", 7: "七", 8: "八"}, "en": {6: "six", 7: "seven", 8: "eight"}}


class Intent:
    def __init__(self, head):
        stock, _, weight = head.partition("@")
        self.stock, self.weight = stock.strip(), float(weight or 1)
        self.questions, self.rules = [], []  # rules: (pattern, replies or None to drop the question)


def intents(lang):
    """The tables: → (intents in order, named reply lists such as STORY, whole talks)."""
    out, named, scripts, now = [], {}, [], None
    for line in (HERE / f"small_talk_{lang}.txt").read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith(">"):
            scripts.append(line[1:].strip().split("|"))
        elif line.startswith("="):
            now = Intent(line[1:])
            if now.stock.isupper() and len(now.stock) > 1:
                named[now.stock] = now
            else:
                out.append(now)
        elif line.startswith("q "):
            now.questions += line[2:].split("|")
        elif line.startswith("?"):
            pattern = line[1:].strip()
            now.rules.append((re.compile(pattern.removeprefix("-"), re.I), None if pattern.startswith("-") else []))
        else:
            if not now.rules:
                now.rules.append((re.compile(""), []))
            now.rules[-1][1].extend(r for r in line.split("|") if r)
    return out, {k: v.rules[0][1] for k, v in named.items()}, scripts


def asked(lang, data):
    """Stock answer → the questions of the public sets."""
    if lang == "zh":
        with lzma.open(data / "zh/ms_chitchat_zh_intents.json.xz", "rt", encoding="utf-8") as f:
            groups = {r["ms_answer"]: r["queries"] for r in json.load(f)}
    else:
        groups = {}
        with lzma.open(data / "zh/chat_ms_chitchat_en.jsonl.xz", "rt", encoding="utf-8") as f:
            for line in f:
                q, a = json.loads(line)["messages"]
                groups.setdefault(a["content"].replace("\xa0", " "), []).append(q["content"])
    return {a: [q for q in dict.fromkeys(x.strip() for x in qs) if "editorial" not in q and 0 < len(q) <= 80] for a, qs in groups.items()}


class Talk:
    def __init__(self, lang, seed, data):
        self.lang, self.rng = lang, random.Random(seed)
        self.intents, self.named, self.scripts = intents(lang)
        self.ground = gen_ground.Maker(lang, seed + 1, data=data)
        public = asked(lang, data)
        for intent in self.intents:
            if intent.stock != "*":
                intent.questions += public[intent.stock]  # an unknown stock answer is a mistake in the table

    def rule(self, intent, question):
        return next(((m, replies) for pattern, replies in intent.rules if (m := pattern.search(question))), (None, None))

    def name(self):
        return self.ground.values.draw("person" if self.lang == "zh" and self.rng.random() < 0.5 else "name", self.lang)

    def said(self, question, name):
        """As a person types it: with or without a mark, sometimes with her name."""
        q = question.replace("{N}", name)
        if self.lang == "zh":
            if q[-1] not in "。！？?!.~" and self.rng.random() < 0.45:
                asks = re.search("吗$|呢$|什么|谁|几|哪|怎么|多大|是不是|有没有|能不能|会不会|可不可以|为什么|好不好", q)
                q += "？" if asks else self.rng.choice("。！。")
            return self.rng.choice(["小禾，", "小禾"]) + q if "小禾" not in q and self.rng.random() < 0.06 else q
        if self.rng.random() < 0.2:
            q = q.lower()
        if q[-1] in ".?!" and self.rng.random() < 0.2:
            q = q[:-1]
        return q

    def exchange(self, intent, question, age):
        match, replies = self.rule(intent, question)
        if replies is None:
            return None
        name, slot = self.name(), next((g for g in match.groups() if g), "")
        slot = re.sub(r"[。！？?!.\s]+$|[呀啊呢吗哦了]$", "", slot) if self.lang == "zh" else re.sub(r"[.!?\s]+$", "", slot)
        usable = [r for r in replies if "{X}" not in r or 0 < len(slot) <= (10 if self.lang == "zh" else 30)]
        if not usable:
            return None
        reply = self.rng.choice(usable)
        if reply.strip("{}") in self.named:
            reply = self.rng.choice(self.named[reply.strip("{}")])
        reply = reply.replace("{X}", slot).replace("{A}", NUMERAL[self.lang][age]).replace("{N}", name)
        if self.lang == "en":
            reply = reply[:1].upper() + reply[1:]
        return [{"role": "user", "content": self.said(question, name)}, {"role": "assistant", "content": reply}]

    def system(self, age):
        lines = []
        if self.rng.random() < RECALLED:  # another person's facts: "what do I like" must stay unknown
            facts = [self.ground.fact() for _ in range(self.rng.randint(1, 4))]
            lines = self.ground.recalled([f for f in facts if not f["owner"].startswith(self.ground.t.ME)])
        head = f"小禾 {age}岁" if self.lang == "zh" else f"Xiaohe, age {age}"
        return "\n".join([head] + ([self.ground.t.REMEMBER] + [f"- {m}" for m in lines] if lines else []))

    def dialogues(self):
        """Every question of a small intent appears several times with different answers; of a large one, a sample."""
        for lines in self.scripts:  # who says it varies; the order is what they teach
            for i in range(SCRIPTED):
                age, name = AGES[i % len(AGES)], self.name()
                fill = lambda x: x.replace("{N}", name).replace("{A}", NUMERAL[self.lang][age])
                said = [fill(x) if k % 2 else self.said(fill(x), "") for k, x in enumerate(lines)]
                yield {"system": self.system(age), "held": zlib.crc32(lines[0].encode()) % HELD_OUT_EVERY == 0,
                       "messages": [{"role": ("user", "assistant")[k % 2], "content": x} for k, x in enumerate(said)]}
        pools = {True: [], False: []}
        for intent in self.intents:
            questions = [q for q in intent.questions if self.rule(intent, q)[1] is not None]
            for held in (False, True):
                some = [q for q in questions if (zlib.crc32(q.encode()) % HELD_OUT_EVERY == 0) == held]
                count = max(int(held), round(QUESTIONS_A_WEIGHT * intent.weight * (0.04 if held else 1) * (1 if intent.stock == "*" else 2)))
                if some:
                    self.rng.shuffle(some)
                    pools[held] += [(intent, some[i % len(some)]) for i in range(count)]
        for held, pool in pools.items():
            self.rng.shuffle(pool)
            for start, question in pool:
                age = self.rng.choice(AGES)
                messages = self.exchange(start, question, age)
                if messages is None:
                    continue
                if self.rng.random() < CHAINED:
                    for intent, q in self.rng.sample(pool, 1 if self.rng.random() < 0.67 else 2):
                        more = self.exchange(intent, q, age)
                        messages += more if more and more[1]["content"] not in [m["content"] for m in messages] else []
                yield {"system": self.system(age), "messages": messages, "held": held}


def dialogues(lang, seed, data=None):
    yield from Talk(lang, seed, data or gen_ground.DATA).dialogues()


if __name__ == "__main__":
    some = list(dialogues(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 5))
    print(len(some), "dialogues,", sum(d["held"] for d in some), "held out")
    for d in random.Random(4).sample(some, int(sys.argv[2])):
        print(d["system"].replace("\n", " / "), *(f"\n   {m['role'][0]}: {m['content']}" for m in d["messages"]))
