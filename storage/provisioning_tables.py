"""Inventory that is no configuration, qualifications, orders, tasks, and the outbox.

Areas, nodes, lines, ISPs, offerings and services are objects of the network, with their
change feed; what there is by the million, or belongs to one order, has tables here.
Whoever writes one of these takes the network's lock first (``storage.network``), so
numbers of events and of the change log are seen in their order on both databases.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, Table, Text, text

from storage.columns import KEY, metadata, partial_index, tenant

# A place where service can be had. What is searched by is made by
# ``provisioning.addresses`` from the address as it is written.
service_site: Final = Table(
    "service_site",
    metadata,
    Column("name", Text, primary_key=True),
    Column("area", Text, nullable=False),
    Column("node", Text),
    Column("address", Text, nullable=False),
    Column("normal", Text, nullable=False),
    Column("postcode_key", Text, nullable=False),
    Column("street_key", Text, nullable=False),
    tenant(),
)
Index("service_site_by_normal", service_site.c.normal)
Index("service_site_by_postcode_key", service_site.c.postcode_key)
Index("service_site_by_street_key", service_site.c.street_key)

customer: Final = Table(
    "customer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("full_name", Text, nullable=False, server_default=text("''")),
    Column("contact", Text, nullable=False, server_default=text("''")),
    Column(
        "tenant",
        Text,
        primary_key=True,
        nullable=False,
        server_default=text("'network'"),
    ),
)

device: Final = Table(
    "device",
    metadata,
    Column("name", Text, primary_key=True),
    Column("mac", Text),
    Column("model", Text, nullable=False, server_default=text("''")),
    Column("line", Text),
    Column("customer", Text),
    tenant(),
)
Index("device_by_line", device.c.line)

# What an order made of a service: its state (TMF638), and that the network file no
# longer decides over it.
service_record: Final = Table(
    "service_record",
    metadata,
    Column("name", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("offering", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("customer", Text),
    Column("changed_at", BigInteger, nullable=False),
    tenant(),
)
Index("service_record_by_line", service_record.c.line)

# What is charged from when to when: closed_at is null while it is.
subscription: Final = Table(
    "subscription",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("service", Text, nullable=False),
    Column("offering", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    tenant(),
)
Index("subscription_by_service", subscription.c.service)

# Who changed which object when, and what it was before: rows are only ever added.
object_change: Final = Table(
    "object_change",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    tenant(),
    sqlite_autoincrement=True,
)
Index("object_change_by_name", object_change.c.kind, object_change.c.name)
partial_index(
    "object_change_managed",
    "channel <> 'network_file'",
    object_change.c.kind,
    object_change.c.name,
)

qualification: Final = Table(
    "qualification",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("actor", Text, nullable=False),
    # site:NAME or line:NAME; null while the place is not known.
    Column("place", Text),
    # open while a green answer is good; else expired, superseded, invalidated, ordered.
    Column("state", Text, nullable=False),
    Column("color", Text, nullable=False),
    Column("body", Text, nullable=False),
    tenant(),
)
# With all that is asked of it, so that no row is read of what is open at a place.
partial_index(
    "qualification_open_by_place",
    "state = 'open'",
    qualification.c.place,
    qualification.c.tenant,
    qualification.c.id,
)
partial_index(
    "qualification_open_by_expires_at", "state = 'open'", qualification.c.expires_at
)

# How many of them are open, kept with them: an ISP may have only so many.
open_qualifications: Final = Table(
    "open_qualifications",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
)

# What green answers and open orders keep from others: one row a promise.
hold: Final = Table(
    "hold",
    metadata,
    Column("owner", Text, primary_key=True),
    # node:NAME in ports, or addresses:ISP/AREA in addresses.
    Column("resource", Text, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    tenant(),
)

# The sum of the holds on each resource, kept with them.
held: Final = Table(
    "held",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("quantity", BigInteger, nullable=False),
)

lead: Final = Table(
    "lead",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("qualification_id", Text),
    Column("contact", Text, nullable=False),
    Column("wanted", Text, nullable=False),
    Column("state", Text, nullable=False),
    tenant(),
    # A place that nobody knows, to be surveyed, and the site that it turned out to be.
    Column("address", Text),
    Column("site", Text),
)

service_order: Final = Table(
    "service_order",
    metadata,
    Column("id", Text, primary_key=True),
    Column("external_id", Text, nullable=False),
    # A keyed digest of the body: it may hold a password.
    Column("digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("on_behalf", Text),
    Column("ordered_at", BigInteger, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("completed_at", BigInteger),
    # When the manager looks at it next; null when there is nothing to do.
    Column("due_at", BigInteger),
    # How the customer describes it; secrets are not in it.
    Column("body", JSON, nullable=False),
    Column("milestones", JSON, nullable=False),
    Column("alerts", JSON, nullable=False),
    Column("errors", JSON, nullable=False),
    tenant(),
)
Index(
    "service_order_by_external_id",
    service_order.c.tenant,
    service_order.c.external_id,
    unique=True,
)
Index("service_order_by_ordered_at", service_order.c.ordered_at)
partial_index("service_order_by_due_at", "due_at IS NOT NULL", service_order.c.due_at)

service_order_item: Final = Table(
    "service_order_item",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("item_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    # TMF641's state; what else a rejected item says is in ``assessment``.
    Column("state", Text, nullable=False),
    Column("assessment", Text, nullable=False, server_default=text("''")),
    Column("service", Text, nullable=False),
    Column("line", Text),
    Column("site", Text),
    Column("user_name", Text),
    # Numbers of the items that it relies on.
    Column("relies_on", JSON, nullable=False),
    # What the item wants, with sealed secrets; ``provisioning.order_rules.Wanted``.
    Column("wanted", JSON(none_as_null=True)),
    Column("errors", JSON, nullable=False),
    tenant(),
)
# Written out in queries too: with bound values SQLite would not use the partial index.
OPEN_ITEM: Final = "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
partial_index(
    "service_order_item_open_by_line",
    OPEN_ITEM,
    service_order_item.c.line,
)
partial_index(
    "service_order_item_open_by_service",
    OPEN_ITEM,
    service_order_item.c.service,
)
partial_index(
    "service_order_item_open_by_user_name",
    OPEN_ITEM,
    service_order_item.c.user_name,
)
partial_index(
    "service_order_item_open_by_site",
    OPEN_ITEM,
    service_order_item.c.site,
)

order_task: Final = Table(
    "order_task",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("item", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("after", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("deadline_at", BigInteger, nullable=False),
    Column("about", JSON, nullable=False),
    # What there was before it was done, for undo.
    Column("before", JSON(none_as_null=True)),
    Column("reason", Text, nullable=False, server_default=text("''")),
    tenant(),
)
partial_index(
    "order_task_dead",
    "state IN ('dead', 'undo-dead')",
    order_task.c.order_id,
)

# Written out in queries too, as OPEN_ITEM is.
OF_DEVICE: Final = "kind IN ('device', 'device-remove')"
partial_index("order_task_of_device", OF_DEVICE, order_task.c.order_id)

# What the device of a line said last of its own configuration.
device_report: Final = Table(
    "device_report",
    metadata,
    Column("line", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    # ``provisioning.device_drift.Configuration``.
    Column("has", JSON, nullable=False),
    Column(
        "tenant",
        Text,
        primary_key=True,
        nullable=False,
        server_default=text("'network'"),
    ),
)

cancel_order: Final = Table(
    "cancel_order",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # TMF641's task states: accepted, inProgress, done, terminatedWithError.
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False, server_default=text("''")),
    tenant(),
)
Index("cancel_order_by_order_id", cancel_order.c.order_id)

# What happened, in order, for webhooks, MQTT and whoever asks from a number on.
outbox_event: Final = Table(
    "outbox_event",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    # TM Forum's event type, serviceOrderStateChangeEvent for one.
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("line", Text),
    Column("body", JSON, nullable=False),
    tenant(),
    sqlite_autoincrement=True,
)
Index("outbox_event_by_tenant", outbox_event.c.tenant, outbox_event.c.number)
