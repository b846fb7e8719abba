"""llama.cpp's own C loop, timed from Python's ctypes: llama_decode on a prepared llama_batch, then a greedy choice from the
logits with numpy. What llama.cpp can do when nothing of a server, a scheduler or JavaScript stands in its way.

A process that answers one JSON request a line on stdin with one JSON line on stdout, so that the benchmark can take turns
between us and it:
  {"do": "open", "gguf": path, "threads": 2, "sequences": 30, "context": 512}
  {"do": "greedy", "tokens": [ids], "count": n}                 -> {"tokens": [ids]}
  {"do": "decode", "sequences": s, "past": p, "steps": n}       -> {"seconds": s}
  {"do": "prefill", "count": n}                                 -> {"seconds": s}
"""

import ctypes
import json
import os
import sys
import time

import llama_cpp
import numpy


@llama_cpp.llama_log_callback
def quiet(level, text, data):
    """llama.cpp logs every buffer it allocates; only its errors (level 4) are worth a line."""
    if level == 4:
        sys.stderr.write(text.decode("utf-8", "replace"))


class Loop:
    """One context: as many sequences as will run, each with room for `length` tokens."""

    def __init__(self, model, threads, sequences, length):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = length * sequences
        params.n_batch = params.n_ubatch = max(512, length)
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        # Each sequence attends to its own cells only; one cache shared by all would be slower here.
        params.kv_unified = False
        self.context = llama_cpp.llama_init_from_model(model, params)
        if not self.context:
            raise RuntimeError("llama.cpp cannot make a context")
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self.batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)

        def view(pointer, kind):
            """A numpy view of one of the batch's C arrays: filling a batch must not cost a Python loop."""
            return numpy.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(kind)), (params.n_batch,))

        self.tokens = view(self.batch.token, ctypes.c_int32)
        self.positions = view(self.batch.pos, ctypes.c_int32)
        self.wanted = view(self.batch.logits, ctypes.c_int8)
        view(self.batch.n_seq_id, ctypes.c_int32)[:] = 1

    def fill(self, tokens, positions, sequences, wanted):
        n = len(tokens)
        self.batch.n_tokens = n
        self.tokens[:n] = tokens
        self.positions[:n] = positions
        self.wanted[:n] = wanted
        for i, sequence in enumerate(sequences):
            self.batch.seq_id[i][0] = sequence

    def decode(self):
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError("llama_decode failed")

    def logits(self, rows):
        pointer = llama_cpp.llama_get_logits(self.context)
        return numpy.ctypeslib.as_array(pointer, (rows * self.vocabulary,)).reshape(rows, self.vocabulary)

    def clear(self):
        llama_cpp.llama_memory_clear(self.memory, True)

    def prompt(self, tokens, sequence):
        n = len(tokens)
        wanted = [0] * (n - 1) + [1]
        self.fill(tokens, range(n), [sequence] * n, wanted)
        self.decode()

    def greedy(self, tokens, count):
        self.clear()
        self.prompt(tokens, 0)
        said = []
        for position in range(len(tokens), len(tokens) + count):
            said.append(int(self.logits(1)[0].argmax()))
            self.fill([said[-1]], [position], [0], [1])
            self.decode()
        return {"tokens": said}

    def time_decode(self, sequences, past, steps):
        self.clear()
        for sequence in range(sequences):
            self.prompt([spread(i, sequence, self.vocabulary) for i in range(past)], sequence)
        choice = self.logits(1)[0].argmax()
        ids = numpy.full(sequences, choice, numpy.int32)
        self.fill(ids, [past] * sequences, range(sequences), [1] * sequences)
        started = time.perf_counter()
        for step in range(steps):
            self.tokens[:sequences] = ids
            self.positions[:sequences] = past + step
            self.decode()
            # Different ids in each sequence, so that routing varies; the choice itself is part of what is timed.
            ids = (self.logits(sequences).argmax(axis=1) + numpy.arange(sequences) * 7_919) % self.vocabulary
        return {"seconds": time.perf_counter() - started}

    def time_prefill(self, count):
        self.clear()
        started = time.perf_counter()
        self.prompt([spread(i, 0, self.vocabulary) for i in range(count)], 0)
        self.logits(1)[0].argmax()
        return {"seconds": time.perf_counter() - started}


def spread(i, salt, vocabulary):
    """Ids all over the vocabulary; the same formula as in speed.ts."""
    return ((i + 1) * 7_919 + salt * 104_729) % vocabulary


class Peer:
    """A model, and a context for each number of sequences."""

    def __init__(self, request):
        llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(request["gguf"].encode(), params)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {request['gguf']}")
        self.request = request
        self.loops = {}

    def loop(self, sequences):
        if sequences not in self.loops:
            self.loops[sequences] = Loop(self.model, self.request["threads"], sequences, self.request["context"])
        return self.loops[sequences]


def answer(request, peer):
    kind = request["do"]
    if kind == "greedy":
        return peer.loop(1).greedy(request["tokens"], request["count"])
    if kind == "decode":
        sequences = request["sequences"]
        return peer.loop(sequences).time_decode(sequences, request["past"], request["steps"])
    if kind == "prefill":
        return peer.loop(1).time_prefill(request["count"])
    raise ValueError(f"unknown request {kind}")


if __name__ == "__main__":
    # Answers alone go to the real stdout; whatever C code prints there goes to stderr.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "open":
                peer = Peer(request)
                reply = {"system": llama_cpp.llama_print_system_info().decode(), "version": llama_cpp.__version__}
            else:
                reply = answer(request, peer)
        except Exception as error:  # the benchmark wants the reason, whatever it is
            reply = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(reply) + "\n")
        out.flush()
