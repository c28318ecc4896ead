from collections import Counter
from typing import Any

from torch import nn
from torch.fx import Tracer
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(network: nn.Module) -> int:
    """Put each BatchNorm2d that comes right after a convolution into that one's weights, in place;
    return how many.

    Exact up to rounding, for a network in eval mode. What follows what is seen by torch.fx; a
    network that it can't trace, or a layer that is used twice, stays as it is.
    """
    try:
        nodes = [node for node in Tracer().trace(network).nodes if node.op == "call_module"]
    except Exception:  # a plugin's network may do anything
        return 0
    calls, folded = Counter(node.target for node in nodes), 0
    for node in nodes:
        before: Any = node.args[0] if node.args else None
        if (
            before not in nodes
            or len(before.users) > 1
            or calls[before.target] > 1
            or calls[node.target] > 1
        ):
            continue
        convolution, norm = (network.get_submodule(str(one.target)) for one in (before, node))
        if (
            type(convolution) is nn.Conv2d
            and type(norm) is nn.BatchNorm2d
            and norm.running_mean is not None
        ):
            network.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            network.set_submodule(str(node.target), nn.Identity())
            folded += 1
    return folded
