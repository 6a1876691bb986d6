"""Every setting of the process, its default, its range and its unit.

``fairlane.toml`` is these Structs written as TOML; the loader knows no key but theirs.
What the network looks like is not here but in ``config.network``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from config.values import Broker, Database, Listen

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


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


class DhcpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The DHCP receiver."""

    listen: list[Listen] = field(default_factory=lambda: ["0.0.0.0:67"])
    """Addresses, host:port, for DHCPv4; [] for none."""


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """REST, consoles, health and metrics."""

    listen: Listen = "127.0.0.1:8080"
    """Address, host:port."""


class MqttSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The MQTT broker to connect to."""

    url: Broker = ""
    """mqtt://user:password@host:1883 turns MQTT on, empty leaves it off."""


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
    max_clock_skew_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 300
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
    """'sqlite' (a file in data_dir), 'sqlite:///path' or 'postgresql://...'."""
    network: str = ""
    """Network file applied at start, relative to the file that names it; or empty."""
    radius: RadiusSettings = field(default_factory=RadiusSettings)
    dhcp: DhcpSettings = field(default_factory=DhcpSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    accounting: AccountingSettings = field(default_factory=AccountingSettings)
    log: LogSettings = field(default_factory=LogSettings)
