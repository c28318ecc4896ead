"""From photos to features: torchvision, timm, OpenCLIP, transformers."""

from vsearch.models.lean import import_torchvision

import_torchvision()  # before a backbone imports it
