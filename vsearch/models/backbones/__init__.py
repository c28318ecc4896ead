"""From photos to features: torchvision, timm, OpenCLIP, transformers."""
