"""Every picture we have as 64×64 RGB with its captions and its split: what `codec.py` learns from and encodes.

Split, by picture: 0 train, 1 test, 2 kin. Test is whatever an evaluation file names (Noto's drawing of a tested emoji), the
photo sets' own test halves, and a twentieth of the rest by hash of its id. Kin are other pictures of a tested name (the same
emoji in another style, an icon of that name): the codec keeps off them as well; whether a language model may see
them decides whether its score is zero-shot, so they are marked and not dropped.

Not for: changing pictures. Augmentation is the codec's business.
"""
import hashlib
import json
import lzma

import numpy as np
import torch
import torch.nn.functional as F

SIZE = 64
TRAIN, TEST, KIN = 0, 1, 2
HELD_OUT_EVERY = 20
TESTED_STYLE = "emoji_noto"  # the pictures that eval/t1_t6_t9_emoji_pairs names
# name in image/ → (words for the style in zh, en; kind). `ink` pictures are dark strokes on white and may change colour.
SOURCES = {
    "emoji_noto": ("表情画", "emoji", "colour"), "emoji_twemoji": ("扁平表情画", "flat emoji", "colour"),
    "emoji_fluent3d": ("立体表情画", "3D emoji", "colour"), "emoji_fluentflat": ("柔和表情画", "soft emoji", "colour"),
    "emoji_openmoji": ("描边表情画", "outlined emoji", "colour"), "emoji_emojione2": ("圆润表情画", "round emoji", "colour"),
    "emoji_fxemoji": ("狐狸表情画", "fox emoji", "colour"), "flags_twemoji": ("旗帜", "flag", "colour"),
    "icons_color_misc": ("彩色图标", "colour icon", "colour"), "icons_iconpark": ("图标", "icon", "colour"),
    "icons_line_gray": ("黑白图标", "black-and-white icon", "ink"), "hanzi64_gray": ("汉字", "Chinese character", "ink"),
    "quickdraw_vec64": ("简笔画", "line drawing", "ink"), "quickdraw28": ("手绘", "hand drawing", "ink"),
    "mnist_t10k_28": ("手写数字", "handwritten digit", "ink"),
    "photo_grocery": ("照片", "photo", "photo"), "photo_caltech101": ("照片", "photo", "photo"),
}


def rows(path):
    with lzma.open(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def plain(emoji):
    """Without the variation selector, which one set writes and another leaves out."""
    return emoji.replace("\ufe0f", "")


def tested(data):
    """→ emoji, and names in either language, that evaluation files ask about."""
    emoji, names = set(), set()
    for row in rows(data / "eval/t1_t6_t9_emoji_pairs.jsonl.xz"):
        if row["split"] == "test":
            emoji.add(plain(row["emoji"]))
            names |= {row["names"]["zh"], row["names"]["en"]}
    return emoji, names


def split_of(source, row, emoji, names):
    ours = plain(row.get("emoji", "")) in emoji
    if row.get("split") == "test" or ours and source == TESTED_STYLE:
        return TEST
    if ours or row["zh"] in names or row["en"] in names:
        return KIN
    by_hash = int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:4], "big") % HELD_OUT_EVERY == 0
    return TEST if by_hash else TRAIN


def enlarge(images):
    """uint8 [N, 28, 28] → [N, 64, 64]: twice as large, and four pixels of margin."""
    twice = F.interpolate(torch.from_numpy(images)[:, None].float(), scale_factor=2, mode="bilinear", align_corners=False)
    return F.pad(twice, (4, 4, 4, 4)).round().byte().squeeze(1).numpy()


def load(data, source):
    """→ images uint8 [N, 64, 64, 3] or [N, 64, 64] (grey), dark on white; caption rows; splits uint8 [N]."""
    images = np.load(data / f"image/{source}.npz")["images"]
    if source == "quickdraw_vec64":  # the first rows of quickdraw28, drawn finer
        captions = rows(data / "image/quickdraw28.captions.jsonl.xz")[:len(images)]
    else:
        captions = rows(data / f"image/{source}.captions.jsonl.xz")
    if source == "quickdraw28":
        finer = int(np.load(data / f"image/{source}.npz")["is_vector"].sum())
        images, captions = images[finer:], captions[finer:]
    if images.shape[1] == 28:
        images = enlarge(images)
    if source.startswith(("quickdraw", "mnist")):
        images = 255 - images
    emoji, names = tested(data)
    splits = np.array([split_of(source, row, emoji, names) for row in captions], np.uint8)
    assert len(images) == len(captions) and images.shape[1:3] == (SIZE, SIZE)
    return images, captions, splits
