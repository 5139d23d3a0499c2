"""The frame readers behind :mod:`vidssl.video.decoding`, one library a file, none imported before it is used."""
