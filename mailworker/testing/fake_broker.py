"""`python -m mailworker.testing.fake_broker`: a Redis in pure Python and in memory, for machines that have none.

Its first line of output tells the port. It ends with SIGTERM. Good enough to show a queue, and for nothing that has to last.
"""

from __future__ import annotations

import sys
from typing import Any


def fake_server(port: int = 0) -> Any:
    """Return a server on a port of 127.0.0.1, not yet serving.

    Args:
        port: 0 = a free one.
    """
    from fakeredis import TcpFakeServer
    from redis.exceptions import ResponseError

    server = TcpFakeServer(("127.0.0.1", port))

    class Handler(server.RequestHandlerClass):  # type: ignore[misc,name-defined]  # fakeredis has no types
        # Each reply is a small packet: with Nagle's algorithm every other one waits 40 ms for a delayed ACK.
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            read = self.current_client.read_response

            def answer(*args: Any, **options: Any) -> Any:
                try:
                    return read(*args, **options)
                except ResponseError as error:
                    # An error is an answer like another; left to itself, the handler closes the connection for it.
                    return error

            self.current_client.read_response = answer

    setattr(server, "RequestHandlerClass", Handler)  # noqa: B010 - its class says that nobody sets it
    server.daemon_threads = True
    return server


def main() -> None:
    """Serve on a free port of 127.0.0.1."""
    server = fake_server()
    sys.stdout.write(f"listening on 127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
