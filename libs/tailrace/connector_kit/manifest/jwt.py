"""JSON Web Tokens, RFC 7519, as far as an assertion needs them."""

from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

_RS256 = b'{"alg":"RS256","typ":"JWT"}'


def signed_by_rsa(claims: bytes, key: RSAPrivateKey) -> str:
    """A token with these claims, RS256 of RFC 7518."""
    content = b".".join(map(_encoded, (_RS256, claims)))
    return b".".join((content, _encoded(key.sign(content, PKCS1v15(), SHA256())))).decode()


def _encoded(part: bytes) -> bytes:
    return urlsafe_b64encode(part).rstrip(b"=")
