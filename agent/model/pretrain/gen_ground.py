"""Dialogues that teach the one skill everything rests on: answer from what was recalled, and from nothing else.

Seeded, unlimited, true by construction: a fact is a relation filled with a made-up value; she is asked for it with the
fact among distractors (she must copy the value), or with the fact absent (she must say so), or she is told it (she must
restate it), or both in one talk. Chinese values are mostly random characters, so copying cannot be replaced by knowing;
English ones mostly ordinary words in unlikely places, because made-up English is many tokens and stayed too hard to copy.

`pairs` are the sharpest lesson: one question asked of two memories that differ in one line, answerable and not.

    python gen_ground.py zh 20        # print twenty, to read
    from gen_ground import dialogues  # prepare.py; evaluate.py passes held=True

Held out for evaluation: the relations in HELD_OUT, and every value whose CRC is 0 modulo 20.
Not for: facts about the world. Those are written by people in the persona files.
"""
import json
import lzma
import pathlib
import random
import sys
import zlib

import ground_en
import ground_zh

DATA = pathlib.Path(__file__).resolve().parents[4] / "shared/data"
AGES = [6] * 8 + [7, 8]
PAIRED = 0.25  # chance that the next to be made is a pair: four dialogues in ten are half of one
COMMON = 2_500  # random names are made of this many commonest characters


class Values:
    """Draws values of a kind. A held-out value never occurs in training, and evaluation uses no other."""

    def __init__(self, rng, held, data=None):
        self.rng, self.held = rng, held
        table = json.loads(((data or DATA) / "curriculum/hanzi_levels.json").read_text(encoding="utf-8"))
        self.han = [r["char"] for r in table if r["std_level"] == 1][:COMMON]
        words = lzma.open((data or DATA) / "poetry/permissive/words_pos_jieba.jsonl.xz", "rt", encoding="utf-8")
        rows = (json.loads(line) for line in words)
        grades = json.loads(((data or DATA) / "curriculum/english_words_by_grade.json").read_text(encoding="utf-8"))
        self.words = sorted({r["word"] for r in grades if r["word"].isascii() and r["word"].isalpha() and r["word"].islower() and 3 <= len(r["word"]) <= 9})
        self.nouns = [w for w in (r.get("w") or r.get("word") for r in rows if str(r.get("pos") or r.get("p"))[:1] == "n") if 2 <= len(w) <= 4]

    def draw(self, kind, lang):
        for _ in range(200):
            v = (self.zh if lang == "zh" else self.en)(kind)
            if (zlib.crc32(v.encode()) % 20 == 0) == self.held:
                return v
        return v  # a closed list without held-out members (seasons): the relation itself is then held out or not used

    def some(self, low, high):
        return "".join(self.rng.choice(self.han) for _ in range(self.rng.randint(low, high)))

    def passage(self, lang):
        """Something to say after: made-up words, or a made-up sentence."""
        if lang == "zh":
            return self.some(2, 10) if self.rng.random() < 0.6 else f"{self.some(2, 3)}的{self.rng.choice(self.nouns)}{self.rng.choice('叫是在爱有')}{self.some(2, 4)}"
        if self.rng.random() < 0.6:
            return " ".join(self.rng.choice(self.words) for _ in range(self.rng.randint(1, 8)))
        return " ".join(self.draw(self.rng.choice(["thing", "name", "food"]), "en") for _ in range(self.rng.randint(1, 4)))

    def zh(self, kind):
        r, c = self.rng, self.rng.choice
        if kind == "name":
            a = self.some(1, 1)
            return c([c(ground_zh.PET_NAMES), a + a, "小" + a, "阿" + a, "大" + a, "老" + a, self.some(2, 2), self.some(2, 3), self.some(2, 2), self.some(3, 4), a + c("宝仔儿子球豆")])
        if kind == "person":
            return c([c(ground_zh.SURNAMES) + self.some(1, 2), c(ground_zh.PEOPLE), "小" + self.some(1, 1), c(ground_zh.TEACHERS)])
        if kind in ("word", "noun"):
            return c([self.some(2, 3), self.some(2, 2), c(self.nouns), c(self.nouns), c(ground_zh.LISTS[c(list(ground_zh.LISTS))])])
        if kind == "date":
            return f"{r.randint(1, 12)}月{r.randint(1, 30)}{c('日日号')}" if r.random() < 0.7 else f"{c('一二三四五六七八九十')}月{c(['初', '十', '二十'])}{c('一二三四五六七八九')}"
        if kind == "small":
            return str(r.randint(1, 30)) if r.random() < 0.6 else c("一 两 三 四 五 六 七 八 九 十 十一 十二 十五 十八 二十".split())
        if kind == "place":
            return c([c(ground_zh.LISTS["城"]), self.some(2, 2), self.some(1, 2) + c("县市镇村")])
        if kind == "placename":
            return c([self.some(2, 2) + c("山湖岛谷河洞林城星镇"), self.some(2, 3), c(ground_zh.LISTS["城"])])
        if kind == "school":
            return c([self.some(2, 2) + "小学", c(["第", "实验"]) + c("一二三四五六七") + "小学", c(ground_zh.LISTS["城"]) + c(["小学", "实验小学"]), self.some(2, 2) + "路小学"])
        return c(ground_zh.LISTS[kind]) if r.random() < 0.8 else self.some(1, 2) + (c(["色"]) if kind == "颜色" else "" if kind != "处" else c(["上面", "里", "旁边"]))

    def en(self, kind):
        r, c = self.rng, self.rng.choice
        made = lambda n: "".join(c(ground_en.ONSETS) + c(ground_en.VOWELS) for _ in range(n)) + c(ground_en.CODAS)
        ordinary = r.random() < 0.8  # the rest is made up
        if kind == "name":
            return c([c(ground_en.NAMES)] * 4 + [c(self.words).capitalize()] * 3) if ordinary else made(r.randint(1, 2)).capitalize()
        if kind in ("word", "thing"):
            return c([c(self.words), c(self.words), c(ground_en.LISTS["kind"])]) if ordinary else made(r.randint(1, 2))
        if kind == "date":
            return f"{c(ground_en.MONTHS)} {r.randint(1, 30)}"
        if kind == "small":
            return str(r.randint(1, 30)) if r.random() < 0.6 else c(ground_en.NUMBERS)
        if kind == "place":
            return c(ground_en.PLACES) if ordinary else made(1).capitalize() + c(["ton", "ville", " Town", " Bay"])
        if kind == "where":
            return c([f"{c(ground_en.PREPOSITIONS)} the {c(ground_en.SPOTS)}"] * 2 + [f"in the {c(ground_en.INSIDE)}"])
        if kind == "colour" and r.random() < 0.4:
            return f"{c(['light', 'dark', 'bright', 'pale'])} {c(ground_en.LISTS['colour'])}"
        return c(ground_en.LISTS[kind])


class Maker:
    def __init__(self, lang, seed, held=False, data=None):
        self.rng = random.Random(seed)
        self.lang, self.t, self.held = lang, ground_zh if lang == "zh" else ground_en, held
        self.values = Values(self.rng, held, data)
        self.relations = [r for r in self.t.RELATIONS if held or r[0] not in self.t.HELD_OUT]

    def fact(self, like=None, relation=None):
        """One filled relation; `like` makes a near miss of another fact: same relation, other owner or noun."""
        c, relation = self.rng.choice, relation or (like["relation"] if like else self.rng.choice(self.relations))
        name, statements, questions, topic, nouns, kind = relation
        noun, owner = c(nouns), self.owner()
        if like:
            noun, owner = (like["noun"], self.owner(like["owner"])) if len(nouns) == 1 or self.rng.random() < 0.4 else (c(nouns), like["owner"])
        if kind == "noun":
            kind = "noun" if noun in "书歌" else "small" if noun == "数字" else noun
            kind = "word" if kind == "noun" else kind
        elif kind == "FAVOURITE":
            kind = ground_en.FAVOURITES[noun]
        x = self.values.draw("name" if self.lang == "en" else "word", self.lang) if "{X}" in topic else ""
        return {"relation": relation, "noun": noun, "owner": owner, "x": x, "value": self.values.draw(kind, self.lang), "kind": kind,
                "statement": c(statements) if self.rng.random() < 0.6 else statements[0], "question": c(questions), "topic": topic, "line": None, "told": False,
                "teller": c(self.t.PEOPLE if self.rng.random() < 0.7 else self.t.TEACHERS), "key": (name, noun, owner, x)}

    def near_misses(self, f, count):
        """Facts that almost answer `f`'s question: same relation of another, or another relation of the same."""
        out, kin = [], [r for r in self.relations if r[0] != f["relation"][0] and (r[4] is f["relation"][4] or ("{X}" in r[3]) == bool(f["x"]))]
        for _ in range(20):
            if len(out) == count:
                break
            if kin and self.rng.random() < 0.4:
                d = self.fact(relation=self.rng.choice(kin))
                d |= {"x": f["x"] if d["x"] else "", "owner": f["owner"], "noun": f["noun"] if d["relation"][4] is f["relation"][4] else d["noun"]}
                d["key"] = (d["relation"][0], d["noun"], d["owner"], d["x"])
            else:
                d = self.fact(like=f)
            if len(self.apart([f, *out, d])) == len(out) + 2 and d["value"] != f["value"]:
                out.append(d)
        return out

    def owner(self, other_than=None):
        while True:
            roll = self.rng.random()
            o = self.t.ME if roll < 0.68 else self.t.MY + self.rng.choice(self.t.KIN[:12]) if roll < 0.8 else self.rng.choice(self.t.PEOPLE)
            if o != other_than:
                return o

    def fill(self, pattern, f, mine=True, value=None):
        """`mine`: in the person's mouth (我 / my); otherwise in hers (你 / your)."""
        return self.t.fill(pattern, f["owner"], mine, N=f["noun"], X=f["x"], V=value or f["value"])

    def grounded(self, f):
        """How she opens depends on the case: on who told her where the line says so, else plainly, seldom with a flourish."""
        roll = self.rng.random()
        if f["told"] and roll < 0.3:
            return self.reply(self.t.GROUNDED_TOLD, f)
        return self.reply(self.t.GROUNDED_PLAIN if roll < 0.75 else self.t.GROUNDED, f)

    def reply(self, table, f, value=None):
        full = self.fill(f["statement"], f, False, value)
        teller = f["teller"] if f["told"] else self.t.YOU
        return self.t.finish(self.rng.choice(table).format(F=full, V=value or f["value"], W=teller, T=self.fill(f["topic"], f, False)))

    def recalled(self, facts):
        lines = []
        for f in facts:
            pattern = f["line"] = f["line"] or self.rng.choice(self.t.RECALLED)
            f["told"] = "{W}" in pattern
            lines.append(pattern.format(W=f["teller"], S=self.t.start(self.fill(f["statement"], f))))
        self.rng.shuffle(lines)
        return lines

    def ask(self, f):
        return self.t.finish(self.rng.choice(self.t.ASK).format(Q=self.fill(f["question"], f)))

    def tell(self, f, table=None):
        return self.t.finish(self.rng.choice(table or self.t.TELL).format(S=self.fill(f["statement"], f)))

    def distractors(self, f, most=5):
        out, keys = [], {f["key"]}
        for i in range(self.rng.choice([n for n in (0, 1, 1, 2, 2, 3, 4, 5) if n <= most])):
            d = self.fact(like=f if self.rng.random() < 0.4 else None)
            if d["key"] not in keys and d["relation"][0] not in self.t.CLASHES.get(f["relation"][0], ()):
                keys.add(d["key"])
                out.append(d)
        return out

    def apart(self, facts):
        """Without facts that would answer one another's questions."""
        out = []
        for f in facts:
            if all(f["key"] != g["key"] and f["relation"][0] not in self.t.CLASHES.get(g["relation"][0], ()) and g["relation"][0] not in self.t.CLASHES.get(f["relation"][0], ()) for g in out):
                out.append(f)
        return out

    def dialogue(self, kind=None):
        kind = kind or self.rng.choices(["grounded", "absent", "several", "taught", "echo", "changed", "check", "unknown", "repeat"], [18, 18, 22, 9, 7, 2, 3, 13, 8])[0]
        f, say = self.fact(), []
        turn = lambda role, text: say.append({"role": role, "content": text})
        memory = self.distractors(f)
        if kind in ("grounded", "check"):
            memory = memory + [f]
            self.recalled([f])
        if kind == "grounded":
            turn("user", self.ask(f)), turn("assistant", self.grounded(f))
        elif kind == "absent":
            turn("user", self.ask(f)), turn("assistant", self.reply(self.t.ABSENT, f))
            if self.rng.random() < 0.3:  # asked, then taught
                turn("user", self.tell(f)), turn("assistant", self.reply(self.t.TAUGHT, f))
        elif kind == "several":  # many questions to one memory: the densest lesson in looking things up
            memory = self.apart([f] + [self.fact(like=f if self.rng.random() < 0.3 else None) for _ in range(self.rng.randint(1, 4))])
            self.recalled(memory)
            lost = [m for m in memory if self.rng.random() < 0.3]
            for m in self.rng.sample(memory, len(memory)):
                turn("user", self.ask(m)), turn("assistant", self.reply(self.t.ABSENT, m) if m in lost else self.grounded(m))
            memory = [m for m in memory if m not in lost]
        elif kind == "repeat":  # say after me: pure copying
            memory = []
            for _ in range(self.rng.randint(2, 6)):
                words = self.values.passage(self.lang)
                turn("user", self.rng.choice(self.t.REPEAT).format(words)), turn("assistant", words)
        elif kind == "unknown":
            question, topic = self.rng.choice(self.t.KNOWLEDGE if self.held or self.rng.random() < 0.6 else self.t.WORLD)
            x = self.rng.choice(self.values.nouns) if self.lang == "zh" else self.values.draw("thing", "en")
            f |= {"x": x, "topic": topic, "question": question}
            turn("user", self.ask(f)), turn("assistant", self.reply(self.t.ABSENT, f))
        elif kind in ("taught", "echo"):
            turn("user", self.tell(f)), turn("assistant", self.reply(self.t.TAUGHT, f))
            if kind == "echo":  # asked back in the same talk, nothing recalled
                memory = []
                if self.rng.random() < 0.5:
                    g = self.fact(like=f)
                    if g["key"] != f["key"]:
                        turn("user", self.tell(g)), turn("assistant", self.reply(self.t.TAUGHT, g))
                turn("user", self.t.finish(self.rng.choice(self.t.ECHO).format(Q=self.fill(f["question"], f)))), turn("assistant", self.grounded(f))
        elif kind == "changed":
            memory = memory + [dict(f)]
            f["value"] = self.values.draw(f["kind"], self.lang)
            turn("user", self.tell(f, self.t.CHANGE)), turn("assistant", self.reply(self.t.CHANGED, f))
        elif kind == "check":
            right = self.rng.random() < 0.5
            guess = f["value"] if right else self.values.draw(f["kind"], self.lang)
            right = guess == f["value"]
            turn("user", self.t.finish(self.t.CHECK.format(S=self.fill(f["statement"], f, value=guess))))
            turn("assistant", self.t.finish(self.rng.choice(self.t.YES if right else self.t.NO).format(F=self.fill(f["statement"], f, False), V=f["value"], G=guess)))
        return self.framed(f, memory, say), {"kind": kind, "value": f["value"], "relation": f["relation"][0]}

    def pair(self):
        """→ two dialogues: the same question, with the fact among near misses, and with one more near miss in its place."""
        f = self.fact()
        misses = self.near_misses(f, self.rng.randint(2, 5))
        ask, age = self.ask(f), self.rng.choice(AGES)
        with_it, without = [f, *misses[1:]] if misses else [f], misses
        self.recalled([f, *misses])
        answers = [self.grounded(f), self.reply(self.t.ABSENT, f)]
        return [self.framed(f, m, [{"role": "user", "content": ask}, {"role": "assistant", "content": a}], age) for m, a in zip((with_it, without), answers)]

    def framed(self, f, memory, say, age=None):
        lines = self.recalled(memory)
        if self.lang == "zh" and age is None and self.rng.random() < 0.12 and f["owner"] == self.t.ME:  # a class room: speakers are named
            for m in say[::2]:
                m["content"] = f["teller"] + "：" + m["content"]
        age = age or self.rng.choice(AGES)
        head = f"小禾 {age}岁" if self.lang == "zh" else f"Xiaohe, age {age}"
        system = "\n".join([head] + ([self.t.REMEMBER] + [f"- {m}" for m in lines] if lines else []))
        return {"system": system, "messages": say}


def dialogues(lang, count, seed, held=False, data=None):
    """`count` dialogues; those of a pair come together, so that one row mostly holds both."""
    maker, made = Maker(lang, seed, held, data), 0
    while made < count:
        some = maker.pair() if maker.rng.random() < PAIRED else [maker.dialogue()[0]]
        made += len(some)
        yield {"together": some} if len(some) > 1 else some[0]


def recitations(lang, count, seed, sentences=(), data=None):
    """Text said twice, loss on the second saying only: the densest way to grow the heads that copy.

    A passage repeated, a list of words or of real sentences said again, or facts in another order, which is recall itself.
    """
    m = Maker(lang, seed, data=data)
    stop, gap = ("。", "") if lang == "zh" else (". ", " ")
    for _ in range(count):
        roll = m.rng.random()
        if roll < 0.4 and lang == "zh":
            passage = m.values.some(6, 36) + "。"
            yield {"quiet": passage, "text": passage * m.rng.randint(1, 3)}
        elif roll < 0.2:
            passage = f"{m.values.passage('en')} {m.values.passage('en')}.\n"
            yield {"quiet": passage, "text": passage * m.rng.randint(1, 3)}
        elif roll < 0.4:
            passage = ", ".join(m.values.draw(m.rng.choice(["name", "word", "place", "food", "animal"]), "en") for _ in range(m.rng.randint(3, 12))) + ".\n"
            yield {"quiet": passage, "text": passage * m.rng.randint(1, 2)}
        elif roll < 0.6 and sentences:
            lines = m.rng.sample(sentences, m.rng.randint(1, 4))
            yield {"quiet": gap.join(lines) + "\n", "text": gap.join(m.rng.sample(lines, len(lines))) + "\n"}
        else:
            facts = m.apart([m.fact() for _ in range(m.rng.randint(2, 6))])
            lines = [m.t.finish(m.fill(f["statement"], f)) + stop for f in facts]
            yield {"quiet": "".join(lines) + "\n", "text": "".join(m.rng.sample(lines, len(lines))) + "\n"}


if __name__ == "__main__":
    maker = Maker(sys.argv[1], 3)
    for i in range(int(sys.argv[2])):
        for d, about in zip(maker.pair(), ("pair", "pair")) if i % 3 == 0 else [maker.dialogue()]:
            print(about, d["system"].replace("\n", " / "), *(f"\n   {m['role'][0]}: {m['content']}" for m in d["messages"]))
