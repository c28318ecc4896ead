"""Embed a bundle's catalog with Ray, in a network of its own: `unshare` gives it one with a
loopback alone.
"""

import os
import subprocess
import sys

if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["RAY_ADDRESS"] = ""
    from vsearch.bundle.bulk import on_ray
    from vsearch.cli.main import main

    on_ray.OBJECT_STORE_BYTES = 80 << 20
    main(sys.argv[1:])
