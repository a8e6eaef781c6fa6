"""What the page about webhooks shows can be used as it stands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tailrace.connector_kit.manifest.templates import Filter, Slot
from tailrace.connector_kit.registry import validate_settings
from tailrace.destinations.webhook import WebhookSettings

PAGE = (Path(__file__).parents[2] / "deploy/docs/webhooks.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_valid(example: str) -> None:
    given: dict[str, Any] = json.loads(example)

    assert set(validate_settings(WebhookSettings, given).operations) == set(given["operations"])


@pytest.mark.parametrize("word", [*Filter, *(slot for slot in Slot if slot is not Slot.IDENTITY)])
def test_word_of_templates_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE
