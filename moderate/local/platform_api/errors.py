"""The five shapes in which the platform says that something is wrong."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

KEYCLOAK_ERRORS = {
    401: {
        "error": "invalid_grant",
        "error_description": "Invalid bearer token",
    },
    403: {"error": "access_denied", "error_description": "not_authorized"},
}


class ApiError(Exception):
    """An answer that ends the request."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"answered with {response.status_code}")
        self.response = response


def detail(status: int, text: str) -> ApiError:
    """The API's own refusal."""
    return ApiError(JSONResponse({"detail": text}, status))


def not_found() -> ApiError:
    """What was asked for is not there, or is not the user's to see."""
    return detail(404, "Not Found")


def forbidden() -> ApiError:
    """The user's role does not allow this."""
    return detail(403, "Forbidden")


def database_error(status: int = 500) -> ApiError:
    """The database refused: 409 for a constraint, 500 for all else."""
    return ApiError(
        JSONResponse({"message": "Database operation error"}, status)
    )


def server_error() -> ApiError:
    """The API broke; often it is the request's own fault."""
    return ApiError(PlainTextResponse("Internal Server Error", 500))


def unknown_route() -> Response:
    """Any path or method that is not offered; a trailing slash, too."""
    return PlainTextResponse("Not Found", 404)


def gateway_message(status: int, text: str) -> Response:
    """The gateway's own refusal."""
    return JSONResponse({"message": text}, status)


def keycloak_refusal(status: int) -> Response:
    """Keycloak's refusal, which the gateway passes on as text."""
    return as_text(status, KEYCLOAK_ERRORS[status])


def as_text(status: int, content: Mapping[str, Any]) -> Response:
    """JSON that says it is text, as the gateway passes on Keycloak's."""
    response = JSONResponse(content, status)
    response.headers["content-type"] = "text/plain; charset=utf-8"
    return response


def fault_response(status: int, retry_after: int | None) -> Response:
    """A status as the layer sends it from which it usually comes."""
    if status == 500:
        response = server_error().response
    elif status in KEYCLOAK_ERRORS:
        response = keycloak_refusal(status)
    else:
        response = _web_server_page(status)
    if retry_after is not None:
        response.headers["retry-after"] = str(retry_after)
    return response


def _web_server_page(status: int) -> Response:
    title = f"{status} {HTTPStatus(status).phrase}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n"
        "<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(page, status, media_type="text/html")
