import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vsearch.indexes.integer_products import MODEL, products


@pytest.mark.parametrize(("n", "p", "m"), [(1, 1, 1), (3, 2, 1), (100, 33, 16), (5, 300, 17)])
@pytest.mark.parametrize("threads", [1, None])
def test_products_are_those_of_integers(n, p, m, threads):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (n, p)).astype(np.uint8)
    queries = rng.integers(-64, 64, (p, m)).astype(np.int8)
    wanted = [
        [sum(int(a) * int(b) for a, b in zip(x, q, strict=True)) for q in queries.T] for x in codes
    ]
    found = products(codes, queries, threads)
    assert found.dtype == np.int32
    assert found.tolist() == wanted


def test_the_largest_products_are_not_cut_off():
    codes = np.full((40, 512), 255, np.uint8)
    queries = np.repeat(np.array([[-64, 63]], np.int8), 512, axis=0)
    assert products(codes, queries).tolist() == [[-64 * 255 * 512, 63 * 255 * 512]] * 40


def test_the_model_is_one_product():
    def tensor(name: str, kind: int, shape: list[str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    codes = tensor("c", TensorProto.UINT8, ["n", "p"])
    queries = tensor("q", TensorProto.INT8, ["p", "m"])
    found = tensor("y", TensorProto.INT32, ["n", "m"])
    node = helper.make_node("MatMulInteger", ["c", "q"], ["y"])
    graph = helper.make_graph([node], "g", [codes, queries], [found])
    opset = [helper.make_opsetid("", 13)]
    onnx.checker.check_model(onnx.load_from_string(MODEL))
    assert helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString() == MODEL
