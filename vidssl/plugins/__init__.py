"""Methods and networks that live outside vidssl: plug-in files, a package to begin with, its checks."""
