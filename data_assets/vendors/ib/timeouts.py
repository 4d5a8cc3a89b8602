"""How long to wait for TWS and IB's servers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for what, seconds.

    Attributes:
        bars: for a session's bars; the time begins when the request is sent, not while it waits for its turn.
        head: for a head timestamp.
        details: for a contract.
        finish: for the response to a request in flight, once the run is told to stop.
        connect: for TWS to accept a connection and to identify itself; some gateways accept and then stay silent.
        attempts: how often the first connection is attempted (a number).
        backoff: about, before the second attempt to connect; each further one doubles it, up to ``backoff_cap``.
        backoff_cap: see ``backoff``.
        outage: for a lost connection, in all, until the run gives up; resets of IB's servers do not count.
        farm: for the farm of historical data (2105), after which it is asked all the same.
        hold: before asking again after a response that says that IB's servers are away, or the session is elsewhere.
        settle: after IB's servers are back, before a "no" is believed.
        linger: for the response to a request about which TWS has sent an unknown code.
        idle: without a response, after which TWS is asked for the time before the next request.
        heartbeat: for the response to that.
        goodbye: after disconnecting: a client that comes back sooner finds its id still taken.
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
"""The simulator answers at once or never; whoever makes it fail wants to see the recovery, not the wait. What it says
after an outage is final, so nothing has to settle."""
