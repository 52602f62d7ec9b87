"""Environments compared field by field: a run that met more than one of them is not bit-exact."""

from collections.abc import Mapping, Sequence
from typing import Any

DAMAGED = {"record": "damaged"}  # stands for an environment that is not known any more
_MISSING = "not set"


def flat(environment: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """All fields by dotted name.

    >>> flat({"python": "3.12", "packages": {"numpy": "2.0"}})
    {'python': '3.12', 'packages.numpy': '2.0'}
    """
    fields: dict[str, Any] = {}
    for name, value in environment.items():
        fields |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return fields


def differences(environments: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The fields in which environments differ, each with its value in all of them, in their order.

    >>> differences([{"python": "3.12", "strategy": "default"}, {"python": "3.13", "strategy": "default"}])
    {'python': ['3.12', '3.13']}
    """
    described = [flat(environment) for environment in environments]
    names = dict.fromkeys(name for fields in described for name in fields)
    values = {name: [fields.get(name, _MISSING) for fields in described] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}
