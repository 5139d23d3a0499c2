"""Parts from outside vidssl: plug-in files, and a package to start from with its checks."""
