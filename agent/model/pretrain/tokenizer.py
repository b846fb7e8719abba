"""Build tokenizer.json: byte-level BPE in which every common Han character is exactly one token.

Why not train an ordinary BPE: verse is constrained character by character while it is decoded, so no token may
span two Han characters, and a copied name must cost as many steps as it has characters. The merges are therefore
written down, not learned: first the two-byte beginnings, then whole characters, and only then English merges,
which are learned over ASCII words.

Not for: training other vocabularies, or byte fallback rules; what has no merge stays bytes and round-trips.

    python tokenizer.py --data ../../../../shared/data --out DIR

Ids: 0–255 bytes · two-byte beginnings · punctuation · Han · English · 5 specials · 1,000 image codes = 10,240.
"""
import argparse
import collections
import json
import lzma
import pathlib
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 10_240
HAN = 6_500  # covers 99.9 % of the verse and all of the 2013 standard table's levels 1 and 2 that occur
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_start|>", "<|image_end|>"]
IMAGE_CODES = 1_000
PUNCTUATION = "，。？！、；：“”‘’（）《》〈〉「」『』…—·～【】　－％〇"
# Qwen2's pre-tokenizer, word for word: llama.cpp then needs no patch beyond naming it "qwen2".
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
                 "+ '<|im_end|>' + '\\n' }}{%- endfor -%}{%- if add_generation_prompt -%}"
                 "{{ '<|im_start|>assistant\\n' }}{%- endif -%}")


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return table


def count_han(data):
    """Characters of verse, talk and the primary-school table. The table's are always in, whatever their count."""
    counts = collections.Counter()
    for name in ["poetry/pd/poems_select.jsonl.xz", "poetry/pd/couplets_primer.jsonl.xz", "zh/prose_children_reading.jsonl.xz",
                 "zh/prose_sentences_tatoeba.jsonl.xz", "zh/chat_kdconv.jsonl.xz", "zh/prose_pd_modern_core.jsonl.xz",
                 "persona/gen_teach_zh.jsonl.xz", "persona/gen_reason_zh.jsonl.xz", "poetry/permissive/words_pos_jieba.jsonl.xz"]:
        text = lzma.open(data / name, "rt", encoding="utf-8").read()
        counts.update(text)
    always = collections.Counter()
    for path in sorted((data / "persona").glob("*.jsonl")):
        always.update(path.read_text(encoding="utf-8"))
    always.update(row["char"] for row in json.loads((data / "curriculum/hanzi_levels.json").read_text(encoding="utf-8")))
    for c in always:
        counts[c] += 10 ** 6
    return [c for c, _ in sorted(counts.items(), key=lambda x: (-x[1], x[0])) if "\u4e00" <= c <= "\u9fff"]


def english_merges(data, size):
    """Learn merges over ASCII words only; her own English counts several times."""
    def texts():
        persona = (data / "persona/en.jsonl").read_text(encoding="utf-8").splitlines()
        for line in persona * 3:
            yield from (m["content"] for m in json.loads(line)["messages"])
        for name in ["persona/gen_en.jsonl.xz", "en/prose_simple_en.jsonl.xz", "en/chat_tatoeba.jsonl.xz"]:
            for i, line in enumerate(lzma.open(data / name, "rt", encoding="utf-8")):
                row = json.loads(line)
                if name.startswith("persona") and i % 4:
                    continue
                yield row.get("text") or "\n".join(m["content"] for m in row["messages"])
        yield from ["system\nuser\nassistant\n"] * 20_000  # a role is one token

    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = split()
    ascii_only = (re.sub(r"[^\x20-\x7e\n]+", "\n", t) for t in texts())
    trainer = trainers.BpeTrainer(vocab_size=256 + size, min_frequency=20, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(ascii_only, trainer)
    return [tuple(m) for m in json.loads(tok.to_str())["model"]["merges"]][:size]


def split():
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def build(data):
    table = byte_alphabet()
    vocab = {table[b]: b for b in range(256)}
    merges = []

    def add(left, right):
        if left + right not in vocab:
            vocab[left + right] = len(vocab)
            merges.append((left, right))

    han = count_han(data)[:HAN]
    characters = [c for c in PUNCTUATION] + han
    spelled = [[table[b] for b in c.encode()] for c in characters]
    for s in spelled:  # the two-byte beginnings first, so every whole character is one merge away
        add(s[0], s[1])
    for s in spelled:
        if len(s) == 3:
            add(s[0] + s[1], s[2])
    room = VOCAB - len(SPECIALS) - IMAGE_CODES - len(vocab)
    for left, right in english_merges(data, room):
        add(left, right)
    assert len(vocab) == VOCAB - len(SPECIALS) - IMAGE_CODES, len(vocab)

    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.pre_tokenizer = split()
    tok.decoder = decoders.ByteLevel()
    names = SPECIALS + [f"<|i{i}|>" for i in range(IMAGE_CODES)]
    tok.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in names])
    assert tok.get_vocab_size() == VOCAB
    return tok, han


def verify(tok, han):
    """Every promise of the header, checked on the built object."""
    samples = ["你好，小禾！", "床前明月光，\n疑是地上霜。", "Hello, I'm Xiaohe. 2+3=5\n\n  ok", "😀👩‍👩‍👧 𠮷野家 Ελληνικά русский\t\r\n",
               "한국어 العربية \u0000\u200b", "爨龘齉", "A小B禾C", "    ", "“……”——《》"]
    for s in samples:
        assert tok.decode(tok.encode(s).ids, skip_special_tokens=False) == s, s
    ids = {c: tok.token_to_id("".join(byte_alphabet()[b] for b in c.encode())) for c in han}
    assert None not in ids.values()
    for left, right in [("", ""), ("一", "龙"), ("a", "b"), ("，", "。"), ("3", "7"), (" ", "\n"), ("龘", "😀")]:
        for c in han:
            assert ids[c] in tok.encode(left + c + right).ids
    run = "".join(han)
    assert tok.encode(run).ids == [ids[c] for c in han]
    assert tok.token_to_id("<|i999|>") - tok.token_to_id("<|i0|>") == 999


def write(tok, out):
    out.mkdir(parents=True, exist_ok=True)
    tok.save(str(out / "tokenizer.json"))
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    names = SPECIALS + [f"<|i{i}|>" for i in range(IMAGE_CODES)]
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, "add_bos_token": False, "bos_token": None,
              "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None, "model_max_length": 2048,
              "clean_up_tokenization_spaces": False, "split_special_tokens": False, "errors": "replace",
              "chat_template": CHAT_TEMPLATE,
              "added_tokens_decoder": {str(tok.token_to_id(n)): {"content": n, "lstrip": False, "normalized": False,
                                       "rstrip": False, "single_word": False, "special": True} for n in names}}
    (out / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(__file__).parents[4] / "shared/data")
    args.add_argument("--out", type=pathlib.Path, required=True)
    args = args.parse_args()
    tokenizer, characters = build(args.data)
    verify(tokenizer, characters)
    write(tokenizer, args.out)
    print(f"{tokenizer.get_vocab_size()} tokens, {len(characters)} Han, rarest {''.join(characters[-20:])}")
