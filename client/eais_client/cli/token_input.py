"""The join token, read where nobody sees it: typed without echo, or from standard input.

Never from the command line, which every user of the machine can read.
"""

from __future__ import annotations

from eais_client.cli.outside import Outside

PROMPT = "Token (not shown): "
# A token is a line of 150 characters at most; whatever else comes is not kept.
_LINE_LIMIT = 4096


def read_token(outside: Outside) -> str:
    """The token's text, found to be one.

    Raises:
        IdentityError: TOKEN, it is empty or isn't of the form of a token.
    """
    from eais.join_token import JoinToken

    return JoinToken.parse(_line(outside)).text


def _line(outside: Outside) -> str:
    if not outside.stdin.isatty():
        return outside.stdin.readline(_LINE_LIMIT)
    try:
        return outside.ask_secret(PROMPT)
    except EOFError:
        return ""
