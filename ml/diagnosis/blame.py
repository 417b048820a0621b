"""After the rise was split: the inputs that its harder mix comes from, as evidence."""

from __future__ import annotations

from ml.diagnosis import shares
from ml.diagnosis.case import Case
from ml.diagnosis.evidence import Kind
from ml.errors import DataError
from ml.results import Interval


def share_inputs(case: Case) -> None:
    """After the change was split: whose mix it is, where a part of it is a mix and inputs and relation can be told
    apart."""
    h, split = case.harm, case.split
    if h is None or not h.harmed or split is None or split.apart or not case.shifts:
        return
    rows = case.usable.iloc[h.start :]
    try:
        case.shares = shares.shares(case.spec, case.baseline, case.base_loss, rows, case.seed)
    except DataError as error:
        case.note("which inputs the harder mix comes from", str(error))
    if not case.shares:
        return
    whole = sum(s.value for s in case.shares)
    lead = case.shares[0]
    most = ", ".join(lead.features[:4])
    number = case.ledger.add(
        Kind.ATTRIBUTION,
        f"the mix of inputs explains {whole:+.3g} of the loss, most of it {most}: {lead.value:+.3g}",
        lead.value,
        interval=Interval(lead.low, lead.high, 0.9),
        n=len(rows),
        unit="loss",
        source="shares.shares",
        feature=lead.features[0],
        facts={"shares": [s.to_json() for s in case.shares]},
    )
    case.cite("attribution", number)
