"""Values of Faker's providers as a function of a number: the same on every worker, on every day.

Faker (https://faker.readthedocs.io) invents names, addresses and the like in many languages. It is an optional package.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

from linesmith.core.errors import ParameterError

# What a provider must not do, or its values would depend on the day, or not on the number alone.
_UNSTABLE = re.compile(r"\b(?:now|today|utcnow)\(|^import random$", re.MULTILINE)
_PROBES = 50  # numbers for which a provider is tried
_PLAIN = (str, int, float, Decimal, date, time)


class _ClockError(Exception):
    """A provider asked for a date."""


def check_fake(provider: str, locale: str, option: str) -> None:
    """Refuse a provider that does not exist, or whose values are no text that depends on a number alone.

    Args:
        provider: name of a method of Faker, such as `email`.
        locale: such as `de_DE`; empty: that of Faker.
        option: as typed, for messages.

    Raises:
        ParameterError: LS106, Faker is not installed; LS140, the provider cannot be used.
    """
    try:
        generator = _generator(locale)
    except ImportError:
        raise ParameterError(
            "LS106", option, "needs Faker, which is not installed", "Install it: pip install 'linesmith[fake]'."
        ) from None
    except (AttributeError, ValueError):
        raise ParameterError(
            "LS140", option, f"Faker has no locale '{locale}'", "Give one that it has, such as de_DE, or leave it out."
        ) from None
    method = _methods(generator).get(provider)
    if method is None:
        raise ParameterError(
            "LS140",
            option,
            f"Faker has no provider '{provider}'{f' in {locale}' if locale else ''}",
            "Give one of https://faker.readthedocs.io/en/master/providers.html, such as name, email or street_address.",
        )
    found = _fault(method, provider, locale)
    if found is not None:
        raise ParameterError("LS140", option, found, "Give another provider, or constant or drop.")


def fake_text(provider: str, locale: str, number: int) -> str:
    """Return the value of a provider for a number, on one line.

    Args:
        provider: as `check_fake` accepted it.
        locale: as there.
        number: any integer; equal numbers give equal values.
    """
    generator = _generator(locale)
    generator.seed_instance(number)
    return ", ".join(str(getattr(generator, provider)()).split("\n"))


def faker_version() -> str:
    """Return the version of Faker, on which its values depend."""
    import faker

    return str(faker.VERSION)


@lru_cache(maxsize=32)
def _generator(locale: str) -> Any:
    """Return a generator of its own, since seeding one changes it for all that use it.

    Raises:
        ImportError: Faker is not installed.
        AttributeError: it has no such locale.
    """
    from faker import Factory

    return Factory.create(locale or None)


def _methods(generator: Any) -> dict[str, Any]:
    """Return the methods that take no argument, by name. Names of other attributes of Faker are no providers."""
    found: dict[str, Any] = {}
    for provider in reversed(generator.get_providers()):
        own = {name for cls in type(provider).__mro__ if cls.__module__ != "faker.providers" for name in vars(cls)}
        for name in own:
            method = getattr(provider, name)
            if not name.startswith("_") and inspect.ismethod(method) and not _required(method):
                found[name] = method
    return found


def _required(method: Callable[..., Any]) -> bool:
    parameters = inspect.signature(method).parameters.values()
    return any(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        for p in parameters
    )


def _fault(method: Any, provider: str, locale: str) -> str | None:
    """Return why the values of a method cannot be used; None if they can."""
    clock = f"the values of '{provider}' depend on the day or the process, not on the seed alone"
    try:
        if _UNSTABLE.search(inspect.getsource(sys.modules[method.__func__.__module__])):
            return clock
        probe = _without_clock(locale)
        values = []
        for number in range(_PROBES):
            probe.seed_instance(number)
            values.append(getattr(probe, provider)())
    except (_ClockError, OSError, KeyError):  # the last two: there is no source
        return clock
    except Exception as error:
        return f"Faker's '{provider}' fails ({type(error).__name__})"
    if not all(isinstance(value, _PLAIN) for value in values):
        return f"the values of '{provider}' are not texts"
    first, second = ([fake_text(provider, locale, number) for number in range(_PROBES)] for _ in range(2))
    return None if first == second else clock


def _without_clock(locale: str) -> Any:
    """Return a generator in which providers cannot reach those that look at the clock."""
    from faker import Factory

    def refuse(*_: Any, **__: Any) -> Any:
        raise _ClockError

    generator = Factory.create(locale or None)
    classes = {cls for one in generator.get_providers() for cls in type(one).__mro__ if "date_time" in cls.__module__}
    for name in {name for cls in classes for name in vars(cls) if not name.startswith("_")}:
        generator.set_formatter(name, refuse)
    return generator
