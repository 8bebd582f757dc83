"""Figures that are read where they stand when somebody looks, as metric families of `prometheus_client`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a service's dependency, not a researcher's
    from prometheus_client import Metric

__all__ = ["COARSE", "coarse", "gauge", "gauges"]

COARSE = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
"""Buckets of durations, in seconds: wide enough for a chart, too wide for a stop watch."""

Labels = Mapping[str, str]


def coarse(seconds: float) -> float:
    """The upper end of the bucket in which a duration lies: a histogram of these has a coarse sum as well as coarse counts."""
    return next((end for end in COARSE if seconds <= end), 2 * COARSE[-1])


def gauge(name: str, said: str, value: float) -> Metric:
    """One figure without labels."""
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, said, value=value)


def gauges(name: str, said: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """One figure for each set of labels; all of them have the same names."""
    from prometheus_client.core import GaugeMetricFamily

    found = list(samples)
    family = GaugeMetricFamily(name, said, labels=list(found[0][0]) if found else [])
    for labels, value in found:
        family.add_metric(list(labels.values()), value)
    return family
