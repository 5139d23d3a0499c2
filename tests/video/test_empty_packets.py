"""Frame i is frame i where packets hold no frame."""

import numpy as np
import pytest
from numbered_videos import encode, numbers_shown, packed, with_empty_packets

from vidssl.video.decoders import pyav_reader
from vidssl.video.decoding import probe, read_frames

NUM_FRAMES = 40


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """By ending and number of B-frames; with a key frame every 12, at first every one or two."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        (ending, b_frames): encode(folder / f"{b_frames}.{ending}", "mpeg4", NUM_FRAMES, {}, b_frames)
        for ending in ("avi", "mp4")
        for b_frames in (0, 1)
    }


def assert_each_is_itself(path, monkeypatch, stride=1):
    with monkeypatch.context() as patch:
        patch.setattr(pyav_reader, "find_key_frames", lambda *_: None)
        in_order = numbers_shown(read_frames(path, range(probe(path).num_frames)))
    assert len(in_order) >= NUM_FRAMES - 2
    assert in_order == sorted(set(in_order))
    for number in range(0, len(in_order), stride):
        assert numbers_shown(read_frames(path, [number])) == in_order[number : number + 1]
    rng = np.random.default_rng(0)
    for _ in range(8):
        clip = rng.integers(0, len(in_order) - 15) + 2 * np.arange(8)
        assert numbers_shown(read_frames(path, clip)) == [in_order[number] for number in clip]


@pytest.mark.parametrize("distance", range(12))
@pytest.mark.parametrize("ending", ["avi", "mp4"])
def test_at_every_distance_from_a_key_frame(sources, tmp_path, monkeypatch, ending, distance):
    path = with_empty_packets(sources[ending, 0], tmp_path / f"empty.{ending}", {13 + distance})
    assert probe(path).num_frames == NUM_FRAMES
    assert_each_is_itself(path, monkeypatch)


@pytest.mark.parametrize("before", [{1}, {39}, {5, 6}, {14, 15, 16, 30}, set(range(3, 40, 3))])
def test_several(sources, tmp_path, monkeypatch, before):
    path = with_empty_packets(sources["avi", 0], tmp_path / "empty.avi", before)
    assert probe(path).num_frames == NUM_FRAMES
    assert_each_is_itself(path, monkeypatch)


@pytest.mark.parametrize("before", [frozenset(), *({place} for place in range(13, 25, 2))])
@pytest.mark.parametrize("ending", ["avi", "mp4"])
def test_where_they_follow_packed_b_frames(sources, tmp_path, monkeypatch, ending, before):
    path = packed(sources["avi", 1], tmp_path / f"packed.{ending}", before)
    assert_each_is_itself(path, monkeypatch, stride=3)


@pytest.mark.parametrize("ending", ["avi", "mp4"])
def test_beside_b_frames_that_are_not_packed(sources, tmp_path, monkeypatch, ending):
    path = with_empty_packets(sources["avi", 1], tmp_path / f"empty.{ending}", {14, 20})
    assert_each_is_itself(path, monkeypatch, stride=3)
