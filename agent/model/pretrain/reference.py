"""Reference vectors for the engines' parity tests: what transformers computes, fp32, on the dequantised shipped weights.

    python reference.py [--checkpoint ../checkpoints/seedling] [--out …/test/unit/agent/model/reference-seedling.json]

For a few short prompts: token ids, the last position's 20 largest logits, 64 fixed logits, and the greedy continuation
of 40 tokens. Also asserts that our own `network.py` gives the same logits, so training and serving are one model.
Run it after every ship; the file is small and lives beside the tests.
"""
import argparse
import json
import os
import pathlib
import tempfile

import torch
import transformers

from ship import IM_END, TOKENIZER_FILES, export_hf, load

HERE = pathlib.Path(__file__).resolve().parent
PROMPTS = [
    "<|im_start|>system\n小禾 6岁<|im_end|>\n<|im_start|>user\n你好，你是谁？<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\n小禾 6岁\n记得：\n- 小明说过：我家的猫叫豆豆。\n- 王老师教过：月亮绕着地球转。<|im_end|>\n"
    "<|im_start|>user\n我家的猫叫什么？<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nXiaohe, age 6\nI remember:\n- Tom told me: my cat is called Coco.<|im_end|>\n"
    "<|im_start|>user\nWhat is my cat called?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\n小禾 6岁<|im_end|>\n<|im_start|>user\n对下联：春风吹绿草<|im_end|>\n<|im_start|>assistant\n",
]
FIXED = [(i * 7_919) % 10_240 for i in range(64)]  # ids spread over the whole vocabulary
DIGITS = 5


@torch.no_grad()
def reference(checkpoint):
    network, metadata = load(checkpoint)
    with tempfile.TemporaryDirectory() as plain:
        export_hf(network, checkpoint, pathlib.Path(plain), torch.float32)
        model = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32, attn_implementation="eager").eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(plain)
    cases = []
    for text in PROMPTS:
        ids = tokenizer(text, return_tensors="pt").input_ids
        logits = model(ids).logits[0, -1]
        difference = (network.logits(ids)[0, -1] - logits).abs().max().item()
        assert difference < 1e-3, f"network.py and transformers differ by {difference}"
        top = logits.topk(20)
        greedy, sequence = [], ids
        for _ in range(40):
            best = model(sequence).logits[0, -1].argmax().view(1, 1)
            greedy.append(best.item())
            sequence = torch.cat((sequence, best), 1)
        end = greedy.index(IM_END) if IM_END in greedy else len(greedy)
        cases.append({"text": text, "ids": ids[0].tolist(), "top_ids": top.indices.tolist(),
                      "top_logits": [round(v, DIGITS) for v in top.values.tolist()],
                      "fixed_logits": [round(logits[i].item(), DIGITS) for i in FIXED],
                      "greedy": greedy, "greedy_text": tokenizer.decode(greedy[:end])})
    return {"checkpoint": metadata, "transformers": transformers.__version__, "torch": torch.__version__,
            "fixed_ids": FIXED, "cases": cases}


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--checkpoint", type=pathlib.Path, default=HERE.parent / "checkpoints/seedling")
    args.add_argument("--out", type=pathlib.Path, default=HERE.parents[2] / "test/unit/agent/model/reference-seedling.json")
    args = args.parse_args()
    result = reference(args.checkpoint)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    scratch = args.out.with_suffix(".tmp")
    scratch.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, args.out)
    for case in result["cases"]:
        print(repr(case["text"].split("user\n")[1].split("<|")[0]), "→", repr(case["greedy_text"]))
