"""A local S3 server, and what it takes for boto, s3fs and its forks to talk to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def store() -> Iterator["object"]:
    """Start a server and yield a boto3 client; s3fs finds the server by the environment."""
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server")
    import boto3
    from s3fs import S3FileSystem

    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        S3FileSystem.clear_instance_cache()
        client = boto3.client("s3")
        client.create_bucket(Bucket="shop")
        yield client
        S3FileSystem.clear_instance_cache()
    server.stop()
