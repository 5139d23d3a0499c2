"""The frame readers behind :mod:`vidssl.video.decoding`, one file per library; none is imported before it is used."""
