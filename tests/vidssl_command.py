"""The command ``vidssl``, as it is installed: loader workers, which import this file again, import nothing with it."""

if __name__ == "__main__":
    import sys

    from vidssl.cli.main import main

    sys.exit(main())
