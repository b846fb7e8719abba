"""Muon for matrices, AdamW for everything else, both with cautious weight decay.

Muon (Jordan 2024): momentum, then the update is replaced by its nearest orthogonal matrix (five Newton–Schulz steps with
the quintic's published coefficients), so every direction of a matrix learns at one speed. 3-D and 4-D parameters are
batches of matrices: the experts of a layer are orthogonalised together. At our size it reaches a loss in about half
of AdamW's tokens (arXiv 2502.16982), and costs about 5 % of a CPU step.

Cautious decay: a weight shrinks only where the update pulls the same way, so decay never fights the gradient.
"""
import torch
import torch.distributed as dist

MUON_LR = 0.012      # per unit spectral norm; half the usual 0.02, because our batches are small
EMBEDDING_LR = 2e-3  # tied with the head, so it must not outrun it
OTHER_LR = 1e-3      # norms and the router
DECAY = 0.1          # × learning rate; falls to 0 with the schedule
MOMENTUM = 0.95
BETAS, EPS = (0.9, 0.95), 1e-10


def orthogonalize(g, steps=5):
    """g [..., R, C] → nearest semi-orthogonal, roughly; bf16 is enough because the iteration contracts errors."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.transpose(-2, -1) if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.transpose(-2, -1)
        x = a * x + (b * s + c * s @ s) @ x
    return (x.transpose(-2, -1) if tall else x).float()


class Optimizer:
    """Holds its own state so that a checkpoint is one dictionary. Under torchrun the ranks share the orthogonalising."""

    def __init__(self, network):
        self.parameters = dict(network.named_parameters())
        self.state, self.steps = {}, 0
        self.matrices = [n for n, p in self.parameters.items() if p.dim() >= 2 and "embedding" not in n and "router" not in n]
        self.world, self.rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        load, self.mine = [0] * self.world, set()
        for name in self.matrices:  # each to the rank with the least so far
            r = load.index(min(load))
            load[r] += self.parameters[name].numel()
            if r == self.rank:
                self.mine.add(name)

    @torch.no_grad()
    def step(self, scale):
        """`scale` in 0…1 is the schedule; it multiplies every learning rate, and decay once more."""
        self.steps += 1
        updates = {}
        for name, p in self.parameters.items():
            g = p.grad
            if name in self.matrices:
                m = self.state.setdefault(name, {"m": torch.zeros_like(p)})["m"]
                m.lerp_(g, 1 - MOMENTUM)
                updates[name] = orthogonalize(g.lerp(m, MOMENTUM)) if name in self.mine else torch.zeros_like(p)  # Nesterov
            else:
                s = self.state.setdefault(name, {"m": torch.zeros_like(p), "v": torch.zeros_like(p)})
                s["m"].lerp_(g, 1 - BETAS[0])
                s["v"].lerp_(g.square(), 1 - BETAS[1])
                v = s["v"] / (1 - BETAS[1] ** self.steps)
                update = s["m"] / (1 - BETAS[0] ** self.steps) / (v.sqrt() + EPS)
                self.apply(p, update, (EMBEDDING_LR if "embedding" in name else OTHER_LR) * scale, scale)
            p.grad = None
        if self.world > 1:
            flat = torch.cat([updates[n].flatten() for n in self.matrices])
            dist.all_reduce(flat)
            sizes = [updates[n].numel() for n in self.matrices]
            updates = {n: u.view_as(self.parameters[n]) for n, u in zip(self.matrices, flat.split(sizes))}
        for name, update in updates.items():
            p = self.parameters[name]
            self.apply(p, update, MUON_LR * scale * max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5, scale)

    @staticmethod
    def apply(p, update, lr, scale):
        if p.dim() >= 2:
            p.mul_(1 - lr * DECAY * scale * (update * p > 0))
        p.sub_(update, alpha=lr)

    def state_dict(self):
        return {"state": self.state, "steps": self.steps}

    def load_state_dict(self, saved):
        self.state, self.steps = saved["state"], saved["steps"]
