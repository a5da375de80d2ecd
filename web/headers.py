"""Headers of every answer: nothing is loaded from elsewhere, framed, or kept in a shared cache."""

from __future__ import annotations

from flask import Flask, Response, request

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Flask-WTF compares the referrer of forms sent over HTTPS; other sites get none.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STATIC_CACHE = "public, max-age=31536000, immutable"  # each address of a file carries its version
STRICT_TRANSPORT = "max-age=31536000"


def install(app: Flask, *, behind_tls: bool) -> None:
    """Set the headers on every answer."""

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(HEADERS)
        if request.endpoint == "static" and response.status_code in {200, 206, 304} and request.args.get("v"):
            response.headers["Cache-Control"] = STATIC_CACHE
        if behind_tls:
            response.headers["Strict-Transport-Security"] = STRICT_TRANSPORT
        return response
