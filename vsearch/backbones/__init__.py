from vsearch.lean import import_torchvision

import_torchvision()  # before a backbone imports it
