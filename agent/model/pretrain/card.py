"""Write the model card of a shipped directory: from the run's log, the packed data's report and an evaluation.

    python evaluate.py --packed DIR --out report.json
    python card.py --run DIR --packed DIR --report report.json [--retrieval retrieval.json] [--out ../checkpoints/seedling]

Every number and sample comes from those files; only the sentences are written here. Samples are the first ones, unselected.
Not for: judging. What the figures mean for children is for whoever reads them.
"""
import argparse
import json
import pathlib

SKILLS = {"grounded": "grounded: asked for a recalled fact, the reply holds its value", "absent": "honest: asked for a fact that was not recalled, she admits it",
          "unknown": "honest: asked about a word she was never taught", "taught": "taught: told a fact, she restates its value",
          "echo": "echo: asked later in the same talk", "repeat": "say after me, exactly"}
OURS = "this project"
SOURCES = {
    "voice_zh": ("hand-written dialogues of Xiaohe (life, plain talk, teaching, making)", OURS), "voice_en": ("the same in English", OURS),
    "small_zh": ("everyday questions of Microsoft’s Chinese chit-chat set (MIT), questions only, and more; answers of our own", "this project; MIT"),
    "small_en": ("the same in English", "this project; MIT"), "openings": ("first exchanges of the hand-written dialogues", OURS),
    "ground_zh": ("`gen_ground.py`, seeded", OURS), "ground_en": ("`gen_ground.py`, seeded", OURS),
    "recite": ("`gen_ground.py`, seeded", OURS), "recite_en": ("`gen_ground.py`, seeded, with Tatoeba sentences", "this project; CC BY 2.0 FR"),
    "teach_gen": ("generated memory dialogues", OURS), "reason_gen": ("generated reasoning dialogues", OURS),
    "en_gen": ("generated English dialogues, word drills left out", OURS), "story_zh": ("small stories", OURS),
    "prose_zh": ("CFT and CMRC 2019 children’s reading (Cui et al.); African Storybook in Chinese; 爱的教育 (夏丏尊’s translation)", "CC BY-SA 4.0; CC BY; public domain"),
    "prose_en": ("African Storybook, Pratham Books, Aesop, Project Gutenberg children’s books", "CC BY; public domain"),
    "sentences_zh": ("Tatoeba, and Wiktionary examples", "CC BY 2.0 FR; CC BY-SA"), "sentences_en": ("Tatoeba", "CC BY 2.0 FR"),
    "verse": ("classical verse and primers (chinese-poetry, snowtraces, Werneror and others)", "public domain texts; MIT compilations"),
    "poem": ("quatrains of the same", "public domain"), "couplet": ("couplets cut from regulated verse; 声律启蒙, 笠翁对韵 and other primers", "public domain"),
}

HEAD = """---
license: mit
language: [zh, en]
---
# seedling

The weights Xiaohe ships with: a 13-million-parameter mixture-of-experts language model (about 6 million active per token) at
a six-year-old's level, trained from nothing on two shared CPU cores. It is meant to run anywhere and to be taught, not to
know much. An ordinary Hugging Face `Qwen3MoeForCausalLM`; the int8 blocks in `model.safetensors` are llama.cpp's Q8_0.
"""
WEAK = """## Weak points

- It has seen few tokens for its size. Free talk is often beside the point or ungrammatical and
  drifts into the phrasing of the memory exercises.
- Copying is not sure: rare characters and long names come out changed; with several similar facts the wrong one may be taken.
- It may claim a fact it was not told, or deny one it was. The agent therefore lets it try several answers and keeps the likeliest
  that names what was recalled or, where nothing was, admits it (`agent/skills/chat`); the figures above are without that.
- English is weaker than Chinese. Arithmetic, reasoning and knowledge are near nothing, by plan or by size.
- Couplets keep length better than sense; tone rules need the constraint automaton. Quatrains likewise.
- Pictures: the codec in [`codec/`](codec/README.md) works by itself; the language model has not been trained on its codes. Tunes: nothing.
- Long talks: dialogues past 512 tokens were not in training.
- It has no filter of its own. It was shown kind answers to unkind questions, which is no protection; the server's filter is a word filter.
"""
CREDITS = """Sentences: tatoeba.org contributors (CC BY 2.0 FR). Stories: African Storybook (africanstorybook.org) and Pratham Books StoryWeaver authors and
translators, CC BY. Children's reading: Y. Cui et al., CC BY-SA 4.0; its passages come from the web and it is the source whose origin is least
certain. Everyday questions: Microsoft Bot Framework's chit-chat sets (MIT), whose stock answers were not used. Made-up names draw on the 2013
table of standard characters and jieba's word list (MIT).

Decontamination: any document sharing 14 tokens in a row with a test set of this project was dropped. CFT, CMRC and Tatoeba-derived scores must
not be reported for this model. Left out by the six-year-old rule: all maths sets, curriculum lists, idioms, word lists, encyclopaedia text,
capitals. Left out for their origin: LCCC.
"""


def training(log, tokens):
    steps = [line for line in log if "loss" in line]
    last, speeds = steps[-1], [s["tokens_per_s"] for s in steps]
    starts = sum(line.get("event") == "start" for line in log)
    return f"""| | |
|---|---|
| shape | hidden 256 · 6 layers · 4 heads / 2 kv × 64 · 16 experts, top-4, × 128 · vocabulary 10,240 · tied embeddings |
| context | 2,048 positions by configuration; trained on rows of 512, so expect little beyond that |
| trained | {tokens:,} tokens in {last["step"]:,} steps, {last["seconds"] / 3600:.2f} h of wall time, two processes of one thread, bf16 autocast |
| machine | two EPYC (Zen 4) cores shared with other work: {min(speeds):,}–{max(speeds):,} tokens/s, {tokens / last["seconds"]:,.0f} on average |
| energy | about {last["kwh_estimate"] * 1000:.0f} Wh and {last["gco2e_estimate"]:.0f} g CO₂e: an **estimate** (8 W a core, 450 g/kWh), not a measurement |
| recipe | `../../pretrain/`; Muon + AdamW, flat rate then linear to 2 % over the last 40 % |
| licence | MIT; the sources below ask for credit |

The run was stopped and continued {starts - 1} times, its schedule stretched and its mixture and data changed on the way (its log keeps every change), so a
repeat from seed 1 will not give these exact weights.
"""


def measured(report):
    zh, en, couplet = report["zh"], report["en"], report["couplet"]
    rows = "\n".join(f"| {label} | {zh[k]['rate']:.0%} | {en[k]['rate']:.0%} |" for k, label in SKILLS.items())
    unseen = lambda lang, kind: report[lang][kind].get("held_out_relations", "–")
    return f"""## Measured (int8 weights, greedy; values the generator never used in training, but for lists too short to hold any out)

| skill ({report["zh_count"]} cases each) | zh | en |
|---|---|---|
{rows}

Relations never seen in training: grounded zh {unseen("zh", "grounded")}, en {unseen("en", "grounded")}; absent zh {unseen("zh", "absent")}, en {unseen("en", "absent")}.
Replies that end by themselves (grounded): zh {zh["grounded"]["ended"]:.0%}, en {en["grounded"]["ended"]:.0%}; replies holding some four tokens twice: zh {zh["grounded"]["repetition"]:.0%}, en {en["grounded"]["repetition"]:.0%}.
Couplets, no constraint: lower line of the right length {couplet["right_length"]:.0%}, sharing no character with the upper {couplet["no_shared_character"]:.0%}.
"Admits" is judged by words of admission and by no recalled value of another fact being offered; it is a rule, not a reader.

Held-out bits per byte (a fiftieth of each source, by hash; chat: her replies only): {" · ".join(f"{k} {v:.2f}" for k, v in report["bits_per_byte"].items())}.
The `ground`, `small`, `recite`, `teach_gen`, `en_gen`, `reason_gen` sets share templates or answers with training, so their figures flatter; `openings` holds the same
texts at other ages in both parts, so its figure says nothing.
"""


def retrieval(report):
    if not report:
        return ""
    ways = ["bm25", "pooled", "head", "fused"]
    rows = "\n".join(f"| {name} ({r['facts']}) | " + " | ".join(f"{r[w]['@1']:.2f} / {r[w]['@5']:.2f}" for w in ways) + " |" for name, r in report.items())
    return f"""## Retrieval head (`2_Dense/`, sentence-transformers' layout; frozen network)

The right fact among the held-out ones, recall@1 / @5:

| questions (facts) | BM25, character bigrams | mean-pooled states | with the head | BM25 and head fused |
|---|---|---|---|---|
{rows}

The head was trained on made-up facts of the same generator, which flatters it there; the hand-written ones are the fairer judge.
"""


def samples(report):
    one = lambda text: text.replace("\n", " / ").replace("|", "｜")
    talk = "\n".join("- " + " → ".join(f"**{one(x)}**" if i % 2 == 0 else one(x) for i, x in enumerate(t)) for t in report["talk_samples"])
    kinds = [("zh", "grounded", 4), ("zh", "absent", 3), ("zh", "taught", 3), ("zh", "echo", 2), ("en", "grounded", 3), ("en", "absent", 2), ("en", "taught", 2)]
    rows = []
    for lang, kind, most in kinds:
        for s in [s for s in report[lang + "_samples"] if s["kind"] == kind][:most]:
            memory = " · ".join(line.lstrip("- ") for line in s["memory"]) or "(nothing)"
            rows.append(f"| {kind} | {one(memory)} | {one(' → '.join(s['said']))} | {one(s['reply'])} |")
    return f"""## Samples, seeded and unselected

Talk (temperature 0.5):

{talk}

Memory (greedy; the first of each kind):

| kind | recalled | said | she answers |
|---|---|---|---|
{chr(10).join(rows)}

Couplets (upper → lower, no constraint): {"、".join(f"{u} → {l}" for u, l in report["couplet_samples"])}
"""


def data(log, packed):
    used = set().union(*(line["mixture"] for line in log if line.get("event") == "stage"))
    rows = "\n".join(f"| `{k}` | {v['documents']:,} | {v['tokens']:,} | {SOURCES[k][0]} | {SOURCES[k][1]} |" for k, v in packed["sources"].items() if k in used)
    dropped = "; ".join(f"{n:,} × {why}" for why, n in sorted(packed["dropped"].items(), key=lambda x: -x[1])[:9])
    return f"""## Data

The packed training set as it was at the end, loss only on her replies in chat (in stage 1 also on the other speaker's in hand-written talk).
Repeats differ by mixture.

| source | documents | tokens | from | licence |
|---|---|---|---|---|
{rows}

Dropped: {dropped}.

{CREDITS}"""


def card(args):
    read = lambda path: json.loads(path.read_text(encoding="utf-8"))
    report, packed = read(args.report), read(args.packed / "prepare.json")
    log = [json.loads(line) for line in open(args.run / "log.jsonl", encoding="utf-8")]
    parts = [HEAD, training(log, int(report["checkpoint"]["trained_tokens"])), measured(report), retrieval(args.retrieval and read(args.retrieval)),
             samples(report), WEAK, data(log, packed)]
    (args.out / "README.md").write_text("\n".join(p for p in parts if p), encoding="utf-8")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", type=pathlib.Path, required=True)
    p.add_argument("--packed", type=pathlib.Path, required=True)
    p.add_argument("--report", type=pathlib.Path, required=True)
    p.add_argument("--retrieval", type=pathlib.Path)
    p.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "checkpoints/seedling")
    card(p.parse_args())
