"""Every setting of the process, its default, its range and its unit.

``fairlane.toml`` is these Structs written as TOML; the loader knows no key but theirs.
What the network looks like is not here but in ``config.network``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from config.values import Broker, Database, Identifier, Listen, ListenIpv4, Prefix

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

CLOCK_SKEW_SECONDS_MAX = 86_400
"""No clock is faster, as far as usage is believed."""


class RadiusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The RADIUS receivers."""

    authentication_listen: list[Listen] = field(
        default_factory=lambda: ["0.0.0.0:1812"]
    )
    """Addresses, host:port, for Access-Requests; [] for none."""
    accounting_listen: list[Listen] = field(default_factory=lambda: ["0.0.0.0:1813"])
    """Addresses, host:port, for Accounting-Requests; [] for none."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Receiving processes; each has its own journal."""
    duplicate_seconds: Annotated[int, Meta(ge=1, le=300)] = 15
    """Seconds for which a retransmission is recognised (RFC 5080 section 2.2.2)."""
    receive_buffer_bytes: Annotated[int, Meta(ge=64 * KIB, le=GIB)] = 16 * MIB
    """Bytes of kernel buffer asked for, per socket."""
    unknown_source_log_seconds: Annotated[int, Meta(ge=1, le=3600)] = 10
    """Seconds between log lines about packets from unknown addresses."""
    status_server_per_second: Annotated[int, Meta(ge=1, le=100_000)] = 10
    """Status-Server requests answered per second and client (RFC 5997 section 4.1)."""


class AccessSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may have access, and how carefully that is decided."""

    key_file: str = ""
    """File of 32 or more octets from which the keys for sealed credentials and Class
    tokens are derived. Empty: the systemd credential ``fairlane-key``, else a file
    ``key`` that is made in data_dir. All nodes of a site need the same."""
    reject_delay_milliseconds: Annotated[int, Meta(ge=0, le=2000)] = 1000
    """Milliseconds before a reject is sent, which slows guessing."""
    waiting_rejects: Annotated[int, Meta(ge=1, le=1_000_000)] = 65_536
    """Rejects that may wait; beyond it requests are dropped."""
    hash_threads: Annotated[int, Meta(ge=1, le=64)] = 2
    """Threads that check argon2 hashes."""
    waiting_hashes: Annotated[int, Meta(ge=1, le=65_536)] = 256
    """Passwords that may wait for a thread; beyond it requests are dropped."""
    password_cache_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 900
    """Seconds for which a password that matched its hash is known again."""
    failures_per_user: Annotated[int, Meta(ge=1, le=100_000)] = 10
    """Wrong credentials a minute, per user and device; then all are rejected unread."""
    failures_per_nas: Annotated[int, Meta(ge=1, le=10_000_000)] = 6000
    """Wrong credentials a minute, per NAS."""


class DhcpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The DHCP receiver."""

    listen: list[ListenIpv4] = field(default_factory=lambda: ["0.0.0.0:67"])
    """Addresses, host:port, for DHCPv4; [] for none."""
    server_identifier: Identifier = ""
    """Address by which clients know this server (option 54); empty for the address that
    each packet came to."""
    receive_buffer_bytes: Annotated[int, Meta(ge=64 * KIB, le=GIB)] = 16 * MIB
    """Bytes of kernel buffer asked for, per socket."""
    hops_max: Annotated[int, Meta(ge=1, le=255)] = 16
    """Relays that a packet may have passed (RFC 1542 section 4.1.1)."""
    line_per_second: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    """Packets of one line that are served per second; twice as many in a burst."""
    relay_per_second: Annotated[int, Meta(ge=1, le=10_000_000)] = 20_000
    """DISCOVERs and the like of one relay that are served per second, and what comes
    of it without option 82."""
    queue_packets: Annotated[int, Meta(ge=64, le=1_000_000)] = 8192
    """DISCOVERs that may wait, and as many requests and renewals."""
    queue_seconds: Annotated[int, Meta(ge=1, le=60)] = 3
    """Seconds after which what waits is dropped: its client has sent it again."""
    parked_seconds: Annotated[int, Meta(ge=1, le=10)] = 2
    """Seconds for which a DISCOVER waits for addresses that are being granted."""
    parked_discovers: Annotated[int, Meta(ge=0, le=1_000_000)] = 1024
    """DISCOVERs that may wait so, one of a line."""
    subnet_selection: bool = False
    """Whether options 118 (RFC 3011) and 221 (RFC 6607) are believed, which any client
    can send."""
    leasequery_from: list[Prefix] = field(default_factory=list)
    """Prefixes of who may ask for leases of others (RFC 4388 section 7)."""


class LeaseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How addresses are held, given back and fought for."""

    offer_seconds: Annotated[int, Meta(ge=5, le=600)] = 60
    """Seconds for which an offered address is kept for its line."""
    cool_down_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 120
    """Seconds for which an address given up goes to nobody but the line that had it."""
    affinity_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 604_800
    """Seconds for which such an address waits for that line while others are free."""
    quarantine_seconds: Annotated[int, Meta(ge=60, le=2_592_000)] = 86_400
    """Seconds for which a declined address is not used (RFC 2131 section 4.3.3)."""
    declines_per_line: Annotated[int, Meta(ge=0, le=1000)] = 3
    """Addresses that one line can have in quarantine; more are not believed."""
    takeovers: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Changes of the device on a line in ``takeover_seconds``, before the one that has
    the address keeps it."""
    takeover_seconds: Annotated[int, Meta(ge=10, le=86_400)] = 600
    """Seconds in which changes of the device are counted."""
    cached_percent: Annotated[int, Meta(ge=0, le=50)] = 25
    """Per cent of a lease in which a renewal is answered with the time left, and
    nothing is written."""
    decisions_kept: Annotated[int, Meta(ge=0, le=10_000_000)] = 100_000
    """Lines whose last decision is kept, for ``fairlane why``."""


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """REST, consoles, health and metrics."""

    listen: Listen = "127.0.0.1:8080"
    """Address, host:port."""


class MqttSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The MQTT broker to connect to."""

    url: Broker = ""
    """mqtt://user:password@host:1883 turns MQTT on, empty leaves it off."""
    client_id: Annotated[str, Meta(min_length=1, max_length=23)] = "fairlane"
    """The name of our session with the broker (MQTT 3.1.1 section 3.1.3.1)."""


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told to others over HTTP."""

    callbacks: Literal["public", "any"] = "public"
    """"public": https to public addresses only; "any": http and private ones too."""


class JournalSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The journals, one per receiving process."""

    file_bytes: Annotated[int, Meta(ge=MIB, le=64 * GIB)] = 64 * MIB
    """Bytes after which a new journal file is begun."""
    retention_bytes: Annotated[int, Meta(ge=0)] = GIB
    """Bytes of consumed files that are kept, per journal."""
    queue_records: Annotated[int, Meta(ge=256, le=16_777_216)] = 65_536
    """Records that may wait for a commit; beyond it packets are dropped."""


class AccountingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From accounting packets to sessions and usage."""

    batch_records: Annotated[int, Meta(ge=1, le=1_000_000)] = 5000
    """Journal records applied in one database transaction at most."""
    max_clock_skew_seconds: Annotated[int, Meta(ge=0, le=CLOCK_SKEW_SECONDS_MAX)] = 300
    """Seconds that an Event-Timestamp may lie in the future."""
    interim_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 600
    """Seconds between Interim-Updates, where a session has not shown a longer time."""
    stale_after_intervals: Annotated[int, Meta(ge=1, le=1000)] = 3
    """Silent interim intervals after which a session is suspect."""
    close_after_intervals: Annotated[int, Meta(ge=2, le=10_000)] = 6
    """Silent interim intervals after which a session is closed as stale."""
    join_seconds: Annotated[int, Meta(ge=0, le=900)] = 900
    """Seconds that one usage record may span when differences are joined."""
    rollup_after_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    """Days after which usage records are summed per session and day."""


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is written."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one process; immutable, replaced as a whole on reload."""

    data_dir: Annotated[str, Meta(min_length=1)] = "/var/lib/fairlane"
    """Folder of journals and the SQLite database; relative to the working directory."""
    database: Database = "sqlite"
    """'sqlite' (a file in data_dir) or 'postgresql://...'."""
    network: str = ""
    """Network file applied at start, relative to the file that names it; or empty."""
    radius: RadiusSettings = field(default_factory=RadiusSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    dhcp: DhcpSettings = field(default_factory=DhcpSettings)
    leases: LeaseSettings = field(default_factory=LeaseSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    accounting: AccountingSettings = field(default_factory=AccountingSettings)
    log: LogSettings = field(default_factory=LogSettings)
