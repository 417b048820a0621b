"""A seeded stream of notifications as Alertmanager sends them: few groups, many alerts, most of them repeated."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

KEYS = 50
DUPLICATES = 0.6


@dataclass(frozen=True)
class Stream:
    """bodies: what is sent, in order. fingerprints, keys: what there is in them, counted once."""

    bodies: list[bytes]
    fingerprints: int
    keys: int
    alerts: int


def stream(alerts: int, *, seed: int = 7, keys: int = KEYS, together: int = 1) -> Stream:
    """`alerts` alerts, 60 % of them sent before: half of those in the very same bytes, half as a new notification.

    together: alerts in one notification.
    """
    dice = random.Random(seed)
    fresh = round(alerts * (1 - DUPLICATES))
    order = [*range(fresh), *(dice.randrange(fresh) for _ in range(alerts - fresh))]
    dice.shuffle(order)
    bodies: list[bytes] = []
    for key in range(keys):
        mine = [number for number in order if number % keys == key]
        for start in range(0, len(mine), together):
            some = mine[start : start + together]
            again = dice.random() < 0.5
            bodies.append(_body(key, some, "" if again else f"{start}"))
    dice.shuffle(bodies)
    return Stream(bodies, fresh, keys, alerts)


def _body(key: int, numbers: list[int], note: str) -> bytes:
    group = f"Rule{key}"
    return json.dumps(
        {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{group}"}}',
            "status": "firing",
            "receiver": "watchkeeper",
            "groupLabels": {"alertname": group},
            "commonLabels": {"alertname": group, "severity": "warning"},
            "commonAnnotations": {"note": note},
            "externalURL": "http://alertmanager.example:9093",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": group, "instance": f"host-{number}"},
                    "annotations": {"summary": f"host-{number} breaks {group}"},
                    "startsAt": "2026-03-01T11:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://prometheus.example/graph",
                    "fingerprint": f"{number:016x}",
                }
                for number in numbers
            ],
        }
    ).encode()
