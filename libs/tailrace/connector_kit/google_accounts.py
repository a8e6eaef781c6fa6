"""Google's service accounts: the key file that a user pastes, and the sign-in by it."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from tailrace.connector_kit.manifest.auth import JwtBearer
from tailrace.connector_kit.manifest.parts import look_up, read_json, text_at

TOKENS = "https://oauth2.googleapis.com/token"


def _checked(secret: SecretStr) -> SecretStr:
    account = read_json(secret.get_secret_value().encode())
    if not (text_at(account, "client_email") and text_at(account, "private_key")):
        raise ValueError(
            "paste the whole JSON file of the service account's key: client_email or private_key is missing"
        )
    return secret


ServiceAccount = Annotated[SecretStr, AfterValidator(_checked)]
"""The JSON of a key file."""


def sign_in_for(scope: str) -> JwtBearer:
    """How a service account signs in, by what `values_of` gives."""
    return JwtBearer(
        token_url=TOKENS,
        source="https://developers.google.com/identity/protocols/oauth2/service-account",
        issuer="{client_email}",
        audience=TOKENS,
        scope=scope,
    )


def values_of(account: SecretStr) -> Mapping[str, str]:
    """What the sign-in needs of a key file."""
    document = read_json(account.get_secret_value().encode())
    return {name: str(look_up(document, name)) for name in ("client_email", "private_key")}
