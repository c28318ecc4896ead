from functools import cache
from typing import Any

import faiss
import numpy as np

# An ONNX model of one node, MatMulInteger: y (n, m) int32 = c (n, p) uint8 times q (p, m) int8
MODEL = (
    b'\x08\x08:b\n\x18\n\x01c\n\x01q\x12\x01y"\rMatMulInteger\x12\x01gZ\x15\n\x01c\x12\x10\n\x0e'
    b"\x08\x02\x12\n\n\x03\x12\x01n\n\x03\x12\x01pZ\x15\n\x01q\x12\x10\n\x0e\x08\x03\x12\n\n\x03"
    b"\x12\x01p\n\x03\x12\x01mb\x15\n\x01y\x12\x10\n\x0e\x08\x06\x12\n\n\x03\x12\x01n\n\x03\x12"
    b"\x01mB\x04\n\x00\x10\r"
)

COLUMNS = 8  # 32-bit numbers in a register of AVX2


def products(codes: np.ndarray, queries: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Return exact products int32 (n, m) of uint8 (n, p) codes and int8 (p, m) queries.

    ONNX Runtime uses the processor's instructions for them (VNNI, AMX). Without these, it adds two
    products in 16 bits, for which queries from -64 to 63 leave room.

    It takes longer for rows than for columns. So several rows of codes are taken as one, and the
    queries stand in a matrix as often, once for each.
    """
    n, p = codes.shape
    m = queries.shape[1]
    together = max(1, COLUMNS // m)
    whole = n - n % together
    found = np.empty((n, m), dtype=np.int32)
    found[whole:] = codes[whole:].astype(np.int32) @ queries.astype(np.int32)
    wide = np.zeros((together, p, together, m), dtype=np.int8)
    for row in range(together):
        wide[row, :, row] = queries
    as_one = {"c": codes[:whole].reshape(-1, together * p), "q": wide.reshape(together * p, -1)}
    found[:whole] = _session(threads).run(None, as_one)[0].reshape(whole, m)
    return found


@cache
def _session(threads: int | None) -> Any:
    import onnxruntime  # importing takes most of a second

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or faiss.omp_get_max_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
