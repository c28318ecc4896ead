import threading
from collections import Counter
from typing import Any

from torch import nn
from torch.fx import Tracer
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vsearch.models.product_convolution import ProductConv2d

# torch.fx replaces nn.Module's own methods while it traces, for all threads of the process
NO_TRACING = threading.RLock()


def fold(network: nn.Module) -> int:
    """Put each BatchNorm2d right after a convolution into its weights, in place; return how many.

    Exact up to rounding, for a network in eval mode. torch.fx sees which layer follows which; a
    network that it can't trace, or a layer that is used twice, stays as it is. Other threads
    compute a network under NO_TRACING, else they would be traced too.
    """
    try:
        with NO_TRACING:
            nodes = [node for node in Tracer().trace(network).nodes if node.op == "call_module"]
    except Exception:  # a plugin's network may do anything
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
