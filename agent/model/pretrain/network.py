"""Qwen3-MoE in plain PyTorch: what `Qwen3MoeForCausalLM` computes, written to be trained.

Differences from the transformers file are in storage, not in arithmetic: the experts of a layer are one 3-D tensor
each for gate+up and down (one Muon batch, one grouped GEMM), rows of a step are packed documents with a block-diagonal
causal mask, and the loss never materialises more than a slice of the logits. `ship.py` names the weights as HF does.

Not for inference: there is no KV cache here. No dropout, no shared expert, no router bias (an unexported bias would
make the served model a different one).

Shapes: B rows, T tokens a row, N = B·T, H hidden, E experts, K experts per token, I expert width, V vocabulary.
"""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Config:
    vocab_size: int = 10_240
    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    num_experts: int = 16
    num_experts_per_tok: int = 4
    moe_intermediate_size: int = 128
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    max_position_embeddings: int = 2_048


# The one dial: a name stands for everything about the shape.
SIZES = {
    "seedling": Config(),
    "sapling": Config(hidden_size=512, num_hidden_layers=8, num_attention_heads=8, moe_intermediate_size=256),
}


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        # fp32 inside, as transformers does: bf16 squares lose the small rows.
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps).to(x.dtype)


def matrix(*shape, scale=1.0):
    """Uniform with standard deviation scale/√fan_in; zero for matrices that write into the residual stream."""
    bound = scale * math.sqrt(3.0 / shape[-1])
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound) if scale else torch.zeros(*shape))


def rotate(x, cos, sin):
    """RoPE on x [B, heads, T, D] in the rotate-half layout."""
    a, b = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-b, a), dim=-1) * sin.to(x.dtype)


def attend(q, k, v, mask):
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # Written out: torch's CPU flash kernel measured half as fast as three plain products on rows this short.
    bias = torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, -1e9)
    score = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + bias
    return score.softmax(-1).to(v.dtype) @ v


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        q, kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        self.q_proj, self.k_proj, self.v_proj = (matrix(n, c.hidden_size) for n in (q, kv, kv))
        self.o_proj = matrix(c.hidden_size, q, scale=0)
        self.q_norm, self.k_norm = RMSNorm(c.head_dim, c.rms_norm_eps), RMSNorm(c.head_dim, c.rms_norm_eps)

    def forward(self, x, cos, sin, mask):
        c, (B, T, _) = self.c, x.shape
        sizes = [c.num_attention_heads, c.num_key_value_heads, c.num_key_value_heads]
        qkv = F.linear(x, torch.cat((self.q_proj, self.k_proj, self.v_proj)))
        q, k, v = qkv.view(B, T, sum(sizes), c.head_dim).split(sizes, dim=2)
        q = rotate(self.q_norm(q).transpose(1, 2), cos, sin)
        k = rotate(self.k_norm(k).transpose(1, 2), cos, sin)
        groups = c.num_attention_heads // c.num_key_value_heads
        k, v = (t.repeat_interleave(groups, dim=1) for t in (k, v.transpose(1, 2)))
        y = attend(q, k.to(q.dtype), v.to(q.dtype), mask)  # [B, heads, T, D]
        return F.linear(y.transpose(1, 2).reshape(B, T, -1), self.o_proj)


class Dispatch(torch.autograd.Function):
    """x [N, H] → [N·K, H], rows grouped by expert. The gradient of a gather is the inverse gather and a sum over K."""

    @staticmethod
    def forward(ctx, x, order, inverse, k):
        ctx.save_for_backward(inverse)
        ctx.k = k
        return x.index_select(0, order // k)

    @staticmethod
    def backward(ctx, g):
        (inverse,) = ctx.saved_tensors
        return g.index_select(0, inverse).view(-1, ctx.k, g.shape[-1]).sum(1), None, None, None


class Permute(torch.autograd.Function):
    """Rows back to token order; scatter-add, slow on a CPU, is never needed."""

    @staticmethod
    def forward(ctx, y, order, inverse):
        ctx.save_for_backward(order)
        return y.index_select(0, inverse)

    @staticmethod
    def backward(ctx, g):
        (order,) = ctx.saved_tensors
        return g.index_select(0, order), None, None


def swiglu(gate_up):
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


class Experts(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.gate_up = matrix(c.num_experts, 2, c.moe_intermediate_size, c.hidden_size)  # [E, 2, I, H]
        self.down = matrix(c.num_experts, c.hidden_size, c.moe_intermediate_size, scale=0)  # [E, H, I]
        self.router = nn.Parameter(torch.randn(c.num_experts, c.hidden_size) * 0.02)

    def forward(self, x):
        c, shape = self.c, x.shape
        x = x.reshape(-1, c.hidden_size)
        with torch.autocast(x.device.type, enabled=False):  # fp32: a bf16 router picks different experts when served
            logits = x.float() @ self.router.t()  # [N, E]
            probability = logits.softmax(-1)
            weight, chosen = probability.topk(c.num_experts_per_tok, dim=-1)  # [N, K]
            weight = weight / weight.sum(-1, keepdim=True)
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        inverse = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=x.device))
        count = torch.bincount(flat, minlength=c.num_experts)  # [E]
        rows = Dispatch.apply(x, order, inverse, c.num_experts_per_tok)
        y = Permute.apply(self.compute(rows, count), order, inverse).view(-1, c.num_experts_per_tok, c.hidden_size)
        y = (y * weight.unsqueeze(-1).to(y.dtype)).sum(1)
        load = count / len(flat)
        balance = c.num_experts * (load * probability.mean(0)).sum()  # Switch's loss, 1 when even
        z = logits.logsumexp(-1).square().mean()
        return y.view(shape), balance, z, load.detach()

    def compute(self, rows, count):
        """rows [N·K, H] grouped by expert → [N·K, H]. One grouped GEMM on a GPU, one GEMM per expert on a CPU."""
        gate_up = self.gate_up.flatten(1, 2)  # [E, 2I, H]
        if rows.is_cuda and hasattr(torch, "_grouped_mm"):
            ends = count.cumsum(0).to(torch.int32)
            rows = torch._grouped_mm(rows.bfloat16(), gate_up.bfloat16().transpose(1, 2), offs=ends)
            return torch._grouped_mm(swiglu(rows), self.down.bfloat16().transpose(1, 2), offs=ends)
        parts = rows.split(count.tolist())
        return torch.cat([F.linear(swiglu(F.linear(p, a)), b) for p, a, b in zip(parts, gate_up.unbind(), self.down.unbind())])


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_norm, self.post_norm = RMSNorm(c.hidden_size, c.rms_norm_eps), RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.attention, self.experts = Attention(c), Experts(c)

    def forward(self, x, cos, sin, mask):
        x = x + self.attention(self.input_norm(x), cos, sin, mask)
        y, balance, z, load = self.experts(self.post_norm(x))
        return x + y, balance, z, load


class SlicedCrossEntropy(torch.autograd.Function):
    """Σ −log p(target) of hidden [M, H] against embedding [V, H], `SLICE` rows of logits at a time.

    Loss and gradient come from the same slice, so the [M, V] logits never exist and nothing is computed twice.
    """
    SLICE = 512  # 512 × 10,240 fp32 = 21 MB: stays in a CPU's last-level cache

    @staticmethod
    def forward(ctx, hidden, embedding, target):
        low = torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else hidden.dtype
        h, e = hidden.to(low), embedding.to(low)
        grad_h, grad_e = torch.empty_like(h), torch.zeros_like(embedding)
        losses = []
        for a in range(0, len(h), SlicedCrossEntropy.SLICE):
            part, want = h[a:a + SlicedCrossEntropy.SLICE], target[a:a + SlicedCrossEntropy.SLICE]
            logp = (part @ e.t()).float().log_softmax(-1)
            losses.append(-logp.gather(1, want[:, None]).squeeze(1))
            logp.exp_().scatter_add_(1, want[:, None], torch.full_like(logp[:, :1], -1.0))
            slope = logp.to(low)  # softmax − one-hot
            grad_h[a:a + SlicedCrossEntropy.SLICE] = slope @ e
            grad_e += slope.t() @ part
        ctx.save_for_backward(grad_h.to(hidden.dtype), grad_e)
        losses = torch.cat(losses)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    def backward(ctx, g, _):
        grad_h, grad_e = ctx.saved_tensors
        return grad_h * g, grad_e * g, None


class Network(nn.Module):
    def __init__(self, c=Config()):
        super().__init__()
        self.c = c
        self.embedding = nn.Parameter(torch.randn(c.vocab_size, c.hidden_size) * 0.02)  # tied: also the output head
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)

    def hidden(self, ids, document):
        """ids, document [B, T] → hidden [B, T, H], balance and z losses, expert load [layers, E]."""
        c, T = self.c, ids.shape[1]
        inverse_frequency = c.rope_theta ** (-torch.arange(0, c.head_dim, 2, device=ids.device).float() / c.head_dim)
        angle = torch.outer(torch.arange(T, device=ids.device).float(), inverse_frequency).repeat(1, 2)  # [T, D]
        causal = torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
        mask = (document[:, None, :, None] == document[:, None, None, :]) & causal  # [B, 1, T, T]
        x = F.embedding(ids, self.embedding)
        # RoPE is relative, so a document may start anywhere in its row.
        balances, zs, loads = [], [], []
        for layer in self.layers:
            x, balance, z, load = layer(x, angle.cos(), angle.sin(), mask)
            balances.append(balance), zs.append(z), loads.append(load)
        return self.norm(x), torch.stack(balances).mean(), torch.stack(zs).mean(), torch.stack(loads)

    def forward(self, ids, document, target):
        """target [B, T], −100 where no loss. → Σ loss, per-token losses, count, balance, z, load."""
        x, balance, z, load = self.hidden(ids, document)
        keep = (target >= 0).flatten().nonzero().squeeze(1)  # most chat tokens carry no loss: skip their logits
        total, each = SlicedCrossEntropy.apply(x.flatten(0, 1).index_select(0, keep), self.embedding, target.flatten()[keep])
        return total, each, len(keep), balance, z, load

    @torch.no_grad()
    def logits(self, ids):
        """ids [B, T] of one document each → [B, T, V]; for evaluation only."""
        return self.hidden(ids, torch.zeros_like(ids))[0] @ self.embedding.t()
