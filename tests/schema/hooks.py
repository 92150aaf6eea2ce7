"""Every request comes from an address of its own, as through a proxy: limits by address are tested elsewhere."""

import itertools

import schemathesis

_NUMBERS = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(_NUMBERS)
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
