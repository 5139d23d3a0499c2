"""The frame readers behind :mod:`vidssl.data.decoding`, one library a file, none imported before it is used."""
