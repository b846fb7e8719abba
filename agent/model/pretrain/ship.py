"""Write a checkpoint directory: int8 in blocks of 32 (llama.cpp's Q8_0) for our engines, or plain bf16 for others.

    python ship.py --run /path/run --tokenizer DIR --out ../checkpoints/seedling        # int8, what ships
    python ship.py --run /path/run --tokenizer DIR --hf-bf16 DIR                        # ordinary Hugging Face directory
    python ship.py --random --tokenizer DIR --out DIR                                   # untrained weights, for engine work

In `model.safetensors` every matrix NAME is I8 [rows, cols] and has NAME.scale F16 [rows, cols/32]; norms and the router
stay F32 (they are 0.2 % of the weights, and a rounded router picks other experts). Also holds the way back: `load`
gives the dequantised network, the very numbers every engine computes with.

Not for: GGUF (the agent's exporter writes it from these same int8 blocks, so nothing is rounded twice).
"""
import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from network import SIZES, Config, Network

BLOCK = 32
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
IM_END, END_OF_TEXT = 9_237, 9_235


def to_hf(network):
    """Our tensors under Hugging Face's names, fp32."""
    out = {"model.embed_tokens.weight": network.embedding, "model.norm.weight": network.norm.weight}
    for i, layer in enumerate(network.layers):
        p, a, e = f"model.layers.{i}.", layer.attention, layer.experts
        out[p + "input_layernorm.weight"] = layer.input_norm.weight
        out[p + "post_attention_layernorm.weight"] = layer.post_norm.weight
        for n in ["q_proj", "k_proj", "v_proj", "o_proj"]:
            out[p + f"self_attn.{n}.weight"] = getattr(a, n)
        out[p + "self_attn.q_norm.weight"], out[p + "self_attn.k_norm.weight"] = a.q_norm.weight, a.k_norm.weight
        out[p + "mlp.gate.weight"] = e.router
        for j in range(e.router.shape[0]):
            out[p + f"mlp.experts.{j}.gate_proj.weight"] = e.gate_up[j, 0]
            out[p + f"mlp.experts.{j}.up_proj.weight"] = e.gate_up[j, 1]
            out[p + f"mlp.experts.{j}.down_proj.weight"] = e.down[j]
    return {k: v.detach().float().contiguous() for k, v in out.items()}


def from_hf(tensors, c):
    network = Network(c)
    with torch.no_grad():
        for name, target in to_hf_targets(network).items():
            target.copy_(tensors[name])
    return network.eval()


def to_hf_targets(network):
    """As `to_hf`, but views into the parameters, so that copying into them fills the network."""
    views, real = {}, {k: v.data for k, v in network.named_parameters()}
    for name in to_hf(network):
        parts = name.split(".")
        if parts[1] != "layers":
            views[name] = real["embedding" if "embed" in name else "norm.weight"]
            continue
        p = f"layers.{parts[2]}."
        if "experts" in name:
            j, kind = int(parts[5]), parts[6]
            views[name] = real[p + "experts.down"][j] if kind == "down_proj" else real[p + "experts.gate_up"][j, kind == "up_proj" and 1 or 0]
        elif "mlp.gate" in name:
            views[name] = real[p + "experts.router"]
        elif "layernorm" in name:
            views[name] = real[p + ("input_norm" if "input" in name else "post_norm") + ".weight"]
        else:
            views[name] = real[p + "attention." + (parts[4] + ".weight" if "norm" in parts[4] else parts[4])]
    return views


def quantize(w):
    """[rows, cols] fp32 → int8 [rows, cols], fp16 [rows, cols/32]; exactly `quantize_row_q8_0_ref`."""
    blocks = w.view(w.shape[0], -1, BLOCK)
    scale = blocks.abs().amax(-1) / 127
    inverse = torch.where(scale > 0, 1 / scale, torch.zeros_like(scale)).unsqueeze(-1)
    scaled = blocks * inverse
    q = (scaled.abs() + 0.5).floor() * scaled.sign()  # C's roundf: halves away from zero
    return q.to(torch.int8).view(w.shape), scale.half()


def dequantize(q, scale):
    return (q.view(q.shape[0], -1, BLOCK).float() * scale.float().unsqueeze(-1)).view(q.shape)


def is_quantized(name):
    return not (name.endswith("norm.weight") or "layernorm" in name or "mlp.gate." in name)


def size_of(c):
    """The name of a shape; a shape of nobody's is a trial."""
    return next((name for name, size in SIZES.items() if size == c), "trial")


def config_json(c, version, quantization):
    out = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", **dataclasses.asdict(c)}
    out |= {"num_local_experts": c.num_experts, "intermediate_size": c.moe_intermediate_size * c.num_experts_per_tok,
            "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], "hidden_act": "silu",
            "tie_word_embeddings": True, "attention_bias": False, "attention_dropout": 0.0, "use_sliding_window": False,
            "sliding_window": None, "rope_parameters": {"rope_type": "default", "rope_theta": c.rope_theta},
            "rope_scaling": None, "router_aux_loss_coef": 0.001, "output_router_logits": False, "use_cache": True,
            "initializer_range": 0.02, "bos_token_id": None, "eos_token_id": IM_END, "pad_token_id": END_OF_TEXT,
            "torch_dtype": "bfloat16"}
    if quantization:
        out["xiaohe"] = {"name": size_of(c), "version": version, "quantization": quantization}
    return out


def write(tensors, metadata, config, tokenizer, out):
    """All files into a sibling directory first, then each is renamed over the old one: a reader never sees half a file."""
    out.mkdir(parents=True, exist_ok=True)
    generation = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.1,
                  "eos_token_id": [IM_END, END_OF_TEXT], "pad_token_id": END_OF_TEXT}
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        scratch = pathlib.Path(scratch)
        save_file(tensors, str(scratch / "model.safetensors"), metadata=metadata)
        (scratch / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        (scratch / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")
        for name in TOKENIZER_FILES:
            shutil.copyfile(tokenizer / name, scratch / name)
        for path in sorted(scratch.iterdir()):
            path.chmod(0o644)
            os.replace(path, out / path.name)


def ship(network, tokenizer, out, version, tokens, run):
    tensors = {}
    for name, w in to_hf(network).items():
        if is_quantized(name):
            tensors[name], tensors[name + ".scale"] = quantize(w)
        else:
            tensors[name] = w
    metadata = {"format": "pt", "quantization": "q8_0", "block_size": str(BLOCK), "checkpoint": size_of(network.c),
                "trained_tokens": str(tokens), "run": run}
    write(tensors, metadata, config_json(network.c, version, "q8_0"), tokenizer, out)


def export_hf(network, tokenizer, out, dtype=torch.bfloat16):
    tensors = {k: v.to(dtype) for k, v in to_hf(network).items()}
    config = config_json(network.c, "", None) | {"torch_dtype": str(dtype).removeprefix("torch.")}
    write(tensors, {"format": "pt"}, config, tokenizer, out)


def load(directory):
    """A shipped directory → the dequantised Network and the file's metadata."""
    config = json.loads((directory / "config.json").read_text())
    c = Config(**{f.name: config[f.name] for f in dataclasses.fields(Config)})
    with safe_open(str(directory / "model.safetensors"), "pt") as f:
        names, metadata = list(f.keys()), f.metadata()
        tensors = {n: dequantize(f.get_tensor(n), f.get_tensor(n + ".scale")) if n + ".scale" in names else f.get_tensor(n).float()
                   for n in names if not n.endswith(".scale")}
    return from_hf(tensors, c), metadata


def load_run(run):
    """The newest weights of a training run → Network, tokens seen."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    network = Network(Config(**state["config"]))
    network.load_state_dict(state["network"])
    return network.eval(), state["tokens"]


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--run", type=pathlib.Path)
    args.add_argument("--random", action="store_true")
    args.add_argument("--tokenizer", type=pathlib.Path, required=True)
    args.add_argument("--out", type=pathlib.Path)
    args.add_argument("--hf-bf16", type=pathlib.Path)
    args.add_argument("--version", default="0.1.0")
    args = args.parse_args()
    torch.manual_seed(1)
    model, seen = (Network(), 0) if args.random else load_run(args.run)
    if args.random:  # zero output matrices would hide half of an engine's mistakes
        for p in model.parameters():
            if p.dim() > 1 and not p.any():
                torch.nn.init.normal_(p, std=0.05)
    if args.out:
        ship(model, args.tokenizer, args.out, args.version, seen, "random" if args.random else args.run.name)
    if args.hf_bf16:
        export_hf(model, args.tokenizer, args.hf_bf16)
