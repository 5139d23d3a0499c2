"""What is measured and how: named protocols, their outcomes, scores and records, and leakage."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.protocols.contract import Protocol as Protocol
    from vidssl.evaluation.protocols.contract import ProtocolClips as ProtocolClips
    from vidssl.evaluation.protocols.named import PROTOCOLS as PROTOCOLS
    from vidssl.evaluation.protocols.named import get_protocol as get_protocol
    from vidssl.evaluation.protocols.outcome import Neighbours as Neighbours
    from vidssl.evaluation.protocols.outcome import Outcome as Outcome
    from vidssl.evaluation.protocols.records import read_records as read_records

offer(
    __name__,
    contract=["Protocol", "ProtocolClips"],
    named=["PROTOCOLS", "get_protocol"],
    outcome=["Neighbours", "Outcome"],
    records=["read_records"],
)
