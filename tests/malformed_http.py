"""Requests that are not valid HTTP, each with a secret that no error, log or answer may quote."""


def malformed_requests(secret: bytes) -> dict[str, bytes]:
    """Returns the requests by kind. A server answers each one with 400 and closes the connection.

    `secret` has no white space, and at most 200 characters.
    """
    get, post = b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"POST /health HTTP/1.1\r\nHost: localhost\r\n"
    chunked = (
        b"POST /api/v1/providers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return {
        "a start line of one word": secret + b"\r\n\r\n",
        "an unknown version": b"GET /health?key=" + secret + b" HTTP/7\r\n\r\n",
        "a method with invalid characters": secret + b" \xff /health HTTP/1.1\r\n\r\n",
        "a header without a colon": get + b"Authorization " + secret + b"\r\n\r\n",
        "a space before the colon": get + b"x-api-key : " + secret + b"\r\n\r\n",
        "a control character": get + b"x-api-key: \x00" + secret + b"\r\n\r\n",
        "a header of more than 8 KB": get + b"A: " + secret * (9216 // len(secret)) + b"\r\n\r\n",
        "an invalid length": post + b"Content-Length: " + secret + b"\r\n\r\n",
        "two lengths": post + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + secret,
        "a length and chunks": post + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" + secret,
        "an unknown coding": post + b"Transfer-Encoding: " + secret + b"\r\n\r\n",
        "an invalid chunk size": chunked + secret + b"\r\n",
        "a chunk that is longer than its size": chunked + b"3\r\n" + secret + b"\r\n",
    }
