"""A server that speaks S3, in this process; who uses it skips where its packages are missing."""

import os
from contextlib import contextmanager

import pytest


@contextmanager
def s3_bucket(name):
    """Make a bucket; yield a function that puts a file into it. The environment names the server, also to commands."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_of = pytest.importorskip("moto.server", reason="moto is not installed")
    from vidssl.video import remote

    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(variable, "testing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        remote.forget_remote_files()
        system = remote.file_system(f"s3://{name}")
        system.mkdir(name)
        yield lambda path, contents: system.pipe_file(f"{name}/{path}", contents)
        system.rm(name, recursive=True)  # the server of the next test in this process has the same memory
        server.stop()
        system.clear_instance_cache()
        remote.forget_remote_files()


def put_folder(put, folder, under):
    """Put every file of a folder into the bucket."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(f"{under}/{os.fspath(path.relative_to(folder))}", path.read_bytes())
