"""Settings of a sweep for tests: those of conf/sweep/default.yaml, with changes."""

from __future__ import annotations

from typing import Any

from hpo_cli.options import list_options


def sweep_settings_json(**changes: Any) -> dict[str, Any]:
    """As the log has them."""
    return {"option": "default", **list_options("sweep")["default"].defaults, "search": "random", **changes}
