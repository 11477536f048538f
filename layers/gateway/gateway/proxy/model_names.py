"""Compares the names of models: whether two names mean the same model (docs/tokenhub.md, 2.1)."""

import re

# The end of a name that selects a version of a model: a date, a month and day such as 0613, a number such as 001.
VERSION = re.compile(r"[-@](latest|\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})")
LATEST = "latest"


def is_substituted(asked: str | None, negotiated: str | None, answered: str | None) -> bool:
    """Whether a model other than the requested one answered.

    `negotiated` is TokenHub's name of the model that served, `answered` the name in the response body. The body's name
    counts only if TokenHub names none, because a model's provider has different names for the versions of a model.
    """
    if asked in (None, "", "*"):
        return False
    if negotiated:
        return _without_prefix(asked) != _without_prefix(negotiated)
    return answered is not None and not _is_version(_without_prefix(asked), _without_prefix(answered))


def _without_prefix(name: str) -> str:
    """`provider/x` and `x` are the same model for TokenHub."""
    return name.rpartition("/")[2]


def _is_version(asked: str, answered: str) -> bool:
    """Whether both names are of one model, and not of two different versions of it."""
    if asked == answered:
        return True
    (asked_base, asked_version), (answered_base, answered_version) = _split(asked), _split(answered)
    return asked_base == answered_base and LATEST in (asked_version, answered_version)


def _split(name: str) -> tuple[str, str]:
    """Returns the name without its version, and the version. A name without a version means the latest one."""
    version = next((match for match in VERSION.finditer(name) if match.end() == len(name)), None)
    return (name, LATEST) if version is None else (name[: version.start()], version[1])
