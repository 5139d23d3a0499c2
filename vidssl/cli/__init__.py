"""The command line, one file per verb. No other package imports this one."""

import argparse
import re
from typing import NoReturn

from vidssl.errors import nearest


class VerbParser(argparse.ArgumentParser):
    """A parser of a verb's own options that suggests the nearest option for a misspelled one."""

    def error(self, message: str) -> NoReturn:
        """End with the message and the nearest choice or option."""
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        if choice:
            message += "." + nearest(choice[1], [known.strip("' ") for known in choice[2].split(",")])
        elif unknown:
            options = [option for action in self._actions for option in action.option_strings]
            message += "." + nearest(unknown[1], options)
        super().error(message)
