"""Videos in a bucket, of a server that speaks S3 and runs in this process."""

import os

import numpy as np
import pytest
from numbered_videos import encode

from vidssl.catalogs.listing.tar_shards import tar_shards
from vidssl.catalogs.packing.tar_files import write_tar
from vidssl.video import remote
from vidssl.video.decoding import DecodingError, read_frames

pytest.importorskip("s3fs", reason="s3fs is not installed")
moto_server = pytest.importorskip("moto.server", reason="moto[server] is not installed")


@pytest.fixture
def bucket(monkeypatch):
    """A bucket, and a function that puts a file into it."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    remote.forget_remote_files()
    system = remote.file_system("s3://videos")
    system.mkdir("videos")
    yield lambda name, contents: system.pipe_file(f"videos/{name}", contents)
    server.stop()
    system.clear_instance_cache()
    remote.forget_remote_files()


def test_shards_in_a_bucket(bucket, tmp_path):
    contents = encode(tmp_path / "v.mp4", "libx264", num_frames=24).read_bytes()
    write_tar(tmp_path / "0.tar", [("a b.mp4", contents), ("a b.json", b'{"label": "run"}')])
    bucket("k/0.tar", (tmp_path / "0.tar").read_bytes())
    bucket("k/v.mp4", contents)
    listing = tar_shards(videos="s3://videos/k/*.tar")
    assert os.fspath(listing.root) == "s3://videos/k"
    assert listing.classes == ["run"]
    expected = read_frames(tmp_path / "v.mp4", [3, 20])
    assert np.array_equal(read_frames(listing.videos[0].place(listing.root), [3, 20]), expected)
    assert np.array_equal(read_frames("s3://videos/k/v.mp4", [3, 20]), expected)
    with pytest.raises(DecodingError, match="no such file"):
        read_frames("s3://videos/k/nowhere.mp4", [0])
