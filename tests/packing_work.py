"""What stands in for packing a video, in processes that import this file and little else."""

import time


def hanging(row: str):
    """Pack nothing of the first video, and three bytes of the others."""
    if row == "0":
        time.sleep(60)
    return {"width": 1, "height": 1, "num_bytes": 3, "content": int(row)}, b"abc", None


def hanging_with_motion(row: str):
    """Do the same where motion is asked for, and find none."""
    from vidssl.catalogs.packing.units import Beside

    info, contents, _ = hanging(row)
    return info, contents, Beside({"reason": "nothing to see"})
