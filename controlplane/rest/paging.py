"""Pages of a list, as TM Forum's guidelines have them (TMF630): offset and limit.

How many there are in all is not counted, since that would cost more than the page; a
``Link`` says whether there is a next one (RFC 8288).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from litestar import Response

PAGE_MAX: Final = 1000


def paged(found: list[Any], offset: int, limit: int) -> Response[list[Any]]:
    """Answer with a page; ``found`` has one more than ``limit`` when more follow."""
    page = found[:limit]
    headers = {"X-Result-Count": str(len(page))}
    more = len(found) > limit
    if more:
        headers["Link"] = f'<?offset={offset + limit}&limit={limit}>; rel="next"'
    status = HTTPStatus.PARTIAL_CONTENT if more or offset else HTTPStatus.OK
    return Response(page, status_code=status, headers=headers)
