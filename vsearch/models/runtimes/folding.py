import threading
from collections import Counter
from typing import Any

from torch import nn
from torch.fx import Tracer
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vsearch.models.product_convolution import ProductConv2d

# while torch.fx traces, it replaces nn.Module's methods for all threads of the process
NO_TRACING = threading.RLock()


def fold(network: nn.Module) -> int:
    """Fold each BatchNorm2d after a convolution into its weights, in place; return how many.

    Exact up to rounding, for a network in eval mode. torch.fx finds out which layer follows which;
    networks that it can't trace, and layers that are used twice, stay unchanged. Other threads must
    compute a network under NO_TRACING, or they would be traced, too.
    """
    try:
        with NO_TRACING:
            nodes = [node for node in Tracer().trace(network).nodes if node.op == "call_module"]
    except Exception:  # a plugin's network may raise anything
        return 0
    calls = Counter(node.target for node in nodes)
    folded = 0
    for node in nodes:
        before: Any = node.args[0] if node.args else None
        if before not in nodes or len(before.users) > 1:
            continue
        if calls[before.target] > 1 or calls[node.target] > 1:
            continue

        convolution = network.get_submodule(str(before.target))
        norm = network.get_submodule(str(node.target))
        if type(norm) is not nn.BatchNorm2d or norm.running_mean is None:
            continue
        if type(convolution) is nn.Conv2d or type(convolution) is ProductConv2d:
            network.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            network.set_submodule(str(node.target), nn.Identity())
            folded += 1
    return folded
