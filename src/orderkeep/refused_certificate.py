"""What to tell a person when a server's certificate is not trusted: which kind it is, and what to do."""

import ssl

_FOR_A_TIME = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED (openssl-verification-options(1)): a renewal ends it."""


def find_refused(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """The refusal of a certificate among an error and what led to it."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def passes(error: ssl.SSLCertVerificationError) -> bool:
    """Whether it may be right the next minute without a change here: its time is over, or has yet to come."""
    return error.verify_code in _FOR_A_TIME


def why_refused(server: str, error: ssl.SSLCertVerificationError, authority: str) -> str:
    """One line. `server` says whose certificate it is, `authority` where to name the authority."""
    reason = error.verify_message.rstrip(".")
    remedy = f"name the authority that signed it by {authority}"
    if passes(error):
        remedy = "renew it, or set the clocks right"
    elif "mismatch" in reason.lower() or "not valid for" in reason.lower():
        remedy = "connect by a name that the certificate has, or have it made for this one"
    return f"the certificate of {server} is refused ({reason}): {remedy}"
