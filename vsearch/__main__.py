import os
import sys

if __name__ == "__main__":
    # `python -m` looks into the current folder first, which may be a stranger's
    if sys.path[0] == os.getcwd():  # noqa: PTH109
        del sys.path[0]

    from vsearch.cli.main import main

    main()
