"""What the turns come to: medians, ratios of ours to theirs, and the rows with targets. Pure."""

from collections.abc import Mapping, Sequence

from benchmarks.peers import dbos, eventsourcing, langgraph, ours, restate, temporal
from benchmarks.peers.peer import CONCURRENCIES, Operation
from benchmarks.rows import Latencies, Row, middle

Key = tuple[Operation, int]
"""An operation, by so many callers at once."""
Turns = Mapping[Key, Sequence[Latencies]]
Medians = Mapping[Key, Latencies]

OURS = (ours.NATIVE, ours.HTTP)
TEMPORAL, RESTATE, DBOS, LANGGRAPH, EVENTSOURCING = (
    module.OPERATIONS[0] for module in (temporal, restate, dbos, langgraph, eventsourcing)
)
RIVALS = (TEMPORAL, RESTATE, DBOS, LANGGRAPH)
"""What does the like of a command: we want to be ahead of each of them, at every concurrency, both ways."""
AHEAD = 1.0
MULTIPLES = ((RESTATE, 64, 2.0), (TEMPORAL, 64, 15.0), (RESTATE, 256, 4.0))
"""How far ahead of a rival's best, whatever concurrency that needs, the native client is to be at so many callers."""
EVENTSOURCING_FROM = 8


def medians(turns: Turns) -> dict[Key, Latencies]:
    """The median of each figure over all turns."""
    return {key: middle(found) for key, found in turns.items() if found}


def throughput_ratio(found: Medians, way: Operation, peer: Operation, callers: int) -> float | None:
    """How many of ours are done while one of theirs is; None where one of the two was not measured."""
    if (way, callers) not in found or (peer, callers) not in found:
        return None
    return found[way, callers].per_second / found[peer, callers].per_second


def p50_ratio(found: Medians, way: Operation, peer: Operation, callers: int) -> float | None:
    """Our median time to theirs: below 1, ours is shorter."""
    if (way, callers) not in found or (peer, callers) not in found:
        return None
    return found[way, callers].p50_ms / found[peer, callers].p50_ms


def best(found: Medians, peer: Operation) -> float | None:
    """The most a second that a system came to, at whatever concurrency; None where it was not measured."""
    return max((each.per_second for (operation, _), each in found.items() if operation == peer), default=None)


def compared(found: Medians) -> list[Operation]:
    """What was measured beside ours, in the order of the turns."""
    return [each for each in dict.fromkeys(operation for operation, _ in found) if each not in OURS]


def rows(found: Medians) -> list[Row]:
    """Ratios first, with their targets, then every figure that they were made from."""
    peers = compared(found)
    ratios = [row for peer in peers for way in OURS for row in _ratios(found, way, peer)]
    return [*ratios, *_multiples(found), *_absolutes(found)]


def _ratios(found: Medians, way: Operation, peer: Operation) -> list[Row]:
    rows = []
    for callers in CONCURRENCIES:
        ratio = throughput_ratio(found, way, peer, callers)
        if ratio is not None:
            target = AHEAD if _is_to_be_behind(way, peer, callers) else None
            rows.append(Row(f"{way.name} to {peer.name}, throughput, c={callers}", ratio, "ratio", ">=", target))
    shorter = p50_ratio(found, way, peer, 1)
    if shorter is not None:
        target = AHEAD if peer in RIVALS else None
        rows.append(Row(f"{way.name} to {peer.name}, p50, c=1", shorter, "ratio", "<=", target))
    return rows


def _is_to_be_behind(way: Operation, peer: Operation, callers: int) -> bool:
    if peer == EVENTSOURCING:
        return way == ours.NATIVE and callers >= EVENTSOURCING_FROM
    return peer in RIVALS


def _multiples(found: Medians) -> list[Row]:
    rows = []
    for peer, callers, target in MULTIPLES:
        theirs = best(found, peer)
        if theirs is not None and (ours.NATIVE, callers) in found:
            ratio = found[ours.NATIVE, callers].per_second / theirs
            rows.append(Row(f"{ours.NATIVE.name}, c={callers}, to {peer.name}'s best", ratio, "ratio", ">=", target))
    return rows


def _absolutes(found: Medians) -> list[Row]:
    rows = []
    for (operation, callers), seen in found.items():
        name = f"{operation.name}, c={callers}"
        rows += [Row(name, seen.per_second, "1/s"), Row(f"{name}, p50", seen.p50_ms, "ms")]
        rows.append(Row(f"{name}, p99", seen.p99_ms, "ms"))
    return rows
