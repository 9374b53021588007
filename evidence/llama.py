"""llama.cpp through its C interface: tokens, and logits of every position, for one sequence on the CPU."""
import ctypes

import llama_cpp as c
import numpy as np

THREADS = 2
BATCH = 256


@c.llama_log_callback
def quiet(level, text, data):
    """Keeps llama.cpp's log off the terminal."""


class Llama:
    def __init__(self, path, context=0):
        """Loads the file; with a context of 0 only its vocabulary. Everything else as llama.cpp has it by default."""
        c.llama_log_set(quiet, None)
        c.llama_backend_init()
        model_params = c.llama_model_default_params()
        model_params.vocab_only = context == 0
        model_params.n_gpu_layers = 0
        self.model = c.llama_model_load_from_file(path.encode(), model_params)
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load this file")
        self.vocab = c.llama_model_get_vocab(self.model)
        if context:
            params = c.llama_context_default_params()
            params.n_ctx, params.n_batch, params.n_ubatch = context, BATCH, BATCH
            params.n_threads = params.n_threads_batch = THREADS
            self.context = c.llama_init_from_model(self.model, params)
            if not self.context:
                raise SystemExit(f"{path}: llama.cpp makes no context of {context} tokens")
            self.used = 0

    def tokenize(self, text):
        """Ids of a text; special tokens in it are recognised, none are added."""
        data = text.encode()
        ids = (c.llama_token * (len(data) + 16))()
        return ids[:c.llama_tokenize(self.vocab, data, len(data), ids, len(ids), False, True)]

    def text(self, ids):
        """Text of ids, special tokens included."""
        pieces, buffer = [], ctypes.create_string_buffer(1024)
        for i in ids:
            length = c.llama_token_to_piece(self.vocab, i, buffer, len(buffer), 0, True)
            pieces.append(buffer.raw[:length])
        return b"".join(pieces).decode(errors="replace")

    def ends(self, token):
        """Whether the token ends a generation."""
        return c.llama_vocab_is_eog(self.vocab, token)

    def forget(self):
        """Empties the KV cache."""
        c.llama_memory_clear(c.llama_get_memory(self.context), True)
        self.used = 0

    def feed(self, ids, every=True):
        """Appends up to BATCH tokens; returns the logits of each, or of the last one. [rows][vocab]"""
        batch = c.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, self.used + i, 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = every or i + 1 == len(ids)
        status = c.llama_decode(self.context, batch)
        c.llama_batch_free(batch)
        if status != 0:
            raise SystemExit(f"llama_decode failed: {status}")
        self.used += len(ids)
        rows = len(ids) if every else 1
        logits = c.llama_get_logits(self.context)
        return np.ctypeslib.as_array(logits, (rows, c.llama_vocab_n_tokens(self.vocab))).copy()

    def greedy(self, ids, count):
        """The most likely continuation, without the token that ends it."""
        self.forget()
        for start in range(0, len(ids), BATCH):
            logits = self.feed(ids[start:start + BATCH], every=False)
        out = []
        while len(out) < count:
            token = int(logits[-1].argmax())
            if self.ends(token):
                break
            out.append(token)
            logits = self.feed([token], every=False)
        return out
