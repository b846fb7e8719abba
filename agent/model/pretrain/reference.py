"""What transformers computes, in fp32: the numbers every engine is held to.

    python reference.py                # both of the below; run it after every ship
    python reference.py --only seedling|tiny   [--checkpoint DIR] [--out DIR]

`reference-seedling.json`: 20 prompts, Chinese and English, chats (`cases`) and raw text (`raw`), on the dequantised
shipped weights: token ids, the prompt's 20 largest logits and 64 fixed ones, then 200 greedy tokens (past any end mark)
with the winner's logit at each. `close` lists the positions where the two best logits nearly tie, as
[position, runner-up, margin], and `rerouted` those where a token's last chosen and first refused expert nearly tie in
some layer, as [position, gap]: an engine that rounds differently may take the other there, and its logits jump.
Also asserts that our own `network.py` gives the same logits, so training and serving are one model.

`fixtures/tiny-sharded/`: a small random Qwen3-MoE that transformers itself saved, in shards, with its logits in
`expected.json`. Its matrices are exact in int8 blocks, so that the int8 engine is held to the same numbers.
"""
import argparse
import json
import os
import pathlib
import shutil
import tempfile

import torch
import transformers

from ship import IM_END, dequantize, export_hf, is_quantized, load, quantize

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parents[2] / "test/unit/agent/model"
TOKENS = 200
TOP = 20
CLOSE = 0.02  # logits; well above what rounding in any engine moves, so that tests can choose their tolerance below it
ROUTER_CLOSE = 2e-4  # in router logits: what 16-bit activations move
DIGITS = 5


def chat(system, *turns):
    text = f"<|im_start|>system\n{system}<|im_end|>\n"
    for i, turn in enumerate(turns):
        text += f"<|im_start|>{'assistant' if i % 2 else 'user'}\n{turn}<|im_end|>\n"
    return text + "<|im_start|>assistant\n"


CHATS = [
    chat("小禾 6岁", "你好，你是谁？"),
    chat("小禾 6岁\n记得：\n- 小明说过：我家的猫叫豆豆。\n- 王老师教过：月亮绕着地球转。", "我家的猫叫什么？"),
    chat("Xiaohe, age 6\nI remember:\n- Tom told me: my cat is called Coco.", "What is my cat called?"),
    chat("小禾 6岁", "对下联：春风吹绿草"),
    chat("小禾 6岁", "你会背《静夜思》吗？"),
    chat("小禾 6岁", "三加五等于几？", "三加五等于八。", "那八减二呢？"),
    chat("小禾 6岁\n记得：\n- 李老师教过：水烧开会变成水蒸气。", "水烧开会怎么样？"),
    chat("小禾 6岁", "给我讲一个小兔子的故事。"),
    chat("小禾 6岁", "我叫小红，我最喜欢的颜色是蓝色。"),
    chat("Xiaohe, age 6", "Hello! Who are you?"),
    chat("Xiaohe, age 6", "Tell me a story about a little dog."),
    chat("Xiaohe, age 6", "My name is Anna and I live in a small house near the sea.", "Nice to meet you, Anna!", "Where do I live?"),
    chat("Xiaohe, age 6\nI remember:\n- Ms Li taught me: the sun is a star.", "What is the sun?"),
    chat("小禾 6岁", "How do you say 苹果 in English?"),
]
RAW = [
    "从前有一座山，山上有一座庙，",
    "春天来了，小草从土里钻出来，",
    "床前明月光，疑是地上霜。",
    "Once upon a time, there was a little girl named Lily.",
    "One day, the sun was very hot and the bird",
    "1 + 1 = 2, 2 + 2 = 4, ",
]


def router_gap(out, k):
    """Smallest gap between a row's last chosen and first refused expert, over rows and layers."""
    best = [scores.float().topk(k + 1).values for scores in out.router_logits]
    return min((b[:, k - 1] - b[:, k]).min().item() for b in best)


def greedy(model, ids, count):
    """Logits after the prompt, then `count` greedy tokens: ids, winners' logits, near ties of tokens and of experts."""
    k = model.config.num_experts_per_tok
    out = model(ids, use_cache=True, output_router_logits=True)
    first = out.logits[0, -1]
    said, scores, close, rerouted = [], [], [], []
    for position in range(count):
        (best, second), (token, runner_up) = (t.tolist() for t in out.logits[0, -1].topk(2))
        if best - second < CLOSE:
            close.append([position, runner_up, round(best - second, 6)])
        if (gap := router_gap(out, k)) < ROUTER_CLOSE:
            rerouted.append([position, round(gap, 7)])
        said.append(token)
        scores.append(round(best, DIGITS))
        if position + 1 < count:
            out = model(torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True, output_router_logits=True)
    return first, {"greedy": said, "greedy_logits": scores, "close": close, "rerouted": rerouted}


@torch.no_grad()
def seedling(checkpoint):
    network, metadata = load(checkpoint)
    with tempfile.TemporaryDirectory() as plain:
        export_hf(network, checkpoint, pathlib.Path(plain), torch.float32)
        model = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32, attn_implementation="eager").eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(plain)
    fixed = [(i * 7_919) % model.config.vocab_size for i in range(64)]  # ids spread over the whole vocabulary

    def case(text):
        ids = tokenizer(text, return_tensors="pt").input_ids
        logits, continuation = greedy(model, ids, TOKENS)
        said = continuation["greedy"]
        difference = (network.logits(ids)[0, -1] - logits).abs().max().item()
        assert difference < 1e-3, f"network.py and transformers differ by {difference}"
        top = logits.topk(TOP)
        end = said.index(IM_END) if IM_END in said else len(said)
        return {"text": text, "ids": ids[0].tolist(), "top_ids": top.indices.tolist(),
                "top_logits": [round(v, DIGITS) for v in top.values.tolist()],
                "fixed_logits": [round(logits[i].item(), DIGITS) for i in fixed],
                **continuation, "greedy_text": tokenizer.decode(said[:end])}

    return {"checkpoint": metadata, "transformers": transformers.__version__, "torch": torch.__version__,
            "fixed_ids": fixed, "cases": [case(text) for text in CHATS], "raw": [case(text) for text in RAW]}


@torch.no_grad()
def tiny(out):
    torch.manual_seed(1)
    config = transformers.Qwen3MoeConfig(
        vocab_size=128, hidden_size=32, intermediate_size=64, moe_intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, num_experts=4, num_experts_per_tok=2,
        norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0}, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=2, pad_token_id=0)
    model = transformers.Qwen3MoeForCausalLM(config).eval()
    for name, p in model.named_parameters():
        if p.dim() == 1:  # norms: away from one, so that a forgotten weight shows
            p.uniform_(0.5, 1.5)
            continue
        p.normal_(std=0.3)
        if is_quantized(name):
            flat = p.view(-1, p.shape[-1])
            flat.copy_(dequantize(*quantize(flat)))
    model.save_pretrained(out, max_shard_size="40KB")
    for path in out.iterdir():
        path.chmod(0o644)
    model = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    prompts = [[(start + i * step) % config.vocab_size for i in range(length)]
               for start, step, length in [(3, 7, 5), (50, 11, 24), (9, 29, 40)]]
    cases = []
    for prompt in prompts:
        logits, continuation = greedy(model, torch.tensor([prompt]), 24)
        cases.append({"ids": prompt, "logits": [round(v, DIGITS) for v in logits.tolist()], **continuation})
    write(out / "expected.json", {"transformers": transformers.__version__, "cases": cases})


def write(path, value):
    """One line a case: small, and a change shows which case moved."""
    lists = {key: list for key, list in value.items() if key in ("cases", "raw")}
    lines = [f"{json.dumps(key)}: {json.dumps(rest, ensure_ascii=False)}" for key, rest in value.items() if key not in lists]
    lines += [f"{json.dumps(key)}: [\n" + ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases) + "\n]"
              for key, cases in lists.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    os.replace(scratch, path)


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--checkpoint", type=pathlib.Path, default=HERE.parent / "checkpoints/seedling")
    args.add_argument("--out", type=pathlib.Path, default=TESTS)
    args.add_argument("--only", choices=["seedling", "tiny"])
    args = args.parse_args()
    torch.set_num_threads(1)  # one token at a time: more threads only wait for each other
    if args.only != "seedling":
        fixture = args.out / "fixtures/tiny-sharded"
        shutil.rmtree(fixture, ignore_errors=True)
        tiny(fixture)
        print("tiny:", ", ".join(f"{p.name} {p.stat().st_size}" for p in sorted(fixture.iterdir())))
    if args.only != "tiny":
        result = seedling(args.checkpoint)
        write(args.out / "reference-seedling.json", result)
        for case in result["cases"] + result["raw"]:
            print(f"{len(case['close'])} close", repr(case["text"][-40:]), "→", repr(case["greedy_text"][:80]))
