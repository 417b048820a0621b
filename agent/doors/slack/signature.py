"""Whether a request is from Slack: signed with our secret, within five minutes. Never an exception, whatever comes.

slack_sdk's verifier raises on six kinds of malformed input; it is asked only after the form is known to be right.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime

from starlette.datastructures import Headers

MINUTES_5 = 300
STAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


def proof_of(secret: str, headers: Headers, body: bytes, now: datetime) -> str:
    """The signature that proves it; "" where there is no proof."""
    from slack_sdk.signature import SignatureVerifier

    stamps = headers.getlist("x-slack-request-timestamp")
    signatures = headers.getlist("x-slack-signature")
    if not secret.strip() or len(stamps) != 1 or len(signatures) != 1:
        return ""
    (stamp,), (signature,) = stamps, signatures
    if not STAMP.fullmatch(stamp) or not SIGNATURE.fullmatch(signature):
        return ""
    if abs(now.timestamp() - int(stamp)) > MINUTES_5:
        return ""
    try:
        expected = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
    except UnicodeDecodeError:
        return ""
    return signature if expected is not None and hmac.compare_digest(expected, signature) else ""
