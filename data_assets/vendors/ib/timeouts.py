"""How long is waited for TWS and IB's servers.

Here: the numbers. Not here: the waiting (``connection``, ``tws_session``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for what, seconds.

    Attributes:
        bars: for the answer with a session's bars; deadlines of answers begin when the request is sent, not while it
            waits for its turn.
        head: for that with a head timestamp.
        details: for that with a contract.
        finish: for the answer to a request in hand, once the run is told to stop.
        connect: for TWS to accept a connection and to say who it is; some gateways accept and then stay silent.
        attempts: tries (a number) of the first connection.
        backoff: before the second try to connect, about; each further one doubles it, up to ``backoff_cap``.
        backoff_cap: see ``backoff``.
        outage: for a lost connection, in all, until the run gives up; resets of IB's servers do not count.
        farm: for the farm of historical data (2105), after which it is asked all the same.
        hold: before asking again after an answer that says that IB's servers are away, or the session is elsewhere.
        settle: after IB's servers are back, before a "no" is believed.
        linger: for the answer to a request of which TWS has said something that is not known here.
        idle: without an answer, after which TWS is asked for the time before it is asked for more.
        heartbeat: for that answer.
        goodbye: after disconnecting: who comes back sooner finds the client id still taken.
    """

    bars: float = 60.0
    head: float = 30.0
    details: float = 30.0
    finish: float = 15.0
    connect: float = 10.0
    attempts: int = 3
    backoff: float = 2.0
    backoff_cap: float = 60.0
    outage: float = 900.0
    farm: float = 120.0
    hold: float = 60.0
    settle: float = 30.0
    linger: float = 10.0
    idle: float = 30.0
    heartbeat: float = 10.0
    goodbye: float = 0.5


IBS_OWN = Timeouts()
"""For a real TWS or Gateway, whose servers take their time and are away every night."""

SANDBOX = Timeouts(
    bars=3.0,
    head=3.0,
    details=3.0,
    finish=3.0,
    connect=3.0,
    backoff=0.2,
    backoff_cap=1.0,
    outage=60.0,
    farm=3.0,
    hold=1.0,
    settle=0.0,
    linger=0.5,
    idle=3.0,
    heartbeat=3.0,
    goodbye=0.1,
)
"""The simulator answers at once or never will: whoever makes it fail wants to see the recovery, not the wait. What it
says once it is back is its last word, so nothing has to settle."""
