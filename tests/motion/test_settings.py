import dataclasses
import pickle

import pytest

from vidssl.errors import UnknownNameError, VidsslError
from vidssl.motion.settings import MotionSettings


def test_the_digest_stays_with_equal_settings_and_changes_with_each():
    changes = {
        "estimator": "tvl1",
        "fallback": "farneback",
        "short_side": 64,
        "options": {"preset": "fast"},
        "fallback_options": {"preset": "fast"},
        "grid": (14, 14),
        "stride": 2,
        "window": 4,
        "pool": "magnitude",
        "border_fraction": 0.0,
        "floor": 0.75,
    }
    assert changes.keys() == {field.name for field in dataclasses.fields(MotionSettings)}
    digests = {MotionSettings(**{key: value}).digest for key, value in changes.items()}
    assert len(digests | {MotionSettings().digest}) == len(changes) + 1
    # motion that was stored before there was a floor
    assert MotionSettings().digest == "8e39a3643cab"
    assert MotionSettings(grid=[28, 28]).digest == MotionSettings(grid=(28, 28)).digest
    assert pickle.loads(pickle.dumps(MotionSettings())).digest == MotionSettings().digest


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("grid", (28,)),
        ("grid", (0, 28)),
        ("stride", 0),
        ("window", 2.5),
        ("short_side", 8),
        ("pool", "sined"),
        ("border_fraction", 0.5),
        ("floor", 1.0),
        ("fallback", "codec"),
        ("options", ["preset"]),
    ],
)
def test_a_value_out_of_range_names_its_key(key, value):
    with pytest.raises(VidsslError, match=rf"data\.motion\.settings\.{key}"):
        MotionSettings(**{key: value})


def test_an_unknown_estimator_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"settings\.estimator.*'codex'.*Did you mean 'codec'.*tvl1"):
        MotionSettings(estimator="codex")
