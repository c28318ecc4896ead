"""Start a real Milvus for a command, without Docker: the server of PyPI's package `milvus` (2.3.5).

uv venv .milvus && uv pip install --python .milvus milvus==2.3.5 python benchmarks/milvus_server.py
.milvus/bin/python uv run --no-sync python -m benchmarks.index_contract

The server and the command run in a separate network with only the loopback (`unshare -n`, which
needs root), since this old server has no password and is only for tests. The command finds it
through TEST_MILVUS. Takes 1 GB of memory and half a minute to start.
"""

import os
import shutil
import subprocess
import sys
from tempfile import mkdtemp

PORT = 19530
SERVE = f"""
import sys
from milvus import MilvusServer
server = MilvusServer()
server.set_base_dir(sys.argv[1])
server.listen_port = {PORT}
server.start()
print("up", flush=True)
sys.stdin.read()
server.stop()
"""
ALONE = 'ip link set lo up && exec "$@"'


def main() -> None:
    """Start the server, run the command, end the server; the exit status is the command's."""
    python, *command = sys.argv[1:]
    if os.environ.get("MILVUS_ALONE") is None:  # again, within the network
        environment = {**os.environ, "MILVUS_ALONE": "1", "GOMEMLIMIT": "2GiB"}
        words = ["unshare", "-n", "sh", "-c", ALONE, "sh", sys.executable, *sys.argv]
        sys.exit(subprocess.run(words, env=environment).returncode)
    folder = mkdtemp(prefix="milvus-")
    server = subprocess.Popen(
        [python, "-c", SERVE, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        if server.stdout is None or server.stdout.readline() != "up\n":
            sys.exit("Milvus didn't start.")
        done = subprocess.run(command, env={**os.environ, "TEST_MILVUS": f"127.0.0.1:{PORT}"})
    finally:
        server.communicate("")
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
