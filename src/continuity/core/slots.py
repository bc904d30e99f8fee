"""Sorted slots of one size, joined into a byte string: a set that takes no more memory than what is in it. Pure."""


def position(joined: bytes, size: int, wanted: bytes) -> int:
    """Where the first slot that is not below `wanted` begins."""
    low, high = 0, len(joined) // size
    while low < high:
        middle = (low + high) // 2
        if joined[middle * size : (middle + 1) * size] < wanted:
            low = middle + 1
        else:
            high = middle
    return low * size


def inserted(joined: bytes, slot: bytes) -> bytes:
    """The slots with one more."""
    at = position(joined, len(slot), slot)
    return joined[:at] + slot + joined[at:]


def removed(joined: bytes, slot: bytes) -> bytes:
    """The slots without this one; ValueError if it is not among them."""
    size = len(slot)
    at = position(joined, size, slot)
    if joined[at : at + size] != slot:
        raise ValueError("The slot is not there.")
    return joined[:at] + joined[at + size :]
